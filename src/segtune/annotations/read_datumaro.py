"""Datumaro's JSON -> Annotations.

Source: Datumaro's own exporter, https://open-edge-platform.github.io/datumaro: items with an id, an image and
annotations, whose labels are places in the list of categories.
"""

from collections.abc import Iterator
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
    subset_named,
    whole_number,
)
from segtune.annotations.json_values import as_dict, as_list, as_text, objects_of
from segtune.annotations.read_coco import add_runs
from segtune.annotations.source import ExportSource
from segtune.errors import UserError

WITHOUT_AREA = {
    "polyline": "polylines", "points": "points", "skeleton": "skeletons", "label": "labels of whole pictures",
    "caption": "captions", "cuboid_3d": "cuboids", "cuboid_2d": "cuboids", "tabular": "tabular entries",
}  # fmt: skip


def is_datumaro(source: ExportSource) -> bool:
    """Whether the export is Datumaro's: a JSON with items and categories."""
    return any(_is_datumaro_file(source, name) for name in source.with_suffix(".json")[:20])


def _is_datumaro_file(source: ExportSource, name: str) -> bool:
    try:
        content = source.json(name)
    except UserError:
        return False
    return isinstance(content, dict) and isinstance(content.get("items"), list) and "categories" in content


def read_datumaro(export: Export) -> Annotations:
    """Read Datumaro's JSON files, one a subset.

    Raises:
        UserError: The list of labels is broken.
    """
    names = [name for name in export.source.with_suffix(".json") if _is_datumaro_file(export.source, name)]
    declared = {label: DeclaredClass(label) for name in names for label in _labels(export.source, name)}
    return Annotations(partial(_images, export, names), list(declared.values()))


def _labels(source: ExportSource, name: str) -> list[str]:
    try:
        categories = as_dict(source.json(name)["categories"], "'categories'")
        labels = as_list(as_dict(categories.get("label") or {}, "'label'").get("labels"), "'labels'")
        # Parts of skeletons have a parent; they keep their place.
        return [as_text(as_dict(label, "a label").get("name"), "a label's name").strip() for label in labels]
    except BadAnnotation as problem:
        raise UserError(f"{name} in {source.path} has no list of labels that can be read: {problem}.") from problem


def _images(export: Export, names: list[str]) -> Iterator[AnnotatedImage]:
    for name in names:
        labels = _labels(export.source, name)
        subset = subset_named(PurePosixPath(name).stem)
        for place, item in enumerate(export.source.json(name)["items"]):
            image = ImageBuilder(f"item {place}", subset=subset, file=name)
            with image.reading(""):
                _read_item(image, as_dict(item, "an item"), labels)
            yield image.build()


def _read_item(image: ImageBuilder, item: dict[str, Any], labels: list[str]) -> None:
    image.name = as_text(item.get("id"), "an item's id")
    media = item.get("image")
    if isinstance(media, dict):
        path = media.get("path")
        # The path may be another machine's; the id is what names the item, without a suffix.
        if isinstance(path, str) and path.strip():
            image.name = str(
                PurePosixPath(image.name).with_name(PurePosixPath(path.replace("\\", "/")).name or image.name)
            )
        size = as_list(media.get("size"), "the picture's size")
        if len(size) == 2 and all(size):
            image.size = picture_size(size[0], size[1])
    for what, annotation in objects_of(image, item.get("annotations"), "annotation"):
        with image.reading(what):
            _add(image, annotation, labels)


def _add(image: ImageBuilder, annotation: dict[str, Any], labels: list[str]) -> None:
    kind = str(annotation.get("type"))
    if kind in WITHOUT_AREA:
        image.skip(WITHOUT_AREA[kind])
        return
    index = whole_number(annotation.get("label_id"))
    if not 0 <= index < len(labels):
        raise BadAnnotation(f"its label is number {index}, but there are {len(labels)}, counted from 0")
    label, z_order = labels[index], whole_number(annotation.get("z_order") or 0)
    attributes = annotation.get("attributes")
    rotation = number(attributes.get("rotation") or 0) if isinstance(attributes, dict) else 0
    if kind == "polygon":
        image.add_polygon(label, [as_list(annotation.get("points"), "its points")], z_order=z_order)
    elif kind == "mask":
        add_runs(image, label, as_dict(annotation.get("rle"), "its RLE"), z_order)
    elif kind in {"bbox", "ellipse"}:
        values = annotation.get("bbox") if kind == "bbox" else annotation.get("points") or annotation.get("bbox")
        four = [number(value) for value in as_list(values, "its box")]
        if len(four) != 4:
            raise BadAnnotation("its box is not of 4 numbers")
        left, top, right, bottom = four
        if kind == "bbox" or not annotation.get("points"):
            right, bottom = left + right, top + bottom
        if kind == "bbox":
            image.add_polygon(label, [box_outline(left, top, right, bottom, rotation)], kind="box", z_order=z_order)
        else:
            center, radii = ((left + right) / 2, (top + bottom) / 2), ((right - left) / 2, (bottom - top) / 2)
            image.add_polygon(label, [ellipse_outline(*center, *radii, rotation)], kind="ellipse", z_order=z_order)
    else:
        image.skip(f"annotations of the type {kind[:40]!r}")
