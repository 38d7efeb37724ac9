"""Which pictures are for training and which for validation."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from segtune.annotations.dataset_folder import ALL_SPLITS, SPLITS
from segtune.annotations.source import UNREAD_SUFFIXES
from segtune.errors import UserError, listed
from segtune.pictures import PICTURE_SUFFIXES

ROBOFLOW = r"(?i)^(.+)_[a-z0-9]{2,5}\.rf\.[a-z0-9]+$"
"""Roboflow's augmented copies of one picture share what stands before this: 'name_jpg.rf.HASH'."""

FRAMES = r"^(.*?)[-_. ]?(?:frame|img|image)?[-_. ]?(?<!\d)\d+$"
"""Frames of a video share what stands before their number; all of it, so that long rows of digits take no time."""

MIN_GROUPS = 5
"""With fewer groups, none of a sensible size could go to val."""


@dataclass(frozen=True)
class Candidate:
    """A picture to assign.

    Attributes:
        name: Its path as the export writes it: what groups are told by.
        subset: What the export puts it in: train, val, test, or empty.
        classes: The classes that it has.
        earlier: The split that it has in the dataset that it shall be like, or empty.
        file: Its file name in the dataset, which no other picture has; what a picture without a group is told by.
    """

    name: str
    subset: str = ""
    classes: frozenset[str] = frozenset()
    earlier: str = ""
    file: str = ""


@dataclass(frozen=True)
class Splits:
    """The split of each picture, and what a person should know about it, a sentence each."""

    splits: list[str]
    notes: list[str] = field(default_factory=list)


def assign_splits(pictures: Sequence[Candidate], val_fraction: float = 0.2, group_by: str = "auto") -> Splits:
    """Assign pictures to train, val and test.

    A picture of the earlier dataset stays where it is there, whatever else is said here. The export's own subsets stay.
    Otherwise a group of pictures goes where the earlier dataset has most of it; one that isn't there, to val where the
    hash of its name, between 0 and 1, is below the fraction: that doesn't depend on the other pictures, so it stays
    when pictures are added. Then groups are moved so that both splits have each class, where two groups have it.

    Args:
        pictures: All pictures.
        val_fraction: Share of val.
        group_by: A regular expression for what pictures of a group have in common, 'none', or 'auto': guessed.

    Raises:
        UserError: The fraction or the expression is impossible, or there are too few pictures.
    """
    if not 0 < val_fraction < 1:
        raise UserError(f"--val-fraction is {val_fraction}; a number between 0 and 1 was expected.", "Try 0.2.")
    own = _own_subsets(pictures)
    splits = [picture.earlier or subset for picture, subset in zip(pictures, own, strict=True)]
    to_split = [index for index, picture in enumerate(pictures) if not own[index] or picture.earlier]
    notes: list[str] = []
    if all(own):
        notes = ["train and val are the export's own"]
        kept = sum(split != subset for split, subset in zip(splits, own, strict=True))
        notes += (
            [f"{kept} pictures stay where the earlier dataset has them, though the export moved them"] if kept else []
        )
    elif len(to_split) > 1:
        names, notes = _group_names([pictures[index] for index in to_split], group_by)
        stated = sorted({picture.subset for picture in pictures} - {""})
        if stated:
            tests = "those of test stay, and the others" if "test" in stated else "they"
            notes.insert(0, f"the export tells only {listed(stated)} apart: {tests} were divided into train and val")
        groups: dict[str, list[int]] = defaultdict(list)
        for index, name in zip(to_split, names, strict=True):
            groups[name].append(index)
        if len(groups) < 2 and not all(splits):
            raise UserError(
                f"--group-by {group_by!r} puts all {len(to_split)} pictures into one group, which can't be split.",
                "Give an expression that tells videos or places apart, or --group-by none.",
            )
        _assign_groups(pictures, groups, splits, val_fraction, notes)
    empty = [split for split in SPLITS if split not in splits]
    if empty:
        others = {split: count for split in ALL_SPLITS if (count := splits.count(split))}
        raise UserError(
            f"No picture is left for {' and '.join(empty)}; there are"
            f" {listed(f'{count} for {split}' for split, count in others.items()) or 'none at all'}.",
            "Training needs pictures in train and in val: annotate more, or leave --split-like away.",
        )
    return Splits(splits, notes)


def assign_folds(pictures: Sequence[Candidate], num_folds: int, group_by: str = "auto") -> tuple[list[int], list[str]]:
    """Assign each picture to one of several folds of about the same size; groups stay together.

    Args:
        pictures: All pictures.
        num_folds: How many folds.
        group_by: As in ``assign_splits``.

    Returns:
        The fold of each picture, from 0; and what a person should know about them, a sentence each.

    Raises:
        UserError: There are fewer groups than folds.
    """
    names, notes = _group_names(pictures, group_by)
    sizes = Counter(names)
    if len(sizes) < num_folds:
        raise UserError(
            f"{len(pictures)} pictures in {len(sizes)} groups can't be divided into {num_folds} folds.",
            "Ask for fewer folds, or say with --group-by what belongs together ('none': no picture to another).",
        )
    filled = [0] * num_folds
    folds: dict[str, int] = {}
    # The largest groups first, each into the emptiest fold; those of a size by the hash of their names.
    for name in sorted(sizes, key=lambda name: (-sizes[name], _position(name))):
        folds[name] = min(range(num_folds), key=filled.__getitem__)
        filled[folds[name]] += sizes[name]
    return [folds[name] for name in names], notes


def _own_subsets(pictures: Sequence[Candidate]) -> list[str]:
    """The export's own subsets where they tell train from val; else test alone, and empty strings."""
    subsets = {picture.subset for picture in pictures}
    if "val" in subsets and subsets & {"train", ""}:
        return [picture.subset or "train" for picture in pictures]
    return ["test" if picture.subset == "test" else "" for picture in pictures]


def _group_names(pictures: Sequence[Candidate], group_by: str) -> tuple[list[str], list[str]]:
    """The name of each picture's group, and notes."""
    stems = [_without_suffix(picture.name) for picture in pictures]
    alone = [picture.file or picture.name for picture in pictures]
    if group_by == "none":
        return alone, []
    if group_by != "auto":
        try:
            return [_matched(group_by, name, own) for name, own in zip(stems, alone, strict=True)], []
        except re.error as error:
            raise UserError(f"--group-by {group_by!r} is no regular expression: {error}.") from error
    # Even where no picture has copies yet: they may come, and must not move it then.
    groups = [_matched(ROBOFLOW, name, own) for name, own in zip(stems, alone, strict=True)]
    if len(set(groups)) < len(set(alone)):
        return groups, ["copies of one picture (Roboflow's '.rf.') are kept together; --group-by none undoes that"]
    series, notes = _series(pictures, stems, alone)
    return series or groups, notes


def series_of(name: str) -> str | None:
    """What a picture's name has in common with its copies or the frames of its series; None where it has none."""
    stem = _without_suffix(name)
    found = re.search(ROBOFLOW, stem) or re.search(FRAMES, stem)
    return None if found is None else found[1]


def _without_suffix(name: str) -> str:
    """A picture's name without its suffix; some formats leave that away, and what follows the last dot is no suffix."""
    path = PurePosixPath(name)
    return (path.with_suffix("") if path.suffix.lower() in PICTURE_SUFFIXES | UNREAD_SUFFIXES else path).as_posix()


def _series(pictures: Sequence[Candidate], stems: Sequence[str], alone: Sequence[str]) -> tuple[list[str], list[str]]:
    """The series of numbered pictures that each belongs to, where they are to be kept together; and notes."""
    groups = [_matched(FRAMES, name, own) for name, own in zip(stems, alone, strict=True)]
    sizes = Counter(groups)
    if len(sizes) * 2 > len(stems) and not _together_before(pictures, groups):
        return [], []
    shown = listed((name or "numbers alone" for name in sorted(sizes)), 4)
    described = f"{len(sizes)} series of numbered pictures ({shown})"
    are_videos = len(sizes) >= MIN_GROUPS and max(sizes.values()) * 2 <= len(stems)
    if (are_videos and not _bound_to_groups(pictures, groups)) or _together_before(pictures, groups):
        return groups, [f"the names show {described}; each is kept together. --group-by none undoes that"]
    if len(sizes) > 1 or any("frame" in name.lower() for name in stems):
        advice = (
            "--group-by '(.+)_' or the like keeps videos together (not names of classes)"
            if len(sizes) > 1
            else "validate on another video"
        )
        return [], [
            f"the names show {described}, which were not kept together: if they are frames of videos, the score will"
            f" flatter; {advice}"
        ]
    return [], []


def _together_before(pictures: Sequence[Candidate], groups: Sequence[str]) -> bool:
    """Whether the earlier dataset kept groups together: then they are, however the names look by now."""
    splits: dict[str, list[str]] = defaultdict(list)
    for picture, group in zip(pictures, groups, strict=True):
        if picture.earlier:
            splits[group].append(picture.earlier)
    several = [set(found) for found in splits.values() if len(found) > 1]
    return all(len(found) == 1 for found in several) and len(set().union(*several)) > 1


def _matched(expression: str, name: str, otherwise: str) -> str:
    """What a name has in common with its group; ``otherwise`` where the expression doesn't match."""
    found = re.search(expression, name)
    if found is None:
        return otherwise
    return found[1] if found.re.groups and found[1] is not None else found[0]


def _bound_to_groups(pictures: Sequence[Candidate], groups: Sequence[str]) -> bool:
    """Whether a class of several pictures is in one group only: then the names tell classes apart, not videos."""
    with_class: dict[str, list[str]] = defaultdict(list)
    for picture, group in zip(pictures, groups, strict=True):
        for name in picture.classes:
            with_class[name].append(group)
    return any(len(members) > 1 and len(set(members)) == 1 for members in with_class.values())


def _position(group: str) -> float:
    """A number in [0, 1) that is a function of the name alone."""
    name = group.encode(errors="surrogateescape")  # names of files may hold bytes that are no text
    return int.from_bytes(hashlib.sha256(name).digest()[:8]) / 2**64


def _assign_groups(
    pictures: Sequence[Candidate],
    groups: Mapping[str, Sequence[int]],
    splits: list[str],
    val_fraction: float,
    notes: list[str],
) -> None:
    """Fill in the splits that are not known yet; what a person should know is noted."""
    free, num_mixed = [], 0
    for name, members in groups.items():
        earlier = Counter(picture.earlier for index in members if (picture := pictures[index]).earlier)
        if earlier:
            split = max(ALL_SPLITS, key=earlier.__getitem__)
        else:
            split = "val" if _position(name) < val_fraction else "train"
            free.append(name)
        num_mixed += len(earlier) > 1
        for index in members:
            splits[index] = splits[index] or split
    num_kept = sum(bool(picture.earlier) for picture in pictures)
    if num_kept:
        notes.append(f"{num_kept} of {len(pictures)} pictures stay where the earlier dataset has them")
    if num_mixed:
        notes.append(
            f"the earlier dataset has {num_mixed} of these groups in more than one split; new pictures join most of"
            " their group"
        )
    moved = _spread_classes(pictures, groups, splits, free)
    if moved:
        notes.append(f"pictures were moved so that train and val both have {listed(moved)}")


def _spread_classes(
    pictures: Sequence[Candidate], groups: Mapping[str, Sequence[int]], splits: list[str], free: Sequence[str]
) -> list[str]:
    """Move groups, of those that are free, so that train and val have each class. Returns the classes moved for."""
    # The empty class is in every group: both splits must have it, too.
    classes: dict[tuple[str, str], set[str]] = defaultdict(lambda: {""})
    for name, members in groups.items():
        for index in members:
            classes[name, splits[index]] |= pictures[index].classes
    having = {
        split: Counter(label for (_, of), labels in classes.items() if of == split for label in labels)
        for split in SPLITS
    }
    # The lowest positions are the first to be in val, and the highest the first in train, whatever the fraction.
    low_to_high = sorted(free, key=_position)
    moved = []
    for split, other, order in (("val", "train", low_to_high), ("train", "val", low_to_high[::-1])):
        for label in sorted(having[other] - having[split]):
            if having[split][label] or having[other][label] < 2:
                continue
            candidates = [name for name in order if label in classes.get((name, other), ())]
            if candidates:
                # One that leaves as few classes as possible missing where it was.
                chosen = min(candidates, key=lambda name: sum(having[other][of] == 1 for of in classes[name, other]))
                labels = classes[chosen, split] = classes.pop((chosen, other))
                having[split].update(labels)
                having[other].subtract(labels)
                moved += [label] if label else []
                for index in groups[chosen]:
                    splits[index] = split
    return moved
