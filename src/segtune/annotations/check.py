"""Checking a dataset folder before a training: everything that is wrong, at once."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segtune.annotations.dataset_folder import SPLITS, Pair, find_pairs
from segtune.classes import IGNORE, ClassTable
from segtune.console import track
from segtune.errors import DataError, UserError, listed
from segtune.pictures import DECODE_ERRORS, decode_labels, open_picture, shown_size

NUM_THREADS = 4
"""Pillow releases the interpreter lock while it decodes."""


@dataclass(frozen=True)
class SplitFacts:
    """What a split holds.

    Attributes:
        num_pictures: Pictures.
        pixels: int64 (C,), labelled pixels of each class.
        pictures_with_class: int64 (C,), pictures whose labels have the class.
        sizes: How many pictures have each (height, width).
    """

    num_pictures: int
    pixels: npt.NDArray[np.int64]
    pictures_with_class: npt.NDArray[np.int64]
    sizes: dict[tuple[int, int], int]


@dataclass(frozen=True)
class DatasetReport:
    """What a check found.

    Attributes:
        dataset: The dataset folder.
        errors: What makes a training impossible, one sentence each.
        warnings: What makes it doubtful.
        splits: Facts of each split that could be read.
        fingerprint: SHA-256 over the names and contents of all files.
    """

    dataset: Path
    errors: list[str]
    warnings: list[str]
    splits: dict[str, SplitFacts]
    fingerprint: str

    def raise_for_errors(self) -> None:
        """Raise DataError with all errors, if there are any."""
        if self.errors:
            raise DataError(f"{self.dataset} can't be used as it is:", self.errors, "Mend these, then try again.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "dataset": str(self.dataset),
            "fingerprint": self.fingerprint,
            "errors": self.errors,
            "warnings": self.warnings,
            "splits": {
                name: {
                    "num_pictures": facts.num_pictures,
                    "pixels": facts.pixels.tolist(),
                    "pictures_with_class": facts.pictures_with_class.tolist(),
                }
                for name, facts in self.splits.items()
            },
        }


@dataclass
class _PairFacts:
    """What was found in one picture and its labels."""

    digest: str = ""
    picture_digest: str = ""
    size: tuple[int, int] = (0, 0)
    values: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    errors: list[str] = field(default_factory=list)


def check_dataset(dataset: Path, table: ClassTable, splits: Sequence[str] = SPLITS) -> DatasetReport:
    """Read every file of a dataset folder and tell what is wrong with it.

    Args:
        dataset: The dataset folder.
        table: Its classes; label values outside them are errors, ignored values aside.
        splits: Which splits.
    """
    errors: list[str] = []
    pairs: dict[str, list[Pair]] = {}
    for split in splits:
        try:
            pairs[split] = find_pairs(dataset, split)
        except DataError as error:
            errors += error.problems
    everything = [(split, pair) for split in pairs for pair in pairs[split]]
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        results = pool.map(lambda item: _check_pair(item[1], table), everything)
        facts = list(track(results, "Checking the data", total=len(everything)))
    for fact in facts:
        errors += fact.errors
    split_facts = {
        split: _gather([fact for (of, _), fact in zip(everything, facts, strict=True) if of == split], table)
        for split in pairs
    }
    digest = hashlib.sha256()
    for (split, pair), fact in zip(everything, facts, strict=True):
        digest.update(f"{split}/{pair.picture.name}:{fact.digest}\n".encode())
    warnings: list[str] = []
    if not errors:
        values = np.sum([fact.values for fact in facts], axis=0)
        errors += _label_errors(split_facts, values)
        warnings = _class_warnings(split_facts, table) + _repeated(everything, facts)
    return DatasetReport(dataset, errors, warnings, split_facts, digest.hexdigest())


def _gather(facts: Sequence[_PairFacts], table: ClassTable) -> SplitFacts:
    counts = [fact.values[: table.num_classes] for fact in facts] or [np.zeros(table.num_classes, np.int64)]
    return SplitFacts(
        num_pictures=len(facts),
        pixels=np.sum(counts, axis=0),
        pictures_with_class=np.sum([count > 0 for count in counts], axis=0).astype(np.int64),
        sizes=dict(Counter(fact.size for fact in facts)),
    )


def _label_errors(splits: dict[str, SplitFacts], values: npt.NDArray[np.int64]) -> list[str]:
    """What is wrong with the labels as a whole; ``values`` (256,) counts the pixels of each value."""
    if values[0] and values[IGNORE] and not values[1:IGNORE].any():
        return ["the label images hold only 0 and 255, and 255 never counts: if it stands for class 1, save it as 1"]
    return [f"no pixel of {split} carries a label" for split, facts in splits.items() if not facts.pixels.sum()]


def _repeated(pairs: Sequence[tuple[str, Pair]], facts: Sequence[_PairFacts]) -> list[str]:
    """Pictures of both train and val: a score on them says nothing."""
    places: dict[str, set[str]] = defaultdict(set)
    for (split, _), fact in zip(pairs, facts, strict=True):
        places[fact.picture_digest].add(split)
    names = [
        pair.picture.name for (_, pair), fact in zip(pairs, facts, strict=True) if len(places[fact.picture_digest]) > 1
    ]
    return [f"the same picture is in train and val: {listed(names)}"] if names else []


def _class_warnings(splits: dict[str, SplitFacts], table: ClassTable) -> list[str]:
    """Classes that can't be learnt or can't be scored."""
    warnings = []
    for split, facts in splits.items():
        absent = [name for name, pixels in zip(table.names, facts.pixels, strict=True) if not pixels]
        if absent:
            warnings.append(f"no pixel of {split} has the class {listed(absent)}")
    return warnings


def _check_pair(pair: Pair, table: ClassTable) -> _PairFacts:
    """Decode a picture and its labels, and compare them."""
    facts = _PairFacts()
    digest = hashlib.sha256()
    size = _check_picture(pair.picture, digest, facts)
    facts.picture_digest = digest.hexdigest()
    labels = _check_labels(pair.labels, digest, facts)
    facts.digest = digest.hexdigest()
    if size is not None:
        facts.size = size
    if labels is None:
        return facts
    facts.values = np.bincount(labels.ravel(), minlength=256)
    if size is not None and labels.shape != size:
        exchanged = ": height and width are exchanged, as where an EXIF orientation was applied to one of them only"
        facts.errors.append(
            f"{pair.labels} is {labels.shape[1]} x {labels.shape[0]} pixels, its picture {size[1]} x {size[0]}"
            + (exchanged if labels.shape == size[::-1] else "")
        )
    facts.errors += _value_errors(pair.labels, facts.values, table)
    return facts


def _check_picture(path: Path, digest: Any, facts: _PairFacts) -> tuple[int, int] | None:
    """Height and width of a picture that decodes to its end; else None, and the error is noted."""
    try:
        content = path.read_bytes()
        digest.update(content)
        picture = open_picture(content, str(path))
        size = shown_size(picture)
        # An eighth of the size skips most of the work, but still reads the file to its end.
        picture.draft("RGB", (max(1, picture.width // 8), max(1, picture.height // 8)))
        picture.load()
    except UserError as error:
        facts.errors.append(error.message)
    except DECODE_ERRORS as error:
        facts.errors.append(f"{path} can't be decoded: {error}")
    else:
        return size
    return None


def _check_labels(path: Path, digest: Any, facts: _PairFacts) -> npt.NDArray[np.uint8] | None:
    """The labels, uint8 (H, W); None where they can't be used, and the error is noted."""
    try:
        content = path.read_bytes()
        digest.update(content)
        return decode_labels(open_picture(content, str(path)), str(path))
    except UserError as error:
        facts.errors.append(error.message)
    except OSError as error:
        facts.errors.append(f"{path} can't be read: {error}")
    return None


def _value_errors(path: Path, values: npt.NDArray[np.int64], table: ClassTable) -> list[str]:
    """What is wrong with the values of a label image, of which ``values`` (256,) counts each."""
    outside = [
        int(value)
        for value in np.flatnonzero(values)
        if value >= table.num_classes and value not in {IGNORE, table.ignore_value}
    ]
    if not outside:
        return []
    found = listed(f"{value} ({int(values[value])} pixels)" for value in outside)
    if len(outside) == 1:
        advice = f"add the class, or ignore the value with --ignore-value {outside[0]}"
    else:
        advice = "these look like grey levels, not class ids" if len(outside) > 8 else "add the classes"
    end = f"the {table.num_classes} classes end at {table.num_classes - 1}"
    return [f"{path} holds the value {found}, but {end}: {advice}"]
