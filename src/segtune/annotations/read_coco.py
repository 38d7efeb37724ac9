"""COCO's JSON -> Annotations: CVAT's "COCO 1.0", Roboflow's, labelme2coco's and others.

Source: https://cocodataset.org/#format-data and the exporters. CVAT writes masks as uncompressed RLE with iscrowd 1;
Roboflow adds a category 0 that is only the others' supercategory. The order of the annotations is the painting order.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, DeclaredClass
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    box_outline,
    number,
    picture_size,
    runs,
    subset_of,
    whole_number,
)
from segtune.annotations.json_values import as_dict, as_key, as_list, as_text
from segtune.annotations.rle import run_ends
from segtune.annotations.source import ExportSource
from segtune.errors import UserError


def is_coco(source: ExportSource) -> bool:
    """Whether the export is COCO's: a JSON with images, annotations and categories."""
    return any(_is_coco_file(source, name) for name in source.with_suffix(".json")[:20])


def _is_coco_file(source: ExportSource, name: str) -> bool:
    try:
        content = source.json(name)
    except UserError:
        return False
    # Panoptic files look alike, but their annotations point to pictures.
    return isinstance(content, dict) and "images" in content and "annotations" in content and "categories" in content


@dataclass(frozen=True)
class _File:
    """A JSON file, taken apart."""

    name: str
    subset: str
    images: dict[str | int, dict[str, Any]]
    categories: dict[str | int, str]
    by_image: dict[str | int, list[tuple[int, dict[str, Any]]]]
    problems: list[str]


def read_coco(export: Export) -> Annotations:
    """Read COCO's JSON files.

    Raises:
        UserError: They are panoptic, or two categories of a file have one name.
    """
    names = [name for name in export.source.with_suffix(".json") if _is_coco_file(export.source, name)]
    declared: dict[str, DeclaredClass] = {}
    for name in names:
        for category in _categories(export.source, name).values():
            declared.setdefault(category, DeclaredClass(category))
    return Annotations(partial(_images, export, names), list(declared.values()))


def _categories(source: ExportSource, name: str) -> dict[str | int, str]:
    """The names of the categories by id, in the order of the ids; a dummy that has no annotation is left out.

    Raises:
        UserError: The list is broken, or two categories have one name.
    """
    content = source.json(name)
    try:
        items = [as_dict(item, "a category") for item in as_list(content["categories"], "the list of categories")]
        categories = {as_key(item.get("id"), "a category's id"): as_text(item.get("name"), "a name") for item in items}
        annotations = as_list(content["annotations"], "the list of annotations")
    except BadAnnotation as problem:
        raise UserError(f"{name} in {source.path} has no list of categories that can be read: {problem}.") from problem
    used = {
        item.get("category_id") for item in annotations if isinstance(item, dict) and _is_key(item.get("category_id"))
    }
    above = {item.get("supercategory") for item in items if _is_key(item.get("supercategory"))}
    kept = {
        key: text.strip()
        for key, text in categories.items()
        if key in used or text not in above - {"none", ""} or key != 0
    }
    twice = [text for text in set(kept.values()) if list(kept.values()).count(text) > 1]
    if twice:
        raise UserError(
            f"{name} in {source.path} has several categories of the name {twice[0]!r}.",
            "Rename one of them in the annotation tool, and export again.",
        )
    return dict(sorted(kept.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _is_key(value: Any) -> bool:
    return isinstance(value, str | int)


def _images(export: Export, names: list[str]) -> Iterator[AnnotatedImage]:
    for name in names:
        file = _take_apart(export.source, name)
        if file.problems:
            yield AnnotatedImage(name, problems=file.problems, file=name)
        for key, item in file.images.items():
            image = ImageBuilder(str(item.get("file_name") or ""), subset=file.subset, file=name)
            with image.reading(""):
                image.name = as_text(item.get("file_name"), f"the file name of image {key}")
                image.subset = file.subset or subset_of(image.name)
                if item.get("height") is not None and item.get("width") is not None:
                    image.size = picture_size(item["height"], item["width"])
                for place, annotation in file.by_image.get(key, []):
                    with image.reading(f"annotation {annotation.get('id', place)}"):
                        _add(image, annotation, file.categories)
            yield image.build()


def _take_apart(source: ExportSource, name: str) -> _File:
    content = source.json(name)
    problems: list[str] = []
    images: dict[str | int, dict[str, Any]] = {}
    by_image: dict[str | int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for kind in ("images", "annotations"):
        if not isinstance(content[kind], list):
            problems.append(f"{kind!r} is not a list")
            continue
        for place, item in enumerate(content[kind]):
            key = item.get("id" if kind == "images" else "image_id") if isinstance(item, dict) else None
            if not isinstance(key, str | int):
                problems.append(f"entry {place} of {kind!r} has no id that can be read")
            elif kind == "images":
                if key in images:
                    problems.append(f"two images have the id {key}")
                images[key] = item
            elif key not in images:
                problems.append(f"annotation {item.get('id', place)} is of image {key}, which is not there")
            else:
                by_image[key].append((place, item))
    stem = PurePosixPath(name).stem.lower()
    subset = subset_of(name) or subset_of(f"{stem.rpartition('_')[2]}/x") or subset_of(f"{stem}/x")
    return _File(name, subset, images, _categories(source, name), by_image, problems)


def _add(image: ImageBuilder, annotation: dict[str, Any], categories: dict[str | int, str]) -> None:
    if "segments_info" in annotation:
        raise BadAnnotation("this is COCO's panoptic format; export instances (polygons or RLE) instead")
    key = annotation.get("category_id")
    if not isinstance(key, str | int) or key not in categories:
        raise BadAnnotation(f"its category {key!r} is not in the list of categories")
    label = categories[key]
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        add_runs(image, label, segmentation)
    elif segmentation:
        parts = as_list(segmentation, "its segmentation")
        # One outline that is not in a list of its own is written by some scripts.
        parts = [parts] if not isinstance(parts[0], list) else parts
        image.add_polygon(label, [as_list(part, "an outline") for part in parts])
    elif annotation.get("bbox"):
        x, y, width, height = _four_numbers(annotation["bbox"])
        attributes = annotation.get("attributes")
        rotation = number(attributes.get("rotation") or 0) if isinstance(attributes, dict) else 0
        image.add_polygon(label, [box_outline(x, y, x + width, y + height, rotation)], kind="box")
    else:
        image.skip("keypoints" if annotation.get("keypoints") else "annotations without outline")


def _four_numbers(values: Any) -> list[float]:
    numbers = [number(value) for value in as_list(values, "its box")]
    if len(numbers) != 4:
        raise BadAnnotation("its box is not of 4 numbers")
    return numbers


def add_runs(image: ImageBuilder, label: str, segmentation: dict[str, Any], z_order: int = 0) -> None:
    """Add a mask in one of COCO's run-length encodings: counts as a list, or compressed as a text.

    Raises:
        BadAnnotation: It is broken.
    """
    size, counts = as_list(segmentation.get("size"), "its size"), segmentation.get("counts")
    if len(size) != 2:
        raise BadAnnotation("the size of its mask is not of 2 numbers")
    height, width = (whole_number(value) for value in size)
    if image.size is not None and image.size != (height, width):
        raise BadAnnotation(f"its mask has {width} x {height} pixels, its picture {image.size[1]} x {image.size[0]}")
    lengths = _compressed(counts) if isinstance(counts, str) else as_list(counts, "its counts")
    image.add(label, runs(lengths, height, width, column_major=True), "mask", z_order)


def _compressed(counts: str) -> Any:
    try:
        return np.diff(run_ends(counts.encode("ascii")), prepend=0)
    except (ValueError, UnicodeEncodeError) as error:
        raise BadAnnotation(f"its mask is no compressed RLE ({error})") from error
