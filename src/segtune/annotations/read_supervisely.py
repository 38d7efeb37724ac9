"""Supervisely's project folder -> Annotations: meta.json, <dataset>/img/<picture>, <dataset>/ann/<picture>.json.

Source: https://developer.supervisely.com/getting-started/supervisely-annotation-format and the geometries of the
supervisely package. A later object lies on top. The interior outlines of a polygon are holes.
"""

import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from segtune.annotations.annotated_image import Annotations, DeclaredClass
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    box_outline,
    built,
    class_name,
    number,
    numbered,
    picture_size,
    subset_of,
    to_points,
    whole_number,
)
from segtune.annotations.json_values import from_base64, probed_json
from segtune.annotations.mask_picture import mask_runs, picture_mask
from segtune.annotations.source import ExportSource
from segtune.classes import hex_color
from segtune.errors import UserError
from segtune.pictures import PICTURE_SUFFIXES

MAX_BITMAP_BYTES = 2**26
"""Of the PNG of a bitmap: far above what people draw, far below what a bomb unpacks to."""

WITHOUT_AREA = {
    "line": "polylines", "point": "points", "graph": "keypoints", "keypoint": "keypoints", "cuboid": "cuboids",
    "cuboid_2d": "cuboids",
}  # fmt: skip


def is_supervisely(source: ExportSource) -> bool:
    """Whether the export is a Supervisely project."""
    return any(_is_annotation(content) for content in probed_json(source, b'"objects"', b'"size"'))


def _is_annotation(content: Any) -> bool:
    """Whether a JSON is the annotation of a picture: its size, and objects that have a class."""
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        return False
    size = content.get("size")
    stated = isinstance(size, dict) and {"height", "width"} <= size.keys()
    return stated and all(isinstance(item, dict) and CLASS_KEYS & item.keys() for item in content["objects"][:5])


CLASS_KEYS = frozenset({"classTitle", "classId"})


def read_supervisely(export: Export) -> Annotations:
    """Read a Supervisely project."""
    metas = _metas(export.source)
    declared: dict[str, DeclaredClass] = {}
    for entry in (entry for meta in metas.values() for entry in meta):
        title = str(entry.get("title", "")).strip()
        if title and str(entry.get("shape")) not in WITHOUT_AREA:
            declared.setdefault(title, DeclaredClass(title, hex_color(entry.get("color"))))
    return Annotations(partial(built, partial(_read_all, export, metas)), list(declared.values()))


def _metas(source: ExportSource) -> dict[str, list[Mapping[str, Any]]]:
    """The classes that each meta.json declares, by the file's name."""
    metas: dict[str, list[Mapping[str, Any]]] = {}
    for name in source.with_suffix(".json"):
        if PurePosixPath(name).name == "meta.json" and "ann" not in PurePosixPath(name).parts[:-1]:
            try:
                content = source.json(name)
            except UserError:
                content = None  # told when the pictures are read
            classes = content.get("classes") if isinstance(content, dict) else None
            if isinstance(classes, list):
                metas[name] = [entry for entry in classes if isinstance(entry, dict)]
    return metas


def _read_all(
    export: Export, metas: Mapping[str, list[Mapping[str, Any]]], left_out: Counter[str]
) -> Iterator[ImageBuilder]:
    entries = [entry for meta in metas.values() for entry in meta]
    for name in export.source.with_suffix(".json"):
        in_ann = PurePosixPath(name).parent.name == "ann"
        if name in metas:
            continue
        image = ImageBuilder(name, subset=subset_of(name), file=name)
        with image.reading(""):
            content = export.source.json(name)
            if not in_ann and not _is_annotation(content):
                left_out["JSON files that are not annotations of pictures"] += 1
                continue
            _name_picture(export, image)
            _read_file(image, content, entries)
        yield image


def _name_picture(export: Export, image: ImageBuilder) -> None:
    """ann/a.jpg.json is about img/a.jpg; in old projects ann/a.json is."""
    path = PurePosixPath(image.file)
    folder = path.parent.parent / "img" if path.parent.name == "ann" else path.parent
    named = path.stem if PurePosixPath(path.stem).suffix.lower() in PICTURE_SUFFIXES else f"{path.stem}.jpg"
    image.name = (folder / named).as_posix()
    image.picture = export.pictures.find(image.name, image.subset, image.file) or ""


def _read_file(image: ImageBuilder, content: Any, entries: list[Mapping[str, Any]]) -> None:
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        raise BadAnnotation("it is no annotation of a picture: it has no list of objects")
    with image.reading(""):
        size = content.get("size")
        if not isinstance(size, dict):
            raise BadAnnotation("it has no size with height and width")
        image.size = picture_size(size.get("height"), size.get("width"))
    for index, item in numbered(content["objects"]):
        if not isinstance(item, dict):
            image.problem(f"object {index}: it is no object with a class and points")
            continue
        entry = _entry(item, entries)
        title = item.get("classTitle") or entry.get("title")
        with image.reading(f"object {index} ({str(title)[:40]})"):
            _add(image, item, _geometry(item, entry), title)


def _entry(item: Mapping[str, Any], entries: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What meta.json says of an object's class."""
    title, number_of_class = item.get("classTitle"), item.get("classId")
    for entry in entries:
        if entry.get("title") == title if title else number_of_class and entry.get("id") == number_of_class:
            return entry
    return {}


def _geometry(item: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """An object's own geometry; of old projects, which don't say, the class' or what the object has."""
    stated = item.get("geometryType") or item.get("shape")
    if not stated and isinstance(item.get("bitmap"), dict):
        return "bitmap"
    shape = str(entry.get("shape") or "any")
    return str(stated or (shape if shape not in {"any", "bitmap"} else "polygon"))


def _add(image: ImageBuilder, item: Mapping[str, Any], geometry: str, title: Any) -> None:
    """Add an object; one that has no area is counted."""
    if geometry in SHAPES:
        SHAPES[geometry](image, item, class_name(title))
    else:
        image.skip(WITHOUT_AREA.get(geometry, f"objects of the geometry {geometry[:40]}"), is_object=True)


def _outlines(item: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """The outer outline and those of the holes."""
    points = item.get("points")
    if not isinstance(points, dict):
        raise BadAnnotation("it has no points")
    interior = points.get("interior") or []
    if not isinstance(interior, list):
        raise BadAnnotation("its interior is no list of outlines")
    return points.get("exterior"), interior


def _add_polygon(image: ImageBuilder, item: Mapping[str, Any], label: str) -> None:
    exterior, interior = _outlines(item)
    rings = [to_points(ring) for ring in (exterior, *interior)]
    if all((ring == np.floor(ring)).all() for ring in rings):
        rings = [ring + 0.5 for ring in rings]  # Supervisely cuts coordinates to whole numbers, which name pixels
    image.add_polygon(label, rings[:1], rings[1:])


def _add_box(image: ImageBuilder, item: Mapping[str, Any], label: str) -> None:
    corners = to_points(_outlines(item)[0])
    if len(corners) != 2:
        raise BadAnnotation(f"its box has {len(corners)} corners, expected 2")
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    if (corners == np.floor(corners)).all():
        right, bottom = right + 1, bottom + 1  # whole numbers are pixels, the last of which is inside
    # Boxes that are turned state the angle in radians, clockwise, about their centre.
    angle = math.degrees(number(item.get("angle") or 0))
    image.add_polygon(label, [box_outline(left, top, right, bottom, angle)], kind="box")


def _add_bitmap(image: ImageBuilder, item: Mapping[str, Any], label: str) -> None:
    bitmap = item.get("bitmap")
    origin = bitmap.get("origin") if isinstance(bitmap, dict) else None
    if not isinstance(bitmap, dict) or not isinstance(origin, list) or len(origin) != 2:
        raise BadAnnotation("it has no bitmap with data and origin")
    left, top = whole_number(origin[0]), whole_number(origin[1])
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(from_base64(bitmap.get("data")), MAX_BITMAP_BYTES)
    except zlib.error as error:
        raise BadAnnotation(f"its bitmap can't be unpacked ({error})") from error
    if unpacker.unconsumed_tail:
        raise BadAnnotation(f"its bitmap unpacks to more than {MAX_BITMAP_BYTES >> 20} MiB")
    image.add(label, mask_runs(picture_mask(content), top, left), "mask")


SHAPES: dict[str, Callable[[ImageBuilder, Mapping[str, Any], str], None]] = {
    "polygon": _add_polygon,
    "rectangle": _add_box,
    "oriented_bbox": _add_box,
    "bitmap": _add_bitmap,
    "alpha_mask": _add_bitmap,
}
