"""Ultralytics' YOLO segmentation -> Annotations: CVAT's, Roboflow's and Ultralytics' own layouts.

Source: https://docs.ultralytics.com/datasets/segment/. A text file a picture, a line an object: class, then x and y of
each point as shares of width and height. CVAT bridges the holes of masks by a cut, and adds a track's number at the
end of a line.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import yaml

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, DeclaredClass
from segtune.annotations.export import Export
from segtune.annotations.image_builder import BadAnnotation, ImageBuilder, box_outline, number, numbered, subset_of
from segtune.annotations.source import ExportSource
from segtune.errors import UserError

MAX_YAML_BYTES = 2**20
MAX_SHARE = 10.0
"""Shares of the picture's size far beyond 1 are pixels, or nonsense."""
LISTS = re.compile(r"(train|val|valid|test|classes|obj_names|labels|readme.*|license|requirements)\.txt", re.I)


def is_yolo(source: ExportSource) -> bool:
    """Whether the export is YOLO's: a data.yaml with names, or text files of numbers in folders called labels."""
    if any(_names_of(source, name) for name in _yaml_files(source)):
        return bool(_label_files(source))
    return any(
        "labels" in name.lower().split("/")[:-1] and re.match(rb"\s*\d+( +-?[\d.e-]+){4,}", source.read(name, 4096))
        for name in _label_files(source)[:20]
    )


def _yaml_files(source: ExportSource) -> list[str]:
    return [name for name in source.with_suffix(".yaml", ".yml") if PurePosixPath(name).stem.lower() != "classes"]


def _label_files(source: ExportSource) -> list[str]:
    return [
        name
        for name in source.with_suffix(".txt")
        if not LISTS.fullmatch(PurePosixPath(name).name) or "labels" in name.lower().split("/")[:-1]
    ]


def _names_of(source: ExportSource, name: str) -> list[str]:
    """The class names of a data.yaml, by place; empty where it has none."""
    text = source.text(name)
    # Anchors can make a small file endless.
    if len(text) > MAX_YAML_BYTES or re.search(r"(:|-)\s+[&*]\w", text):
        return []
    try:
        content: Any = yaml.safe_load(text)
        names = content["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        by_place = {int(place): str(label) for place, label in pairs}
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return []
    if not by_place or min(by_place) < 0 or max(by_place) > 10_000:
        return []
    return [by_place.get(place, f"class_{place}") for place in range(max(by_place) + 1)]


def read_yolo(export: Export) -> Annotations:
    """Read YOLO's label files.

    Raises:
        UserError: Nothing names the classes.
    """
    source = export.source
    names = next(
        (names for name in _yaml_files(source) if (names := _names_of(source, name))), list(export.class_names)
    )
    for name in source.names:
        if not names and PurePosixPath(name).name.lower() in {"classes.txt", "obj.names"}:
            names = [line.strip() for line in source.text(name).splitlines() if line.strip()]
    if not names:
        raise UserError(
            f"{source.path} has YOLO's label files, but no data.yaml that names the classes.",
            "Put the data.yaml beside them, or give the names in the order of their numbers: --classes car,person",
        )
    return Annotations(partial(_images, export, names), [DeclaredClass(name.strip()) for name in names])


def _images(export: Export, names: list[str]) -> Iterator[AnnotatedImage]:
    for file in _label_files(export.source):
        # labels/train/a.txt is about images/train/a.jpg.
        stem = re.sub(r"(^|/)labels(/|$)", r"\1images\2", PurePosixPath(file).with_suffix("").as_posix())
        image = ImageBuilder(stem, subset=subset_of(file), file=file)
        with image.reading(""):
            picture = export.pictures.find(stem, image.subset, file)
            if picture is not None:
                image.name, image.picture = picture, picture
                image.size = export.pictures.size(picture)
                for index, line in numbered(export.source.text(file).splitlines()):
                    with image.reading(f"line {index}"):
                        _add(image, line.split(), names, image.size)
        yield image.build()


def _add(image: ImageBuilder, words: list[str], names: list[str], size: tuple[int, int]) -> None:
    if not words:
        return
    if not words[0].isdigit() or int(words[0][:9]) >= len(names):
        raise BadAnnotation(f"the class is {words[0][:40]!r}, but there are {len(names)} classes, counted from 0")
    label = names[int(words[0])]
    shares = np.array([number(word, 1e9) for word in words[1:]])
    if len(shares) == 4:
        x, y, width, height = shares * [size[1], size[0], size[1], size[0]]
        image.add_polygon(
            label, [box_outline(x - width / 2, y - height / 2, x + width / 2, y + height / 2)], kind="box"
        )
        return
    # An odd number: the last is a track's.
    shares = shares[: len(shares) // 2 * 2].reshape(-1, 2)
    if (np.abs(shares) > MAX_SHARE).any():
        raise BadAnnotation("its coordinates are no shares of the picture's width and height")
    image.add_polygon(label, [shares * [size[1], size[0]]])
