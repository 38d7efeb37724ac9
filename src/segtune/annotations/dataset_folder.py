"""The dataset folder: train/ and val/, each with Images/ and Labels/, and classes.yaml. What lies where, and pairs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segtune.annotations.findings import Finding, repair_command
from segtune.classes import CLASSES_FILE, IGNORE, ClassTable, numbered_classes, read_classes
from segtune.errors import DataError, UserError, listed
from segtune.files import RENAME_TO_UNICODE, is_unicode, name_key, printable
from segtune.pictures import PICTURE_SUFFIXES, read_labels

SPLITS = ("train", "val")
ALL_SPLITS = (*SPLITS, "test")
"""A test split is what an export may have beside the two that a training needs."""

IMAGES, LABELS = "Images", "Labels"
REPLACED = "replaced"
"""The folder of a dataset folder that keeps what merges have replaced: replaced/1/train/Labels/…"""
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


def find_pairs(dataset: Path, split: str, may_be_empty: bool = False) -> list[Pair]:
    """The pictures of a split with their label images, by name.

    Args:
        dataset: The dataset folder.
        split: Which split.
        may_be_empty: Whether it may be without pictures.

    Raises:
        DataError: Folders are missing, or pictures and label images don't pair up; all is told at once.
    """
    pairs, findings = scan_split(dataset, split)
    if may_be_empty:
        findings = [finding for finding in findings if finding.kind != "empty-split"]
    if findings:
        raise DataError(
            f"{dataset / split} is no split of a dataset folder as it is:",
            [finding.message for finding in findings],
            repair_command(dataset, findings) or LAYOUT,
        )
    return pairs


def scan_split(dataset: Path, split: str) -> tuple[list[Pair], list[Finding]]:
    """The pairs of a split, and what keeps other files from being pairs."""
    images, labels = dataset / split / IMAGES, dataset / split / LABELS
    folders = (images, labels) if dataset.is_dir() else (dataset,)
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        return [], [Finding("error", "missing-folder", f"{folder} is missing") for folder in missing]
    pictures, label_images = (_by_stem(folder, PICTURE_SUFFIXES) for folder in (images, labels))
    findings: list[Finding] = []

    def found(kind: str, message: str, paths: Sequence[Path], repair: str) -> None:
        names = tuple(path.relative_to(dataset).as_posix() for path in paths)
        findings.append(Finding("error", kind, message, names, repair))

    findings += [finding for folder in (images, labels) for finding in _odd_names(folder)]
    for paths in [*pictures.values(), *label_images.values()]:
        if len(paths) > 1:
            names = listed(path.name for path in paths)
            found("same-name", f"{names} in {paths[0].parent} have the same name but for the suffix", paths, "")
    for message, paths, repair in _unpaired(pictures, label_images):
        found("unpaired", message, paths, repair)
    for stem, paths in sorted(label_images.items()):
        suffix = paths[0].suffix.lower()
        if suffix != ".png" and stem in pictures:
            lossy = suffix in {".jpg", ".jpeg"}
            told = "JPEG changes values" if lossy else "label images are PNG files"
            found("label-format", f"{paths[0]} is no PNG: {told}", paths[:1], "nearest" if lossy else "format")
    if not pictures and not label_images:
        findings.append(Finding("error", "empty-split", f"{images} holds no pictures"))
    both = [stem for stem in sorted(pictures) if stem in label_images]
    pairs = [Pair(stem, pictures[stem][0], label_images[stem][0]) for stem in both]
    return [pair for pair in pairs if pair.labels.suffix.lower() == ".png"], findings


def _unpaired(
    pictures: Mapping[str, list[Path]], label_images: Mapping[str, list[Path]]
) -> Iterator[tuple[str, list[Path], str]]:
    """What to say of files that have no partner, of which files, and how it may be mended."""
    alike = look_alikes(pictures, label_images)
    for stem in sorted(pictures.keys() - label_images.keys()):
        paths = pictures[stem]
        if stem not in alike:
            yield f"{paths[0]} has no label image {stem}.png", paths, "drop"
        else:
            other = label_images[alike[stem]][0]
            told = f"{paths[0]} and {other.name} differ in capitals, or in how accents are stored: name them alike"
            yield told, [paths[0], other], ""
    for stem in sorted(label_images.keys() - pictures.keys() - set(alike.values())):
        yield f"{label_images[stem][0]} has no picture", label_images[stem], "drop"


def look_alikes(pictures: Iterable[str], label_images: Iterable[str]) -> dict[str, str]:
    """Names of pictures without a partner -> of label images, where capitals alone, or stored accents, differ."""
    without_picture = {name_key(stem): stem for stem in set(label_images) - set(pictures)}
    without_labels = set(pictures) - set(label_images)
    return {stem: without_picture[name_key(stem)] for stem in without_labels if name_key(stem) in without_picture}


def _odd_names(folder: Path) -> list[Finding]:
    """Names that no file that is written, be it JSON or CSV, could hold."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES]
    odd = [printable(path.name) for path in paths if not is_unicode(path.name) and not path.name.startswith(".")]
    told = f"{folder} holds files whose names are not UTF-8 ({listed(odd, 3)}). {RENAME_TO_UNICODE}"
    return [Finding("error", "file-name", told)] if odd else []


def is_dataset_folder(path: Path) -> bool:
    """Whether a folder has the layout of a dataset folder, whole or in part."""
    return any((path / split / kind).is_dir() for split in SPLITS for kind in (IMAGES, LABELS))


def need_dataset_folder(path: Path, hint: str = LAYOUT) -> None:
    """Refuse what is no dataset folder.

    Raises:
        UserError: It is something else, with ``hint`` on what to do, or it is not there.
    """
    if not path.exists():
        raise UserError(f"There is no dataset folder {path}.", LAYOUT)
    if not is_dataset_folder(path):
        raise UserError(f"{path} is not a dataset folder.", hint)


def folder_files(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by their name without suffix; of several of a name, the first."""
    return {stem: paths[0] for stem, paths in _by_stem(folder, PICTURE_SUFFIXES).items()}


def all_files(folder: Path) -> list[Path]:
    """All pictures of a folder, those of one name among them."""
    return [path for paths in _by_stem(folder, PICTURE_SUFFIXES).values() for path in paths]


def find_split(dataset: Path) -> dict[str, str]:
    """The split that each picture of a dataset folder is in, by its name without suffix.

    Raises:
        UserError: It is no dataset folder.
    """
    need_dataset_folder(dataset)
    folders = [(split, dataset / split / IMAGES) for split in ALL_SPLITS if (dataset / split / IMAGES).is_dir()]
    if not folders:
        raise UserError(f"{dataset} has no pictures.", LAYOUT)
    return {stem: split for split, folder in folders for stem in _by_stem(folder, PICTURE_SUFFIXES)}


def _by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, list[Path]]:
    """Files of a folder by their name without suffix; hidden files, other kinds and odd names are left out."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        is_hidden = path.name.startswith(".") or not is_unicode(path.name)
        if path.suffix.lower() in suffixes and not is_hidden and path.is_file():
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
    values = _label_values([pair.labels for split in SPLITS for pair in scan_split(dataset, split)[0]])
    ids = [value for value in values if value not in {IGNORE, ignore_value}]
    # Masks of 0 and 255 alone have two classes, too.
    number = max(2 if values in ([0, IGNORE], [IGNORE]) else 1, *(value + 1 for value in ids), 0)
    suggestion = f" The label images hold the values {listed(values, 20)}: probably --num-classes {number}."
    return UserError(
        f"{dataset} has no {CLASSES_FILE}, and --num-classes is not given.{suggestion if ids else ''}",
        "Give --num-classes (and --ignore-value, if a value stands for 'not labelled'), or write a classes.yaml.",
    )


def _label_values(paths: Sequence[Path]) -> list[int]:
    """All values that occur in the label images that can be read."""
    seen = np.zeros(256, bool)
    for path in paths:
        with suppress(UserError):
            seen |= np.bincount(read_labels(path).ravel(), minlength=256) > 0
    return [int(value) for value in np.flatnonzero(seen)]
