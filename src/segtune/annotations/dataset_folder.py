"""The dataset folder: train/ and val/, each with Images/ and Labels/, and classes.yaml. What lies where, and pairs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segtune.classes import CLASSES_FILE, IGNORE, ClassTable, numbered_classes, read_classes
from segtune.errors import DataError, UserError, listed
from segtune.pictures import PICTURE_SUFFIXES, read_labels

SPLITS = ("train", "val")
ALL_SPLITS = (*SPLITS, "test")
"""A test split is what an export may have beside the two that a training needs."""

IMAGES, LABELS = "Images", "Labels"
LAYOUT = "Expected: train/Images, train/Labels, val/Images, val/Labels; 'segtune convert' makes this from an export."


@dataclass(frozen=True)
class Pair:
    """A picture and its label image.

    Attributes:
        stem: Their common name, without suffix.
        picture: Path of the picture.
        labels: Path of the label image, a PNG.
    """

    stem: str
    picture: Path
    labels: Path


def find_pairs(dataset: Path, split: str) -> list[Pair]:
    """The pictures of a split with their label images, by name.

    Raises:
        DataError: Folders are missing, or pictures and label images don't pair up; all is told at once.
    """
    images, labels = dataset / split / IMAGES, dataset / split / LABELS
    missing = [f"{folder} is missing" for folder in (dataset, images, labels) if not folder.is_dir()]
    if missing:
        raise DataError(f"{dataset} is not a dataset folder with a split {split!r}:", missing, LAYOUT)
    pictures = _by_stem(images, PICTURE_SUFFIXES)
    label_images = _by_stem(labels, frozenset({".png"}))
    problems = [
        f"{listed(path.name for path in paths)} in {paths[0].parent} have the same name but for the suffix"
        for paths in [*pictures.values(), *label_images.values()]
        if len(paths) > 1
    ]
    problems += [
        f"{pictures[stem][0]} has no label image {stem}.png" for stem in sorted(pictures.keys() - label_images.keys())
    ]
    problems += [f"{label_images[stem][0]} has no picture" for stem in sorted(label_images.keys() - pictures.keys())]
    if not pictures and not label_images:
        problems.append(f"{images} holds no pictures")
    if problems:
        raise DataError(
            f"The pictures and label images of {dataset / split} don't pair up:",
            problems,
            "Label what has no labels, or take it out of the dataset.",
        )
    return [Pair(stem, pictures[stem][0], label_images[stem][0]) for stem in sorted(pictures)]


def is_dataset_folder(path: Path) -> bool:
    """Whether a folder has the layout of a dataset folder, whole or in part."""
    return any((path / split / IMAGES).is_dir() for split in SPLITS) or (path / CLASSES_FILE).is_file()


def find_split(dataset: Path) -> dict[str, str]:
    """The split that each picture of a dataset folder is in, by its name without suffix.

    Raises:
        UserError: It is no dataset folder.
    """
    if not any((dataset / split / IMAGES).is_dir() for split in SPLITS):
        raise UserError(f"{dataset} is not a dataset folder.", LAYOUT)
    folders = [(split, dataset / split / IMAGES) for split in ALL_SPLITS if (dataset / split / IMAGES).is_dir()]
    return {stem: split for split, folder in folders for stem in _by_stem(folder, PICTURE_SUFFIXES)}


def _by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, list[Path]]:
    """Files of a folder by their name without suffix; hidden files and other kinds are left out."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            found[path.stem].append(path)
    return found


def dataset_classes(dataset: Path, num_classes: int | None = None, ignore_value: int | None = None) -> ClassTable:
    """The classes of a dataset folder: those of classes.yaml, or ``num_classes`` without names.

    Args:
        dataset: The dataset folder.
        num_classes: Where given, classes.yaml must agree with it.
        ignore_value: Where given, it replaces the table's.

    Raises:
        UserError: Neither is there, or they contradict each other.
    """
    if not dataset.is_dir():
        raise UserError(f"There is no dataset folder {dataset}.", LAYOUT)
    path = dataset / CLASSES_FILE
    if not path.exists():
        if num_classes is None:
            raise _unknown_classes(dataset, ignore_value)
        return numbered_classes(num_classes, IGNORE if ignore_value is None else ignore_value)
    table = read_classes(path)
    if num_classes not in {None, table.num_classes}:
        raise UserError(
            f"--num-classes is {num_classes}, but {path} names {table.num_classes} classes: {listed(table.names)}.",
            "Leave --num-classes away, or mend classes.yaml.",
        )
    return table if ignore_value is None else replace(table, ignore_value=ignore_value)


def _unknown_classes(dataset: Path, ignore_value: int | None) -> UserError:
    """The error for a dataset without classes.yaml, with the number that the label values suggest."""
    values = _label_values([pair.labels for split in SPLITS for pair in find_pairs(dataset, split)])
    ids = [value for value in values if value not in {IGNORE, ignore_value}]
    suggestion = f" The label images hold the values {listed(values, 20)}: probably --num-classes {max(ids) + 1}."
    return UserError(
        f"{dataset} has no {CLASSES_FILE}, and --num-classes is not given.{suggestion if ids else ''}",
        "Give --num-classes (and --ignore-value, if a value stands for 'not labelled'), or write a classes.yaml.",
    )


def _label_values(paths: Sequence[Path]) -> list[int]:
    """All values that occur in label images."""
    seen = np.zeros(256, bool)
    for path in paths:
        seen |= np.bincount(read_labels(path).ravel(), minlength=256) > 0
    return [int(value) for value in np.flatnonzero(seen)]
