"""ImageBuilder, which the readers share: collects a picture's shapes, what is wrong, and what is left out."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import AnnotatedImage, Geometry, Points, Polygon, Runs, Shape
from segtune.annotations.source import MAX_NAME
from segtune.errors import UserError
from segtune.pictures import MAX_PIXELS

MAX_COORDINATE = 1e6
"""Above this a coordinate is no pixel of a picture."""

NO_SUBSETS = frozenset({"", "default", "none", "all"})
"""Names that tools give to the only subset."""

MAX_POINTS = 2**22
"""Of all outlines of a picture: 64 MiB."""
MAX_RUNS = 2**24
"""Of all masks of a picture: 128 MiB."""

SUBSETS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
"""Names of subsets and folders that say which part of the dataset a picture is in."""


class BadAnnotation(Exception):
    """Something is wrong with one object or picture; the reader goes on to find the rest."""


class ImageBuilder:
    """One picture on the way to an AnnotatedImage.

    Attributes:
        name: As in AnnotatedImage.
        size: As in AnnotatedImage.
        picture: As in AnnotatedImage.
        subset: As in AnnotatedImage.
        file: As in AnnotatedImage.
    """

    def __init__(
        self, name: str, size: tuple[int, int] | None = None, picture: str = "", subset: str = "", file: str = ""
    ) -> None:
        self.name = name
        self.size = size
        self.picture = picture
        self.subset = subset
        self.file = file
        self._own_subset = ""
        self._shapes: list[Shape] = []
        self._skipped: Counter[str] = Counter()
        self._problems: list[str] = []
        self._warnings: list[str] = []
        self._num_runs = self._num_points = 0
        self._has_objects = False

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Whatever is wrong inside the block becomes a problem of this picture; ``what`` names it: 'object 3 (car)'."""
        try:
            yield
        except BadAnnotation as problem:
            self.problem(f"{what}: {problem}" if what else str(problem))
        except UserError as error:
            self.problem(f"{what}: {error.message}" if what else error.message)

    def problem(self, text: str) -> None:
        """Note what is wrong; a sentence without a full stop."""
        self._problems.append(text)

    def put_into(self, subset: Any) -> None:
        """Set the subset by the name that the export gives it; what becomes of an unknown one is said."""
        self.subset = subset_named(subset)
        if not self.subset and str(subset or "").strip().lower() not in NO_SUBSETS:
            self._own_subset = str(subset).strip()
            self.warn(
                f"the export's subset {_shown(subset)} is not known as train, val or test: where the export has a val,"
                " its pictures are in train, else they are divided as the others are"
            )

    def warn(self, text: str) -> None:
        """Note what was decided and may be wrong; a sentence without a full stop."""
        self._warnings.append(text)

    def skip(self, reason: str, count: int = 1, is_object: bool = False) -> None:
        """Count what is left out.

        Args:
            reason: A plural: 'polylines'.
            count: How many.
            is_object: Whether it tells that the picture is not empty.
        """
        self._skipped[reason] += count
        self._has_objects |= is_object

    def add(self, label: str | None, geometry: Geometry, kind: str, z_order: int = 0) -> None:
        """Add a shape.

        Raises:
            BadAnnotation: Its label is empty, or the picture's shapes are too many for the memory.
        """
        if isinstance(geometry, Runs):
            self._num_runs += len(geometry.lengths)
            if self._num_runs > MAX_RUNS:
                raise BadAnnotation(f"the masks of its picture have more than {MAX_RUNS:,} runs; draw them coarser")
        if isinstance(geometry, Polygon):
            self._num_points += sum(len(points) for points in (*geometry.outlines, *geometry.holes))
            if self._num_points > MAX_POINTS:
                raise BadAnnotation(
                    f"the outlines of its picture have more than {MAX_POINTS:,} points; draw them coarser"
                )
        self._shapes.append(Shape(None if label is None else class_name(label), geometry, kind, z_order))

    def add_polygon(
        self,
        label: str | None,
        outlines: Sequence[Any],
        holes: Sequence[Any] = (),
        kind: str = "polygon",
        z_order: int = 0,
    ) -> None:
        """Add a polygon; outlines and holes of fewer than 3 points have no area, and are counted as left out.

        Args:
            label: Its class; None for pixels that never count.
            outlines: Each whatever ``to_points`` takes.
            holes: Likewise.
            kind: As in Shape.
            z_order: As in Shape.

        Raises:
            BadAnnotation: Coordinates are no pixels, or the label is empty.
        """
        areas, cut = (
            tuple(points for points in map(to_points, rings) if len(points) >= 3) for rings in (outlines, holes)
        )
        if not areas:
            self.skip("objects of fewer than 3 points", is_object=True)
            return
        self.add(label, Polygon(areas, cut), kind, z_order)
        for what, all_of, kept in (("parts", outlines, areas), ("holes", holes, cut)):
            if len(kept) < len(all_of):
                self.skip(f"{what} of fewer than 3 points", len(all_of) - len(kept))

    def build(self) -> AnnotatedImage:
        """The picture."""
        if len(self.name) > MAX_NAME:
            self.problem(f"its name has {len(self.name):,} characters")
            self.name = f"{self.name[:40]}…"
        return AnnotatedImage(
            name=self.name.replace("\\", "/"),
            shapes=self._shapes,
            size=self.size,
            picture=self.picture,
            subset=self.subset,
            skipped=self._skipped,
            problems=self._problems,
            warnings=self._warnings,
            file=self.file,
            own_subset=self._own_subset,
            has_objects=self._has_objects or bool(self._shapes),
        )


def built(read: Callable[[Counter[str]], Iterable[ImageBuilder]]) -> Iterator[AnnotatedImage]:
    """Each picture; the last one also tells what else was left out, which is known only when all are read.

    Args:
        read: Reads the pictures, and counts meanwhile what is left out, by reason.
    """
    left_out: Counter[str] = Counter()
    previous: ImageBuilder | None = None
    for image in read(left_out):
        if previous is not None:
            yield previous.build()
        previous = image
    if previous is not None:
        for reason, count in left_out.items():
            previous.skip(reason, count)
        yield previous.build()


def class_name(label: Any) -> str:
    """A class name without white space round it.

    Raises:
        BadAnnotation: It is empty, or no word.
    """
    if not isinstance(label, str | int | float) or isinstance(label, bool) or not str(label).strip():
        raise BadAnnotation(f"the class is {_shown(label)}, expected a name")
    if any("\ud800" <= letter <= "\udfff" for letter in str(label)):
        raise BadAnnotation(f"the class {_shown(label)} holds half a character, which no file can hold")
    return str(label).strip()


def number(value: Any, limit: float = MAX_COORDINATE) -> float:
    """A finite number, of a string too.

    Raises:
        BadAnnotation: It is none, or no less than ``limit``.
    """
    try:
        result = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError) as error:
        raise BadAnnotation(f"{_shown(value)} stands where a number was expected") from error
    if not abs(result) < limit:  # catches NaN as well
        raise BadAnnotation(f"the value {_shown(value)} is no position in a picture")
    return result


def whole_number(value: Any, limit: float = MAX_COORDINATE) -> int:
    """Like ``number``, for whole ones.

    Raises:
        BadAnnotation: It is none.
    """
    result = number(value, limit)
    if result != int(result):
        raise BadAnnotation(f"{_shown(value)} stands where a whole number was expected")
    return int(result)


def picture_size(height: Any, width: Any) -> tuple[int, int]:
    """A stated height and width of a picture.

    Raises:
        BadAnnotation: They are none, or beyond what is read.
    """
    size = whole_number(height), whole_number(width)
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise BadAnnotation(f"the picture's size is stated as {size[1]} x {size[0]} pixels")
    return size


def to_points(values: Any) -> Points:
    """Coordinates as float64 (N, 2).

    Args:
        values: x, y, x, y, … in a row; or (x, y) pairs; or an array of either.

    Raises:
        BadAnnotation: Some are no finite numbers below MAX_COORDINATE, or they don't make pairs.
    """
    try:
        points = np.array(values if isinstance(values, np.ndarray) else list(values), np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadAnnotation("its coordinates are not all numbers") from error
    if points.ndim == 1 and points.size % 2 == 0:
        points = points.reshape(-1, 2)
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise BadAnnotation("its coordinates are not pairs of x and y")
    if not (np.abs(points) < MAX_COORDINATE).all():
        odd = points[~(np.abs(points) < MAX_COORDINATE).all(axis=1)][0]
        raise BadAnnotation(f"the point ({odd[0]:g}, {odd[1]:g}) is no position in a picture")
    return points


def box_outline(left: float, top: float, right: float, bottom: float, rotation: float = 0) -> Points:
    """The corners of a box, float64 (4, 2); ``rotation`` in degrees about its centre, clockwise on the screen."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return rotate(corners, ((left + right) / 2, (top + bottom) / 2), rotation)


def ellipse_outline(center_x: float, center_y: float, radius_x: float, radius_y: float, rotation: float = 0) -> Points:
    """An ellipse as an outline no further than 0.01 pixels from it, float64 (N, 2); ``rotation`` likewise."""
    # The sagitta of a chord over the angle a is r (1 - cos(a / 2)).
    radius = max(abs(radius_x), abs(radius_y), 1e-6)
    count = math.ceil(math.pi / math.acos(max(0.0, 1 - 0.01 / radius)))
    angles = np.linspace(0, 2 * math.pi, min(max(count, 8), 10_000), endpoint=False)
    points = np.stack([center_x + radius_x * np.cos(angles), center_y + radius_y * np.sin(angles)], axis=1)
    return rotate(points, (center_x, center_y), rotation)


def rotate(points: Points, center: tuple[float, float], degrees: float) -> Points:
    """Points turned about a centre, clockwise on the screen, whose y axis points down."""
    if not degrees:
        return points
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned: Points = (points - center) @ np.array([[cos, sin], [-sin, cos]]) + center
    return turned


def runs(
    lengths: npt.ArrayLike | str, height: int, width: int, top: int = 0, left: int = 0, *, column_major: bool = False
) -> Runs:
    """Run lengths, or a text of them with commas, that are checked to fill their box.

    Raises:
        BadAnnotation: They don't.
    """
    values = _whole_numbers(lengths)
    if values.ndim != 1 or not values.size or values.min() < 0 or values.max() > MAX_PIXELS:
        raise BadAnnotation("its run lengths are not a list of numbers from 0 up")
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise BadAnnotation(f"its mask is {width} x {height} pixels")
    if values.sum() != height * width:
        raise BadAnnotation(
            f"its runs add up to {int(values.sum())} pixels, but its box of {width} x {height} has {height * width}"
        )
    return Runs(values, height, width, top, left, column_major)


def _whole_numbers(values: npt.ArrayLike | str) -> npt.NDArray[np.int64]:
    """Whole numbers, of a text with commas too, which is read five times as fast as a list of words."""
    if isinstance(values, str):
        # Where the text is something else, older versions of numpy stop and warn.
        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore")
            numbers = np.fromstring(values, np.int64, sep=",")
            if len(numbers) == values.count(",") + 1:
                return numbers
        values = values.split(",")
    try:
        numbers = np.array(values, np.float64)
        if (numbers != np.floor(numbers)).any() or not (np.abs(numbers) < 2**53).all():
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise BadAnnotation("its run lengths are not all whole numbers") from error
    return numbers.astype(np.int64)


def subset_named(name: Any) -> str:
    """Which part of the dataset the name of a subset or folder means: train, val, test, or empty."""
    # COCO's folders and files carry a year: val2017.
    return SUBSETS.get(str(name or "").strip().lower().rstrip("0123456789"), "")


def subset_of(path: str) -> str:
    """Which part of the dataset a path's innermost folder that tells puts a file in: train, val, test, or empty."""
    return subset_among(path.split("/")[:-1])


def subset_among(folders: Sequence[str]) -> str:
    """Likewise, of the names of folders from the outermost on."""
    return next((subset for part in reversed(folders) if (subset := subset_named(part))), "")


def numbered(items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Items with their number from 1, as people count objects."""
    return enumerate(items, start=1)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
