"""CVAT's own XML -> Annotations: "CVAT for images 1.1" and "CVAT for video 1.1", of a task, a job or a project.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/ and CVAT's exporter. The shapes of a picture are sorted by
their z order. The file is streamed: at no time does more than one picture of it lie in memory.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, DeclaredClass
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    box_outline,
    class_name,
    ellipse_outline,
    number,
    numbered,
    picture_size,
    runs,
    subset_named,
    whole_number,
)
from segtune.annotations.source import UNZIP_ERRORS, ExportSource
from segtune.errors import UserError

WITHOUT_AREA = {
    "polyline": "polylines", "points": "points", "tag": "tags", "skeleton": "skeletons", "cuboid": "cuboids",
}  # fmt: skip
"""Elements that cover no pixels, and how they are called in the report."""

LABEL_TYPES_WITHOUT_AREA = frozenset({"points", "polyline", "tag", "skeleton", "cuboid"})


def is_cvat_images(source: ExportSource) -> bool:
    """Whether the export is a "CVAT for images 1.1"."""
    return bool(_cvat_files(source)) and not is_cvat_video(source)


def is_cvat_video(source: ExportSource) -> bool:
    """Whether the export is a "CVAT for video 1.1"."""
    return any(_first_element(source, name) == "track" for name in _cvat_files(source))


def _cvat_files(source: ExportSource) -> list[str]:
    return [name for name in source.with_suffix(".xml") if re.search(rb"<annotations[\s>/]", source.read(name, 4096))]


def _first_element(source: ExportSource, name: str) -> str:
    """Which comes first in a file: image, track, or nothing."""
    tail = b""
    with source.open(name) as file:
        try:
            while chunk := file.read(2**20):
                found = re.search(rb"<(image|track)[\s/>]", tail + chunk)
                if found:
                    return found[1].decode()
                tail = chunk[-16:]
        except UNZIP_ERRORS:
            return ""  # reading it as images tells what is wrong
    return ""


def read_cvat_images(export: Export) -> Annotations:
    """Read a "CVAT for images 1.1"."""
    return Annotations(partial(_images, export.source), _declared(export.source))


def read_cvat_video(export: Export) -> Annotations:
    """Read a "CVAT for video 1.1", whose pictures are named by the number of their frame."""
    return Annotations(partial(_frames, export), _declared(export.source))


def _elements(source: ExportSource, name: str) -> Generator[tuple[str, Element], None, None]:
    """Each child of the root and each label, when its end has been read; what came before is forgotten.

    Raises:
        UserError: The file is broken, or holds what no annotation file needs.
    """
    try:
        with source.open(name) as file:
            depth = 0
            root = None
            for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
                depth += 1 if event == "start" else -1
                if root is None:
                    root = element
                    if root.tag != "annotations":
                        raise UserError(f"{name}: its root is <{root.tag[:40]}>, expected <annotations>.")
                elif depth > MAX_DEPTH:
                    raise UserError(f"{name}: its elements lie more than {MAX_DEPTH} deep.")
                elif event == "end" and depth == 1:
                    yield element.tag, element
                    root.clear()
    except DefusedXmlException as error:
        raise UserError(
            f"{name} declares entities or a document type, which annotation files never need.", "Don't trust it."
        ) from error
    except (ParseError, LookupError, *UNZIP_ERRORS) as error:
        raise UserError(f"{name} is not readable XML: {error}.", "Download the export once more.") from error


MAX_DEPTH = 64
"""Elements of CVAT's files lie less than ten deep."""


def _declared(source: ExportSource) -> list[DeclaredClass]:
    """The labels that the files declare, in their order; those of skeletons' parts and without area left out."""
    classes: dict[str, DeclaredClass] = {}
    for name in _cvat_files(source):
        for label in _meta(source, name).iterfind(".//labels/label"):
            text = (label.findtext("name") or "").strip()
            kind = (label.findtext("type") or "").strip()
            if text and label.find("parent") is None and kind not in LABEL_TYPES_WITHOUT_AREA:
                classes.setdefault(text, DeclaredClass(text, _color(label.findtext("color") or "")))
    return list(classes.values())


def _color(text: str) -> tuple[int, int, int] | None:
    """#rrggbb as numbers."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text.strip()):
        return None
    value = int(text.strip()[1:], 16)
    return value >> 16, value >> 8 & 255, value & 255


def _meta(source: ExportSource, name: str) -> Element:
    """The <meta> of a file; an empty one where it has none."""
    with closing(_elements(source, name)) as elements:
        for tag, element in elements:
            if tag == "meta":
                return element
            if tag in {"image", "track"}:
                break
    return Element("meta")


def _images(source: ExportSource) -> Iterator[AnnotatedImage]:
    for name in _cvat_files(source):
        subset = ""
        for tag, element in _elements(source, name):
            if tag == "meta":
                subset = subset_named(element.findtext("./*/subset")) or subset_named(PurePosixPath(name).stem)
            elif tag == "image":
                yield _image(name, element, subset)


def _image(file: str, element: Element, subset: str) -> AnnotatedImage:
    image = ImageBuilder(
        (element.get("name") or "").strip(),
        subset=subset_named(element.get("subset")) or ("" if element.get("subset") else subset),
        file=file,
    )
    with image.reading(""):
        if not image.name:
            raise BadAnnotation(f"image {element.get('id')} has no name")
        if element.get("width") and element.get("height"):
            image.size = picture_size(element.get("height"), element.get("width"))
    for index, shape in numbered(element):
        with image.reading(f"object {index} ({shape.tag}, {shape.get('label')})"):
            _add(image, shape, shape.get("label"))
    return image.build()


def _add(image: ImageBuilder, shape: Element, label: str | None) -> None:
    """Add what an element of a picture or track stands for."""
    if shape.tag in WITHOUT_AREA:
        image.skip(WITHOUT_AREA[shape.tag])
    elif shape.tag in SHAPES:
        SHAPES[shape.tag](image, shape.attrib, class_name(label), whole_number(shape.get("z_order") or 0))
    else:
        image.skip(f"<{shape.tag[:40]}> elements")


def _add_polygon(image: ImageBuilder, shape: Mapping[str, str], label: str, z_order: int) -> None:
    text = shape.get("points", "").strip().strip(";")
    if text and text.count(",") != text.count(";") + 1:
        raise BadAnnotation("its points are not pairs of x and y")
    image.add_polygon(label, [text.replace(";", ",").split(",") if text else []], z_order=z_order)


def _add_box(image: ImageBuilder, shape: Mapping[str, str], label: str, z_order: int) -> None:
    left, top, right, bottom = (number(shape.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
    outline = box_outline(left, top, right, bottom, number(shape.get("rotation") or 0))
    image.add_polygon(label, [outline], kind="box", z_order=z_order)


def _add_ellipse(image: ImageBuilder, shape: Mapping[str, str], label: str, z_order: int) -> None:
    x, y, radius_x, radius_y = (number(shape.get(key)) for key in ("cx", "cy", "rx", "ry"))
    outline = ellipse_outline(x, y, radius_x, radius_y, number(shape.get("rotation") or 0))
    image.add_polygon(label, [outline], kind="ellipse", z_order=z_order)


def _add_mask(image: ImageBuilder, shape: Mapping[str, str], label: str, z_order: int) -> None:
    # Unlike COCO's, these runs go along the rows of the mask's box.
    height, width, top, left = (whole_number(shape.get(key)) for key in ("height", "width", "top", "left"))
    image.add(label, runs(shape.get("rle", ""), height, width, top, left), "mask", z_order)


SHAPES: dict[str, Callable[[ImageBuilder, Mapping[str, str], str, int], None]] = {
    "polygon": _add_polygon,
    "box": _add_box,
    "ellipse": _add_ellipse,
    "mask": _add_mask,
}


def _frames(export: Export) -> Iterator[AnnotatedImage]:
    """The frames that have shapes; of a video all shapes lie in memory, as the file has them by track."""
    by_number = _pictures_by_number(export)
    for name in _cvat_files(export.source):
        frames: dict[int, list[tuple[str | None, Element]]] = defaultdict(list)
        size = None
        broken = ImageBuilder(name, file=name)
        for tag, element in _elements(export.source, name):
            if tag == "meta":
                with broken.reading(f"{name}, <original_size>"):
                    size = _original_size(element)
            for index, shape in numbered(element if tag == "track" else ()):
                with broken.reading(f"track {element.get('id')} ({element.get('label')}), shape {index}"):
                    frame = whole_number(shape.get("frame"), limit=10**9)
                    if shape.get("outside") != "1":
                        frames[frame].append((element.get("label"), shape))
        if broken.build().problems:
            yield broken.build()
        for frame in sorted(frames):
            # Stable, as CVAT paints the shapes of a frame.
            shapes = sorted(frames[frame], key=lambda item: _z_order(item[1]))
            title = f"frame_{frame:06d}"
            image = ImageBuilder(title, size, by_number.get(frame, ""), file=name)
            for label, shape in shapes:
                with image.reading(f"{title} ({shape.tag}, {label})"):
                    _add(image, shape, label)
            yield image.build()


def _z_order(shape: Element) -> float:
    try:
        return number(shape.get("z_order") or 0)
    except BadAnnotation:
        return 0  # told when the shape is read


def _original_size(meta: Element) -> tuple[int, int] | None:
    size = meta.find(".//original_size")
    return None if size is None else picture_size(size.findtext("height"), size.findtext("width"))


def _pictures_by_number(export: Export) -> dict[int, str]:
    """The pictures whose name ends with a number; of several with the same, the first."""
    pictures: dict[int, str] = {}
    for name in export.pictures.names:
        found = re.search(r"(\d{1,9})$", PurePosixPath(name).stem)
        if found:
            pictures.setdefault(int(found[1]), name)
    return pictures
