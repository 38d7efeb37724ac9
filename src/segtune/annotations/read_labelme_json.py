"""labelme's JSON, a file a picture -> Annotations. X-AnyLabeling and others write the same with more keys.

Source: https://github.com/wkentaro/labelme, labelme/_label_file.py and labelme/utils/shape.py. Old files have no
version, no shape_type (they only knew polygons) and no size. A later shape lies on top. Shapes of one group_id are
parts of an object: for classes of pixels, shapes like any.
"""

import math
import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import Annotations
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    box_outline,
    built,
    class_name,
    ellipse_outline,
    numbered,
    picture_size,
    subset_of,
    to_points,
)
from segtune.annotations.json_values import from_base64, probed_json
from segtune.annotations.mask_picture import mask_runs, picture_mask
from segtune.annotations.picture_index import ELSEWHERE
from segtune.annotations.source import ExportSource

OTHER_KEYS = frozenset({"version", "flags", "imagePath", "imageData", "imageHeight", "imageWidth"})
"""Each of labelme's files has some of these beside its shapes."""

WITHOUT_AREA = {"line": "lines", "linestrip": "polylines", "point": "points", "points": "points"}


def is_labelme_json(source: ExportSource) -> bool:
    """Whether the export is labelme's JSON."""
    return any(_is_labelme(content) for content in probed_json(source, b'"shapes"'))


def _is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and bool(OTHER_KEYS & content.keys())


def read_labelme_json(export: Export) -> Annotations:
    """Read labelme's JSON."""
    return Annotations(partial(built, partial(_read_all, export)))


def _read_all(export: Export, left_out: Counter[str]) -> Iterator[ImageBuilder]:
    for name in export.source.with_suffix(".json"):
        image = ImageBuilder(name, subset=subset_of(name), file=name)
        with image.reading(""):
            content = export.source.json(name)
            if not _is_labelme(content):
                left_out["JSON files that are not labelme's"] += 1
                continue
            _read_file(export, image, content)
        yield image


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
    beside = stated if ELSEWHERE.match(stated) else posixpath.normpath(posixpath.join(folder, stated))
    names = [beside] if stated else []
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
        image.skip(WITHOUT_AREA.get(kind, f"shapes of the type {kind[:40]}"), is_object=True)


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


def _add_turned_rectangle(image: ImageBuilder, shape: Mapping[str, Any], label: str) -> None:
    image.add_polygon(label, [_points(shape)], kind="box")


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
    "oriented_rectangle": _add_turned_rectangle,
    "rotation": _add_turned_rectangle,  # X-AnyLabeling's name for it
    "circle": _add_circle,
    "mask": _add_mask,
}
