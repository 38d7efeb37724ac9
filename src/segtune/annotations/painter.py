"""Ordered shapes -> label image. Later shapes lie on top; what lies hidden below is counted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import Geometry, Mask, Points, Polygon, Region, Runs, Shape
from segtune.annotations.polygon_fill import EMPTY, fill_outlines
from segtune.annotations.rle import unpack
from segtune.config import Fill


@dataclass(frozen=True)
class Painted:
    """A label image and what became of the shapes.

    Attributes:
        labels: uint8 (H, W), class ids.
        areas: int64 (S,), pixels that each shape covers.
        visible: int64 (S,), pixels of it that no shape above it covers.
    """

    labels: npt.NDArray[np.uint8]
    areas: npt.NDArray[np.int64]
    visible: npt.NDArray[np.int64]


def paint(
    shapes: Sequence[Shape],
    size: tuple[int, int],
    class_ids: Mapping[str | None, int],
    outside: int = 0,
    ranks: Mapping[str | None, int] | None = None,
    fill: Fill = "center",
) -> Painted:
    """Paint the shapes of a picture.

    Args:
        shapes: In the order of the document; every label is in ``class_ids``.
        size: Height and width of the picture.
        class_ids: The id that each label is painted as.
        outside: The id of pixels that no shape covers.
        ranks: Labels of higher rank lie on top; None: shapes of higher z order do. Of equals, the later one.
        fill: Which pixels a polygon covers: 'center', those whose centre is inside, as CVAT; 'truncate', what OpenCV
            fills between the coordinates cut to whole pixels, as the original project.
    """
    order = sorted(
        range(len(shapes)),
        key=lambda index: shapes[index].z_order if ranks is None else ranks[shapes[index].label],
    )
    labels = np.full(size, outside, np.uint8)
    covered = np.zeros(size, np.bool_)
    areas, visible = np.zeros((2, len(shapes)), np.int64)
    masks = rasterize([shape.geometry for shape in shapes], size, fill)
    # From the top down: what is visible of a shape is what nothing has covered yet.
    for index in reversed(order):
        mask = masks[index]
        box = np.s_[mask.top : mask.top + mask.pixels.shape[0], mask.left : mask.left + mask.pixels.shape[1]]
        new = mask.pixels > covered[box]
        # There 'outside' is: exclusive or with 0 leaves it, and with this value makes it the id, without branches.
        labels[box] ^= new.view(np.uint8) * np.uint8(outside ^ class_ids[shapes[index].label])
        covered[box] |= mask.pixels
        areas[index], visible[index] = np.count_nonzero(mask.pixels), np.count_nonzero(new)
    return Painted(labels, areas, visible)


def rasterize(geometries: Sequence[Geometry], size: tuple[int, int], fill: Fill = "center") -> list[Mask]:
    """The pixels of a picture of ``size`` that each geometry covers; what is outside is cut away."""
    outlines = [
        points
        for geometry in geometries
        if isinstance(geometry, Polygon)
        for points in geometry.outlines + geometry.holes
    ]
    filled = iter(
        fill_outlines(outlines, size) if fill == "center" else [_truncate(points, size) for points in outlines]
    )
    return [
        _cut_holes(geometry, filled) if isinstance(geometry, Polygon) else _inside(geometry, size)
        for geometry in geometries
    ]


def _inside(geometry: Mask | Runs | Region, size: tuple[int, int]) -> Mask:
    """The part of a mask that is inside of a picture."""
    if isinstance(geometry, Region):
        mask = Mask(geometry.values == geometry.value)
    else:
        mask = unpack(geometry) if isinstance(geometry, Runs) else geometry
    top, left = max(0, -mask.top), max(0, -mask.left)
    bottom, right = size[0] - mask.top, size[1] - mask.left
    if bottom <= top or right <= left or not mask.pixels.size:
        return EMPTY
    return Mask(mask.pixels[top:bottom, left:right], mask.top + top, mask.left + left)


def _cut_holes(polygon: Polygon, filled: Iterator[Mask]) -> Mask:
    """What a polygon covers; the next of ``filled`` are its outlines, then its holes."""
    mask = _union([next(filled) for _ in polygon.outlines])
    hole = _union([next(filled) for _ in polygon.holes])
    return Mask(mask.pixels & ~_in_window(hole, mask), mask.top, mask.left) if hole.pixels.size else mask


def _union(masks: Sequence[Mask]) -> Mask:
    """What any mask covers."""
    masks = [mask for mask in masks if mask.pixels.size]
    if len(masks) < 2:
        return masks[0] if masks else EMPTY
    top, left = min(mask.top for mask in masks), min(mask.left for mask in masks)
    bottom = max(mask.top + mask.pixels.shape[0] for mask in masks)
    right = max(mask.left + mask.pixels.shape[1] for mask in masks)
    window = Mask(np.zeros((bottom - top, right - left), np.bool_), top, left)
    return Mask(np.logical_or.reduce([_in_window(mask, window) for mask in masks]), top, left)


def _in_window(mask: Mask, window: Mask) -> npt.NDArray[np.bool_]:
    """What a mask covers of another's box, in the shape of that box."""
    covered = np.zeros_like(window.pixels)
    top, left = max(mask.top, window.top), max(mask.left, window.left)
    bottom = max(top, min(mask.top + mask.pixels.shape[0], window.top + window.pixels.shape[0]))
    right = max(left, min(mask.left + mask.pixels.shape[1], window.left + window.pixels.shape[1]))
    covered[top - window.top : bottom - window.top, left - window.left : right - window.left] = mask.pixels[
        top - mask.top : bottom - mask.top, left - mask.left : right - mask.left
    ]
    return covered


def _truncate(points: Points, size: tuple[int, int]) -> Mask:
    """What OpenCV fills between coordinates that are cut to whole pixels."""
    points = np.trunc(clip(points, *size)).astype(np.int32)
    if len(points) < 3:
        return EMPTY
    (left, top), (right, bottom) = points.min(axis=0).clip(0).tolist(), points.max(axis=0).tolist()
    right, bottom = min(size[1], right + 1), min(size[0], bottom + 1)
    if right <= left or bottom <= top:
        return EMPTY
    mask = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(mask, [points - np.array([left, top], np.int32)], (1,))
    return Mask(mask.view(np.bool_), top, left)


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
