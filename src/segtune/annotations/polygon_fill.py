"""Outlines -> the pixels whose centre is inside, to the pixel as COCO's tools fill them, and so CVAT.

Source: rleFrPoly in pycocotools' maskApi.c. It draws each outline five times finer, point by point, and notes where the
line passes the centre of a column of pixels; from the first to the second of these places in a column is inside, from
the third to the fourth, and so on. Here these places alone are computed, for all outlines of a picture at once:
pycocotools and the unpacking of what it returns take twice as long.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import Mask, Points
from segtune.errors import UserError

FINER = 5
CENTER = FINER // 2
MAX_AT_ONCE = 2**17
"""Places that are computed at once: 15 MB."""
MAX_PIXELS_AT_ONCE = 2**26
"""Pixels of the masks that are computed at once; an outline has two places a column of its mask at least."""
MAX_PLACES = 2**20
"""Of one outline: 110 MB. The longest outlines that people draw pass a thirtieth of that."""

EMPTY = Mask(np.zeros((0, 0), np.bool_))

Doubles = npt.NDArray[np.float64]


def fill_outlines(outlines: Iterable[Points], size: tuple[int, int]) -> Iterator[Mask]:
    """Fill outlines by the even-odd rule.

    Args:
        outlines: Each float64 (N, 2), x and y; finite.
        size: Height and width of the picture; what is outside is cut away.

    Returns:
        For each outline the covered pixels, in the smallest box round them.

    Raises:
        UserError: An outline runs to and fro without end.
    """
    for part in _parts(outlines, *size):
        yield from _fill_at_once(part, *size)


def is_endless(points: Points, size: tuple[int, int]) -> bool:
    """Whether an outline passes so many places of a picture of ``size`` that it is not filled."""
    return len(points) * size[1] > MAX_PLACES and _num_places(points, size[1]) > MAX_PLACES


def _num_places(points: Points, width: int) -> float:
    x = points[:, 0].clip(0, width)
    return float(np.abs(np.diff(x, append=x[:1])).sum())


def _parts(outlines: Iterable[Points], height: int, width: int) -> Iterator[list[Points]]:
    """The outlines in parts that are small enough to be done at once."""
    part: list[Points] = []
    num_places = 0.0
    at_most = min(MAX_AT_ONCE, 2 * MAX_PIXELS_AT_ONCE / height)
    for points in outlines:
        places = _num_places(points, width)
        if places > MAX_PLACES:
            raise UserError(f"An outline of {len(points)} points crosses its picture without end.", "Mend it.")
        if part and num_places + places > at_most:
            yield part
            part, num_places = [], 0.0
        part.append(points)
        num_places += places
    if part:
        yield part


def _fill_at_once(outlines: Sequence[Points], height: int, width: int) -> list[Mask]:
    lengths = np.array([len(points) for points in outlines])
    # C's conversion to int, which cuts towards 0.
    start = np.trunc(np.concatenate(outlines) * FINER + 0.5)
    following = np.arange(1, len(start) + 1)
    last = np.cumsum(lengths) - 1
    following[last] = last - lengths + 1
    edges, columns, rows = _column_passages(start, start[following], height, width)
    # Sorted by outline, column, row; a row may also be the one below the last.
    places = (np.repeat(np.arange(len(outlines)), lengths)[edges] * width + columns) * (height + 1) + rows
    places.sort()
    columns, rows = np.divmod(places, height + 1)
    owners, columns = np.divmod(columns, width)
    ends = np.searchsorted(owners, np.arange(len(outlines) + 1)).tolist()
    return [_between(columns[a:b], rows[a:b]) for a, b in pairwise(ends)]


def _column_passages(
    start: Doubles, end: Doubles, height: int, width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where edges pass the centres of a picture's columns.

    Args:
        start: float64 (E, 2), x and y, whole numbers of fifths of a pixel.
        end: Likewise.
        height: Of the picture in pixels.
        width: Of the picture in pixels.

    Returns:
        For each passage, int64 (P,): the edge, the column, and the first row whose centre is below, 0 to ``height``.
    """
    # A passage is from one drawn point to the next, from x = 5 column + 2 to the fifth on its right, or back.
    left, right = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    first = np.ceil((left - CENTER) / FINER).clip(0).astype(np.int64)
    last = np.floor((right - CENTER - 1) / FINER).clip(-1, width - 1).astype(np.int64)
    count = (last - first + 1).clip(0)
    edges = np.repeat(np.arange(len(start)), count)
    columns = np.arange(len(edges)) + np.repeat(first - np.cumsum(count) + count, count)
    x = (FINER * columns + CENTER).astype(np.float64)
    distance = np.abs(end - start)
    steep = distance[:, 0] < distance[:, 1]
    # Edges are drawn along their longer axis, from its lower end.
    backwards = np.where(steep, start[:, 1] > end[:, 1], start[:, 0] > end[:, 0])[:, None]
    lower, upper = np.where(backwards, end, start), np.where(backwards, start, end)
    is_steep = steep[edges]
    y = np.empty_like(x)
    y[~is_steep] = _height_of_flat(lower, upper, edges[~is_steep], x[~is_steep])
    y[is_steep] = _height_of_steep(lower, upper, edges[is_steep], x[is_steep])
    rows = np.ceil((y - CENTER) / FINER).clip(0, height).astype(np.int64)
    return edges, columns, rows


def _height_of_flat(lower: Points, upper: Points, edges: npt.NDArray[np.int64], x: Doubles) -> Doubles:
    """The smaller y of the points that an edge, drawn one point for each x, has at ``x`` and on its right."""
    slopes = (upper[:, 1] - lower[:, 1]) / np.maximum(upper[:, 0] - lower[:, 0], 1)
    start, slope, step = lower[edges, 1], slopes[edges], x - lower[edges, 0]
    smaller: Doubles = np.minimum(np.trunc(start + slope * step + 0.5), np.trunc(start + slope * (step + 1) + 0.5))
    return smaller


def _height_of_steep(lower: Points, upper: Points, edges: npt.NDArray[np.int64], x: Doubles) -> Doubles:
    """The last y at which an edge, drawn one point for each y, is on its first side of the border right of ``x``."""
    slopes = (upper[:, 0] - lower[:, 0]) / np.maximum(upper[:, 1] - lower[:, 1], 1)
    start, slope = lower[edges, 0], slopes[edges]
    # The first step on the other side, up to rounding; which the drawing's own arithmetic then decides.
    step = np.ceil((x + 0.5 - start) / slope) - 1
    for _ in range(2):
        step += (start + slope * step + 0.5 >= x + 1) != (slope > 0)
    y: Doubles = lower[edges, 1] + step - 1
    return y


def _between(columns: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> Mask:
    """The pixels between the first and the second, the third and the fourth … of places sorted by column and row."""
    if not len(columns):
        return EMPTY
    left, right = int(columns[0]), int(columns[-1]) + 1
    top, bottom = int(rows.min()), int(rows.max())
    if bottom == top:
        return EMPTY
    height = bottom - top
    ends = (columns - left) * height + (rows - top)
    lengths = np.empty(len(ends) + 1, np.int64)
    lengths[0], lengths[-1] = ends[0], (right - left) * height - ends[-1]
    np.subtract(ends[1:], ends[:-1], out=lengths[1:-1])
    covered = np.repeat(np.arange(len(lengths), dtype=np.uint8) & 1, lengths).reshape(right - left, height)
    return Mask(cv2.transpose(covered).view(np.bool_), top, left)
