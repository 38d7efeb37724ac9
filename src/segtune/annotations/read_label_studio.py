"""Label Studio's JSON and JSON-MIN -> Annotations.

Source: https://labelstud.io/guide/export, https://labelstud.io/tags and the label-studio-sdk. A region is a result of
an annotation; its numbers are percent of the picture. Results of several controls, as a polygon and its label, share an
id.
"""

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import Annotations
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    built,
    class_name,
    ellipse_outline,
    number,
    picture_size,
    rotate,
    subset_of,
    to_points,
)
from segtune.annotations.json_values import as_list, from_base64, probed_json
from segtune.annotations.mask_picture import mask_runs, picture_mask
from segtune.annotations.source import ExportSource
from segtune.errors import listed
from segtune.pictures import PICTURE_SUFFIXES

AREAS = ("polygon", "rectangle", "ellipse", "brush", "bitmask")
AREA_LABELS = frozenset(f"{area}labels" for area in AREAS)

WITHOUT_AREA = {
    "keypoint": "points", "vector": "polylines", "choices": "choices", "taxonomy": "choices", "textarea": "texts",
    "number": "numbers", "rating": "ratings", "relation": "relations",
}  # fmt: skip
"""Kinds of results that cover no pixels, less a final 'labels', and how they are called in the report."""
GEOMETRIES = frozenset({"keypoint", "vector"})
"""Those of them that are drawn on a picture."""

MAX_PROBED_TASKS = 100

UPLOAD = re.compile(r"(data/)?upload/\d+/")

CHANNELS = 4
"""Masks are stored as RGBA; the last channel is the mask."""


def is_label_studio(source: ExportSource) -> bool:
    """Whether the export is Label Studio's."""
    with_tasks = any(map(_is_of_format, probed_json(source, b'"data"')))
    return with_tasks or any(map(_is_of_format, probed_json(source, b'labels"')))


def _is_of_format(content: Any) -> bool:
    return any(_is_task(item) or _is_record(item) for item in _items(content)[:MAX_PROBED_TASKS])


def _items(content: Any) -> list[Any]:
    """The tasks of a file: a list of them, or one."""
    return content if isinstance(content, list) else [content]


def _is_task(item: Any) -> bool:
    """Whether this is a task of the JSON export."""
    keys = ("annotations", "completions", "predictions")
    return (
        isinstance(item, dict)
        and isinstance(item.get("data"), dict)
        and any(isinstance(item.get(key), list) for key in keys)
    )


def _is_record(item: Any) -> bool:
    """Whether this is an annotation of the JSON-MIN export: the task's data, with a list of regions by control."""
    return isinstance(item, dict) and any(True for _ in _record_regions(item))


def _record_regions(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for values in record.values():
        for value in values if isinstance(values, list) else ():
            if isinstance(value, dict) and (AREA_LABELS & value.keys() or {"labels", "original_width"} <= value.keys()):
                yield value


def read_label_studio(export: Export) -> Annotations:
    """Read Label Studio's JSON or JSON-MIN."""
    return Annotations(partial(built, partial(_read_all, export)))


def _read_all(export: Export, left_out: Counter[str]) -> Iterator[ImageBuilder]:
    is_empty = True
    for file in export.source.with_suffix(".json"):
        for image in _images_of_file(export, file, left_out):
            is_empty = False
            yield image
    if is_empty:
        nothing = ImageBuilder(export.source.path.name)
        nothing.problem("none of its tasks has annotations; only predictions, or nothing, is there")
        yield nothing


def _images_of_file(export: Export, file: str, left_out: Counter[str]) -> Iterator[ImageBuilder]:
    broken = ImageBuilder(file, file=file)
    with broken.reading(""):
        items = _items(export.source.json(file))
        if not any(isinstance(item, dict) and (_is_task(item) or "data" in item) for item in items):
            yield from _images_of_records(export, file, items, left_out)
            return
        for item in items:
            if not isinstance(item, dict):
                broken.problem(f"a task is {str(item)[:40]!r}, expected an object")
            elif not _is_annotated(item):
                left_out["tasks without annotations"] += 1
            else:
                image = ImageBuilder("", subset=subset_of(file), file=file)
                _read_task(export, image, item)
                yield image
    if broken.build().problems:
        yield broken


def _images_of_records(export: Export, file: str, items: list[Any], left_out: Counter[str]) -> Iterator[ImageBuilder]:
    """JSON-MIN has a record an annotation: those of one task stand side by side, or anywhere."""
    tasks: dict[str, list[Mapping[str, Any]]] = {}
    for index, item in enumerate(items):
        if not isinstance(item, dict) or not (_is_record(item) or "annotation_id" in item or "annotator" in item):
            left_out["entries that are no annotations"] += 1
            continue
        key = item.get("id")
        tasks.setdefault(repr(key) if isinstance(key, int | str) else f"record {index}", []).append(item)
    for records in tasks.values():
        record = max(records, key=_age)
        image = ImageBuilder("", subset=subset_of(file), file=file)
        if len(records) > 1:
            image.skip("annotations of other annotators", len(records) - 1)
        names = _picture_names({key: value for key, value in record.items() if isinstance(value, str)})
        _read_results(export, image, names, [{**value, "value": value} for value in _record_regions(record)])
        yield image


def _is_annotated(task: Mapping[str, Any]) -> bool:
    """Whether somebody has submitted an annotation, be it one of nothing; what is no list is told when it is read."""
    annotations = task.get("annotations", task.get("completions", []))
    return not isinstance(annotations, list) or not all(map(_is_cancelled, annotations))


def _is_cancelled(annotation: Any) -> bool:
    return isinstance(annotation, dict) and bool(annotation.get("was_cancelled") or annotation.get("skipped"))


def _read_task(export: Export, image: ImageBuilder, task: Mapping[str, Any]) -> None:
    data, upload = task.get("data"), task.get("file_upload")
    names = _picture_names(data if isinstance(data, dict) else {})
    names += [upload] if isinstance(upload, str) and upload not in names else []
    for key, reason in (("predictions", "predictions of models"), ("drafts", "drafts")):
        values = task.get(key)
        if isinstance(values, list) and values:
            image.skip(reason, len(values))
    annotations = task.get("annotations", task.get("completions"))
    with image.reading(f"task {task.get('id')}"):
        if not isinstance(annotations, list) or not all(isinstance(entry, dict) for entry in annotations):
            image.name = names[0] if names else image.file
            raise BadAnnotation("its annotations are no list of objects")
        valid = [entry for entry in annotations if not _is_cancelled(entry)]
        if len(valid) < len(annotations):
            image.skip("cancelled annotations", len(annotations) - len(valid))
        if len(valid) > 1:
            image.skip("annotations of other annotators", len(valid) - 1)
        results = max(valid, key=_age).get("result") if valid else []
        if not isinstance(results, list):
            results = [results]
        _read_results(export, image, names, results, str(task.get("id", "")))


def _age(annotation: Mapping[str, Any]) -> tuple[str, float]:
    """What orders annotations by their age: the time of the last change, then the number."""
    times = (annotation.get(key) for key in ("updated_at", "created_at"))
    own = annotation.get("annotation_id", annotation.get("id"))
    return next((str(time) for time in times if time), ""), own if isinstance(own, int) and abs(own) < 2**53 else 0


def _picture_names(data: Mapping[str, Any]) -> list[str]:
    """The picture that a task's data names, as a path: the likeliest first."""
    flat = {str(key): value[0] if isinstance(value, list) and len(value) == 1 else value for key, value in data.items()}
    paths = {key: path for key, value in flat.items() if isinstance(value, str) and (path := _path(value))}
    pictures = [key for key in paths if PurePosixPath(paths[key]).suffix.lower() in PICTURE_SUFFIXES]
    # Cloud storage may serve pictures under names without a suffix.
    named = [key for key in paths if key.lower() in {"image", "img", "picture", "photo", "url", "ocr", "captioning"}]
    order = sorted(pictures, key=lambda key: key not in named) + named
    return list(dict.fromkeys(paths[key] for key in order))


def _path(text: str) -> str:
    """The path of a picture that a URL, an upload, or a file of a storage names; or an empty string."""
    text = text.strip().replace("\\", "/")
    if "://" not in text and not text.startswith(("/data/", "/tasks/")):
        return text.lstrip("/")
    scheme, _, rest = text.partition("://")
    if rest and not scheme.lower().startswith("http"):
        return rest.partition("/")[2]  # s3://bucket/a b?.jpg is no URL: nothing in it is escaped
    try:
        parts = urlsplit(text)
        query = parse_qs(parts.query)
    except ValueError:
        return text.rpartition("/")[2]
    if "d" in query:  # /data/local-files/?d=folder/a.jpg
        return query["d"][0].replace("\\", "/").lstrip("/")
    if "fileuri" in query:  # /tasks/1/presign/?fileuri=czM6Ly9idWNrZXQvYS5qcGc=, the storage's own address in base64
        with suppress(ValueError):
            # A plus that nobody escaped is read as a blank.
            packed = query["fileuri"][0].replace(" ", "+").replace("+", "-").replace("/", "_")
            return _path(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode())
    return unquote(parts.path).lstrip("/")


def _find_picture(export: Export, image: ImageBuilder, names: Sequence[str]) -> None:
    """Name the picture by what is there: with the eight digits that Label Studio puts before a name, or without."""
    if not names:
        raise BadAnnotation("it names no picture")
    image.name = names[0]
    for name in names:
        # Uploads lie in folders by project; the folders of other paths are those of a server or storage.
        folder, slash, own = ("", "", PurePosixPath(name).name) if UPLOAD.match(name) else f"/{name}".rpartition("/")
        plain = re.sub(r"^[0-9a-f]{8}-(?=.)", "", own)
        for candidate in dict.fromkeys((folder + slash + own, folder + slash + plain)):
            picture = export.pictures.find(candidate, image.subset, image.file)
            if picture:
                image.name, image.picture = name, picture
                return


def _read_results(
    export: Export, image: ImageBuilder, names: Sequence[str], results: Sequence[Any], task: str = ""
) -> None:
    with image.reading(f"task {task}".strip()):
        image.name = image.file
        _find_picture(export, image, names)
    regions = [result for result in results if isinstance(result, dict) and isinstance(result.get("value"), dict)]
    with image.reading(""):
        image.size = _stated_size(regions)
    size = image.size
    if size is None and image.picture and regions:
        with image.reading(""):
            size = export.pictures.size(image.picture)
    if any(result.get("image_rotation") for result in regions):
        image.problem(
            "the picture was turned in Label Studio (image_rotation); turn its file instead, and annotate again"
        )
    named_by = {str(result.get("to_name")) for result in regions if _area(result)}  # the tag of its picture
    if len(named_by) > 1 or any(result.get("item_index") for result in regions):
        image.problem("its task has several pictures; give each picture a task of its own")
    labels = _labels_by_region(results)
    # Results of the type 'labels' repeat the shape of a sibling of the same id, where there is one.
    shaped = {_region(result, index) for index, result in enumerate(results) if _area(result) and not _is_copy(result)}
    done: set[str] = set()
    for index, result in enumerate(results):
        if not isinstance(result, dict):
            image.problem(f"result {index + 1} is {str(result)[:40]!r}, expected an object")
            continue
        region, area = _region(result, index), _area(result)
        if area and (region in done or (region in shaped and _is_copy(result))):
            continue
        with image.reading(f"region {region} ({listed(labels.get(region, []))[:60]})"):
            if area:
                done.add(region)
                _add(image, result["value"], area, labels[region], size)
            else:
                kind = str(result.get("type")).removesuffix("labels")
                reason = WITHOUT_AREA.get(kind, f"results of the type {str(result.get('type'))[:40]}")
                image.skip(reason, is_object=kind in GEOMETRIES)


def _is_copy(result: Mapping[str, Any]) -> bool:
    return result.get("type") == "labels"


def _region(result: Any, index: int) -> str:
    """A region's id; its number where it has none."""
    own = result.get("id") if isinstance(result, dict) else None
    return str(own) if isinstance(own, str | int) and own != "" else f"number {index + 1}"


def _stated_size(regions: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """The original height and width that the regions state.

    Raises:
        BadAnnotation: They differ, or are none.
    """
    keys = ("original_height", "original_width")
    sizes = [picture_size(*(region[key] for key in keys)) for region in regions if all(region.get(key) for key in keys)]
    if len(set(sizes)) > 1:
        raise BadAnnotation("its regions state different original sizes of the picture")
    return sizes[0] if sizes else None


def _area(result: Any) -> str:
    """Which of AREAS a result is; empty for none of them. JSON-MIN and the type 'labels' don't say."""
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict):
        return ""
    kind = result.get("type")
    if isinstance(kind, str) and kind != "labels":
        area = kind.removesuffix("labels")
        return area if area in AREAS else ""
    stated = next((area for area in AREAS if f"{area}labels" in value), "")
    by_keys = (
        ("brush", {"rle"}), ("bitmask", {"imageDataURL"}), ("polygon", {"points"}), ("ellipse", {"radiusX", "radiusY"}),
        ("rectangle", {"width", "height"}),
    )  # fmt: skip
    return stated or next((area for area, keys in by_keys if keys <= value.keys()), "")


def _labels_by_region(results: Sequence[Any]) -> dict[str, list[Any]]:
    """The labels that any control gives to a region."""
    labels: dict[str, list[Any]] = {}
    for index, result in enumerate(results):
        value = result.get("value") if isinstance(result, dict) else None
        if isinstance(value, dict):
            found = labels.setdefault(_region(result, index), [])
            for key in ("labels", *sorted(AREA_LABELS)):
                given = value.get(key)
                found += [label for label in (given if isinstance(given, list) else [given]) if label is not None]
    return {region: list({repr(label): label for label in found}.values()) for region, found in labels.items()}


def _add(
    image: ImageBuilder, value: Mapping[str, Any], area: str, labels: Sequence[Any], size: tuple[int, int] | None
) -> None:
    if not labels:
        image.skip("objects without a label", is_object=True)
        return
    if len(labels) > 1:
        raise BadAnnotation("it has several labels; a pixel has one class")
    label = class_name(labels[0])
    if size is not None:  # else its picture is missing, which is told
        SHAPES[area](image, value, label, size)


def _percent(value: Mapping[str, Any], key: str, whole: int) -> float:
    return number(value.get(key)) * whole / 100


def _add_polygon(image: ImageBuilder, value: Mapping[str, Any], label: str, size: tuple[int, int]) -> None:
    image.add_polygon(label, [to_points(value.get("points")) * (size[1] / 100, size[0] / 100)])


def _add_rectangle(image: ImageBuilder, value: Mapping[str, Any], label: str, size: tuple[int, int]) -> None:
    left, width = _percent(value, "x", size[1]), _percent(value, "width", size[1])
    top, height = _percent(value, "y", size[0]), _percent(value, "height", size[0])
    corners = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]])
    turned = rotate(corners, (left, top), number(value.get("rotation") or 0))
    image.add_polygon(label, [turned], kind="box")


def _add_ellipse(image: ImageBuilder, value: Mapping[str, Any], label: str, size: tuple[int, int]) -> None:
    x, radius_x = _percent(value, "x", size[1]), _percent(value, "radiusX", size[1])
    y, radius_y = _percent(value, "y", size[0]), _percent(value, "radiusY", size[0])
    outline = ellipse_outline(x, y, radius_x, radius_y, number(value.get("rotation") or 0))
    image.add_polygon(label, [outline], kind="ellipse")


def _add_mask(image: ImageBuilder, value: Mapping[str, Any], label: str, size: tuple[int, int]) -> None:
    picture = value.get("imageDataURL") or value.get("maskDataURL")
    pixels = decode_brush(value["rle"], *size) if "rle" in value else picture_mask(from_base64(picture), size)
    if pixels.any():
        image.add(label, mask_runs(pixels), "mask")
    else:
        image.skip("empty masks")


SHAPES: dict[str, Callable[[ImageBuilder, Mapping[str, Any], str, tuple[int, int]], None]] = {
    "polygon": _add_polygon,
    "rectangle": _add_rectangle,
    "ellipse": _add_ellipse,
    "brush": _add_mask,
    "bitmask": _add_mask,
}


def decode_brush(rle: Any, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Decode a brush's mask.

    Source: thi.ng/rle-pack, https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack. A stream of bits: 32
    with the number of words; 5 with the bits of a word less 1; four times 4 with the bits of a counter less 1. Then
    parts: a bit that says whether it is a run, 2 bits for which counter, the counter with the number of words less 1;
    of a run one word follows, else all of them. A step here is a part, not a bit, and only the last channel is kept.

    Args:
        rle: The list of bytes; words are channels of the RGBA of the whole picture.
        height: Of the picture.
        width: Of the picture.

    Returns:
        bool (height, width): where the picture of the mask is not transparent.

    Raises:
        BadAnnotation: It is no such mask of this size.
    """
    data = _brush_bytes(rle)
    total = height * width * CHANNELS
    mask = np.zeros(height * width, np.bool_)
    if not data:
        return mask.reshape(height, width)
    header = int.from_bytes(data[:8], "big") if len(data) >= 8 else 0
    num_words, word_bits = header >> 32, (header >> 27 & 31) + 1
    counter_bits = [(header >> shift & 15) + 1 for shift in (23, 19, 15, 11)]
    if num_words != total or word_bits != 8:
        raise BadAnnotation(
            f"its brush mask holds {num_words} numbers of {word_bits} bits, but a picture of {width} x {height} has"
            f" {total} of 8"
        )
    values = np.frombuffer(data, np.uint8)
    num_bits = 8 * len(data)
    place, done = 32 + 5 + 16, 0
    while done < total:
        # A run is at most 7 bits into its first byte, and 3 + 16 + 8 bits long.
        byte = place >> 3
        window = int.from_bytes(data[byte : byte + 5].ljust(5, b"\0"), "big") << (place & 7) & 0xFFFFFFFFFF
        bits = counter_bits[window >> 37 & 3]
        end = min(done + 1 + (window >> (37 - bits) & ((1 << bits) - 1)), total)
        place += 3 + bits
        if window >> 39:
            if window >> (29 - bits) & 0xFF:
                mask[done // CHANNELS : end // CHANNELS] = True
            place += 8
        else:
            words = _words(values, place, end - done)
            mask[done // CHANNELS : end // CHANNELS] = words[(CHANNELS - 1 - done) % CHANNELS :: CHANNELS] != 0
            place += 8 * (end - done)
        if place > num_bits:
            raise BadAnnotation("its brush mask is cut short")
        done = end
    return mask.reshape(height, width)


def _brush_bytes(rle: Any) -> bytes:
    try:
        return bytes(as_list(rle, "its brush mask"))
    except (TypeError, ValueError, OverflowError) as error:
        raise BadAnnotation("its brush mask is no list of bytes") from error


def _words(values: npt.NDArray[np.uint8], place: int, count: int) -> npt.NDArray[np.uint8]:
    """``count`` bytes that start at any bit; fewer where the data ends."""
    byte, shift = place >> 3, place & 7
    part = values[byte : byte + count + (shift > 0)]
    if len(part) < count + (shift > 0):
        raise BadAnnotation("its brush mask is cut short")
    if not shift:
        return part
    shifted: npt.NDArray[np.uint8] = (part[:-1] << np.uint8(shift)) | (part[1:] >> np.uint8(8 - shift))
    return shifted
