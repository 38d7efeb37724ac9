"""JSON of the VGG Image Annotator, versions 1 and 2, annotations or project -> Annotations.

Source: https://www.robots.ox.ac.uk/~vgg/software/via/ and its via.js. Pictures are keyed by name and bytes; version 1
has their regions as a dict, version 2 as a list. The class is in an attribute of the regions that the annotator named.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from segtune.annotations.annotated_image import Annotations, DeclaredClass
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    box_outline,
    built,
    ellipse_outline,
    number,
    numbered,
    subset_of,
)
from segtune.annotations.json_values import probed_json
from segtune.annotations.source import ExportSource
from segtune.errors import DataError, UserError, listed, nearest

ONLY_CLASS = "object"
"""The class of all regions, where they have no attributes."""

WITHOUT_AREA = {"polyline": "polylines", "point": "points"}
MAX_EXAMPLES = 5


def is_via(source: ExportSource) -> bool:
    """Whether the export is of the VGG Image Annotator."""
    return any(_entries(content) for content in probed_json(source, b'"filename"', b'"regions"'))


def _entries(content: Any) -> list[Mapping[str, Any]]:
    """The pictures that a file is about; none where it is another format's."""
    if not isinstance(content, dict):
        return []
    entries = content.get("_via_img_metadata", content)
    if not isinstance(entries, dict):
        return []
    return [entry for entry in entries.values() if isinstance(entry, dict) and {"filename", "regions"} <= entry.keys()]


def read_via(export: Export) -> Annotations:
    """Read the VGG Image Annotator's JSON.

    Raises:
        UserError: It is not clear, or not true, which attribute of the regions holds the class.
    """
    attribute = _choose_attribute(export)
    classes = {
        name: DeclaredClass(name)
        for file in export.source.with_suffix(".json")
        for name in _options(_content(export.source, file), attribute)
    }
    return Annotations(partial(built, partial(_read_all, export, attribute)), list(classes.values()))


def _content(source: ExportSource, name: str) -> Any:
    try:
        return source.json(name)
    except UserError:
        return None  # told when the pictures are read


def _regions(entry: Mapping[str, Any]) -> list[Any]:
    regions = entry["regions"] or []
    return list(regions.values()) if isinstance(regions, dict) else regions if isinstance(regions, list) else [regions]


def _attributes(region: Any) -> Mapping[str, Any]:
    """The attributes of a region that has area."""
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    attributes = region.get("region_attributes") if isinstance(region, dict) else None
    if not isinstance(attributes, dict) or (isinstance(shape, dict) and shape.get("name") in list(WITHOUT_AREA)):
        return {}
    return attributes


def _choose_attribute(export: Export) -> str:
    """The attribute that holds the class; empty where the regions have none."""
    examples: dict[str, Counter[str]] = defaultdict(Counter)
    filled: Counter[str] = Counter()
    num_regions = 0
    for file in export.source.with_suffix(".json"):
        for region in (region for entry in _entries(_content(export.source, file)) for region in _regions(entry)):
            attributes = _attributes(region)
            num_regions += bool(attributes)
            for name, value in attributes.items():
                chosen = _chosen(value)
                examples[name].update(chosen)
                filled[name] += bool(chosen)
    names = [name for name in examples if filled[name]]
    if export.attribute:
        if examples and export.attribute not in examples:
            _raise(f"No region has the attribute {export.attribute!r}.", examples, nearest(export.attribute, examples))
        return export.attribute
    if len(names) < 2:
        return names[0] if names else ""
    everywhere = [name for name in names if filled[name] == num_regions]
    if len(everywhere) != 1:
        _raise("The regions have several attributes; which one holds the class?", examples)
    return everywhere[0]


def _raise(message: str, examples: Mapping[str, Counter[str]], hint: str = "") -> None:
    lines = [
        f"{name}: {listed((repr(value[:40]) for value, _ in counts.most_common(MAX_EXAMPLES + 1)), MAX_EXAMPLES)}"
        for name, counts in examples.items()
    ]
    raise DataError(message, lines, f"Name it: --attribute {next(iter(examples))!r}. {hint}".strip())


def _chosen(value: Any) -> list[str]:
    """The names that an attribute's value has: a text, a dropdown's option, or the ticked ones of checkboxes."""
    if isinstance(value, dict):
        return [str(option).strip() for option, ticked in value.items() if ticked is True or ticked == "true"]
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    return [text] if text else []


def _options(content: Any, attribute: str) -> list[str]:
    """The options that a project declares for an attribute."""
    for key in ("_via_attributes", "region", attribute, "options"):
        content = content.get(key) if isinstance(content, dict) else None
    return [option.strip() for option in content if option.strip()] if isinstance(content, dict) else []


def _read_all(export: Export, attribute: str, left_out: Counter[str]) -> Iterator[ImageBuilder]:
    for file in export.source.with_suffix(".json"):
        broken = ImageBuilder(file, file=file)
        with broken.reading(""):
            entries = _entries(export.source.json(file))
            if not entries:
                left_out["JSON files that are not of the VGG Image Annotator"] += 1
        if broken.build().problems:
            yield broken
            continue
        for entry in entries:
            image = ImageBuilder("", subset=subset_of(file), file=file)
            _read_entry(image, entry, attribute)
            yield image


def _read_entry(image: ImageBuilder, entry: Mapping[str, Any], attribute: str) -> None:
    name = entry["filename"]
    image.name = name.strip() if isinstance(name, str) else ""
    if not image.name:
        image.problem("a picture has no filename")
    for index, region in numbered(_regions(entry)):
        with image.reading(f"region {index}"):
            shape = region.get("shape_attributes") if isinstance(region, dict) else None
            if not isinstance(shape, dict):
                raise BadAnnotation("it has no shape_attributes")
            kind = str(shape.get("name"))
            if kind in SHAPES:
                SHAPES[kind](image, shape, _class_of(region, attribute))
            else:
                image.skip(WITHOUT_AREA.get(kind, f"regions of the shape {kind[:40]}"), is_object=True)


def _class_of(region: Mapping[str, Any], attribute: str) -> str:
    if not attribute:
        return ONLY_CLASS
    chosen = _chosen(_attributes(region).get(attribute))
    if not chosen:
        raise BadAnnotation(f"its attribute {attribute!r}, which holds the class, is empty")
    if len(chosen) > 1:
        raise BadAnnotation(f"its attribute {attribute!r} has several values: {listed(chosen)}; a pixel has one class")
    return chosen[0]


def _add_polygon(image: ImageBuilder, shape: Mapping[str, Any], label: str) -> None:
    x, y = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        raise BadAnnotation("its all_points_x and all_points_y are not two lists of the same length")
    image.add_polygon(label, [list(zip(x, y, strict=True))])


def _add_box(image: ImageBuilder, shape: Mapping[str, Any], label: str) -> None:
    left, top, width, height = (number(shape.get(key)) for key in ("x", "y", "width", "height"))
    image.add_polygon(label, [box_outline(left, top, left + width, top + height)], kind="box")


def _add_circle(image: ImageBuilder, shape: Mapping[str, Any], label: str) -> None:
    x, y, radius = (number(shape.get(key)) for key in ("cx", "cy", "r"))
    image.add_polygon(label, [ellipse_outline(x, y, radius, radius)], kind="ellipse")


def _add_ellipse(image: ImageBuilder, shape: Mapping[str, Any], label: str) -> None:
    x, y, radius_x, radius_y = (number(shape.get(key)) for key in ("cx", "cy", "rx", "ry"))
    # Radians, clockwise on the screen, as a canvas draws it; absent in old versions.
    theta = math.degrees(number(shape.get("theta") or 0))
    image.add_polygon(label, [ellipse_outline(x, y, radius_x, radius_y, theta)], kind="ellipse")


SHAPES: dict[str, Callable[[ImageBuilder, Mapping[str, Any], str], None]] = {
    "polygon": _add_polygon,
    "rect": _add_box,
    "circle": _add_circle,
    "ellipse": _add_ellipse,
}
