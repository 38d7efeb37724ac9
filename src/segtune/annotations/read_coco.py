"""COCO's JSON -> Annotations: CVAT's "COCO 1.0", Roboflow's, labelme2coco's and others.

Source: https://cocodataset.org/#format-data and the exporters. CVAT writes masks as uncompressed RLE with iscrowd 1;
Roboflow adds a category 0 that is only the others' supercategory. The order of the annotations is the painting order,
and the outlines of one annotation are its parts, never holes.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
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
    subset_named,
    subset_of,
    whole_number,
)
from segtune.annotations.json_values import as_dict, as_list, as_text, probed_json
from segtune.annotations.rle import run_ends
from segtune.annotations.source import ExportSource
from segtune.classes import Color, hex_color
from segtune.errors import UserError

KEYS = frozenset({"images", "annotations", "categories"})

INSTANCES = re.compile(r"instances_(.+)")
"""The names of COCO's and CVAT's files: with a subset."""

LEFT_OUT = {
    "": "JSON files that are not COCO's",
    "panoptic": "JSON files of COCO's panoptic format",
    "keypoints": "JSON files of COCO's keypoints",
}  # fmt: skip
"""Why files are not read, by what they are."""


def is_coco(source: ExportSource) -> bool:
    """Whether the export is COCO's: a JSON with images, annotations and categories; panoptic ones are refused later."""
    return any(_kind(content) for content in probed_json(source, *(f'"{key}"'.encode() for key in KEYS)))


def _kind(content: Any) -> str:
    """What a JSON is: instances (objects or stuff), keypoints, panoptic, or nothing of COCO's."""
    if not isinstance(content, dict) or not content.keys() >= KEYS or isinstance(content.get("items"), list):
        return ""
    if any("segments_info" in annotation for annotation in _dicts(content["annotations"])):
        return "panoptic"
    categories = _dicts(content["categories"])
    return "keypoints" if categories and all("keypoints" in category for category in categories) else "instances"


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def read_coco(export: Export) -> Annotations:
    """Read COCO's JSON files.

    Raises:
        UserError: They are all panoptic, or a list of categories is broken.
    """
    plan = _plan(export.source)
    declared: dict[str, DeclaredClass] = {}
    for categories in plan.categories.values():
        for category in categories.values():
            declared.setdefault(category.name, category)
    return Annotations(partial(_images, export, plan), list(declared.values()))


@dataclass(frozen=True)
class _Plan:
    """What is read, and what is not.

    Attributes:
        categories: The files that are read, with the categories of each by id.
        broken: What is wrong with files that can't be parsed, by their names.
        skipped: How many files are left out, by reason.
    """

    categories: dict[str, dict[str | int, DeclaredClass]]
    broken: dict[str, str]
    skipped: Counter[str]


def _plan(source: ExportSource) -> _Plan:
    """Look at all JSON files, each once: a large file takes seconds.

    Raises:
        UserError: None can be used, or a list of categories is broken.
    """
    kinds: dict[str, str] = {}
    categories: dict[str, dict[str | int, DeclaredClass]] = {}
    broken: dict[str, str] = {}
    for name in source.with_suffix(".json"):
        try:
            content = source.json(name)
        except UserError as error:
            broken[name] = error.message
            continue
        kinds[name] = _kind(content)
        if kinds[name] in {"instances", "keypoints"}:
            categories[name] = _categories(source, name, content)
    if "panoptic" in kinds.values() and not categories:
        raise UserError(
            f"{source.path} is COCO's panoptic format, whose objects are in PNG files of their own.",
            "Export 'COCO' with instances or stuff (polygons or RLE) instead.",
        )
    # COCO's own files tell the same people twice, with outlines and with keypoints.
    if "instances" in kinds.values():
        categories = {name: of_file for name, of_file in categories.items() if kinds[name] == "instances"}
    skipped = Counter(LEFT_OUT[kind] for name, kind in kinds.items() if name not in categories)
    return _Plan(categories, broken, skipped)


def _categories(source: ExportSource, name: str, content: dict[str, Any]) -> dict[str | int, DeclaredClass]:
    """The categories by id, in the order of the ids; Roboflow's dummy is left out.

    Raises:
        UserError: The list is broken, or two categories have one id or one name.
    """
    where = f"{name} in {source.path}"
    items: dict[str | int, dict[str, Any]] = {}
    try:
        for item in as_list(content["categories"], "the list of categories"):
            key = _key(as_dict(item, "a category").get("id"))
            if key is None:
                raise BadAnnotation("a category has no id")
            if key in items:
                raise BadAnnotation(f"several categories have the id {key}")
            items[key] = {**item, "name": as_text(item.get("name"), f"the name of category {key}").strip()}
    except BadAnnotation as problem:
        raise UserError(f"{where} has no list of categories that can be read: {problem}.") from problem
    names = Counter(item["name"] for item in items.values())
    # Roboflow's category 0 is the others' supercategory, now and then of the same name as one of them.
    others = [item.get("supercategory") for key, item in items.items() if key != 0]
    above = {name for name in others if isinstance(name, str)}
    if 0 in items and (items[0]["name"] in above or names[items[0]["name"]] > 1):
        used = any(_key(annotation.get("category_id")) == 0 for annotation in _dicts(content["annotations"]))
        if not used and len(items) > 1:
            names[items.pop(0)["name"]] -= 1
    twice = [text for text, count in names.items() if count > 1]
    if twice:
        raise UserError(
            f"{where} has several categories of the name {twice[0]!r}.",
            "Rename one of them in the annotation tool, and export again.",
        )
    ordered = sorted(items.items(), key=lambda entry: (isinstance(entry[0], str), entry[0]))
    return {key: DeclaredClass(item["name"], _color(item.get("color"))) for key, item in ordered}


def _key(value: Any) -> str | int | None:
    """An id; None where it is none. Some scripts write numbers as 1.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _color(value: Any) -> Color | None:
    """The colour that COCO's panoptic categories and COCO Annotator give a category: [r, g, b] or #rrggbb."""
    if isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part < 256 for part in value):
        return value[0], value[1], value[2]
    return hex_color(value)


def _images(export: Export, plan: _Plan) -> Iterator[AnnotatedImage]:
    for name, problem in plan.broken.items():
        yield AnnotatedImage(name, problems=[problem], file=name)
    skipped = plan.skipped
    for name, categories in plan.categories.items():
        content = export.source.json(name)
        subset = _subset(name)
        images, problems = _by_id(content["images"])
        annotations = _by_image(content["annotations"], images, problems)
        if problems:
            yield AnnotatedImage(name, problems=problems, file=name)
        for key, item in images.items():
            image = ImageBuilder(f"image {key}", subset=subset, file=name)
            if not subset and (stated := INSTANCES.match(PurePosixPath(name).stem)):
                image.put_into(stated[1])
            for reason, count in skipped.items():
                image.skip(reason, count)
            skipped = Counter()  # told once
            with image.reading(""):
                _name_picture(export, image, item)
            with image.reading(""):
                if item.get("height") and item.get("width"):
                    image.size = picture_size(item["height"], item["width"])
            for place in annotations.get(key, []):
                annotation = content["annotations"][place]
                with image.reading(f"annotation {_shown(annotation.get('id', place))}"):
                    _add(image, annotation, categories)
            yield image.build()


def _subset(name: str) -> str:
    """Which part of the dataset a file is about: valid/_annotations.coco.json, instances_train2017.json, val.json."""
    words = [word for word in re.split(r"[^a-z]+", PurePosixPath(name).stem.lower()) if word]
    own = subset_named(words[-1]) or subset_named(words[0]) if words else ""
    return own or subset_of(name)


def _by_id(items: Any) -> tuple[dict[str | int, dict[str, Any]], list[str]]:
    """The images by id, and what is wrong with the list."""
    if not isinstance(items, list):
        return {}, ["'images' is not a list"]
    images: dict[str | int, dict[str, Any]] = {}
    problems = []
    for place, item in enumerate(items):
        key = _key(item.get("id")) if isinstance(item, dict) else None
        if key is None:
            problems.append(f"entry {place} of 'images' has no id")
        elif key in images:
            problems.append(f"several images have the id {_shown(key)}")
        else:
            images[key] = item
    return images, problems


def _by_image(items: Any, images: Container[str | int], problems: list[str]) -> dict[str | int, list[int]]:
    """The places of each image's annotations; what is wrong with the list is added to ``problems``."""
    if not isinstance(items, list):
        problems.append("'annotations' is not a list")
        return {}
    places: dict[str | int, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        key = _key(item.get("image_id")) if isinstance(item, dict) else None
        if key is None:
            problems.append(f"entry {place} of 'annotations' has no image_id")
        elif key not in images:
            name = _shown(item.get("id", place))
            problems.append(f"annotation {name} is of image {_shown(key)}, which is not in 'images'")
        else:
            places[key].append(place)
    return places


def _name_picture(export: Export, image: ImageBuilder, item: dict[str, Any]) -> None:
    # LVIS has no file names, but addresses that end with them.
    image.name = as_text(item.get("file_name") or item.get("coco_url"), f"the file_name of {image.name}")
    own = subset_of(image.name.replace("\\", "/"))
    if own and image.subset and own != image.subset:
        # val.json about pictures in a folder train: the file decides, as people re-split datasets by it.
        image.picture = export.pictures.find(image.name, own, image.file) or ""
    image.subset = image.subset or own


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _add(image: ImageBuilder, annotation: dict[str, Any], categories: dict[str | int, DeclaredClass]) -> None:
    key = _key(annotation.get("category_id"))
    if key is None or key not in categories:
        raise BadAnnotation(f"its category {_shown(annotation.get('category_id'))} is not in 'categories'")
    label = categories[key].name
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        add_runs(image, label, segmentation)
        return
    outlines = _outlines(segmentation)
    if any(outlines):
        # COCO Annotator writes the corners of boxes.
        kind = "box" if annotation.get("isbbox") is True else "polygon"
        image.add_polygon(label, outlines, kind=kind)
    elif annotation.get("keypoints"):
        image.skip("keypoints", is_object=True)
    elif annotation.get("bbox"):
        _add_box(image, annotation, label)
    else:
        image.skip("annotations without outline", is_object=True)


def _outlines(segmentation: Any) -> list[list[Any]]:
    parts = as_list(segmentation, "its segmentation")
    if parts and not isinstance(parts[0], list):
        return [parts]  # one outline that is not in a list of its own, as some scripts write it
    return [as_list(part, "an outline") for part in parts]


def _add_box(image: ImageBuilder, annotation: dict[str, Any], label: str) -> None:
    numbers = [number(value) for value in as_list(annotation["bbox"], "its box")]
    if len(numbers) != 4:
        raise BadAnnotation(f"its box is of {len(numbers)} numbers, expected 4")
    x, y, width, height = numbers
    image.add_polygon(label, [box_outline(x, y, x + width, y + height, rotation_of(annotation))], kind="box")


def rotation_of(annotation: dict[str, Any]) -> float:
    """Degrees by which CVAT's boxes are turned; the box itself is written unturned.

    Raises:
        BadAnnotation: It is no number.
    """
    attributes = annotation.get("attributes")
    return number(attributes.get("rotation") or 0) if isinstance(attributes, dict) else 0.0


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
    image.size = height, width  # a mask is of the whole picture


def _compressed(counts: str) -> Any:
    try:
        return np.diff(run_ends(counts.encode("ascii")), prepend=0)
    except (ValueError, UnicodeEncodeError) as error:
        raise BadAnnotation(f"its mask is no compressed RLE ({error})") from error
