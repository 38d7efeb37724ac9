"""Datumaro's JSON -> Annotations: CVAT's "Datumaro 1.0" and the exports of Datumaro itself.

Source: Datumaro's own exporter (plugins/data_formats/datumaro/exporter.py). Items have an id, an image and annotations,
whose labels are places in the list of categories. CVAT turns ellipses into masks before it writes them.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, DeclaredClass
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    box_outline,
    ellipse_outline,
    number,
    picture_size,
    whole_number,
)
from segtune.annotations.json_values import as_dict, as_list, as_text, objects_of, probed_json
from segtune.annotations.read_coco import add_runs, rotation_of
from segtune.annotations.source import ExportSource
from segtune.classes import Color
from segtune.errors import UserError

WITHOUT_AREA = {
    "polyline": "polylines", "points": "points", "skeleton": "skeletons", "label": "labels of whole pictures",
    "caption": "captions", "cuboid_3d": "cuboids", "cuboid_2d": "cuboids", "tabular": "tabular entries",
    "feature_vector": "feature vectors", "hash_key": "hash keys",
}  # fmt: skip
GEOMETRIES = frozenset({"polyline", "points", "skeleton", "cuboid_3d", "cuboid_2d"})
"""Those of them that are drawn on a picture."""


def is_datumaro(source: ExportSource) -> bool:
    """Whether the export is Datumaro's: a JSON with items and categories."""
    return any(_is_datumaro(content) for content in probed_json(source, b'"items"', b'"categories"'))


def _is_datumaro(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("items"), list)
        and isinstance(content.get("categories"), dict)
    )


def read_datumaro(export: Export) -> Annotations:
    """Read Datumaro's JSON files, one a subset.

    Raises:
        UserError: The list of labels of one is broken.
    """
    labels: dict[str, list[str]] = {}
    declared: dict[str, DeclaredClass] = {}
    broken: dict[str, str] = {}
    others = 0
    for name in export.source.with_suffix(".json"):
        try:
            content = export.source.json(name)
        except UserError as error:
            broken[name] = error.message
            continue
        if not _is_datumaro(content):
            others += 1
            continue
        try:
            labels[name] = _labels(content["categories"])
            for entry in _declared(content["categories"], labels[name]):
                declared.setdefault(entry.name, entry)
        except BadAnnotation as problem:
            raise UserError(
                f"{name} in {export.source.path} has no list of labels that can be read: {problem}."
            ) from problem
    return Annotations(partial(_images, export, labels, broken, others), list(declared.values()))


def _labels(categories: dict[str, Any]) -> list[str]:
    """The labels' names by place."""
    entries = as_list(as_dict(categories.get("label") or {}, "'label'").get("labels"), "'labels'")
    return [as_text(as_dict(entry, "a label").get("name"), "a label's name").strip() for entry in entries]


def _declared(categories: dict[str, Any], names: list[str]) -> Iterator[DeclaredClass]:
    """The labels that can have an area, with their colours; the parts of skeletons have none."""
    entries = categories["label"]["labels"] if names else []
    skeletons = as_dict(categories.get("points") or {}, "'points'").get("items")
    colors = _colors(categories)
    for place, name in enumerate(names):
        if not (skeletons and entries[place].get("parent")):
            yield DeclaredClass(name, colors.get(place))


def _colors(categories: dict[str, Any]) -> dict[int, Color]:
    colors = {}
    for entry in as_list(as_dict(categories.get("mask") or {}, "'mask'").get("colormap"), "'colormap'"):
        values = [as_dict(entry, "a colour").get(key) for key in ("label_id", "r", "g", "b")]
        place, red, green, blue = (whole_number(value) for value in values)
        if all(0 <= part < 256 for part in (red, green, blue)):
            colors[place] = (red, green, blue)
    return colors


def _images(
    export: Export, labels: Mapping[str, list[str]], broken: Mapping[str, str], others: int
) -> Iterator[AnnotatedImage]:
    for name, problem in broken.items():
        yield AnnotatedImage(name, problems=[problem], file=name)
    for name in labels:
        for place, item in enumerate(export.source.json(name)["items"]):
            image = ImageBuilder(f"item {place}", file=name)
            image.put_into(PurePosixPath(name).stem)  # Datumaro writes a file a subset
            if others:
                image.skip("JSON files that are not Datumaro's", others)
                others = 0  # told once
            with image.reading(""):
                _read_item(export, image, as_dict(item, "an item"), labels[name])
            yield image.build()


def _read_item(export: Export, image: ImageBuilder, item: dict[str, Any], labels: list[str]) -> None:
    image.name = as_text(item.get("id"), "an item's id")
    media = item.get("image")
    if isinstance(media, dict):
        _name_picture(export, image, media.get("path"))
        with image.reading(""):
            size = as_list(media.get("size"), "the picture's size")
            if len(size) == 2 and all(size):
                image.size = picture_size(size[0], size[1])
    for what, annotation in objects_of(image, item.get("annotations"), "annotation"):
        with image.reading(what):
            _add(image, annotation, labels)


def _name_picture(export: Export, image: ImageBuilder, path: Any) -> None:
    """Name the picture by the item's id, which lacks the suffix; else by its path, which may be another machine's.

    Newer versions of Datumaro save cam1/a as cam1_a.jpg, and only the path says so.
    """
    if not isinstance(path, str) or not path.strip():
        return
    path = path.replace("\\", "/")
    suffix = PurePosixPath(path).suffix
    image.name = image.name if image.name.lower().endswith(suffix.lower()) else image.name + suffix
    if export.pictures.find(image.name, image.subset, image.file) is None:
        image.picture = export.pictures.find(path, image.subset, image.file) or ""


def _add(image: ImageBuilder, annotation: dict[str, Any], labels: list[str]) -> None:
    kind = str(annotation.get("type"))[:40]
    if kind in WITHOUT_AREA:
        image.skip(WITHOUT_AREA[kind], is_object=kind in GEOMETRIES)
    elif kind in SHAPES:
        if annotation.get("label_id") is None:
            raise BadAnnotation(f"the {kind} has no label")
        place = whole_number(annotation["label_id"])
        if not 0 <= place < len(labels):
            raise BadAnnotation(f"its label is number {place}, but there are {len(labels)}, counted from 0")
        SHAPES[kind](image, annotation, labels[place], whole_number(annotation.get("z_order") or 0))
    else:
        image.skip(f"annotations of the type {kind}", is_object=True)


def _add_polygon(image: ImageBuilder, annotation: dict[str, Any], label: str, z_order: int) -> None:
    image.add_polygon(label, [as_list(annotation.get("points"), "its points")], z_order=z_order)


def _add_mask(image: ImageBuilder, annotation: dict[str, Any], label: str, z_order: int) -> None:
    add_runs(image, label, as_dict(annotation.get("rle"), "its RLE"), z_order)


def _add_box(image: ImageBuilder, annotation: dict[str, Any], label: str, z_order: int) -> None:
    left, top, width, height = _four_numbers(annotation, "bbox")
    outline = box_outline(left, top, left + width, top + height, rotation_of(annotation))
    image.add_polygon(label, [outline], kind="box", z_order=z_order)


def _add_ellipse(image: ImageBuilder, annotation: dict[str, Any], label: str, z_order: int) -> None:
    # Two opposite corners of the box round it.
    left, top, right, bottom = _four_numbers(annotation, "points")
    outline = ellipse_outline(
        (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2, rotation_of(annotation)
    )
    image.add_polygon(label, [outline], kind="ellipse", z_order=z_order)


def _four_numbers(annotation: dict[str, Any], key: str) -> list[float]:
    numbers = [number(value) for value in as_list(annotation.get(key), f"its {key}")]
    if len(numbers) != 4:
        raise BadAnnotation(f"its {key} are {len(numbers)} numbers, expected 4")
    return numbers


SHAPES = {"polygon": _add_polygon, "mask": _add_mask, "bbox": _add_box, "ellipse": _add_ellipse}
