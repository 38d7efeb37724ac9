"""DatasetReport: what a check found, for the terminal, for JSON and as an error."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table
from rich.text import Text

from segtune.annotations.findings import UNLABELLED, Finding, escaped, repair_command
from segtune.classes import ClassTable
from segtune.console import output
from segtune.errors import DataError


@dataclass(frozen=True)
class SplitFacts:
    """What a split holds.

    Attributes:
        num_pictures: Pictures.
        pixels: int64 (C,), labelled pixels of each class.
        pictures_with_class: int64 (C,), pictures whose labels have the class.
        sizes: How many pictures have each (height, width).
        ignored: Pixels that never count.
    """

    num_pictures: int
    pixels: npt.NDArray[np.int64]
    pictures_with_class: npt.NDArray[np.int64]
    sizes: dict[tuple[int, int], int]
    ignored: int = 0


@dataclass(frozen=True)
class DatasetReport:
    """What a check found.

    Attributes:
        dataset: The dataset folder.
        classes: Its classes.
        findings: What is wrong or doubtful, errors first.
        splits: Facts of each split that could be read.
        fingerprint: SHA-256 over the classes, and the names and contents of the files of train and val.
        classes_of: The names of the classes that each picture has.
    """

    dataset: Path
    classes: ClassTable
    findings: list[Finding]
    splits: dict[str, SplitFacts]
    fingerprint: str
    classes_of: Mapping[Path, frozenset[str]]

    @property
    def errors(self) -> list[str]:
        """What makes a training impossible, one sentence each."""
        return [finding.message for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[str]:
        """What makes it doubtful."""
        return [finding.message for finding in self.findings if finding.severity == "warning"]

    @property
    def unlabelled(self) -> frozenset[Path]:
        """Pictures of which no pixel is labelled: nothing can be learnt from them."""
        found = (finding.files for finding in self.findings if finding.kind == UNLABELLED)
        return frozenset(self.dataset / name for files in found for name in files)

    @property
    def repair(self) -> str:
        """The command that mends what can be mended, or an empty string."""
        return repair_command(self.dataset, self.findings, self.classes)

    def raise_for_errors(self) -> None:
        """Raise DataError with all errors, if there are any."""
        if self.errors:
            hint = f"Mend these, then try again. What can be mended for you: {self.repair}" if self.repair else ""
            hint = hint or "Mend these, then try again."
            raise DataError(f"{self.dataset} can't be used as it is:", self.grouped("error"), hint)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "dataset": str(self.dataset),
            "fingerprint": self.fingerprint,
            "classes": list(self.classes.names),
            "errors": self.errors,
            "warnings": self.warnings,
            "findings": [finding.to_dict() for finding in self.findings],
            "repair": self.repair,
            "splits": {
                name: {
                    "num_pictures": facts.num_pictures,
                    "pixels": facts.pixels.tolist(),
                    "pictures_with_class": facts.pictures_with_class.tolist(),
                    "ignored": facts.ignored,
                    "sizes": [{"height": h, "width": w, "pictures": n} for (h, w), n in facts.sizes.items()],
                }
                for name, facts in self.splits.items()
            },
        }

    def render(self) -> None:
        """Print it."""
        table = Table(title=Text(str(self.dataset)), title_justify="left")
        table.add_column("id", justify="right", no_wrap=True)
        table.add_column("class", overflow="fold", min_width=8)
        for split, facts in self.splits.items():
            for heading in (f"{split}: of\n{facts.num_pictures} pictures", f"of {split}'s\npixels"):
                table.add_column(Text(heading), justify="right")  # which bends, so that the names keep their room
        for index, name in enumerate(self.classes.names):
            cells = []
            for facts in self.splits.values():
                cells += [str(facts.pictures_with_class[index]), f"{share(facts, index):.2%}"]
            table.add_row(str(index), Text(name), *cells)
        output.print(table)
        for severity in ("error", "warning"):
            for message in self.grouped(severity):
                output.print(f"{severity.capitalize()}: {message}.")
        if self.repair:
            output.print(f"What can be mended for you: {self.repair}")
        if not self.findings:
            output.print("Nothing wrong was found.")

    def grouped(self, severity: str, at_most: int = 10) -> list[str]:
        """The first findings of each kind, for a terminal; the last says how many more there are."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for finding in self.findings:
            if finding.severity == severity:
                kinds[finding.kind].append(escaped(finding.message))
        lines = []
        for messages in kinds.values():
            lines += messages[:at_most]
            if len(messages) > at_most:
                lines[-1] += f" (and {len(messages) - at_most} more like this; segtune check --json lists all)"
        return lines


def share(facts: SplitFacts, index: int) -> float:
    """The share of a class in a split's labelled pixels."""
    return float(facts.pixels[index]) / max(1, int(facts.pixels.sum()))
