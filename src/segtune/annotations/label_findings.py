"""What is wrong with the label values of a dataset, and with how often its classes occur."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segtune.annotations.check_pair import PairFacts, relative
from segtune.annotations.class_choice import is_background
from segtune.annotations.damaged_labels import Lookup, color_fit, grey_lookup, is_grey, sound_values
from segtune.annotations.dataset_report import SplitFacts, share
from segtune.annotations.findings import BINARY, Finding
from segtune.classes import IGNORE, ClassTable
from segtune.errors import UserError, listed
from segtune.pictures import DECODE_ERRORS, open_picture

RARE_SHARE = 0.001
"""A class of fewer of the labelled pixels is reported."""

MANY_VALUES = 8
"""More values than this outside the classes look like grey levels."""


def label_findings(
    dataset: Path, found: Sequence[Finding], facts: Sequence[PairFacts], table: ClassTable
) -> list[Finding]:
    """What was found in single files, each with a repair that is safe, and what is wrong with the labels' values.

    A cause that all label images share is one finding; what else their values look like is then left unsaid.
    """
    damaged = [fact.values for fact in facts if _outside(fact, table)]
    damaged += [counts for path in _lossy_labels(dataset, found) if (counts := _lossy_counts(path)) is not None]
    lookup = grey_lookup(np.sum(damaged, axis=0), table) if damaged else None
    of_files = [*found, *(finding for fact in facts for finding in fact.findings)]
    findings = [_with_safe_repair(dataset, finding, table, lookup) for finding in of_files]
    shared = _only_0_and_255(facts) or _numbered_from_1(facts, table)
    if shared:
        return [shared, *findings]
    if lookup is None and (missing := _missing_class(dataset, facts, table)):
        return [missing, *findings]
    for fact in facts:
        findings += _value_findings(dataset, fact, table, lookup) + _palette_findings(dataset, fact, table)
    return findings


def _lossy_labels(dataset: Path, findings: Sequence[Finding]) -> list[Path]:
    return [
        dataset / finding.files[0]
        for finding in findings
        if finding.kind == "label-format" and finding.repair == "nearest"
    ]


def _lossy_counts(path: Path) -> npt.NDArray[np.int64] | None:
    """How many pixels of a JPEG label image have each value; None where it has colours, or can't be read."""
    try:
        picture = open_picture(path)
        if picture.mode != "L" and not is_grey(picture):
            return None
        return np.bincount(np.asarray(picture.convert("L")).ravel(), minlength=256)
    except (UserError, *DECODE_ERRORS):
        return None


def _with_safe_repair(dataset: Path, finding: Finding, table: ClassTable, lookup: Lookup | None) -> Finding:
    """Without the repair of a JPEG label image, where what it was can't be told any more."""
    for path in _lossy_labels(dataset, [finding]):
        counts = _lossy_counts(path)
        try:
            near = counts is None and color_fit(open_picture(path), table) != "none"
        except (UserError, *DECODE_ERRORS):
            return replace(finding, repair="drop")
        if not near and (counts is None or lookup is None):
            message = f"{finding.message}, and what they were can't be told any more: export again as PNG"
            return replace(finding, message=message, repair="")
    return finding


def _only_0_and_255(facts: Sequence[PairFacts]) -> Finding | None:
    total = _total(facts)
    if not total[0] or not total[IGNORE] or total[1:IGNORE].any():
        return None
    message = "the label images hold only 0 and 255, and 255 never counts: if it stands for class 1, save it as 1"
    if all(fact.split != "train" for fact in facts):
        # What is scored alone may well have nothing but class 0, and borders that don't count.
        return Finding("warning", BINARY, message)
    return Finding("error", BINARY, message, repair="binary")


def _numbered_from_1(facts: Sequence[PairFacts], table: ClassTable) -> Finding | None:
    used = _used(facts, table)
    if not used or used[0] < 1 or used[-1] != table.num_classes:
        return None
    message = (
        f"the label images hold the values {used[0]} to {used[-1]}, but the {table.num_classes} classes are"
        f" numbered from 0 to {table.num_classes - 1}: all values look one too high"
    )
    return Finding("error", "off-by-one", message, repair="shift")


def _missing_class(dataset: Path, facts: Sequence[PairFacts], table: ClassTable) -> Finding | None:
    """The one value after the last class: a class that the table lacks, or classes that are numbered from 1."""
    value = table.num_classes
    files = [fact.pair.labels for fact in facts if fact.values[value]]
    if not files or _used(facts, table)[-1] != value or any(fact.by_palette is not None for fact in facts):
        return None
    message = (
        f"{listed(relative(dataset, *files), 3)} {'hold' if len(files) > 1 else 'holds'} the value {value}"
        f" ({int(_total(facts)[value])} pixels), but the {value} classes end at {value - 1}: add the class, or ignore"
        f" the value with --ignore-value {value}"
    )
    if not is_background(table.names[0]):
        message += f"; if 0 is what is not labelled, and the classes are 1 to {value}, --repair shift"
    return Finding("error", "outside-classes", message, relative(dataset, *files))


def _total(facts: Sequence[PairFacts]) -> npt.NDArray[np.int64]:
    """How many pixels of all label images have each value, int64 (256,)."""
    total: npt.NDArray[np.int64] = np.sum([np.zeros(256, np.int64), *(fact.values for fact in facts)], axis=0)
    return total


def _used(facts: Sequence[PairFacts], table: ClassTable) -> list[int]:
    """The values that occur and count, in order."""
    return [int(value) for value in np.flatnonzero(_total(facts)) if value not in {IGNORE, table.ignore_value}]


def _outside(fact: PairFacts, table: ClassTable) -> list[int]:
    """The values of a label image that are no ids of classes and are not ignored."""
    sound = sound_values(table)
    return [int(value) for value in np.flatnonzero(fact.values) if value not in sound]


def _value_findings(dataset: Path, fact: PairFacts, table: ClassTable, lookup: Lookup | None) -> list[Finding]:
    """What is wrong with the values of a label image."""
    path, values, outside = fact.pair.labels, fact.values, _outside(fact, table)
    if not outside:
        return []
    found = listed(f"{value} ({int(values[value])} pixels)" for value in outside)
    end = f"the {table.num_classes} classes end at {table.num_classes - 1}"
    repair = ""
    if fact.by_palette is not None:
        advice, repair = "the colours of its palette are those of classes", "colors"
    elif lookup is not None:
        advice, repair = "these look like grey levels, not class ids", "nearest"
    elif len(outside) == 1:
        advice = f"add the class, or ignore the value with --ignore-value {outside[0]}"
    elif len(outside) > MANY_VALUES:
        advice = (
            "these look like grey levels, not class ids, and don't tell their classes any more: export again as PNG"
        )
    else:
        advice = "add the classes"
    message = f"{path} holds the value {found}, but {end}: {advice}"
    return [Finding("error", "outside-classes", message, relative(dataset, path), repair)]


def _palette_findings(dataset: Path, fact: PairFacts, table: ClassTable) -> list[Finding]:
    """Values that are sound, but whose colours say other classes: painted or saved with another order of classes."""
    used = np.flatnonzero(fact.values)
    if fact.by_palette is None or _outside(fact, table) or (fact.by_palette[used] == used).all():
        return []
    wrong = listed(
        f"{value} has the colour of {fact.by_palette[value]}" for value in used if fact.by_palette[value] != value
    )
    message = f"the palette of {fact.pair.labels} has the classes' colours in another order: {wrong}"
    return [Finding("warning", "palette-order", message, relative(dataset, fact.pair.labels), "colors")]


NEVER_SEEN = "add pictures that show it; if other objects cover it, convert again with --paint-order"
UNTIL_THERE = {
    "train": f"there is nothing to learn it from; {NEVER_SEEN}",
    "val": "there is nothing to score it by; add pictures that show it, or convert again with a larger --val-fraction;"
    " if other objects cover it, with --paint-order",
}
"""What becomes of a class that a split lacks, and what helps."""
ALL_LABELLED = "that is well where objects cover all of each picture"


def class_findings(splits: dict[str, SplitFacts], table: ClassTable) -> list[Finding]:
    """Splits that teach nothing; or else, classes that can't be learnt or can't be scored.

    To be asked where all files could be read and their values are sound.
    """
    nothing = [
        Finding("error", "nothing-labelled", f"no pixel of {split} carries a label")
        for split, facts in splits.items()
        if not facts.pixels.sum()
    ]
    if nothing:
        return nothing
    findings = []
    for split, facts in splits.items():
        absent = [name for name, pixels in zip(table.names, facts.pixels, strict=True) if not pixels]
        drawn = [name for name in absent if not is_background(name)]
        undrawn = [name for name in absent if is_background(name)]
        for names, advice in ((drawn, UNTIL_THERE.get(split, NEVER_SEEN)), (undrawn, ALL_LABELLED)):
            if names:
                told = f"no pixel of {split} has the class {listed(names)}: {advice}"
                findings.append(Finding("warning", "absent-class", told))
        rare = [
            f"{name} ({share(facts, index):.3%})"
            for index, name in enumerate(table.names)
            if 0 < share(facts, index) < RARE_SHARE
        ]
        if rare:
            message = f"under {RARE_SHARE:.1%} of the pixels of {split} have the class {listed(rare)}"
            findings.append(Finding("warning", "rare-class", message))
        single = [name for name, count in zip(table.names, facts.pictures_with_class, strict=True) if count == 1]
        if single and split == "train" and facts.num_pictures > 1:
            message = f"a single picture of {split} has the class {listed(single)}: it can hardly be learnt"
            findings.append(Finding("warning", "class-in-one-picture", message))
    return findings
