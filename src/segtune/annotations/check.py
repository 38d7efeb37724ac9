"""'segtune check', and what 'train' does first with train and val: all that ruins a training, found before it."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from segtune.annotations.check_pair import PairFacts, check_pair
from segtune.annotations.dataset_folder import (
    ALL_SPLITS,
    IMAGES,
    SPLITS,
    Pair,
    dataset_classes,
    need_dataset_folder,
    scan_split,
)
from segtune.annotations.dataset_report import DatasetReport, SplitFacts
from segtune.annotations.findings import BINARY, Finding
from segtune.annotations.label_findings import class_findings, label_findings
from segtune.annotations.picture_findings import look_alike_findings, picture_findings, same_files
from segtune.classes import IGNORE, ClassTable
from segtune.config import CheckConfig
from segtune.console import messages, track
from segtune.errors import DataError, UserError
from segtune.machine import usable_cpus

NUM_THREADS = max(4, min(usable_cpus(), 8))
"""The interpreter lock is released while pictures are decoded, unpacked and hashed: four fifths of the time."""


def check(config: CheckConfig) -> DatasetReport:
    """Check a dataset folder thoroughly.

    Raises:
        UserError: It is none, or its classes are not known.
    """
    need_dataset_folder(config.dataset)
    return check_dataset(config.dataset, _classes(config), thorough=True)


def _classes(config: CheckConfig) -> ClassTable:
    try:
        return dataset_classes(config.dataset, config.num_classes, config.ignore_value)
    except DataError as error:
        # Without a classes.yaml the number is told by the label images, which are what is wrong.
        problem = f"{config.dataset} has no classes.yaml, and its label images can't tell the number of classes"
        raise UserError(f"{problem}:\n{error.message}", "Give --num-classes.") from error


def check_dataset(
    dataset: Path, table: ClassTable, splits: Sequence[str] | None = None, *, thorough: bool = False
) -> DatasetReport:
    """Read every file of a dataset folder and tell what is wrong with it.

    Args:
        dataset: The dataset folder.
        table: Its classes; label values outside them are errors, ignored values aside.
        splits: Which splits; train and val, and test where it is there, if not given.
        thorough: Also look for pictures that look the same.
    """
    if splits is None:
        splits = [split for split in ALL_SPLITS if split in SPLITS or (dataset / split / IMAGES).is_dir()]
    findings: list[Finding] = []
    everything: list[tuple[str, Pair]] = []
    for split in splits:
        pairs, problems = scan_split(dataset, split)
        everything += [(split, pair) for pair in pairs]
        findings += problems
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        results = pool.map(lambda item: check_pair(dataset, item[0], item[1], table, thorough), everything)
        facts = list(track(results, "Checking the data", total=len(everything)))
    findings = label_findings(dataset, findings, facts, table)
    split_facts = {
        split: _gather([fact for fact in facts if fact.split == split], table)
        for split in splits
        if (dataset / split / IMAGES).is_dir()
    }
    if not any(finding.severity == "error" for finding in findings):
        findings += class_findings(split_facts, table)
    findings += same_files(dataset, facts) + picture_findings(dataset, facts, table)
    findings += look_alike_findings(dataset, facts) if thorough else []
    findings.sort(key=lambda finding: finding.severity)
    classes_of = {
        fact.pair.picture: frozenset(name for name, count in zip(table.names, fact.values, strict=False) if count)
        for fact in facts
    }
    return DatasetReport(dataset, table, findings, split_facts, _fingerprint(facts, table), classes_of)


def check_to_score(dataset: Path, table: ClassTable, split: str) -> None:
    """Check what a model is to be scored on.

    Raises:
        DataError: It can't be.
    """
    report = check_dataset(dataset, table, (split,))
    report.raise_for_errors()
    for finding in report.findings:
        if finding.kind == BINARY:
            messages.print(f"Warning: {finding.message}.", style="yellow")


def _fingerprint(facts: Sequence[PairFacts], table: ClassTable) -> str:
    """Of all that a training depends on: the classes, and the files of train and val."""
    digest = hashlib.sha256(json.dumps(table.to_dict(), sort_keys=True).encode())
    for fact in [fact for fact in facts if fact.split in SPLITS]:
        both = hashlib.sha256((fact.picture_digest + fact.labels_digest).encode()).hexdigest()
        digest.update(f"{fact.split}/{fact.pair.picture.name}:{both}\n".encode())
    return digest.hexdigest()


def _gather(facts: Sequence[PairFacts], table: ClassTable) -> SplitFacts:
    counts = [fact.values[: table.num_classes] for fact in facts] or [np.zeros(table.num_classes, np.int64)]
    return SplitFacts(
        num_pictures=len(facts),
        pixels=np.sum(counts, axis=0),
        pictures_with_class=np.sum([count > 0 for count in counts], axis=0).astype(np.int64),
        sizes=dict(Counter(fact.size for fact in facts)),
        ignored=sum(int(fact.values[value]) for fact in facts for value in {IGNORE, table.ignore_value}),
    )
