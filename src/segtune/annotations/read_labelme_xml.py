"""LabelMe 3.0 XML -> Annotations: CVAT's "LabelMe ZIP 3.0" and the files of the LabelMe web tool.

Source: CVAT's exporter and https://github.com/CSAILVision/LabelMeAnnotationTool. The format has no z order: the order
of the objects in the document is the painting order at the time of the export.
"""

from collections import Counter, defaultdict
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, Mask, Polygon, Shape
from segtune.annotations.source import ExportSource
from segtune.errors import DataError, UserError
from segtune.pictures import DECODE_ERRORS, PICTURE_SUFFIXES, open_picture, shown_size

NO_PICTURES = frozenset({"masks", "labels", "scribbles", "segmentationclass", "segmentationobject"})
"""Folders whose pictures are annotations."""

SUBSETS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip
"""Folder names that say which part of the dataset a picture is in."""


class _Problem(Exception):
    """Something is wrong in one file; the reader goes on to find the rest."""


class _Files:
    """Finds the pictures and masks that belong to an XML file."""

    def __init__(self, source: ExportSource) -> None:
        self.source = source
        self._pictures: dict[str, list[str]] = defaultdict(list)
        self._masks: dict[str, list[str]] = defaultdict(list)
        for name in source.names:
            path = PurePosixPath(name)
            if path.suffix.lower() not in PICTURE_SUFFIXES:
                continue
            folders = {part.lower() for part in path.parts[:-1]}
            if "masks" in folders:
                self._masks[path.name].append(name)
            if not folders & NO_PICTURES:
                self._pictures[path.name].append(name)
                self._pictures[path.stem].append(name)

    def picture(self, xml: str, filename: str) -> str | None:
        """The picture of an XML file: by its name in the XML, else by the XML's own stem; the nearest folder first."""
        own = filename.replace("\\", "/").split("/")[-1]
        for key in (own, PurePosixPath(own).stem, PurePosixPath(xml).stem):
            # A picture of the same name in another subset is another picture.
            names = [name for name in self._pictures.get(key, ()) if subset_of(name) == subset_of(xml)]
            if key and names:
                return _nearest(xml, names)
        return None

    def mask(self, xml: str, filename: str) -> str | None:
        """A mask file of an XML file."""
        return _nearest(xml, self._masks[filename]) if self._masks.get(filename) else None

    def pictures(self) -> set[str]:
        """All pictures."""
        return {name for names in self._pictures.values() for name in names}


def _nearest(xml: str, names: list[str]) -> str:
    """The name that shares most leading folders with an XML file's."""
    folders = PurePosixPath(xml).parts[:-1]

    def distance(name: str) -> tuple[int, int, str]:
        parts = PurePosixPath(name).parts[:-1]
        shared = next((i for i, (a, b) in enumerate(zip(folders, parts, strict=False)) if a != b), len(folders))
        return -min(shared, len(parts)), len(parts), name

    return min(names, key=distance)


def subset_of(name: str) -> str:
    """The part of the dataset that a file's folders put it in: train, val, test, or empty."""
    return next((SUBSETS[part.lower()] for part in PurePosixPath(name).parts[:-1] if part.lower() in SUBSETS), "")


def read_labelme_xml(source: ExportSource) -> Annotations:
    """Read all XML files of an export.

    Raises:
        DataError: Files are broken, pictures are missing or of another size; all are told at once.
    """
    files = _Files(source)
    images: list[AnnotatedImage] = []
    skipped: Counter[str] = Counter()
    problems = []
    for xml in (name for name in source.names if name.lower().endswith(".xml")):
        try:
            image = _read_file(files, xml, skipped)
        except (_Problem, UserError) as problem:
            problems.append(f"{xml}: {problem.message if isinstance(problem, UserError) else problem}")
        else:
            images.append(image)
    by_picture = Counter(image.picture for image in images)
    problems += [f"{name}: {count} XML files annotate it" for name, count in by_picture.items() if count > 1]
    if problems:
        raise DataError(f"{source.path} can't be converted as it is:", problems, "Mend these in the export.")
    without = len(files.pictures() - by_picture.keys())
    if without:
        skipped["pictures without annotation file"] = without
    return Annotations("labelme-xml", images, skipped)


def _read_file(files: _Files, xml: str, skipped: Counter[str]) -> AnnotatedImage:
    try:
        root = fromstring(files.source.read(xml), forbid_dtd=True)
    except DefusedXmlException as error:
        raise _Problem("it declares entities or a document type, which annotation files never need") from error
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise _Problem(f"it is not readable XML ({error})") from error
    if root.tag != "annotation":
        raise _Problem(f"its root is <{root.tag[:40]}>, expected <annotation>")
    filename = _text(root, "filename")
    picture = files.picture(xml, filename)
    if picture is None:
        raise _Problem(f"its picture {filename or '(not named)'} is not in the export; export with pictures")
    height, width = _size(files, root, picture)
    if root.find("object/bndbox") is not None:
        raise _Problem("its objects are boxes of PASCAL VOC detection; export with outlines, as LabelMe 3.0")
    shapes, problems = [], []
    for number, element in enumerate(root.iter("object"), start=1):
        try:
            shape = _read_object(files, xml, element, (height, width), number, skipped)
        except _Problem as problem:
            problems.append(str(problem))
        else:
            shapes += [shape] if shape is not None else []
    if problems:
        raise _Problem("; ".join(problems))
    return AnnotatedImage(picture, height, width, picture, shapes, subset_of(xml))


def _size(files: _Files, root: Element, picture: str) -> tuple[int, int]:
    """Height and width of the picture; an error where the XML has it otherwise."""
    height, width = shown_size(open_picture(files.source.read(picture), picture))
    rows, columns = _text(root, "imagesize/nrows"), _text(root, "imagesize/ncols")
    if {rows, columns} <= {"", "0"}:
        return height, width
    try:
        stated = int(float(rows)), int(float(columns))
    except (ValueError, OverflowError) as error:
        raise _Problem(f"its image size is {rows!r} x {columns!r}, expected numbers") from error
    if stated == (width, height) != (height, width):
        raise _Problem(
            f"it was annotated at {stated[1]} x {stated[0]} pixels, but {picture} is shown at {width} x {height}: the"
            " picture's EXIF orientation turns it; turn the pixels and annotate again, or remove the tag"
        )
    if stated != (height, width):
        raise _Problem(f"it was annotated at {stated[1]} x {stated[0]} pixels, but {picture} has {width} x {height}")
    return height, width


def _read_object(
    files: _Files, xml: str, element: Element, size: tuple[int, int], number: int, skipped: Counter[str]
) -> Shape | None:
    """A shape, or None where the object has no area; that is counted in ``skipped``."""
    label = _text(element, "name")
    if _text(element, "deleted") in {"1", "yes", "true"}:
        skipped["objects deleted in the tool"] += 1
        return None
    if not label:
        raise _Problem(f"object {number} has no name")
    if _text(element, "type") == "bounding_box":
        skipped["bounding boxes"] += 1
        return None
    if element.find("segm") is not None:
        return Shape(label, _read_mask(files, xml, _text(element, "segm/mask"), size, number), "mask")
    points = [(_number(point, "x", number), _number(point, "y", number)) for point in element.iterfind("polygon/pt")]
    if len(points) < 3:
        skipped["objects of fewer than 3 points"] += 1
        return None
    return Shape(label, Polygon(np.array(points, np.float64)), "polygon")


def _read_mask(files: _Files, xml: str, filename: str, size: tuple[int, int], number: int) -> Mask:
    """A mask of the picture's size: every pixel of which any channel is not 0."""
    name = files.mask(xml, filename)
    if name is None:
        raise _Problem(f"the mask {filename or '(not named)'} of object {number} is not in the export")
    picture = open_picture(files.source.read(name), name)
    if (picture.height, picture.width) != size:
        raise _Problem(
            f"the mask {name} is {picture.width} x {picture.height} pixels, its picture {size[1]} x {size[0]}"
        )
    try:
        # Palette indices would hide which entries are black.
        pixels = np.asarray(picture.convert("RGBA") if picture.mode == "P" else picture)
    except DECODE_ERRORS as error:
        raise _Problem(f"the mask {name} can't be decoded ({error})") from error
    if pixels.ndim == 3 and pixels.shape[2] == 4 and (pixels[:, :, 3] == 255).all():
        pixels = pixels[:, :, :3]
    covered = pixels != 0 if pixels.ndim == 2 else (pixels != 0).any(axis=2)
    # The bounding box alone is kept: a thousand masks of whole pictures would not fit into memory.
    rows, columns = (np.flatnonzero(covered.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return Mask(np.zeros((0, 0), np.bool_))
    box = covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return Mask(box, int(rows[0]), int(columns[0]))


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _number(point: Element, axis: str, number: int) -> float:
    try:
        value = float(_text(point, axis))
    except ValueError as error:
        raise _Problem(f"object {number} has the coordinate {_text(point, axis)!r}, expected a number") from error
    if not abs(value) < 1e6:
        raise _Problem(f"object {number} has the coordinate {value}, expected pixels of the picture")
    return value
