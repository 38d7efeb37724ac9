"""What every annotation export becomes: pictures with ordered shapes.

Coordinates are continuous pixels: (0, 0) is the top left corner of the top left pixel, whose centre is (0.5, 0.5).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segtune.classes import Color

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Polygon:
    """What is inside of any outline and of no hole. Inside an outline is told by the even-odd rule.

    Attributes:
        outlines: Closed outlines, each float64 (N, 2), x and y; finite; at least 3 points.
        holes: Likewise.
    """

    outlines: tuple[Points, ...]
    holes: tuple[Points, ...] = ()


@dataclass(frozen=True, eq=False)
class Mask:
    """Covered pixels of a box.

    Attributes:
        pixels: bool (h, w).
        top: Row of the picture at which the box starts; may be outside.
        left: Column of the picture at which it starts.
    """

    pixels: npt.NDArray[np.bool_]
    top: int = 0
    left: int = 0


@dataclass(frozen=True, eq=False)
class Runs:
    """Covered pixels of a box, run-length encoded: small in memory, however large the box.

    Attributes:
        lengths: int64 (R,), lengths of the runs: not covered, covered, not covered, … Their sum is height * width.
        height: Rows of the box.
        width: Columns of the box.
        top: Row of the picture at which the box starts; may be outside.
        left: Column of the picture at which it starts.
        column_major: Whether the runs go down the columns, as COCO's; else along the rows, as CVAT's.
    """

    lengths: npt.NDArray[np.int64]
    height: int
    width: int
    top: int = 0
    left: int = 0
    column_major: bool = False


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of a label image that have a value; the shapes of a picture share the label image.

    Attributes:
        values: uint8 (H, W).
        value: Which of them.
    """

    values: npt.NDArray[np.uint8]
    value: int


Geometry = Polygon | Mask | Runs | Region


@dataclass(frozen=True, eq=False)
class Shape:
    """An annotated object.

    Attributes:
        label: Its class, as the export names it; None for pixels that must never count, as the borders of PASCAL VOC.
        geometry: Which pixels it covers.
        kind: What the tool calls it: polygon, mask, box, ellipse, …
        z_order: Shapes with higher values lie on top; of equal ones, the later in the document.
    """

    label: str | None
    geometry: Geometry
    kind: str
    z_order: int = 0


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """A picture and what is drawn on it.

    Attributes:
        name: The picture's relative path as the export writes it, with forward slashes.
        shapes: In the order of the document.
        size: Height and width that the coordinates are for; None where the export doesn't say: the picture's own, then.
        picture: The picture's file, by its name in the source; empty: to be found by ``name``.
        subset: The part of the dataset that the export puts it in: train, val, test, or empty.
        skipped: How many objects were left out, by reason: 'polylines', 'objects deleted in the tool', …
        problems: What is wrong with this picture's annotations, a sentence each; they stop the conversion.
        warnings: What was decided and may be wrong, a sentence each; one that several pictures have is told once.
        file: The annotation file, for messages; empty where the whole export is one file.
        own_subset: What the export calls its subset, where that is none of these: a folder may be called so.
        has_objects: Whether it has any, be they such that can't be painted.
    """

    name: str
    shapes: Sequence[Shape] = ()
    size: tuple[int, int] | None = None
    picture: str = ""
    subset: str = ""
    skipped: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[str] = ()
    warnings: Sequence[str] = ()
    file: str = ""
    own_subset: str = ""
    has_objects: bool = False


@dataclass(frozen=True)
class DeclaredClass:
    """A class that the export names, whether or not an object has it.

    Attributes:
        name: Its name.
        color: RGB, 0..255; None where the export gives it no colour.
    """

    name: str
    color: Color | None = None


@dataclass(frozen=True)
class Annotations:
    """All of an export.

    Attributes:
        images: A function that reads the annotated pictures from the start, one at a time: a large export never lies in
            memory as a whole. It gives the same pictures in the same order each time.
        classes: The classes that the export declares, in its order; empty where it declares none.
        complete: Whether each pixel carries a label, as in label images: then no background class is needed.
    """

    images: Callable[[], Iterator[AnnotatedImage]]
    classes: Sequence[DeclaredClass] = ()
    complete: bool = False
