"""A prediction -> the shapes that a person corrects in an annotation tool."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import AnnotatedImage, Mask, Points, Polygon, Shape
from segtune.annotations.class_choice import background_id
from segtune.annotations.mask_picture import mask_runs
from segtune.annotations.polygon_fill import is_endless
from segtune.classes import ClassTable, Color
from segtune.config import PreannotationOptions
from segtune.errors import UserError
from segtune.prediction.polygons import areas_of_classes, connected_areas, exact_rings, holes_of, keyhole, simplified
from segtune.prediction.predictor import Prediction

MIN_POLYGON_PIXELS = 20
"""A smaller area becomes no polygon where nothing else is asked for: to correct it takes longer than to draw it."""

MIN_MASK_PIXELS = 1

MAX_CUTS = 2**26
"""Points times holes of one polygon, as many distances are compared to find its cuts: 0.1 s."""


@dataclass
class Area:
    """A connected area of one class.

    Attributes:
        class_id: Its class.
        mask: Its pixels.
        num_pixels: Their number.
        confidence: The mean over them, 0..1.
        is_kept: Whether it becomes a shape; what it leaves otherwise is for a person to fill.
        depth: How many other areas it lies inside of.
        holes: The areas that lie in it, and are no part of its shape.
    """

    class_id: int
    mask: Mask
    num_pixels: int
    confidence: float
    is_kept: bool
    depth: int = 0
    holes: list[Mask] = field(default_factory=list)

    @property
    def filled_pixels(self) -> int:
        """Its pixels and those of its holes."""
        return self.num_pixels + sum(int(hole.pixels.sum()) for hole in self.holes)


def label_colors(table: ClassTable, options: PreannotationOptions) -> dict[str, Color]:
    """The labels of a task for these pre-annotations: the model's classes, the background left out unless asked for."""
    left_out = None if options.with_background else background_id(table)
    return {
        name: color
        for index, (name, color) in enumerate(zip(table.names, table.colors, strict=True))
        if index != left_out
    }


def check_preannotation(options: PreannotationOptions) -> None:
    """Raise UserError where numbers are impossible."""
    if not 0 <= options.min_confidence <= 1:
        raise UserError(f"--min-confidence is {options.min_confidence}.", "Expected: a number from 0 to 1.")
    if options.min_area != "auto" and options.min_area < 0:
        raise UserError(f"--min-area is {options.min_area}.", "Expected: a number of pixels.")


def notes_for_correction(table: ClassTable, options: PreannotationOptions) -> list[str]:
    """What a person should know who corrects these pre-annotations."""
    if not options.min_confidence or background_id(table) is None:
        return []
    return [
        f"what the model is less sure of than {options.min_confidence} is left for you to draw; where nobody draws, the"
        f" corrected export says {table.names[0]}"
    ]


def preannotate(
    name: str, prediction: Prediction, options: PreannotationOptions, shapes: str | None = None
) -> AnnotatedImage:
    """The shapes of a picture.

    Masks are the areas to the pixel; too small ones go to what is around them. Polygons have no holes in annotation
    tools: what lies in a hole is drawn on top of what is around it, as a person would. Where nothing is drawn there,
    because it is background or too uncertain, a cut leads from the outline into the hole.

    Args:
        name: The picture's path in the task.
        prediction: Of the picture.
        options: What is left out.
        shapes: 'mask' or 'polygon'; that of the options if not given.
    """
    kind = shapes or options.shapes
    found = find_areas(prediction, options, kind)
    names = prediction.classes.names
    size = prediction.class_ids.shape[0], prediction.class_ids.shape[1]
    if kind == "mask":
        drawn = [
            Shape(names[area.class_id], mask_runs(area.mask.pixels, area.mask.top, area.mask.left), "mask")
            for area in found
            if area.is_kept
        ]
    else:
        drawn = [
            Shape(names[area.class_id], Polygon((points,)), "polygon", area.depth)
            for area, points in _polygons(found, size)
        ]
    return AnnotatedImage(name, drawn, size)


def find_areas(prediction: Prediction, options: PreannotationOptions, kind: str) -> list[Area]:
    """The connected areas of each class; pixels that touch at a corner alone are not connected.

    Those that are too small are none: their pixels go to what is around them.
    """
    min_pixels = options.min_area
    if min_pixels == "auto":
        min_pixels = MIN_POLYGON_PIXELS if kind == "polygon" else MIN_MASK_PIXELS
    left_out = None if options.with_background else background_id(prediction.classes)
    found, small = [], []
    for class_id, mask, num_pixels in areas_of_classes(prediction.class_ids, prediction.classes.num_classes):
        height, width = mask.pixels.shape
        window = prediction.confidence[mask.top : mask.top + height, mask.left : mask.left + width]
        confidence = float(window[mask.pixels].mean())
        is_open = class_id == left_out or confidence < options.min_confidence
        if is_open or num_pixels >= min_pixels:
            found.append(Area(class_id, mask, num_pixels, confidence, not is_open))
        else:
            small.append(mask)
    if small:
        _fill(small, found, _numbers(found, prediction.class_ids.shape))
    return found


def _numbers(found: Sequence[Area], size: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Which area each pixel belongs to, (H, W); -1 where none."""
    numbers = np.full(size, -1, np.int32)
    for number, area in enumerate(found):
        _window(numbers, area.mask)[area.mask.pixels] = number
    return numbers


def _fill(small: Sequence[Mask], found: Sequence[Area], numbers: npt.NDArray[np.int32]) -> None:
    """Give the pixels of small areas to the nearest others, which grow; to none where the picture has no other."""
    is_small = np.zeros(numbers.shape, np.int32)
    for mask in small:
        _window(is_small, mask)[mask.pixels] = 1
    # Step by step from pixel to pixel, so that what grows stays connected. A border spares the questions at the edges.
    bordered = np.pad(numbers, 1, constant_values=-1)
    flat, across = bordered.reshape(-1), bordered.shape[1]
    everything = waiting = np.flatnonzero(np.pad(is_small, 1))
    while len(waiting):
        taken_by = flat[waiting[:, None] + np.array([-across, -1, 1, across])].max(axis=1)
        flat[waiting] = taken_by
        if (taken_by < 0).all():
            break
        waiting = waiting[taken_by < 0]
    by_area = everything[np.argsort(flat[everything], kind="stable")]
    grown, starts = np.unique(flat[by_area], return_index=True)
    for number, places in zip(grown.tolist(), np.split(by_area, starts[1:]), strict=True):
        if number >= 0:
            rows, columns = np.divmod(places, across)
            _grow(found[number], number, rows - 1, columns - 1, bordered[1:-1, 1:-1])


def _grow(
    area: Area,
    number: int,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int32],
) -> None:
    """Give an area its new pixels, at (P,) rows and columns of ``numbers``, which has them already."""
    height, width = area.mask.pixels.shape
    top, left = min(area.mask.top, int(rows.min())), min(area.mask.left, int(columns.min()))
    bottom = max(area.mask.top + height, int(rows.max()) + 1)
    right = max(area.mask.left + width, int(columns.max()) + 1)
    area.mask = Mask(numbers[top:bottom, left:right] == number, top, left)
    area.num_pixels += len(rows)


def _polygons(found: Sequence[Area], size: tuple[int, int]) -> list[tuple[Area, Points]]:
    """The areas that are kept with their outlines, in the order of painting: what is inside after what is around."""
    numbers = _numbers(found, size)
    for area in found:
        area.holes = holes_of(area.mask)
    drawn = []
    # What is inside of another is smaller than that with its holes filled.
    for area in sorted(found, key=lambda area: -area.filled_pixels):
        covered = area.mask.pixels.copy()
        for hole in area.holes:
            inside = np.unique(_window(numbers, hole)[hole.pixels])
            for number in inside[inside >= 0]:
                found[number].depth = max(found[number].depth, area.depth + area.is_kept)
            if inside[0] >= 0 and all(found[number].is_kept for number in inside):
                height, width = hole.pixels.shape
                top, left = hole.top - area.mask.top, hole.left - area.mask.left
                covered[top : top + height, left : left + width] |= hole.pixels
        if area.is_kept:
            drawn += [(area, points) for points in _outlines(Mask(covered, area.mask.top, area.mask.left), size)]
    return drawn


def _window(values: npt.NDArray[np.int32], mask: Mask) -> npt.NDArray[np.int32]:
    """The part of a picture's values, (H, W), in a mask's box; a view."""
    height, width = mask.pixels.shape
    return values[mask.top : mask.top + height, mask.left : mask.left + width]


def _outlines(area: Mask, size: tuple[int, int]) -> list[Points]:
    """The outline of a connected area, simplified, with cuts to its holes: float64 (N, 2) of x and y.

    A net or a comb that is too much for one is cut into an upper and a lower half, as often as it takes.
    """
    outline = _outline(area, size)
    if outline is not None:
        return [outline]
    middle = area.pixels.shape[0] // 2
    return [
        points
        for top, half in ((area.top, area.pixels[:middle]), (area.top + middle, area.pixels[middle:]))
        for pixels, x, y, _ in connected_areas(half)
        for points in _outlines(Mask(pixels, top + y, area.left + x), size)
    ]


def _outline(area: Mask, size: tuple[int, int]) -> Points | None:
    """One outline of a connected area; None where that would have no end for us, or for those who read it."""
    rings = exact_rings(area)
    is_row = area.pixels.shape[0] == 1  # has no half, and four points
    num_cuts = sum(len(ring) for ring in rings) * (len(rings) - 1)
    if not is_row and (num_cuts > MAX_CUTS or any(is_endless(ring.astype(np.float64), size) for ring in rings)):
        return None
    points = np.array(keyhole(simplified(rings, area)), np.float64).reshape(-1, 2)
    return None if not is_row and is_endless(points, size) else points
