"""Ultralytics' YOLO segmentation -> Annotations: CVAT's, Roboflow's, Label Studio's and Ultralytics' own layouts.

Source: https://docs.ultralytics.com/datasets/segment/ and the exporters. A text file a picture, a line an object: its
class, then x and y of each point as shares of width and height. CVAT bridges the holes of masks by a cut, and adds a
track's number at the end of a line. A line of 5 numbers is a box: class, x and y of its centre, width, height.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from segtune.annotations.annotated_image import Annotations, DeclaredClass
from segtune.annotations.export import Export
from segtune.annotations.image_builder import (
    BadAnnotation,
    ImageBuilder,
    box_outline,
    built,
    class_name,
    number,
    numbered,
    subset_named,
    subset_of,
    to_points,
    whole_number,
)
from segtune.annotations.source import MAX_PROBED, ExportSource
from segtune.classes import YAML_ERRORS, PlainLoader
from segtune.errors import UserError, listed
from segtune.spread import spread

MAX_YAML_BYTES = 2**20
MAX_SHARE = 10.0
"""Shares of the picture's size far beyond 1 are pixels, or nonsense."""

CLASS_LIST = re.compile(r"classes\.txt|.+\.names", re.IGNORECASE)
"""Darknet's and LabelImg's files with a class name a line."""

OTHER_TEXTS = re.compile(r"(train|val|valid|test|labels|notes|readme.*|license|requirements)\.txt", re.IGNORECASE)
"""Text files that are no labels, where labels lie in no folder of their own."""


@dataclass(frozen=True)
class _Description:
    """What a data.yaml says.

    Attributes:
        file: Its name.
        names: The classes' names by number.
        entries: What it names as train, val and test: folders of pictures, and text files that list pictures.
        is_pose: Whether the lines hold keypoints.
    """

    file: str = ""
    names: Mapping[int, str] = field(default_factory=dict)
    entries: Sequence[tuple[str, str]] = ()
    is_pose: bool = False


def is_yolo(source: ExportSource) -> bool:
    """Whether the export is YOLO's: text files of shares in folders called labels, or beside a list of classes."""
    files = _label_files(source)
    if not files:
        return False
    in_folder = _in_labels(files[0])
    if in_folder and any(_has_names(source, name) for name in _yaml_files(source)):
        return True
    if not in_folder and not _yaml_files(source) and not _class_lists(source):
        return False
    return any(_starts_with_label(source, name) for name in spread(files, MAX_PROBED))


def _in_labels(name: str) -> bool:
    return "labels" in name.lower().split("/")[:-1]


def _label_files(source: ExportSource) -> list[str]:
    """The text files in folders called labels; where there is no such folder, all that are not known to be others."""
    texts = [name for name in source.with_suffix(".txt") if not CLASS_LIST.fullmatch(PurePosixPath(name).name)]
    return [name for name in texts if _in_labels(name)] or [
        name for name in texts if not OTHER_TEXTS.fullmatch(PurePosixPath(name).name)
    ]


def _yaml_files(source: ExportSource) -> list[str]:
    """Those that may describe a dataset, data.yaml first; classes.yaml is segtune's own."""
    names = [name for name in source.with_suffix(".yaml", ".yml") if PurePosixPath(name).stem.lower() != "classes"]
    return sorted(names, key=lambda name: (not _must_describe(name), name.count("/"), name))


def _must_describe(name: str) -> bool:
    return PurePosixPath(name).stem.lower() in {"data", "dataset"}


def _class_lists(source: ExportSource) -> list[str]:
    return [name for name in source.names if CLASS_LIST.fullmatch(PurePosixPath(name).name)]


def _has_names(source: ExportSource, name: str) -> bool:
    try:
        return bool(_describe(source, name).names)
    except UserError:
        return _must_describe(name)  # reading it tells what is wrong


def _starts_with_label(source: ExportSource, name: str) -> bool:
    """Whether the first line is a class and shares."""
    head = source.read(name, 4096).decode("utf-8-sig", "replace")
    words = head.lstrip().partition("\n")[0].split()
    if "\n" not in head.lstrip() and len(head) >= 4096:
        words = words[:-1]  # the line goes on
    try:
        whole_number(words[0] if len(words) >= 5 else None)
        return bool((np.abs(to_points(words[1 : len(words) - (len(words) + 1) % 2])) <= MAX_SHARE).all())
    except BadAnnotation:
        return False


def _describe(source: ExportSource, name: str) -> _Description:
    """Read a YAML file; without names where it is about something else.

    Raises:
        UserError: It is broken, or its names are no list.
    """
    where = f"{name} in {source.path}"
    content = source.read(name, MAX_YAML_BYTES + 1)
    if len(content) > MAX_YAML_BYTES:
        raise UserError(f"{where} is longer than {MAX_YAML_BYTES:,} bytes, too long for a list of classes.")
    try:
        loader = PlainLoader(content.decode("utf-8-sig", "replace"))
        described = loader.get_single_data()
    except YAML_ERRORS as error:
        raise UserError(f"{where} is no YAML that can be read: {error}.") from error
    if not isinstance(described, dict) or "names" not in described:
        return _Description()
    names = described["names"]
    pairs = (
        list(names.items()) if isinstance(names, dict) else list(enumerate(names if isinstance(names, list) else ()))
    )
    if not pairs or not all(str(key).isdecimal() and isinstance(label, str) for key, label in pairs):
        raise UserError(
            f"The names of {where} are no list of class names.",
            "Expected 'names: [car, person]', or a line 'number: name' for each class below 'names:'.",
        )
    entries = [
        (subset, value)
        for key, values in described.items()
        if isinstance(key, str) and (subset := subset_named(key))
        for value in (values if isinstance(values, list) else [values])
        if isinstance(value, str)
    ]
    try:
        by_number = {int(str(key)[:9]): class_name(label) for key, label in pairs if label.strip()}
    except BadAnnotation as problem:
        raise UserError(f"The names of {where} can't be used: {problem}.") from problem
    return _Description(name, by_number, entries, "kpt_shape" in described)


def read_yolo(export: Export) -> Annotations:
    """Read YOLO's label files.

    Raises:
        UserError: Nothing names the classes, their names are in doubt, or the labels are keypoints.
    """
    source = export.source
    described = _description(source)
    if described.is_pose:
        raise UserError(
            f"{described.file} in {source.path} describes poses: lines of keypoints, not outlines.",
            "Export the format 'Ultralytics YOLO Segmentation' instead.",
        )
    names = described.names or _listed_names(source) or dict(enumerate(export.class_names))
    if not names:
        raise UserError(
            f"{source.path} has YOLO's label files, but no data.yaml that names the classes.",
            "Put the data.yaml beside them, or give the names in the order of their numbers: --classes car,person",
        )
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise UserError(
            f"{source.path} has several classes of the name {twice[0]!r}.",
            "Rename one of them in the data.yaml or list of classes.",
        )
    ordered = [DeclaredClass(names[place]) for place in sorted(names)]
    return Annotations(partial(built, partial(_read_all, export, names, described)), ordered)


def _listed_names(source: ExportSource) -> dict[int, str]:
    """The names in a list of classes; none where there is no list.

    Raises:
        UserError: There are several that differ.
    """
    lists = {name: source.text(name).splitlines() for name in _class_lists(source)}
    found = {
        name: {place: line.strip() for place, line in enumerate(lines) if line.strip()} for name, lines in lists.items()
    }
    found = {name: names for name, names in found.items() if names}
    if any(names != next(iter(found.values())) for names in found.values()):
        raise UserError(
            f"{source.path} has several lists of classes that differ: {listed(found, 4)}.",
            "If these are several exports, convert the first, and add each of the others with --merge.",
        )
    return next(iter(found.values()), {})


def _description(source: ExportSource) -> _Description:
    """The data.yaml with names; an empty one where there is none.

    Raises:
        UserError: It is broken, or there are several that differ.
    """
    found: list[_Description] = []
    for name in _yaml_files(source):
        try:
            described = _describe(source, name)
        except UserError:
            if _must_describe(name):
                raise
            continue
        if described.names:
            found.append(described)
    if any(other.names != found[0].names for other in found):
        raise UserError(
            f"{source.path} has several YAML files with different names: {listed(other.file for other in found)}.",
            "Give the folder of one dataset.",
        )
    return found[0] if found else _Description()


def _read_all(
    export: Export, names: Mapping[int, str], described: _Description, left_out: Counter[str]
) -> Iterator[ImageBuilder]:
    subsets = _Subsets(export.source, described)
    for file in _label_files(export.source):
        # labels/train/a.txt is about images/train/a.jpg.
        stem = re.sub(r"(.*/|^)labels/", r"\1images/", file[: -len(".txt")], count=1, flags=re.IGNORECASE)
        image = ImageBuilder(stem, subset=subset_of(file), file=file)
        picture = export.pictures.find(stem, image.subset, file)
        if picture is None and not _in_labels(file) and not _starts_with_label(export.source, file):
            left_out["text files that are not labels"] += 1
            continue
        if picture is not None:
            image.name = image.picture = picture
            image.subset = subsets.of(picture) or image.subset
            with image.reading(""):
                image.size = export.pictures.size(picture)
                for index, line in numbered(export.source.text(file).splitlines()):
                    with image.reading(f"line {index}"):
                        _add(image, line.split(), names, image.size)
        yield image


def _add(image: ImageBuilder, words: list[str], names: Mapping[int, str], size: tuple[int, int]) -> None:
    if not words:
        return
    label = names.get(whole_number(words[0]))
    if label is None:
        raise BadAnnotation(f"its class is number {words[0][:20]}, but the named ones are {min(names)} to {max(names)}")
    values = words[1:]
    # The last of an odd count is a track's number, if anything.
    if len(values) % 2 and not values.pop().isdecimal():
        raise BadAnnotation(f"it has {len(values) + 1} coordinates, expected x and y of each point")
    if len(values) == 4:
        x, y, width, height = (number(value) for value in values)
        shares = box_outline(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        shares = to_points(values)
    if shares.size and np.abs(shares).max() > MAX_SHARE:
        raise BadAnnotation("its coordinates are no shares of the picture's width and height")
    image.add_polygon(label, [shares * [size[1], size[0]]], kind="box" if len(values) == 4 else "polygon")


class _Subsets:
    """Which part of the dataset each picture is in, by a data.yaml, whose paths may be those of another machine.

    Args:
        source: The export.
        described: What the data.yaml says.
    """

    def __init__(self, source: ExportSource, described: _Description) -> None:
        self._root = _parts(described.file)[:-1]
        self._folders: list[tuple[list[str], str]] = []
        self._listed: dict[str, list[tuple[list[str], str]]] = defaultdict(list)
        for subset, entry in described.entries:
            path = _parts(entry)
            if path and not path[-1].endswith(".txt"):
                self._folders.append((path, subset))
                continue
            lists = [name for name in source.with_suffix(".txt") if _same_end(self._below_root(name), path)]
            for line in source.text(lists[0]).splitlines() if lists else ():
                if picture := _parts(_without_suffix(line)):
                    self._listed[picture[-1]].append((picture, subset))

    def of(self, picture: str) -> str:
        """The subset of a picture; empty where the data.yaml doesn't say, or names it in several."""
        path = self._below_root(_without_suffix(picture))
        listed = {subset for other, subset in self._listed.get(path[-1], ()) if _same_end(path, other)}
        folders = {
            subset
            for other, subset in self._folders
            if any(_same_end(path[:end], other) for end in range(1, len(path)))
        }
        return next((found.pop() for found in (listed, folders) if len(found) == 1), "")

    def _below_root(self, name: str) -> list[str]:
        path = _parts(name)
        return path[len(self._root) :] if path[: len(self._root)] == self._root else path


def _parts(path: str) -> list[str]:
    """The parts of a path, in lower case; a path from elsewhere is compared by its end, so '..' says nothing."""
    return [part for part in path.strip().replace("\\", "/").lower().split("/") if part not in {"", ".", ".."}]


def _without_suffix(path: str) -> str:
    """A picture's path without suffix: pictures are turned into JPEG more often than the lists of them are."""
    return re.sub(r"\.[A-Za-z]{3,4}\s*$", "", path)


def _same_end(one: list[str], other: list[str]) -> bool:
    """Whether the shorter of two paths is the end of the other."""
    length = min(len(one), len(other))
    return length > 0 and one[-length:] == other[-length:]
