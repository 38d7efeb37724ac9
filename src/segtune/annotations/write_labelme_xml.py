"""AnnotatedImages -> a zip in the layout of CVAT's "LabelMe ZIP 3.0", as the original project reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape
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
            archive.writestr(name.as_posix(), _annotation(image))

        yield add


def _annotation(image: AnnotatedImage) -> str:
    assert image.size is not None
    picture = PurePosixPath(image.name)
    folder = "" if picture.parent == PurePosixPath() else picture.parent.as_posix()
    objects = "".join(_object(index, shape) for index, shape in enumerate(image.shapes))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotation>\n'
        f"<filename>{escape(picture.name)}</filename><folder>{escape(folder)}</folder>\n"
        "<source><sourceImage></sourceImage><sourceAnnotation>segtune</sourceAnnotation></source>\n"
        f"<imagesize><nrows>{image.size[0]}</nrows><ncols>{image.size[1]}</ncols></imagesize>\n"
        f"{objects}</annotation>\n"
    )


def _object(index: int, shape: Shape) -> str:
    assert isinstance(shape.geometry, Polygon)
    (outline,) = shape.geometry.outlines
    points = "".join(f"<pt><x>{x:.2f}</x><y>{y:.2f}</y></pt>" for x, y in outline.tolist())
    return (
        f"<object><name>{escape(shape.label or '')}</name><deleted>0</deleted><verified>0</verified>"
        f"<occluded>no</occluded><date></date><id>{index}</id>"
        "<parts><hasparts></hasparts><ispartof></ispartof></parts>"
        f"<polygon>{points}<username></username></polygon><attributes></attributes></object>\n"
    )
