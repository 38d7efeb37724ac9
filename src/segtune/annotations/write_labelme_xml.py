"""AnnotatedImages -> a zip in the layout of CVAT's "LabelMe ZIP 3.0", as the original project reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree
from zipfile import ZIP_DEFLATED, ZipFile

from segtune.annotations.annotated_image import AnnotatedImage, Polygon, Shape
from segtune.annotations.write_cvat import Add
from segtune.files import atomic_path

SUBSET = "default"
"""The folder that CVAT puts a task's pictures into where they have no subset."""


@contextmanager
def labelme_file(path: Path) -> Iterator[Add]:
    """Yield what adds a picture to a new zip; at the end it is renamed to ``path``, on an error it vanishes.

    Shapes must be polygons of one outline without holes, in the order of painting, which is all that the format has:
    its masks are files of their own that CVAT does not find again, and at which the original project stops.

    Raises:
        UserError: The place can't be written.
    """
    with atomic_path(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED) as archive:

        def add(image: AnnotatedImage) -> None:
            name = PurePosixPath(SUBSET, image.name).with_suffix(".xml")
            archive.writestr(name.as_posix(), annotation_xml(image, "segtune"))

        yield add


def annotation_xml(image: AnnotatedImage, source: str) -> bytes:
    """The XML of one picture, UTF-8, in CVAT's order of elements.

    Args:
        image: With its size; shapes as for ``labelme_file``.
        source: Who made the annotations.
    """
    assert image.size is not None
    picture = PurePosixPath(image.name)
    root = ElementTree.Element("annotation")
    _child(root, "filename", picture.name)
    _child(root, "folder", "" if picture.parent == PurePosixPath() else picture.parent.as_posix())
    about = _child(root, "source")
    _child(about, "sourceImage")
    _child(about, "sourceAnnotation", source)
    size = _child(root, "imagesize")
    _child(size, "nrows", str(image.size[0]))
    _child(size, "ncols", str(image.size[1]))
    for index, shape in enumerate(image.shapes):
        _add_object(root, index, shape)
    ElementTree.indent(root)
    # CVAT writes <folder></folder>, not <folder/>.
    text: str = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return f"{text}\n".encode()


def _add_object(root: ElementTree.Element, index: int, shape: Shape) -> None:
    """Append one polygon."""
    assert isinstance(shape.geometry, Polygon)
    (outline,) = shape.geometry.outlines
    element = _child(root, "object")
    _child(element, "name", shape.label or "")
    _child(element, "deleted", "0")
    _child(element, "verified", "0")
    _child(element, "occluded", "no")
    _child(element, "date")
    _child(element, "id", str(index))
    parts = _child(element, "parts")
    _child(parts, "hasparts")
    _child(parts, "ispartof")
    polygon = _child(element, "polygon")
    for x, y in outline.tolist():
        point = _child(polygon, "pt")
        _child(point, "x", f"{x:.2f}")
        _child(point, "y", f"{y:.2f}")
    _child(polygon, "username")
    _child(element, "attributes")


def _child(parent: ElementTree.Element, tag: str, text: str = "") -> ElementTree.Element:
    """Append an element."""
    element = ElementTree.SubElement(parent, tag)
    element.text = text
    return element
