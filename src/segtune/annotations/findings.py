"""Finding: something that is wrong with a dataset, said the same way on the terminal, in JSON and on the page."""

import shlex
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

from segtune.classes import CLASSES_FILE, IGNORE, ClassTable
from segtune.files import beside

REPAIRS: dict[str, str] = {
    "drop": "leaves out pictures and label images that can't be read, or have no partner",
    "duplicates": "leaves a picture out of train where val or test has it, too, and out of val where test has it",
    "format": "saves label images of other formats or of 16 bits as 8-bit PNG, values unchanged",
    "binary": "makes 1 of 255 in masks of 0 and 255",
    "shift": "takes 1 off all values, where the classes are numbered from 1; 0 becomes ignored",
    "colors": "makes class ids of colours, as classes.yaml gives them",
    "nearest": "makes class ids of values or colours that JPEG or resizing changed: the nearest that means a class",
    "orientation": "turns label images as the EXIF orientation turns their pictures",
    "size": "scales label images to their pictures' size, where the shape is the same",
}
"""What 'segtune convert DATASET DATASET_repaired --repair NAME' does; in the order in which several are done."""

UNLABELLED = "unlabelled-picture"
"""The kind of finding for a picture of which no pixel counts."""
BINARY = "binary-labels"
"""The kind of finding for label images of 0 and 255 alone."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or doubtful.

    Attributes:
        severity: 'error' makes a training impossible, 'warning' makes it doubtful.
        kind: A word that stays the same: 'unpaired', 'outside-classes', …
        message: One sentence without a full stop.
        files: The files that it is about, relative to the dataset folder.
        repair: The name of the repair that mends it, or empty.
    """

    severity: Literal["error", "warning"]
    kind: str
    message: str
    files: tuple[str, ...] = ()
    repair: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "message": self.message,
            "files": list(self.files),
            "repair": self.repair,
        }


def repair_command(dataset: Path, findings: Sequence[Finding], table: ClassTable | None = None) -> str:
    """The command that mends what can be mended, or an empty string.

    Args:
        dataset: The dataset folder.
        findings: What was found in it.
        table: Its classes: their number is in the command where there is no classes.yaml, an ignore value always.
    """
    wanted = {finding.repair for finding in findings}
    names = [name for name in REPAIRS if name in wanted]
    source, target = (shlex.quote(str(path)) for path in (dataset, beside(dataset, "_repaired")))
    options = ""
    if table is not None:
        options += "" if (dataset / CLASSES_FILE).exists() else f" --num-classes {table.num_classes}"
        options += "" if table.ignore_value == IGNORE else f" --ignore-value {table.ignore_value}"
    return f"segtune convert {source} {target} --repair {','.join(names)}{options}" if names else ""


def findings_html(
    findings: Sequence[Finding], at_most: int, pictures_of: Callable[[Sequence[Finding]], str] = lambda _: ""
) -> str:
    """Findings for a page, by severity and kind.

    Args:
        findings: What was found.
        at_most: How many of a kind are listed.
        pictures_of: HTML to be put below those of a kind.
    """
    kinds: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        kinds[finding.severity, finding.kind].append(finding)
    parts = []
    for (severity, kind), of_kind in kinds.items():
        items = "".join(f"<li>{escape(finding.message)}</li>" for finding in of_kind[:at_most])
        more = len(of_kind) - at_most
        rest = f"<li>and {more} more; segtune check --json lists all</li>" if more > 0 else ""
        summary = f"{severity}: {escape(kind.replace('-', ' '))} ({len(of_kind)})"
        parts.append(
            f'<details open class="{severity}"><summary>{summary}</summary><ul>{items}{rest}</ul>'
            f"{pictures_of(of_kind)}</details>"
        )
    return "\n".join(parts)


def escaped(text: str) -> str:
    """``text`` for a terminal: names of files may hold line breaks, escape sequences, and bytes that are no text."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
