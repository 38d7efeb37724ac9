"""Which pictures are for training and which for validation."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from segtune.errors import UserError, listed

ROBOFLOW = r"^(.+)_(?:jpe?g|png|bmp|webp|tiff?)\.rf\.[0-9a-zA-Z]+$"
"""Roboflow's augmented copies of one picture share what stands before this."""

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

    The export's own subsets stay. Otherwise a group of pictures goes to val where the hash of its name, between 0 and
    1, is below the fraction: that doesn't depend on the other pictures, so it stays when pictures are added. Then
    groups are moved so that both splits have each class, where at least two groups have it.

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
    if own:
        return Splits(own, ["train and val are the export's own"])
    free = [index for index, picture in enumerate(pictures) if picture.subset != "test"]
    if len(free) < 2:
        raise UserError(
            f"The export holds {len(free)} annotated picture{'s' * (len(free) != 1)} that can be used; at least 2 are"
            " needed, one to train on and one to validate with.",
            "Annotate more.",
        )
    names, notes = _group_names([pictures[index] for index in free], group_by)
    stated = sorted({picture.subset for picture in pictures} - {""})
    if stated:
        tests = "those of test stay, and the others" if "test" in stated else "they"
        notes.insert(0, f"the export tells only {listed(stated)} apart: {tests} were divided into train and val")
    groups: dict[str, list[int]] = defaultdict(list)
    for index, name in zip(free, names, strict=True):
        groups[name].append(index)
    if len(groups) < 2:
        raise UserError(
            f"--group-by {group_by!r} puts all {len(free)} pictures into one group, which can't be split.",
            "Give an expression that tells videos or places apart, or --group-by none.",
        )
    split_of = _assign_groups(pictures, groups, val_fraction, notes)
    splits = ["test"] * len(pictures)
    for name, members in groups.items():
        for index in members:
            splits[index] = split_of[name]
    return Splits(splits, notes)


def _own_subsets(pictures: Sequence[Candidate]) -> list[str]:
    """The export's own subsets, where they tell train from val; else an empty list."""
    subsets = {picture.subset for picture in pictures}
    if "val" in subsets and subsets & {"train", ""}:
        return [picture.subset or "train" for picture in pictures]
    return []


def _group_names(pictures: Sequence[Candidate], group_by: str) -> tuple[list[str], list[str]]:
    """The name of each picture's group, and notes."""
    stems = [PurePosixPath(picture.name).with_suffix("").as_posix() for picture in pictures]
    alone = [picture.file or picture.name for picture in pictures]
    if group_by == "none":
        return alone, []
    if group_by != "auto":
        try:
            return [_matched(group_by, name, own) for name, own in zip(stems, alone, strict=True)], []
        except re.error as error:
            raise UserError(f"--group-by {group_by!r} is no regular expression: {error}.") from error
    groups = [_matched(ROBOFLOW, name, own) for name, own in zip(stems, alone, strict=True)]
    if len(set(groups)) < len(groups):
        return groups, ["copies of one picture (Roboflow's '.rf.') are kept together; --group-by none undoes that"]
    groups = [_matched(FRAMES, name, own) for name, own in zip(stems, alone, strict=True)]
    sizes = Counter(groups)
    if len(sizes) * 2 > len(stems):
        return alone, []
    described = f"{len(sizes)} series of numbered pictures ({listed(sorted(sizes), 4)})"
    if len(sizes) >= MIN_GROUPS and max(sizes.values()) * 2 <= len(stems) and not _bound_to_groups(pictures, groups):
        return groups, [f"the names show {described}; each is kept together. --group-by none undoes that"]
    if len(sizes) > 1 or any("frame" in name.lower() for name in stems):
        advice = "--group-by '(.+)_' or the like keeps them together" if len(sizes) > 1 else "validate on another video"
        return alone, [
            f"the names show {described}, which are in both train and val: if they are frames of videos, the score will"
            f" flatter; {advice}"
        ]
    return alone, []


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
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) / 2**64


def _assign_groups(
    pictures: Sequence[Candidate], groups: Mapping[str, Sequence[int]], val_fraction: float, notes: list[str]
) -> dict[str, str]:
    """The split of each group; what was done for the classes' sake is noted."""
    split_of: dict[str, str] = {}
    fixed = set()
    for name, members in groups.items():
        earlier = Counter(split for index in members if (split := pictures[index].earlier))
        split_of[name] = "val" if _position(name) < val_fraction else "train"
        if earlier:
            split_of[name] = earlier.most_common(1)[0][0]
            fixed.add(name)
    # The empty class is in every group: both splits must have it, too.
    classes = {
        name: frozenset({""}).union(*(pictures[index].classes for index in members)) for name, members in groups.items()
    }
    having = {
        split: Counter(label for name in groups if split_of[name] == split for label in classes[name])
        for split in ("train", "val")
    }
    # The lowest positions are the first to be in val, and the highest the first in train, whatever the fraction.
    low_to_high = sorted((name for name in groups if name not in fixed), key=_position)
    moved = []
    for split, other, order in (("val", "train", low_to_high), ("train", "val", low_to_high[::-1])):
        for label in sorted(having[other] - having[split]):
            if having[split][label] or having[other][label] < 2:
                continue
            candidates = [name for name in order if split_of[name] == other and label in classes[name]]
            if candidates:
                # One that leaves as few classes as possible missing where it was.
                chosen = min(candidates, key=lambda name: sum(having[other][of] == 1 for of in classes[name]))
                split_of[chosen] = split
                having[split].update(classes[chosen])
                having[other].subtract(classes[chosen])
                moved += [label] if label else []
    if moved:
        notes.append(f"pictures were moved so that train and val both have {listed(moved)}")
    return split_of
