"""Cityscapes' label images -> Annotations: the data set's own, and CVAT's "Cityscapes 1.0" with other classes."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import AnnotatedImage, Annotations
from segtune.annotations.class_files import read_class_file
from segtune.annotations.export import Export
from segtune.annotations.image_builder import subset_of
from segtune.annotations.label_image import LabelTable, channels, decode, make_table
from segtune.annotations.mask_pairs import LabelFile
from segtune.annotations.read_label_images import label_annotations, label_images
from segtune.annotations.source import ExportSource
from segtune.classes import Color

CITYSCAPES: tuple[tuple[int, str, Color], ...] = (
    (7, "road", (128, 64, 128)), (8, "sidewalk", (244, 35, 232)), (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)), (13, "fence", (190, 153, 153)), (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)), (20, "traffic sign", (220, 220, 0)), (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)), (23, "sky", (70, 130, 180)), (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)), (27, "truck", (0, 0, 70)), (28, "bus", (0, 60, 100)), (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)), (33, "bicycle", (119, 11, 32)),
)  # fmt: skip
"""The classes that count, with their labelIds; all other ids are void. Source:
https://github.com/mcordts/cityscapesScripts, helpers/labels.py."""

CITYSCAPES_VOID: tuple[Color, ...] = (
    (0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180), (150, 100, 100),
    (150, 120, 90), (0, 0, 90), (0, 0, 110),
)  # fmt: skip
"""The colours of classes that don't count."""

CITYSCAPES_FILE = re.compile(r"(.+)_gt(?:Fine|Coarse)_(labelTrainIds|labelIds|instanceIds|color)\.png$")
CITYSCAPES_KINDS = ("labelTrainIds", "labelIds", "instanceIds", "color")
"""The first that a picture has counts."""


def is_cityscapes(source: ExportSource) -> bool:
    """Whether the export is Cityscapes' layout."""
    return any(CITYSCAPES_FILE.match(name) for name in source.with_suffix(".png"))


def read_cityscapes(export: Export) -> Annotations:
    """Read it: CVAT's with its label_colors.txt, whose lines the values count; else the data set's own 19 classes.

    Raises:
        UserError: label_colors.txt gives two classes one colour.
    """
    table = read_class_file(export.source, r"label_colors?\.txt")
    files = partial(_cityscapes_files, export, own_classes=table is not None)
    if table is not None:
        return label_annotations(export, files, table, _cityscapes_values)
    train_ids = [(index, name, color) for index, (_, name, color) in enumerate(CITYSCAPES)]
    # What is neither, the 19 and all above, never counts.
    rest = [(value, None, None) for value in range(len(CITYSCAPES), 256)]
    counted = {value for value, _, _ in CITYSCAPES}
    label_ids = [*CITYSCAPES, *((value, None, None) for value in range(256) if value not in counted)]
    by_kind = {
        "labelTrainIds": make_table([*train_ids, *rest]),
        "labelIds": make_table([*label_ids, *((None, None, color) for color in CITYSCAPES_VOID)]),
    }
    return Annotations(partial(_cityscapes_images, export, files, by_kind), by_kind["labelIds"].declared, complete=True)


def _cityscapes_images(
    export: Export, files: Callable[[], Iterable[LabelFile]], by_kind: dict[str, LabelTable]
) -> Iterator[AnnotatedImage]:
    for file in files():
        table = by_kind["labelTrainIds" if "labelTrainIds" in file.labels else "labelIds"]
        yield from label_images(export, lambda file=file: [file], table, _cityscapes_values)  # type: ignore[misc]


def _cityscapes_values(content: bytes, name: str) -> npt.NDArray[np.integer]:
    """Class values; instanceIds of single objects are a thousand times the class, and a number."""
    values = channels(decode(content, name))
    return np.where(values >= 1000, values // 1000, values) if "instanceIds" in name and values.ndim == 2 else values


def _cityscapes_files(export: Export, own_classes: bool) -> list[LabelFile]:
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    for name in export.source.with_suffix(".png"):
        if found := CITYSCAPES_FILE.match(name):
            kinds[found[1]][found[2]] = name
    order = CITYSCAPES_KINDS[1:] + CITYSCAPES_KINDS[:1] if own_classes else CITYSCAPES_KINDS
    files = []
    for stem, names in kinds.items():
        labels = next(names[kind] for kind in order if kind in names)
        # …/gtFine/train/city/a -> train/city/a_leftImg8bit.png
        parts = PurePosixPath(stem).parts
        place = next((i for i, part in enumerate(parts) if part in {"gtFine", "gtCoarse"}), -1)
        frame, subset = "/".join(parts[place + 1 :]), subset_of(labels)
        own = f"{frame}_leftImg8bit.png"
        # Pictures from elsewhere have the names that CVAT's task has.
        plain = export.pictures.find(own, subset, labels) is None and export.pictures.find(frame, subset, labels)
        files.append(LabelFile(frame if plain else own, labels, subset=subset))
    return files
