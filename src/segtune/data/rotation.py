"""Rotation: a window of a picture that stands at an angle becomes an upright crop."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segtune.classes import IGNORE
from segtune.data.augment import as_bytes, fill_color
from segtune.data.sample import Sample
from segtune.preprocessing import Triple

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """A part of a picture; coordinates are continuous, pixel i covers i .. i + 1.

    Attributes:
        row: The middle's.
        column: The middle's.
        row_scale: Pixels of the crop for each of the picture, downwards in the crop.
        column_scale: To the right in the crop.
        angle: By which the window is turned, clockwise, in radians.
        size: Height and width of the crop in pixels.
    """

    row: float
    column: float
    row_scale: float
    column_scale: float
    angle: float
    size: int

    def places(self) -> Matrix:
        """Matrix (2, 3): x and y in the crop, 1 -> x and y in the picture."""
        sine, cosine = np.sin(self.angle), np.cos(self.angle)
        turn = np.array([[cosine, -sine], [sine, cosine]]) / [self.column_scale, self.row_scale]
        middle = np.array([self.column, self.row])
        return np.column_stack([turn, middle - turn @ [self.size / 2, self.size / 2]])


def rotated(sample: Sample, window: Window, fill: Triple) -> Sample:
    """The crop that a window shows. Only the upright box around the window is read.

    Args:
        sample: The picture.
        window: Its middle lies in the picture.
        fill: RGB in 0..1 of what lies outside of the picture, where labels are ``IGNORE``.
    """
    places = window.places()
    # Pictures are shrunk before they are turned, as interpolation between the nearest pixels would leave some out.
    scale = min(1.0, (window.row_scale * window.column_scale) ** 0.5)
    left, top, right, bottom = _box(places, window.size, sample.labels.shape, 2 + round(2 / scale))
    image, labels = sample.image[top:bottom, left:right], sample.labels[top:bottom, left:right]
    in_box = places - [[0, 0, left], [0, 0, top]]
    small_size = [max(1, round(length * scale)) for length in (right - left, bottom - top)]
    shrunk = np.diag([small_size[0] / (right - left), small_size[1] / (bottom - top)]) @ in_box
    if scale < 1:
        image = as_bytes(cv2.resize(image, small_size, interpolation=cv2.INTER_AREA))
    return Sample(
        _warp(image, shrunk, window.size, cv2.INTER_LINEAR, [int(value) for value in fill_color(fill)]),
        _warp(labels, in_box, window.size, cv2.INTER_NEAREST, [IGNORE]),
        sample.name,
    )


def _box(places: Matrix, size: int, shape: tuple[int, ...], margin: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the box around the window, in the picture."""
    corners = places @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]])
    low, high = np.floor(corners.min(axis=1)) - margin, np.ceil(corners.max(axis=1)) + margin
    left, top = (max(0, int(value)) for value in low)
    return left, top, min(shape[1], int(high[0])), min(shape[0], int(high[1]))


def _warp(
    pixels: npt.NDArray[np.uint8], places: Matrix, size: int, interpolation: int, outside: list[int]
) -> npt.NDArray[np.uint8]:
    # OpenCV's coordinates are whole at the middle of a pixel, ours at its edge.
    matrix = places.copy()
    matrix[:, 2] += places[:, :2] @ [0.5, 0.5] - 0.5
    return as_bytes(
        cv2.warpAffine(
            pixels, matrix, (size, size), flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT, borderValue=outside,
        )
    )  # fmt: skip
