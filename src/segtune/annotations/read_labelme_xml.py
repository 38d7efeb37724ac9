"""LabelMe 3.0 XML -> Annotations: CVAT's "LabelMe ZIP 3.0" and the files of the LabelMe web tool.

Source: CVAT's exporter and https://github.com/CSAILVision/LabelMeAnnotationTool. The format has no z order: the order
of the objects in the document is the painting order at the time of the export.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, Runs
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    box_outline,
    class_name,
    number,
    numbered,
    picture_size,
    subset_of,
    to_points,
)
from segtune.annotations.mask_picture import mask_runs, picture_mask
from segtune.annotations.source import ExportSource


def is_labelme_xml(source: ExportSource) -> bool:
    """Whether the export is LabelMe's XML; beside label images, the boxes of PASCAL VOC have the same root."""
    if any("/SegmentationClass/" in f"/{name}" for name in source.names):
        return False
    return any(_is_labelme_file(source, name) for name in source.with_suffix(".xml"))


MAX_FILE_BYTES = 2**25
"""Of a file, which is of one picture; read, it takes some twenty times its size."""


def _is_labelme_file(source: ExportSource, name: str) -> bool:
    return re.search(rb"<annotation[\s>]", source.read(name, 4096).replace(b"\0", b"")) is not None  # UTF-16, too


def read_labelme_xml(export: Export) -> Annotations:
    """Read LabelMe 3.0 XML."""
    return Annotations(partial(_images, export))


def _images(export: Export) -> Iterator[AnnotatedImage]:
    masks = defaultdict(list)
    for name in export.source.with_suffix(".png"):
        if "masks" in name.lower().split("/")[:-1]:
            masks[PurePosixPath(name).name].append(name)
    for xml in export.source.with_suffix(".xml"):
        image = ImageBuilder(xml, subset=subset_of(xml), file=xml)
        with image.reading(""):
            _read_file(export, image, masks)
        yield image.build()


def _read_file(export: Export, image: ImageBuilder, masks: dict[str, list[str]]) -> None:
    try:
        content = export.source.read(image.file, MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise BadAnnotation(f"it is larger than {MAX_FILE_BYTES >> 20} MiB, too large for one picture")
        root = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise BadAnnotation("it declares entities or a document type, which annotation files never need") from error
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise BadAnnotation(f"it is not readable XML ({error})") from error
    if root.tag != "annotation":
        raise BadAnnotation(f"its root is <{root.tag[:40]}>, expected <annotation>")
    if root.find("object/bndbox") is not None:
        raise BadAnnotation("its objects are boxes of PASCAL VOC detection; export with outlines, as LabelMe 3.0")
    _name_picture(export, image, _text(root, "filename"), _text(root, "folder"))
    rows, columns = _text(root, "imagesize/nrows"), _text(root, "imagesize/ncols")
    if not {rows, columns} <= {"", "0"}:
        image.size = picture_size(rows, columns)
    for index, element in numbered(root.iter("object")):
        with image.reading(f"object {index} ({_text(element, 'name')})"):
            _add(export, image, element, masks)


def _name_picture(export: Export, image: ImageBuilder, filename: str, folder: str) -> None:
    """Name the picture by the XML's text; where no such picture is there, by the XML's own name."""
    own = filename.replace("\\", "/").split("/")[-1]
    beside = PurePosixPath(image.file).with_suffix(PurePosixPath(own).suffix or ".jpg").as_posix()
    names = [name for name in (f"{folder.rstrip('/')}/{own}" if folder and own else own, beside) if name]
    found = [(name, export.pictures.find(name, image.subset, image.file)) for name in names]
    image.name, picture = next(((name, picture) for name, picture in found if picture), (names[0], None))
    image.picture = picture or ""


def _add(export: Export, image: ImageBuilder, element: Element, masks: dict[str, list[str]]) -> None:
    """Add an object; one that has no area, or that was deleted, is counted."""
    if _text(element, "deleted") in {"1", "yes", "true"}:
        image.skip("objects deleted in the tool")
        return
    label = class_name(_text(element, "name"))
    if element.find("segm") is not None:
        mask = _read_mask(export, image, _text(element, "segm/mask"), masks)
        image.add(label, mask, "mask")
        return
    points = to_points([(_text(pt, "x"), _text(pt, "y")) for pt in element.iterfind("polygon/pt")])
    if _text(element, "type") == "bounding_box" and len(points):
        # The corners may come in any order; CVAT writes them unrotated, with the angle in the attributes.
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        found = re.search(r"(?:^|,)\s*rotation=([^,]*)", _text(element, "attributes"))
        points = box_outline(left, top, right, bottom, number(found[1]) if found else 0)
        image.add_polygon(label, [points], kind="box")
    else:
        image.add_polygon(label, [points])


def _read_mask(export: Export, image: ImageBuilder, filename: str, masks: dict[str, list[str]]) -> Runs:
    """A mask of the picture's size."""
    path = PurePosixPath(filename.replace("\\", "/"))
    names = masks.get(path.name, [])
    if not names:
        raise BadAnnotation(f"its mask {filename or '(not named)'} is not in the export")
    folders = {*PurePosixPath(image.file).parts[:-1], *path.parts[:-1]}
    # Of several of a name, the one that lies in the XML's own folders, and in those that it names.
    name = max(names, key=lambda name: (len(folders & set(PurePosixPath(name).parts)), name))
    size = image.size or (export.pictures.size(image.picture) if image.picture else None)
    return mask_runs(picture_mask(export.source.read(name), size, f"its mask {name}"))


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
