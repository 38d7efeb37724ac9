"""What every annotation export becomes: pictures with ordered shapes.

Coordinates are continuous pixels: (0, 0) is the top left corner of the top left pixel, whose centre is (0.5, 0.5).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Polygon:
    """A closed outline, filled by the even-odd rule.

    Attributes:
        points: float64 (N, 2), x and y; finite; at least 3 points.
    """

    points: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mask:
    """Covered pixels.

    Attributes:
        pixels: bool (h, w).
        top: Row of the picture at which they start.
        left: Column of the picture at which they start.
    """

    pixels: npt.NDArray[np.bool_]
    top: int = 0
    left: int = 0


@dataclass(frozen=True)
class Shape:
    """An annotated object, or a part of one.

    Attributes:
        label: Its class, as the export names it.
        geometry: Which pixels it covers.
        kind: What the tool calls it: polygon, mask, …
        z_order: Shapes with higher values lie on top.
    """

    label: str
    geometry: Polygon | Mask
    kind: str
    z_order: int = 0


@dataclass(frozen=True)
class AnnotatedImage:
    """A picture and what is drawn on it.

    Attributes:
        name: Relative path, as the export has it.
        height: Pixels, as viewers show the picture.
        width: Pixels.
        picture: Where the picture is in the export.
        shapes: In the order of the document.
        subset: The part of the dataset that the export puts it in: train, val, test, or empty.
    """

    name: str
    height: int
    width: int
    picture: str
    shapes: Sequence[Shape]
    subset: str = ""


@dataclass(frozen=True)
class Annotations:
    """All of an export.

    Attributes:
        format: Name of the format.
        images: Annotated pictures.
        skipped: How many objects or pictures were left out, by reason.
    """

    format: str
    images: Sequence[AnnotatedImage]
    skipped: Counter[str] = field(default_factory=Counter)
