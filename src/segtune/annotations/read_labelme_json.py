"""labelme's JSON, a file a picture -> Annotations. X-AnyLabeling and others write the same with more keys.

Source: https://github.com/wkentaro/labelme, labelme/_label_file.py and labelme/utils/shape.py. Old files have no
version, no shape_type (they only knew polygons) and no size. A later shape lies on top. Shapes of one group_id are
parts of an object: for classes of pixels, shapes like any.
"""

import base64
import math
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, Runs
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    box_outline,
    class_name,
    ellipse_outline,
    numbered,
    picture_size,
    runs,
    subset_of,
    to_points,
)
from segtune.annotations.source import UNZIP_ERRORS, ExportSource
from segtune.errors import UserError
from segtune.pictures import DECODE_ERRORS, open_picture

MAX_PROBED = 24
"""So many of an export's JSON files are looked at to tell its format."""

OTHER_KEYS = frozenset({"version", "flags", "imagePath", "imageData", "imageHeight", "imageWidth"})
"""Each of labelme's files has some of these beside its shapes."""

WITHOUT_AREA = {"line": "lines", "linestrip": "polylines", "point": "points", "points": "points"}


def is_labelme_json(source: ExportSource) -> bool:
    """Whether the export is labelme's JSON."""
    return any(_is_labelme(content) for content in probed_json(source, b'"shapes"'))


def _is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and bool(OTHER_KEYS & content.keys())


def probed_json(source: ExportSource, *words: bytes) -> Iterator[Any]:
    """The contents of JSON files that have all ``words``, of an even selection; unreadable ones are left out.

    To look for words takes a hundredth of the time of parsing.
    """
    names = source.with_suffix(".json")
    for name in names[:: max(1, math.ceil(len(names) / MAX_PROBED))]:
        try:
            if _has_words(source, name, words):
                yield source.json(name)
        except UserError:
            continue  # reading the format that the others have tells what is wrong


def _has_words(source: ExportSource, name: str, words: Sequence[bytes]) -> bool:
    missing = set(words)
    tail = b""
    try:
        with source.open(name) as file:
            while missing and (chunk := file.read(2**20)):
                missing = {word for word in missing if word not in tail + chunk}
                tail = chunk[-64:]
    except UNZIP_ERRORS:
        return False
    return not missing


def read_labelme_json(export: Export) -> Annotations:
    """Read labelme's JSON."""
    return Annotations(partial(_images, export))


def _images(export: Export) -> Iterator[AnnotatedImage]:
    others = 0
    previous: ImageBuilder | None = None
    for name in export.source.with_suffix(".json"):
        image = ImageBuilder(name, subset=subset_of(name), file=name)
        with image.reading(""):
            content = export.source.json(name)
            if not _is_labelme(content):
                others += 1
                continue
            _read_file(export, image, content)
        if previous is not None:
            yield previous.build()
        previous = image
    if previous is not None:
        if others:
            previous.skip("JSON files that are not labelme's", others)
        yield previous.build()


def _read_file(export: Export, image: ImageBuilder, content: Mapping[str, Any]) -> None:
    _name_picture(export, image, content)
    with image.reading(""):
        height, width = content.get("imageHeight"), content.get("imageWidth")
        if height or width:
            image.size = picture_size(height, width)
    for index, shape in numbered(content["shapes"]):
        label = shape.get("label") if isinstance(shape, dict) else shape
        with image.reading(f"object {index} ({str(label)[:40]})"):
            if not isinstance(shape, dict):
                raise BadAnnotation("it is no object with label and points")
            _add(image, shape)


def _name_picture(export: Export, image: ImageBuilder, content: Mapping[str, Any]) -> None:
    """Name the picture by imagePath, which goes stale when files are moved; then by the JSON's own name."""
    stated = content.get("imagePath")
    stated = stated.replace("\\", "/").strip() if isinstance(stated, str) else ""
    folder, stem = posixpath.split(PurePosixPath(image.file).with_suffix("").as_posix())
    names = [posixpath.normpath(posixpath.join(folder, stated))] if stated else []
    names.append(posixpath.join(folder, stem + PurePosixPath(stated).suffix))
    image.name = stated or names[-1]
    found = (export.pictures.find(name, image.subset, image.file) for name in names)
    image.picture = next((picture for picture in found if picture), "")
    if not image.picture and isinstance(content.get("imageData"), str):
        image.problem(
            f"its picture {image.name} is not there; the JSON holds a copy (imageData), but the picture itself must lie"
            " beside the JSON, or in the folder of --images"
        )


def _add(image: ImageBuilder, shape: Mapping[str, Any]) -> None:
    """Add a shape; one that has no area is counted."""
    kind = str(shape.get("shape_type") or "polygon")
    if kind in SHAPES:
        SHAPES[kind](image, shape, class_name(shape.get("label")))
    else:
        image.skip(WITHOUT_AREA.get(kind, f"shapes of the type {kind[:40]}"))


def _points(shape: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    return to_points(shape.get("points"))


def _corners(shape: Mapping[str, Any], expected: Sequence[int] = (2,)) -> npt.NDArray[np.float64]:
    """The points of a shape that has a fixed number of them."""
    points = _points(shape)
    if len(points) not in expected:
        raise BadAnnotation(f"it has {len(points)} points, expected {expected[0]}")
    return points


def _add_polygon(image: ImageBuilder, shape: Mapping[str, Any], label: str) -> None:
    image.add_polygon(label, [_points(shape)])


def _add_rectangle(image: ImageBuilder, shape: Mapping[str, Any], label: str) -> None:
    # labelme writes any two opposite corners, newer X-AnyLabeling all four.
    points = _corners(shape, (2, 4))
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    image.add_polygon(label, [box_outline(left, top, right, bottom)], kind="box")


def _add_circle(image: ImageBuilder, shape: Mapping[str, Any], label: str) -> None:
    (x, y), edge = _corners(shape)
    radius = math.dist((x, y), edge)
    image.add_polygon(label, [ellipse_outline(x, y, radius, radius)], kind="ellipse")


def _add_mask(image: ImageBuilder, shape: Mapping[str, Any], label: str) -> None:
    # labelme cuts the corners to whole pixels; both are inside.
    (left, top), (right, bottom) = np.trunc(_corners(shape)).astype(int).tolist()
    size = bottom - top + 1, right - left + 1
    image.add(label, mask_runs(picture_mask(from_base64(shape.get("mask")), size), top, left), "mask")


SHAPES: dict[str, Callable[[ImageBuilder, Mapping[str, Any], str], None]] = {
    "polygon": _add_polygon,
    "rectangle": _add_rectangle,
    "oriented_rectangle": _add_polygon,
    "rotation": _add_polygon,  # X-AnyLabeling's name for it
    "circle": _add_circle,
    "mask": _add_mask,
}


def from_base64(text: Any) -> bytes:
    """Bytes of a text, which may be a data: URL.

    Raises:
        BadAnnotation: It is none.
    """
    if not isinstance(text, str) or not text:
        raise BadAnnotation("its mask is missing")
    try:
        return base64.b64decode(text[text.find(",") + 1 :] if text.startswith("data:") else text)
    except ValueError as error:
        raise BadAnnotation(f"its mask is not base64 ({error})") from error


def picture_mask(content: bytes, size: tuple[int, int] | None = None) -> npt.NDArray[np.bool_]:
    """A mask that is stored as a picture: what is not transparent; where nothing is, what is not black.

    Args:
        content: The picture file.
        size: The height and width that it must have; checked before it is decoded.

    Returns:
        bool (H, W).

    Raises:
        BadAnnotation: It is another size, or can't be decoded.
        UserError: It is no picture.
    """
    picture = open_picture(content, "its mask")
    if size is not None and (picture.height, picture.width) != size:
        raise BadAnnotation(f"its mask has {picture.width} x {picture.height} pixels, expected {size[1]} x {size[0]}")
    try:
        if picture.mode == "P" or "transparency" in picture.info:
            picture = picture.convert("RGBA")
        pixels = np.asarray(picture)
    except DECODE_ERRORS as error:
        raise BadAnnotation(f"its mask can't be decoded ({error})") from error
    if pixels.ndim == 2:
        return np.asarray(pixels != 0)
    if picture.mode in {"RGBA", "LA"}:
        if (pixels[:, :, -1] != 255).any():
            return np.asarray(pixels[:, :, -1] != 0)
        pixels = pixels[:, :, :-1]
    return np.asarray((pixels != 0).any(axis=2))


def mask_runs(pixels: npt.NDArray[np.bool_], top: int = 0, left: int = 0) -> Runs:
    """Covered pixels, bool (H, W), as runs, so that many large masks of a picture don't fill the memory."""
    flat = pixels.ravel()
    starts = [0, 0] if flat.size and flat[0] else [0]
    ends = np.concatenate([starts, np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    return runs(np.diff(ends), pixels.shape[0], pixels.shape[1], top, left)
