"""AnnotatedImages -> a zip that CVAT imports as "CVAT for images 1.1", and its labels for the task's constructor.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/, and CVAT's importer. It finds a picture of the task by
the name, folders included, or else by the ``id`` as the number of a frame; it wants ``occluded`` at each shape, and
labels that the task has.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr
from zipfile import ZIP_DEFLATED, ZipFile

from segtune.annotations.annotated_image import AnnotatedImage, Points, Polygon, Runs, Shape
from segtune.classes import Color
from segtune.errors import UserError, listed
from segtune.files import atomic_path
from segtune.web_page import css_color

ANNOTATIONS = "annotations.xml"

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML file can hold, however they are written; among them bytes of a file name that are no text."""

FIRST_ID = 10**9
"""No task has so many frames: a picture that it doesn't have is refused, not drawn onto the frame of its number."""

Add = Callable[[AnnotatedImage], None]


def refuse_not_xml(names: Sequence[str], what: str) -> None:
    """Raise UserError where names hold characters that XML can't; ``what`` is a plural: 'classes'."""
    odd = [ascii(name) for name in names if NOT_XML.search(name)]
    if odd:
        raise UserError(f"Names of {what} hold characters that no XML file can: {listed(odd, 4)}.", "Rename them.")


@contextmanager
def cvat_file(path: Path, colors: Mapping[str, Color]) -> Iterator[Add]:
    """Yield what adds a picture to a new zip; at the end it is renamed to ``path``, on an error it vanishes.

    Each picture goes to the disk when it is added: the memory does not grow with their number. Shapes must be runs
    along the rows, or polygons of one outline without holes, which is all that CVAT has.

    Args:
        path: The zip.
        colors: The labels with their colours.

    Raises:
        UserError: The place can't be written.
    """
    with (
        atomic_path(path) as temporary,
        ZipFile(temporary, "w", ZIP_DEFLATED) as archive,
        archive.open(ANNOTATIONS, "w", force_zip64=True) as file,
    ):
        file.write(_head(colors).encode())
        numbers = itertools.count(FIRST_ID)
        yield lambda image: _write(file.write, next(numbers), image)
        file.write(b"</annotations>\n")


def cvat_labels(colors: Mapping[str, Color]) -> list[dict[str, Any]]:
    """The labels as CVAT's constructor takes them, in its tab "Raw": plain values for JSON."""
    return [
        {"name": name, "color": css_color(color), "type": "any", "attributes": []} for name, color in colors.items()
    ]


def _head(colors: Mapping[str, Color]) -> str:
    labels = "".join(
        f"<label><name>{escape(name)}</name><color>{css_color(color)}</color><type>any</type>"
        "<attributes></attributes></label>\n"
        for name, color in colors.items()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta><task><labels>\n{labels}</labels></task></meta>\n"
    )


def _write(write: Callable[[bytes], Any], number: int, image: AnnotatedImage) -> None:
    assert image.size is not None
    height, width = image.size
    write(f'<image id="{number}" name={quoteattr(image.name)} width="{width}" height="{height}">\n'.encode())
    for shape in image.shapes:
        write(f"{_shape(shape)}\n".encode())
    write(b"</image>\n")


def _shape(shape: Shape) -> str:
    common = f'label={quoteattr(shape.label or "")} source="auto" occluded="0" z_order="{shape.z_order}"'
    geometry = shape.geometry
    if isinstance(geometry, Runs):
        assert not geometry.column_major
        place = f'left="{geometry.left}" top="{geometry.top}" width="{geometry.width}" height="{geometry.height}"'
        return f'<mask {common} rle="{", ".join(map(str, geometry.lengths.tolist()))}" {place}></mask>'
    assert isinstance(geometry, Polygon)
    (outline,) = geometry.outlines
    return f'<polygon {common} points="{_points(outline)}"></polygon>'


def _points(outline: Points) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in outline.tolist())
