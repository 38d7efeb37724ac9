"""Class ids -> polygons with holes, as COCO JSON and GeoJSON.

Coordinates are in pixels from the picture's top left corner, as COCO's: pixel (row, column) covers the square from
(column, row) to (column + 1, row + 1). Outlines run along the pixels' edges, so an area is the number of pixels.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import cv2
import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import Mask
from segtune.annotations.polygon_fill import fill_outlines, is_endless
from segtune.arrays import Array
from segtune.classes import ClassTable
from segtune.files import atomic_path, write_text

Ring = npt.NDArray[np.int64]
RingPoints = npt.NDArray[np.int64] | npt.NDArray[np.float64]

MAX_SPOOLED = 1 << 20
"""Bytes of a temporary file that are kept in memory."""

TOLERANCES = (1.0, 0.75, 0.5, 0.25)
"""An outline's points are left out where it then moves by no more pixels than this (Douglas and Peucker): the first
that keeps ``MIN_IOU``."""

MIN_IOU = 0.994
"""Of a simplified area with its pixels. Neighbours are simplified each for itself: that of a class is a bit lower."""

MAX_CHANGE = 0.1
"""The largest part of what a ring encloses that may change sides where points are left out."""


@dataclass(frozen=True)
class ClassPolygon:
    """A connected area of one class; pixels that touch at a corner alone are not connected.

    Attributes:
        class_id: Its class.
        rings: int64 (points, 2) of x, y each, not closed: the outline, then the holes. They are simplified.
        num_pixels: Its area before it was simplified.
    """

    class_id: int
    rings: Sequence[Ring]
    num_pixels: int

    @property
    def area(self) -> float:
        """What the rings enclose, without the holes, in pixels."""
        outline, *holes = (abs(_signed_area(ring)) for ring in self.rings)
        return outline - sum(holes)


def find_polygons(class_ids: Array, num_classes: int, tolerances: Sequence[float] = TOLERANCES) -> list[ClassPolygon]:
    """The connected areas of each class of uint8 (H, W), ``simplified``.

    The largest comes first: simplified neighbours overlap, and a tool that draws them in order then leaves the smaller
    ones whole.
    """
    polygons = [
        ClassPolygon(class_id, simplified(exact_rings(area), area, tolerances), num_pixels)
        for class_id, area, num_pixels in areas_of_classes(class_ids, num_classes)
    ]
    return sorted(polygons, key=lambda polygon: -polygon.num_pixels)


def areas_of_classes(class_ids: Array, num_classes: int) -> Iterator[tuple[int, Mask, int]]:
    """The connected areas of uint8 (H, W), class by class: the class, the area, and its number of pixels."""
    # Unlike numpy's, this count needs no memory for each pixel.
    present = np.flatnonzero(cv2.calcHist([class_ids], [0], None, [num_classes], [0, num_classes]))
    for class_id in present.tolist():  # looking for an area takes as long where there is none
        for pixels, left, top, num_pixels in connected_areas(class_ids == class_id):
            yield class_id, Mask(pixels, top, left), num_pixels


def connected_areas(mask: npt.NDArray[np.bool_]) -> Iterator[tuple[npt.NDArray[np.bool_], int, int, int]]:
    """The connected areas of a mask: each cut out, with its left and top, and its number of pixels."""
    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    for number in range(1, count):
        left, top, width, height, num_pixels = (int(value) for value in boxes[number])
        yield numbers[top : top + height, left : left + width] == number, left, top, num_pixels


def holes_of(area: Mask) -> list[Mask]:
    """The connected areas that a connected area encloses."""
    # They are areas of what surrounds it, but for the first, which is the outside.
    around = np.pad(~area.pixels, 1, constant_values=True)
    top, left = area.top - 1, area.left - 1
    return [Mask(hole, top + y, left + x) for hole, x, y, _ in connected_areas(around) if x or y]


def exact_rings(area: Mask) -> list[Ring]:
    """The outline of a connected area, then those of its holes: int64 (points, 2) of x, y each."""
    return [outer_outline(mask.pixels) + np.array([mask.left, mask.top]) for mask in (area, *holes_of(area))]


def outer_outline(mask: npt.NDArray[np.bool_]) -> Ring:
    """The outer outline of a connected mask (H, W) along the pixels' edges, counter-clockwise: int64 (points, 2), x, y.

    findContours goes through the centres of cells. So each pixel becomes 3 x 3 cells that it shares with its
    neighbours: cell (2 row, 2 column) is its upper left corner.
    """
    height, width = mask.shape
    cells = np.zeros((2 * height + 1, 2 * width + 1), np.uint8)
    for down in range(3):
        for across in range(3):
            cells[down : down + 2 * height : 2, across : across + 2 * width : 2] |= mask
    (border,), _ = cv2.findContours(cells, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    here = border[:, 0].astype(np.int64)
    following = np.roll(here, -1, axis=0)
    # It cuts inner corners: of the two cells beside such a step the one at even places is the corner.
    corner = np.stack([here[:, 0], following[:, 1]], axis=1)
    is_even = (corner % 2 == 0).all(axis=1)
    corner[~is_even] = np.stack([following[:, 0], here[:, 1]], axis=1)[~is_even]
    corners = np.stack([here, corner], axis=1).reshape(-1, 2)
    outline: Ring = corners[(corners % 2 == 0).all(axis=1)] // 2
    return outline


def simplified(rings: Sequence[Ring], area: Mask, tolerances: Sequence[float] = TOLERANCES) -> list[Ring]:
    """The outline of an area and its holes with as few points as still tell its pixels.

    Args:
        rings: int64 (points, 2) of x, y each.
        area: What they enclose.
        tolerances: Those to try; where none does, the rings enclose the area to the pixel.
    """
    # What is too long to be filled can't be checked.
    is_checked = not any(is_endless(ring - [area.left, area.top], area.pixels.shape) for ring in rings)
    for tolerance in tolerances:
        fewer = [simplified_ring(ring, tolerance) for ring in rings]
        if not is_checked or _iou(fewer, area) >= MIN_IOU:
            return fewer
    return [simplified_ring(ring, 0) for ring in rings]


def _iou(rings: Sequence[Ring], area: Mask) -> float:
    """How well the pixels between rings agree with an area that they don't leave the box of."""
    covered = np.zeros(area.pixels.shape, np.bool_)
    height, width = area.pixels.shape
    shifted = (ring.astype(np.float64) - np.array([area.left, area.top]) for ring in rings)
    for mask in fill_outlines(shifted, (height, width)):
        rows, columns = mask.pixels.shape
        covered[mask.top : mask.top + rows, mask.left : mask.left + columns] ^= mask.pixels
    return float(np.count_nonzero(covered & area.pixels) / np.count_nonzero(covered | area.pixels))


def simplified_ring(ring: Ring, tolerance: float) -> Ring:
    """A ring with fewer points, int64 (points, 2), each edge moved by at most ``tolerance`` pixels.

    That would wipe out a ribbon of two pixels: a tenth of what is enclosed may change sides at most.
    """
    area, perimeter = abs(_signed_area(ring)), np.abs(ring - np.roll(ring, -1, axis=0)).sum()
    at_most = min(tolerance, MAX_CHANGE * area / perimeter)
    simplified: Ring = cv2.approxPolyDP(ring.astype(np.int32), at_most, closed=True)[:, 0].astype(np.int64)
    return simplified


def _signed_area(ring: RingPoints) -> float:
    """Shoelace formula: above 0 where the ring is clockwise as seen on a screen, and counter-clockwise on a map."""
    ring = ring - ring[0]  # of small rings far from the origin the products would cancel out
    following = np.roll(ring, -1, axis=0)
    return float((ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum()) / 2


def _turned(ring: RingPoints, clockwise: bool) -> RingPoints:
    return ring if (_signed_area(ring) > 0) == clockwise else ring[::-1]


def keyhole(rings: Sequence[Ring]) -> list[int]:
    """One ring of an outline and its holes, as COCO's polygons have none: each is entered and left by the same cut."""
    turned = [_turned(ring, clockwise=index == 0) for index, ring in enumerate(rings)]
    points = np.concatenate(turned)
    ends = np.cumsum([len(ring) for ring in turned]).tolist()
    # Where a cut begins: of the rings before, the point that is nearest to the first of the hole's. As a path that
    # grows with each hole, thousands of holes would take minutes.
    x, y = (np.ascontiguousarray(values, np.int32) for values in points.T)
    entered = defaultdict(list)
    for start, end in pairwise(ends):
        place = int(np.argmin(np.abs(x[:start] - x[start]) + np.abs(y[:start] - y[start])))
        entered[place].append([*range(start, end), start, place])
    order: list[int] = []
    walks = [iter(range(ends[0]))]
    while walks:
        place = next(walks[-1], -1)
        if place < 0:
            walks.pop()
        else:
            order.append(place)
            walks.extend(iter(hole) for hole in entered.pop(place, ()))
    path: list[int] = points[order].astype(np.int64).ravel().tolist()
    return path


def write_geojson(
    path: Path, polygons: Sequence[ClassPolygon], table: ClassTable, placed: Callable[[Ring], RingPoints] | None = None
) -> None:
    """Write a ``feature_collection``."""
    write_text(path, json.dumps(feature_collection(polygons, table, placed), ensure_ascii=False))


def feature_collection(
    polygons: Sequence[ClassPolygon], table: ClassTable, placed: Callable[[Ring], RingPoints] | None = None
) -> dict[str, Any]:
    """Polygons as GeoJSON.

    Args:
        polygons: What it holds.
        table: Names the classes.
        placed: Pixels -> degrees of longitude and latitude. Without it coordinates are pixels: x to the right, y down.

    Source: RFC 7946. As it says, outlines are counter-clockwise where the second coordinate goes up, holes clockwise.
    """
    features = [_feature(polygon, table, placed or (lambda ring: ring)) for polygon in polygons]
    return {"type": "FeatureCollection", "features": features}


def _feature(polygon: ClassPolygon, table: ClassTable, placed: Callable[[Ring], RingPoints]) -> dict[str, Any]:
    rings = [_turned(placed(ring), index == 0).tolist() for index, ring in enumerate(polygon.rings)]
    return {
        "type": "Feature",
        "properties": {"class": table.names[polygon.class_id], "id": polygon.class_id, "pixels": polygon.num_pixels},
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]},
    }


class CocoFile(AbstractContextManager["CocoFile"]):
    """Collects the polygons of all pictures for one COCO JSON; ids of classes are the model's.

    Used as a context; in it they wait in temporary files, so that the memory does not grow with the number of pictures.

    Source: https://cocodataset.org/#format-data. ``area`` is the number of pixels before simplification.
    """

    def __init__(self) -> None:
        self.num_images = 0
        self._num_annotations = 0
        self._stack = ExitStack()
        self._images: IO[str]
        self._annotations: IO[str]

    def __enter__(self) -> "CocoFile":
        self._images, self._annotations = (
            self._stack.enter_context(SpooledTemporaryFile(MAX_SPOOLED, "w+", encoding="utf-8"))  # noqa: SIM115
            for _ in range(2)
        )
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def add(self, name: str, size: tuple[int, ...], polygons: Sequence[ClassPolygon]) -> None:
        """Add a picture of ``size`` height, width."""
        comma = "," if self.num_images else ""
        self.num_images += 1
        image = {"id": self.num_images, "file_name": name, "height": size[0], "width": size[1]}
        self._images.write(comma + json.dumps(image))
        for polygon in polygons:
            left, top = (int(value) for value in polygon.rings[0].min(axis=0))
            right, bottom = (int(value) for value in polygon.rings[0].max(axis=0))
            comma = "," if self._num_annotations else ""
            self._num_annotations += 1
            annotation = {
                "id": self._num_annotations,
                "image_id": self.num_images,
                "category_id": polygon.class_id,
                "segmentation": [keyhole(polygon.rings)],
                "area": polygon.num_pixels,
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 0,
            }
            self._annotations.write(comma + json.dumps(annotation))

    def write(self, path: Path, table: ClassTable) -> None:
        """Write all that was added."""
        categories = [{"id": index, "name": name} for index, name in enumerate(table.names)]
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for before, part in (('{"images": [', self._images), ('], "annotations": [', self._annotations)):
                file.write(before)
                part.seek(0)
                shutil.copyfileobj(part, file)
            file.write(f'], "categories": {json.dumps(categories, ensure_ascii=False)}}}')
