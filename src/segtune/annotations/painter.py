"""Ordered shapes -> label image. Later shapes lie on top; what lies hidden below is counted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from segtune.annotations.annotated_image import AnnotatedImage, Mask, Polygon
from segtune.annotations.rle import run_ends, unpack_box
from segtune.config import Fill

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Painted:
    """A label image and what became of the shapes.

    Attributes:
        labels: uint8 (H, W), class ids.
        areas: int64 (S,), pixels that each shape covers.
        visible: int64 (S,), pixels of it that no later shape covers.
    """

    labels: npt.NDArray[np.uint8]
    areas: npt.NDArray[np.int64]
    visible: npt.NDArray[np.int64]


def paint(
    image: AnnotatedImage, class_ids: Mapping[str, int], paint_order: Sequence[str] = (), fill: Fill = "center"
) -> Painted:
    """Paint the shapes of a picture over class 0.

    Args:
        image: The picture; every label is in ``class_ids``.
        class_ids: Class id of each label.
        paint_order: Labels from the bottom to the top; empty: by z order. Equal ones by their order in the document.
        fill: Which pixels a polygon covers: 'center', those whose centre is inside, as CVAT; 'truncate', what OpenCV
            fills between the coordinates cut to whole pixels, as the original project.
    """
    rank = {label: place for place, label in enumerate(paint_order)}
    order = sorted(
        range(len(image.shapes)),
        key=lambda index: rank[image.shapes[index].label] if paint_order else image.shapes[index].z_order,
    )
    # Shapes are painted as their number, not as their class: so one count tells what stayed visible of each.
    numbers = np.zeros((image.height, image.width), np.int32)
    areas = np.zeros(len(image.shapes) + 1, np.int64)
    for index in order:
        mask = _rasterize(image.shapes[index].geometry, image.height, image.width, fill)
        area = numbers[mask.top : mask.top + mask.pixels.shape[0], mask.left : mask.left + mask.pixels.shape[1]]
        area[mask.pixels] = index + 1
        areas[index + 1] = np.count_nonzero(mask.pixels)
    ids = np.array([0, *(class_ids[shape.label] for shape in image.shapes)], np.uint8)
    visible = np.bincount(numbers.ravel(), minlength=len(areas))
    return Painted(ids[numbers], areas[1:], visible[1:])


def _rasterize(geometry: Polygon | Mask, height: int, width: int, fill: Fill) -> Mask:
    """Covered pixels, inside a picture of ``height`` x ``width``."""
    if isinstance(geometry, Mask):
        return geometry
    # Points far outside would cost pycocotools memory without bound, or crash it.
    points = clip(geometry.points, height, width)
    if len(points) < 3:
        return Mask(np.zeros((0, 0), np.bool_))
    # Only the bounding box is unpacked and painted: most objects are small, and pictures are large.
    left, top = (max(0, math.floor(value)) for value in points.min(axis=0))
    right, bottom = (
        min(end, math.floor(value) + 2) for end, value in zip((width, height), points.max(axis=0), strict=True)
    )
    if right <= left or bottom <= top:
        return Mask(np.zeros((0, 0), np.bool_))
    if fill == "truncate":
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [np.trunc(points).astype(np.int32) - np.array([left, top], np.int32)], (1,))
        return Mask(mask.astype(np.bool_), top, left)
    # Encoded in the whole picture: pycocotools rounds to fifths of a pixel, and an offset would change its ties.
    runs = coco_mask.frPyObjects([points.ravel().tolist()], height, width)[0]["counts"]
    return Mask(unpack_box(run_ends(runs), height, top, left, bottom, right), top, left)


def clip(points: Points, height: int, width: int) -> Points:
    """The part of a polygon that is no further outside the picture than its size (Sutherland and Hodgman 1974).

    What is nearer is left to pycocotools, whose rounding a cut edge would change.

    Args:
        points: float64 (N, 2), x and y.
        height: Of the picture.
        width: Of the picture.

    Returns:
        float64 (M, 2); fewer than 3 points where nothing is inside.
    """
    for axis, limit, sign in (
        (0, -1.0 * width, 1.0),
        (0, 2.0 * width, -1.0),
        (1, -1.0 * height, 1.0),
        (1, 2.0 * height, -1.0),
    ):
        inside = (points[:, axis] - limit) * sign >= 0
        if inside.all():
            continue
        kept: list[Points] = []
        for index in range(len(points)):
            start, end = points[index - 1], points[index]
            if inside[index] != inside[index - 1]:
                crossing = start + (end - start) * ((limit - start[axis]) / (end[axis] - start[axis]))
                crossing[axis] = limit
                kept.append(crossing)
            if inside[index]:
                kept.append(end)
        points = np.array(kept, np.float64).reshape(-1, 2)
        if not len(points):
            break
    return points
