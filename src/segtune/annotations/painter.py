"""Ordered shapes -> label image. Later shapes lie on top; what lies hidden below is counted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, tee

import cv2
import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import Geometry, Mask, Points, Polygon, Region, Runs, Shape
from segtune.annotations.polygon_fill import EMPTY, fill_outlines, is_endless
from segtune.annotations.rle import unpack
from segtune.config import Fill
from segtune.errors import UserError


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

    Raises:
        UserError: An outline runs to and fro without end.
    """
    order = sorted(
        range(len(shapes)),
        key=lambda index: shapes[index].z_order if ranks is None else ranks[shapes[index].label],
    )
    labels = np.full(size, outside, np.uint8)
    covered = np.zeros(size, np.bool_)
    areas, visible = np.zeros((2, len(shapes)), np.int64)
    for index, shape in enumerate(shapes):
        if isinstance(shape.geometry, Polygon) and any(is_endless(points, size) for points in shape.geometry.outlines):
            raise UserError(
                f"object {index + 1} ({shape.label}): its outline crosses the picture without end.", "Mend it."
            )
    # From the top down: what is visible of a shape is what nothing has covered yet.
    order.reverse()
    for index, mask in zip(order, rasterize((shapes[index].geometry for index in order), size, fill), strict=True):
        box = np.s_[mask.top : mask.top + mask.pixels.shape[0], mask.left : mask.left + mask.pixels.shape[1]]
        new = mask.pixels > covered[box]
        # There 'outside' is: exclusive or with 0 leaves it, and with this value makes it the id, without branches.
        labels[box] ^= new.view(np.uint8) * np.uint8(outside ^ class_ids[shapes[index].label])
        covered[box] |= mask.pixels
        areas[index], visible[index] = np.count_nonzero(mask.pixels), np.count_nonzero(new)
    return Painted(labels, areas, visible)


def rasterize(geometries: Iterable[Geometry], size: tuple[int, int], fill: Fill = "center") -> Iterator[Mask]:
    """The pixels of a picture of ``size`` that each geometry covers; what is outside is cut away.

    They are made as they are asked for: all masks of a picture together may take more than the memory.
    """
    ours, theirs = tee(geometries)
    outlines = (
        points for geometry in theirs if isinstance(geometry, Polygon) for points in geometry.outlines + geometry.holes
    )
    filled = fill_outlines(outlines, size) if fill == "center" else (_truncate(points, size) for points in outlines)
    for geometry in ours:
        yield _cut_holes(geometry, filled, size) if isinstance(geometry, Polygon) else _inside(geometry, size)


def _inside(geometry: Mask | Runs | Region, size: tuple[int, int]) -> Mask:
    """The part of a mask that is inside of a picture."""
    if isinstance(geometry, Runs):
        return unpack(geometry, size)
    mask = Mask(geometry.values == geometry.value) if isinstance(geometry, Region) else geometry
    top, left = max(0, -mask.top), max(0, -mask.left)
    bottom, right = size[0] - mask.top, size[1] - mask.left
    if bottom <= top or right <= left or not mask.pixels.size:
        return EMPTY
    return Mask(mask.pixels[top:bottom, left:right], mask.top + top, mask.left + left)


def _cut_holes(polygon: Polygon, filled: Iterator[Mask], size: tuple[int, int]) -> Mask:
    """What a polygon covers; the next of ``filled`` are its outlines, then its holes."""
    if len(polygon.outlines) == 1 and not polygon.holes:
        return next(filled)
    points = np.concatenate(polygon.outlines)
    limit = size[1], size[0]
    # A fill may round to the next pixel.
    left, top = np.clip(np.floor(points.min(axis=0)) - 1, 0, limit).astype(int).tolist()
    right, bottom = np.clip(np.ceil(points.max(axis=0)) + 1, 0, limit).astype(int).tolist()
    window = Mask(np.zeros((bottom - top, right - left), np.bool_), top, left)
    for mask in islice(filled, len(polygon.outlines)):
        place, pixels = _shared(mask, window)
        place |= pixels
    for hole in islice(filled, len(polygon.holes)):
        place, pixels = _shared(hole, window)
        place &= ~pixels
    return window


def _shared(mask: Mask, window: Mask) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The part of a window where a mask's box is, and that part of the mask; views of both."""
    top, left = max(mask.top, window.top), max(mask.left, window.left)
    bottom = max(top, min(mask.top + mask.pixels.shape[0], window.top + window.pixels.shape[0]))
    right = max(left, min(mask.left + mask.pixels.shape[1], window.left + window.pixels.shape[1]))
    inside, own = (of.pixels[top - of.top : bottom - of.top, left - of.left : right - of.left] for of in (window, mask))
    return inside, own


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

    What is nearer is left to OpenCV, whose rounding a cut edge would change.

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
