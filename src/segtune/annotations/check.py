"""The command 'segtune check', and what 'train' does first: everything that ruins a training, found before it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.table import Table
from rich.text import Text

from segtune.annotations.damaged_labels import Lookup, color_fit, grey_lookup, is_grey, palette_lookup, sound_values
from segtune.annotations.dataset_folder import (
    ALL_SPLITS,
    IMAGES,
    LAYOUT,
    SPLITS,
    Pair,
    dataset_classes,
    is_dataset_folder,
    scan_split,
)
from segtune.annotations.findings import Finding, printable, repair_command
from segtune.annotations.label_values import count_png_values, count_values
from segtune.annotations.near_duplicates import THUMBNAIL, find_pairs_alike, thumbnail
from segtune.classes import IGNORE, ClassTable
from segtune.config import CheckConfig
from segtune.console import output, track
from segtune.errors import DataError, UserError, listed
from segtune.pictures import DECODE_ERRORS, TURNED, decode_labels, open_picture, orientation, same_shape, shown_size

NUM_THREADS = 4
"""Pillow releases the interpreter lock while it decodes."""

RARE_SHARE = 0.001
"""A class of fewer of the labelled pixels is reported."""

MIN_SIDE = 32
"""Pictures of fewer pixels on a side hold hardly anything to learn."""

MIN_ZEROS = 1024
"""Bytes. Some cameras end their files with a few zeros."""

MANY_VALUES = 8
"""More values than this outside the classes look like grey levels."""


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
        fingerprint: SHA-256 over the names and contents of all files.
    """

    dataset: Path
    classes: ClassTable
    findings: list[Finding]
    splits: dict[str, SplitFacts]
    fingerprint: str

    @property
    def errors(self) -> list[str]:
        """What makes a training impossible, one sentence each."""
        return [finding.message for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[str]:
        """What makes it doubtful."""
        return [finding.message for finding in self.findings if finding.severity == "warning"]

    @property
    def repair(self) -> str:
        """The command that mends what can be mended, or an empty string."""
        return repair_command(self.dataset, self.findings)

    def raise_for_errors(self) -> None:
        """Raise DataError with all errors, if there are any."""
        if self.errors:
            hint = f"Mend these, then try again. What can be mended for you: {self.repair}" if self.repair else ""
            told = [
                f"{message} (and {count} more like this; segtune check --json lists all)" if count else message
                for message, count in self.grouped("error")
            ]
            raise DataError(f"{self.dataset} can't be used as it is:", told, hint or "Mend these, then try again.")

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
        table.add_column("id", justify="right")
        table.add_column("class")
        for split, facts in self.splits.items():
            table.add_column(Text(f"{split}: of {facts.num_pictures} pictures"), justify="right")
            table.add_column(Text(f"of {split}'s pixels"), justify="right")
        for index, name in enumerate(self.classes.names):
            cells = []
            for facts in self.splits.values():
                cells += [str(facts.pictures_with_class[index]), f"{share(facts, index):.2%}"]
            table.add_row(str(index), Text(name), *cells)
        output.print(table)
        for severity in ("error", "warning"):
            for message, count in self.grouped(severity):
                more = f" (and {count} more like this; --json lists all)" if count else ""
                output.print(f"{severity.capitalize()}: {message}{more}.")
        if self.repair:
            output.print(f"What can be mended for you: {self.repair}")
        if not self.findings:
            output.print("Nothing wrong was found.")

    def grouped(self, severity: str, at_most: int = 10) -> list[tuple[str, int]]:
        """The first findings of each kind, for a terminal; the last with how many more there are."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for finding in self.findings:
            if finding.severity == severity:
                kinds[finding.kind].append(printable(finding.message))
        lines = []
        for messages in kinds.values():
            lines += [(message, 0) for message in messages[:at_most]]
            if len(messages) > at_most:
                lines[-1] = (messages[at_most - 1], len(messages) - at_most)
        return lines


def share(facts: SplitFacts, index: int) -> float:
    """The share of a class in a split's labelled pixels."""
    return float(facts.pixels[index]) / max(1, int(facts.pixels.sum()))


@dataclass
class _PairFacts:
    """What one pair of files holds.

    Attributes:
        pair: The files.
        split: Where they are.
        size: Height and width of the picture as viewers show it; (0, 0) where it can't be read.
        turned: Whether its EXIF orientation exchanges height and width.
        values: int64 (256,), how many pixels of the label image have each value.
        by_palette: The class of each value by its colour in the label image's palette, if all are classes' colours.
        picture_digest: SHA-256 of the picture file.
        labels_digest: SHA-256 of the label image file.
        thumbnail: As from ``near_duplicates.thumbnail``, where asked for.
        findings: What is wrong with these two alone.
    """

    pair: Pair
    split: str
    size: tuple[int, int] = (0, 0)
    turned: bool = False
    by_palette: Lookup | None = None
    values: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    picture_digest: str = ""
    labels_digest: str = ""
    thumbnail: npt.NDArray[np.float32] | None = None
    findings: list[Finding] = field(default_factory=list)


def check(config: CheckConfig) -> DatasetReport:
    """Check a dataset folder thoroughly.

    Raises:
        UserError: It is none, or its classes are not known.
    """
    if not is_dataset_folder(config.dataset):
        raise UserError(f"{config.dataset} is not a dataset folder.", LAYOUT)
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
        results = pool.map(lambda item: _check_pair(dataset, item[0], item[1], table, thorough), everything)
        facts = list(track(results, "Checking the data", total=len(everything)))
    binary, off_by_one = _only_0_and_255(facts), _off_by_one(facts, table)
    damaged = [fact.values for fact in facts if _outside(fact, table)]
    damaged += [counts for path in _lossy_labels(dataset, findings) if (counts := _lossy_counts(path)) is not None]
    lookup = grey_lookup(np.sum(damaged, axis=0), table) if damaged else None
    findings = [_with_safe_repair(dataset, finding, table, lookup) for finding in findings]
    for fact in facts:
        findings += [_with_safe_repair(dataset, finding, table, lookup) for finding in fact.findings]
        findings += [] if binary or off_by_one else _value_findings(dataset, fact, table, lookup)
        findings += _palette_findings(dataset, fact, table)
    split_facts = {
        split: _gather([fact for fact in facts if fact.split == split], table)
        for split in splits
        if (dataset / split / IMAGES).is_dir()
    }
    findings += _label_findings(split_facts, binary, whole=not findings)
    findings += _class_findings(split_facts, table) if not any(f.severity == "error" for f in findings) else []
    findings += _same_files(dataset, facts) + _picture_findings(dataset, facts)
    findings += _look_alikes(dataset, facts) if thorough else []
    findings = off_by_one + findings
    findings.sort(key=lambda finding: finding.severity)
    return DatasetReport(dataset, table, findings, split_facts, _fingerprint(facts))


def _fingerprint(facts: Sequence[_PairFacts]) -> str:
    digest = hashlib.sha256()
    for fact in facts:
        both = hashlib.sha256((fact.picture_digest + fact.labels_digest).encode()).hexdigest()
        digest.update(f"{fact.split}/{fact.pair.picture.name}:{both}\n".encode())
    return digest.hexdigest()


def _gather(facts: Sequence[_PairFacts], table: ClassTable) -> SplitFacts:
    counts = [fact.values[: table.num_classes] for fact in facts] or [np.zeros(table.num_classes, np.int64)]
    return SplitFacts(
        num_pictures=len(facts),
        pixels=np.sum(counts, axis=0),
        pictures_with_class=np.sum([count > 0 for count in counts], axis=0).astype(np.int64),
        sizes=dict(Counter(fact.size for fact in facts)),
        ignored=sum(int(fact.values[value]) for fact in facts for value in {IGNORE, table.ignore_value}),
    )


def _relative(dataset: Path, *paths: Path) -> tuple[str, ...]:
    return tuple(path.relative_to(dataset).as_posix() for path in paths)


def _check_pair(dataset: Path, split: str, pair: Pair, table: ClassTable, thorough: bool) -> _PairFacts:
    """Decode a picture and its labels, and compare them."""
    facts = _PairFacts(pair, split)
    size = _check_picture(dataset, facts, thorough)
    labels_size = _check_labels(dataset, facts, table)
    if size is not None:
        facts.size = size
    if size is None or labels_size is None or labels_size == size:
        return facts
    message = f"{pair.labels} is {labels_size[1]} x {labels_size[0]} pixels, its picture {size[1]} x {size[0]}"
    repair = ""
    if labels_size == size[::-1]:
        message += ": height and width are exchanged, as where an EXIF orientation was applied to one of them only"
        # Without the tag nothing says in which direction to turn.
        repair = "orientation" if facts.turned else ""
    elif same_shape(labels_size, size):
        repair = "size"
    facts.findings.append(Finding("error", "other-size", message, _relative(dataset, pair.labels), repair))
    return facts


def _check_picture(dataset: Path, facts: _PairFacts, thorough: bool) -> tuple[int, int] | None:
    """Height and width of a picture that decodes to its end; else None, and the error is noted."""
    path = facts.pair.picture
    try:
        content = path.read_bytes()
        facts.picture_digest = hashlib.sha256(content).hexdigest()
        picture = open_picture(content, str(path))
        size = shown_size(picture)
        facts.turned = orientation(picture) in TURNED
        if is_cut_short(content, picture):
            raise UserError(f"{path} is truncated: its end was never written, there are only zeros.")
        # An eighth of the size skips most of the work, but still reads the file to its end.
        picture.draft("L", (max(2 * THUMBNAIL, picture.width // 8), max(2 * THUMBNAIL, picture.height // 8)))
        picture.load()
        if thorough:
            facts.thumbnail = thumbnail(picture)
    except UserError as error:
        facts.findings.append(
            Finding("error", "undecodable", error.message.rstrip("."), _relative(dataset, path), "drop")
        )
    except DECODE_ERRORS as error:
        message = f"{path} can't be decoded: {error}"
        facts.findings.append(Finding("error", "undecodable", message, _relative(dataset, path), "drop"))
    else:
        return size
    return None


def is_cut_short(content: bytes, picture: Image.Image) -> bool:
    """Whether a JPEG was cut short, and filled up: it decodes, but its lower part is grey."""
    kept = len(content.rstrip(b"\0"))
    return picture.format == "JPEG" and len(content) - kept > MIN_ZEROS and b"\xff\xd9" not in content[kept - 64 : kept]


def _check_labels(dataset: Path, facts: _PairFacts, table: ClassTable) -> tuple[int, int] | None:
    """Height and width of the label image, whose values are counted; None where it can't be used."""
    path = facts.pair.labels
    picture: Image.Image | None = None
    try:
        content = path.read_bytes()
        facts.labels_digest = hashlib.sha256(content).hexdigest()
        picture = open_picture(content, str(path))
        counts = count_png_values(content)
        facts.values = count_values(decode_labels(picture, str(path)).ravel()) if counts is None else counts
        facts.by_palette = palette_lookup(picture, facts.values, table)
        if picture.format == "JPEG":
            message = f"{path} is a JPEG inside: JPEG changes values"
            facts.findings.append(Finding("error", "label-format", message, _relative(dataset, path), "nearest"))
        return picture.height, picture.width
    except UserError as error:
        kind, repair = ("undecodable", "drop") if picture is None else _check_mode(picture, facts, table)
        unknown = "; classes.yaml gives no class these colours" if kind == "colored-labels" and not repair else ""
        message = error.message.rstrip(".") + unknown
        facts.findings.append(Finding("error", kind, message, _relative(dataset, path), repair))
        return (picture.height, picture.width) if picture is not None and kind != "undecodable" else None
    except DECODE_ERRORS as error:
        message = f"{path} can't be decoded: {error}"
        facts.findings.append(Finding("error", "undecodable", message, _relative(dataset, path), "drop"))
    return None


def _check_mode(picture: Image.Image, facts: _PairFacts, table: ClassTable) -> tuple[str, str]:
    """What kind of error a label image of several channels or of more bits is, and how it may be mended.

    The values are counted where the image holds some all the same.
    """
    try:
        if picture.mode.startswith("I"):
            values = np.asarray(picture)
            if values.min(initial=0) < 0 or values.max(initial=0) > IGNORE:
                return "label-format", ""
            facts.values = np.bincount(values.ravel(), minlength=256)
            return "label-format", "format"
        if picture.mode.startswith("F"):
            return "label-format", ""
        fit = color_fit(picture, table)
        if is_grey(picture):
            counts = np.bincount(np.asarray(picture.convert("RGB"))[..., 0].ravel(), minlength=256)
            if fit != "exact" or set(np.flatnonzero(counts)) <= sound_values(table):
                facts.values = counts
                return "label-format", "format"
        return "colored-labels", {"exact": "colors", "near": "nearest", "none": ""}[fit]
    except DECODE_ERRORS:
        return "undecodable", "drop"


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


def _only_0_and_255(facts: Sequence[_PairFacts]) -> bool:
    total = np.sum([fact.values for fact in facts], axis=0) if facts else np.zeros(256, np.int64)
    return bool(total[0] and total[IGNORE] and not total[1:IGNORE].any())


def _outside(fact: _PairFacts, table: ClassTable) -> list[int]:
    """The values of a label image that are no ids of classes and are not ignored."""
    sound = sound_values(table)
    return [int(value) for value in np.flatnonzero(fact.values) if value not in sound]


def _value_findings(dataset: Path, fact: _PairFacts, table: ClassTable, lookup: Lookup | None) -> list[Finding]:
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
        if outside[0] == table.num_classes and len(np.flatnonzero(values)) > 1:
            advice += f"; if 0 is what is not labelled, and the classes are 1 to {outside[0]}, --repair shift"
    elif len(outside) > MANY_VALUES:
        advice = (
            "these look like grey levels, not class ids, and don't tell their classes any more: export again as PNG"
        )
    else:
        advice = "add the classes"
    message = f"{path} holds the value {found}, but {end}: {advice}"
    return [Finding("error", "outside-classes", message, _relative(dataset, path), repair)]


def _palette_findings(dataset: Path, fact: _PairFacts, table: ClassTable) -> list[Finding]:
    """Values that are sound, but whose colours say other classes: painted or saved with another order of classes."""
    used = np.flatnonzero(fact.values)
    if fact.by_palette is None or _outside(fact, table) or (fact.by_palette[used] == used).all():
        return []
    wrong = listed(
        f"{value} has the colour of {fact.by_palette[value]}" for value in used if fact.by_palette[value] != value
    )
    message = f"the palette of {fact.pair.labels} has the classes' colours in another order: {wrong}"
    return [Finding("warning", "palette-order", message, _relative(dataset, fact.pair.labels), "colors")]


def _off_by_one(facts: Sequence[_PairFacts], table: ClassTable) -> list[Finding]:
    """Classes that are numbered from 1."""
    total = np.sum([fact.values for fact in facts], axis=0) if facts else np.zeros(256, np.int64)
    used = [int(value) for value in np.flatnonzero(total) if value not in {IGNORE, table.ignore_value}]
    if used and used[0] >= 1 and used[-1] == table.num_classes:
        message = (
            f"the label images hold the values {used[0]} to {used[-1]}, but the {table.num_classes} classes are"
            f" numbered from 0 to {table.num_classes - 1}: all values look one too high"
        )
        return [Finding("error", "off-by-one", message, repair="shift")]
    return []


def _label_findings(splits: dict[str, SplitFacts], binary: bool, whole: bool) -> list[Finding]:
    """What is wrong with the labels as a whole; ``whole``: all files could be read, and their values are sound."""
    if binary:
        message = "the label images hold only 0 and 255, and 255 never counts: if it stands for class 1, save it as 1"
        return [Finding("error", "binary-labels", message, repair="binary")]
    return [
        Finding("error", "nothing-labelled", f"no pixel of {split} carries a label")
        for split, facts in splits.items()
        if whole and not facts.pixels.sum()
    ]


def _class_findings(splits: dict[str, SplitFacts], table: ClassTable) -> list[Finding]:
    """Classes that can't be learnt or can't be scored."""
    findings = []
    for split, facts in splits.items():
        absent = [name for name, pixels in zip(table.names, facts.pixels, strict=True) if not pixels]
        if absent:
            findings.append(Finding("warning", "absent-class", f"no pixel of {split} has the class {listed(absent)}"))
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


def _picture_findings(dataset: Path, facts: Sequence[_PairFacts]) -> list[Finding]:
    """Pictures that teach nothing, or little."""
    findings = []
    for fact in facts:
        labelled = int(fact.values[:IGNORE].sum())
        if not fact.findings and fact.values.sum() and not labelled:
            message = f"nothing is labelled in {fact.pair.picture}: all its pixels are ignored"
            findings.append(Finding("warning", "unlabelled-picture", message, _relative(dataset, fact.pair.picture)))
        if fact.size != (0, 0) and min(fact.size) < MIN_SIDE:
            message = f"{fact.pair.picture} has only {fact.size[1]} x {fact.size[0]} pixels"
            findings.append(Finding("warning", "tiny-picture", message, _relative(dataset, fact.pair.picture)))
    empty = [fact for fact in facts if fact.values[0] and not fact.values[1:IGNORE].any()]
    if empty and len(empty) < len(facts):
        names = listed((fact.pair.picture.name for fact in empty), 5)
        message = f"{len(empty)} of {len(facts)} pictures have class 0 alone: {names}"
        files = _relative(dataset, *(fact.pair.picture for fact in empty))
        findings.append(Finding("warning", "only-class-0", message, files))
    return findings


def _same_files(dataset: Path, facts: Sequence[_PairFacts]) -> list[Finding]:
    """Pictures that are there more than once: a score on a picture that was trained on says nothing."""
    by_digest: dict[str, list[_PairFacts]] = defaultdict(list)
    for fact in facts:
        if fact.picture_digest and fact.size != (0, 0):
            by_digest[fact.picture_digest].append(fact)
    findings = []
    for group in by_digest.values():
        if len(group) < 2:
            continue
        files = _relative(dataset, *(fact.pair.picture for fact in group))
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


def _look_alikes(dataset: Path, facts: Sequence[_PairFacts]) -> list[Finding]:
    """Pictures of different splits that look the same, though their files differ."""
    seen = [(fact, fact.thumbnail) for fact in facts if fact.thumbnail is not None]
    pairs = find_pairs_alike([values for _, values in seen], [fact.split for fact, _ in seen])
    findings = []
    for first, second in ((seen[one][0], seen[other][0]) for one, other in pairs):
        if first.picture_digest != second.picture_digest:
            files = _relative(dataset, first.pair.picture, second.pair.picture)
            message = f"{files[0]} and {files[1]} look the same: the score will flatter"
            findings.append(Finding("warning", "look-alike-across-splits", message, files))
    return findings
