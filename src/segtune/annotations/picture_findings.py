"""What is wrong with the pictures of a dataset: tiny ones, ones that teach nothing, and copies."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segtune.annotations.check_pair import PairFacts, relative
from segtune.annotations.dataset_folder import ALL_SPLITS
from segtune.annotations.findings import UNLABELLED, Finding
from segtune.annotations.near_duplicates import find_pairs_alike
from segtune.classes import IGNORE, ClassTable
from segtune.errors import listed

MIN_RANGE = 1 << 13
"""16-bit pictures whose values lie closer together, as those of 12-bit cameras and of thermal ones, have some 32 shades
of grey in 8 bits at most."""

MIN_SIDE = 32
"""Pictures of fewer pixels on a side hold hardly anything to learn."""


def picture_findings(dataset: Path, facts: Sequence[PairFacts], table: ClassTable) -> list[Finding]:
    """Pictures that teach nothing, or little."""
    findings = []
    counted = np.setdiff1d(np.arange(IGNORE), [table.ignore_value])
    for fact in facts:
        labelled = int(fact.values[counted].sum())
        if not fact.findings and fact.values.sum() and not labelled:
            message = f"nothing is labelled in {fact.pair.picture}: all its pixels are ignored"
            findings.append(Finding("warning", UNLABELLED, message, relative(dataset, fact.pair.picture)))
        if fact.size != (0, 0) and min(fact.size) < MIN_SIDE:
            message = f"{fact.pair.picture} has only {fact.size[1]} x {fact.size[0]} pixels"
            findings.append(Finding("warning", "tiny-picture", message, relative(dataset, fact.pair.picture)))
    ranges = {fact.pair.picture: fact.grey_range for fact in facts if fact.grey_range is not None}
    low, high = min((low for low, _ in ranges.values()), default=0), max((top for _, top in ranges.values()), default=0)
    if ranges and high - low < MIN_RANGE:
        message = (
            f"the {len(ranges)} pictures that are read as 16 bits have values from {low} to {high} of 65535, but for a"
            f" few, so that training sees {round((high - low) / 257) + 1} shades of grey: stretch their values to the"
            " whole range, all pictures alike"
        )
        files = relative(dataset, *ranges)
        findings.append(Finding("warning", "narrow-16-bits", message, files))
    by_white = {fact.white: fact.pair.picture for fact in facts if fact.white is not None}
    if len(by_white) > 1:
        examples = listed(f"{path.name} (0 to {white})" for white, path in sorted(by_white.items()))
        message = (
            f"grey pictures of floats or 32 bits have values of several ranges, as {examples}: each is scaled by its"
            " own, so that they don't look alike; save all with 8 or 16 bits"
        )
        findings.append(Finding("error", "several-ranges", message, relative(dataset, *by_white.values())))
    others = counted[counted > 0]
    empty = [fact for fact in facts if table.ignore_value != 0 and fact.values[0] and not fact.values[others].any()]
    if empty and len(empty) < len(facts):
        names = listed((fact.pair.picture.name for fact in empty), 5)
        message = f"{len(empty)} of {len(facts)} pictures have class 0 alone: {names}"
        files = relative(dataset, *(fact.pair.picture for fact in empty))
        findings.append(Finding("warning", "only-class-0", message, files))
    return findings


def same_files(dataset: Path, facts: Sequence[PairFacts]) -> list[Finding]:
    """Pictures that are there more than once: a score on a picture that was trained on says nothing."""
    by_digest: dict[str, list[PairFacts]] = defaultdict(list)
    for fact in facts:
        if fact.picture_digest and fact.size != (0, 0):
            by_digest[fact.picture_digest].append(fact)
    findings = []
    for group in by_digest.values():
        if len(group) < 2:
            continue
        files = relative(dataset, *(fact.pair.picture for fact in group))
        splits = sorted({fact.split for fact in group}, key=ALL_SPLITS.index)
        if len(splits) > 1:
            message = f"the same picture is in {' and '.join(splits)}: {listed(files)}"
            findings.append(Finding("warning", "same-picture-across-splits", message, files, "duplicates"))
        elif len({fact.labels_digest for fact in group}) > 1:
            message = f"the same picture has different labels: {listed(files)}"
            findings.append(Finding("warning", "same-picture-other-labels", message, files))
        else:
            message = f"the same picture is in {splits[0]} {len(group)} times: {listed(files)}"
            findings.append(Finding("warning", "same-picture", message, files))
    return findings


def look_alike_findings(dataset: Path, facts: Sequence[PairFacts]) -> list[Finding]:
    """Pictures of different splits that look the same, though their files differ."""
    seen = [(fact, fact.thumbnail) for fact in facts if fact.thumbnail is not None]
    pairs = find_pairs_alike([values for _, values in seen], [fact.split for fact, _ in seen])
    findings = []
    for first, second in ((seen[one][0], seen[other][0]) for one, other in pairs):
        if first.picture_digest != second.picture_digest:
            files = relative(dataset, first.pair.picture, second.pair.picture)
            message = f"{files[0]} and {files[1]} look the same: the score will flatter"
            findings.append(Finding("warning", "look-alike-across-splits", message, files))
    return findings
