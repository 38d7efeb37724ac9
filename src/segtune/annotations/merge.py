"""An export into a dataset folder that is there: corrected pictures replaced, new ones added, nothing lost."""

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.table import Table
from rich.text import Text

from segtune.annotations.class_choice import ClassChoice, UnknownClassesError, background_id
from segtune.annotations.conversion import (
    Conversion,
    ConvertReport,
    make_report,
    make_splits,
    read_export,
    with_paint_order,
    write_pictures,
)
from segtune.annotations.dataset_folder import ALL_SPLITS, IMAGES, LABELS, REPLACED, Pair, find_pairs
from segtune.annotations.formats import FORMATS
from segtune.annotations.inventory import Entry
from segtune.annotations.picture_index import telling_folders
from segtune.annotations.split import Candidate, assign_splits, series_of
from segtune.annotations.target_names import joined_name, target_names
from segtune.arrays import Array
from segtune.classes import IGNORE, ClassTable
from segtune.config import Background, ConversionOptions, list_of_names
from segtune.console import output
from segtune.errors import DataError, UserError, listed, unwritable
from segtune.files import atomic_path, locked, name_key, sha256
from segtune.pictures import open_picture, read_labels, read_picture, shown_size, write_labels

TO_MERGE_CLASSES = (
    "Merge these with --map NEW=OLD, leave their pixels out with --ignore-labels NEW, or convert all anew."
)

SHARE_OF_CONTRAST, SAVED_ANEW = 0.5, (2, 24)
"""By what share of the picture's standard deviation a place may change as a picture is saved anew, and by how many grey
levels at least and at most. A thing that moves before a still camera, whose frames have the same names in every video,
changes some places by more."""


@dataclass(frozen=True)
class MergeReport:
    """What a merge did.

    Attributes:
        conversion: What the export held.
        table: The dataset's classes.
        added: Names of new pictures, by split.
        changed: Names of pictures whose labels are others now.
        unchanged: How many pictures had these labels already.
        lost: int64 (256,), pixels of changed pictures that had each value, and have another now.
        won: int64 (256,), those that have each value now, and had another.
        new: int64 (256,), pixels of each value in new pictures.
        num_pixels: Of the changed pictures.
        kept: The folder that keeps what was replaced; None where nothing was.
        num_pictures: How many each split of the dataset has now.
        by_z_order: Whether the export's own order won over the dataset's paint order.
    """

    conversion: ConvertReport
    table: ClassTable
    added: Mapping[str, Sequence[str]]
    changed: Sequence[str]
    unchanged: int
    lost: npt.NDArray[np.int64]
    won: npt.NDArray[np.int64]
    new: npt.NDArray[np.int64]
    num_pixels: int
    kept: Path | None
    num_pictures: Mapping[str, int]
    by_z_order: bool = False

    def render(self) -> None:
        """Print it."""
        self.conversion.render()
        num_added = sum(len(names) for names in self.added.values())
        title = f"{self.conversion.dataset}: {len(self.changed)} pictures changed, {num_added} added"
        table = Table(title=Text(title), title_justify="left")
        for column in ("id", "class", "pixels lost", "pixels won", "pixels in new pictures"):
            table.add_column(column, justify="left" if column == "class" else "right")
        rows = [*enumerate(self.table.names), (IGNORE, "ignored")]
        for value, name in rows:
            counts = [int(counts[value]) for counts in (self.lost, self.won, self.new)]
            if value != IGNORE or any(counts):
                table.add_row(str(value), Text(name), *(f"{count:,}" for count in counts))
        output.print(table)
        if self.changed:
            share = int(self.won.sum()) / max(1, self.num_pixels)
            output.print(f"Changed: {listed(self.changed)}; {share:.1%} of their pixels.")
        for split, names in self.added.items():
            output.print(f"Added to {split}: {listed(names)}.")
        if self.unchanged:
            output.print(f"Unchanged: {self.unchanged} pictures had these labels already.")
        sizes = listed(f"{count} {split}" for split, count in self.num_pictures.items())
        output.print(f"The dataset has now {sizes} pictures.")
        if self.kept is not None:
            output.print(f"What was replaced is kept in {self.kept}.")
        if self.by_z_order:
            output.print(
                "Where objects overlap, the export's own z order decided, not the dataset's paint order"
                f" ({listed(self.table.paint_order)}); --paint-order changes that."
            )


def merge_export(source: Path, dataset: Path, options: ConversionOptions, table: ClassTable) -> MergeReport:
    """Add the pictures of an export to a dataset folder; those that it has get the export's labels.

    All is converted in a hidden folder first. Then files move in one by one, each after what it replaces has been kept.
    A kill leaves some pictures merged, and at most one label image whose picture has not come yet; 'check' names it.

    Args:
        source: The export.
        dataset: The dataset folder.
        options: What the person asked for.
        table: The dataset's classes.

    Raises:
        UserError: The export can't be read, has classes that the dataset lacks, or other pictures of the same names, or
            the dataset has a name in two splits, or another process merges into it; the dataset is untouched then.
    """
    # Each of two would keep the other's labels as those that were there before.
    busy = UserError(f"Another process is merging into {dataset}.", "Wait for it, then try again.")
    with locked(dataset / ".merge.lock", busy):
        return _merged(source, dataset, options, table)


def _merged(source: Path, dataset: Path, options: ConversionOptions, table: ClassTable) -> MergeReport:
    present = _present(dataset)
    if options.split_like is not None:
        raise UserError("--merge keeps the dataset's own split.", "Leave --split-like out.")
    try:
        conversion = read_export(source, _options_like(options, table), min_pictures=0)
    except UnknownClassesError as error:
        if options.classes:
            raise
        has = f"The dataset has the classes {listed(table.names)}; the export has objects of others:"
        raise DataError(has, error.problems, TO_MERGE_CLASSES) from error
    # A correction is drawn on top of what it corrects, whatever their classes are.
    if table.paint_order and not options.paint_order and not FORMATS[conversion.format].has_z_order:
        # Of classes that had no objects then, nobody has said where they lie.
        names = conversion.choice.table.names
        order = [name for name in table.paint_order if name in names]
        others = [name for name in names if name not in order]
        conversion = with_paint_order(conversion, list_of_names([*order, *others]))
    conversion = replace(conversion, choice=_choice_like(conversion.choice, table))
    values = _values(conversion, table)
    with _working_folder(dataset) as folder:
        make_splits(folder, ALL_SPLITS)
        notes = _assign(conversion, present)
        results = write_pictures(conversion, folder)
        _refuse_other_pictures(conversion.inventory.pictures, folder, present)
        _refuse_other_names(conversion.inventory.pictures, folder, present)
        report = make_report(dataset, conversion, notes, results)
        by_z_order = bool(table.paint_order and not conversion.options.paint_order)
        merged = _move_in(report, conversion.inventory.pictures, folder, dataset, table, values, present)
        return replace(merged, by_z_order=by_z_order)


def _present(dataset: Path) -> dict[str, tuple[str, Pair]]:
    """The split and the files of each picture of the dataset, by its name without suffix.

    Raises:
        DataError: A name is in several splits, or pictures and label images don't pair up.
    """
    present: dict[str, tuple[str, Pair]] = {}
    problems = []
    for split in ALL_SPLITS:
        if not (dataset / split / IMAGES).is_dir():
            continue
        for pair in find_pairs(dataset, split, may_be_empty=True):
            if pair.stem in present:
                problems.append(f"{present[pair.stem][1].picture} and {pair.picture}")
            present.setdefault(pair.stem, (split, pair))
    if problems:
        raise DataError(
            "Pictures have the same name in two splits, so that it is in doubt which one an export means:",
            problems,
            "Remove or rename one of each with its labels; 'segtune check' says which are the same picture.",
        )
    return present


def _options_like(options: ConversionOptions, table: ClassTable) -> ConversionOptions:
    """The options that convert the export as the dataset was, but for what the person says; without its paint order."""
    background = _background_of(table) if options.background == "auto" else options.background
    return replace(options, background=background, classes=options.classes or list_of_names(table.names))


def _background_of(table: ClassTable) -> Background:
    """What pixels outside all objects are in a dataset that may not say."""
    if table.background == "error":
        return "error"
    return "ignore" if background_id(table) is None else "class"


def _choice_like(choice: ClassChoice, table: ClassTable) -> ClassChoice:
    """The choice with the dataset's class 0 as the background, where it is another than the one called 'background'."""
    own = choice.table
    is_other = own.background == "class" and background_id(table) == 0 and own.names[0] in table.names[1:]
    if not is_other or table.names[0] not in own.names:
        return choice
    names = (table.names[0], *(name for name in own.names if name != table.names[0]))
    ids = {label: value if value == IGNORE else names.index(own.names[value]) for label, value in choice.ids.items()}
    return replace(choice, table=replace(own, names=names), ids=ids)


def _values(conversion: Conversion, table: ClassTable) -> npt.NDArray[np.uint8]:
    """The dataset's value of each value that the conversion paints, uint8 (256,).

    Raises:
        UserError: The dataset lacks a class that objects have.
    """
    own = conversion.choice.table
    values = np.full(256, IGNORE, np.uint8)
    used = {conversion.choice.ids[label] for label, _ in conversion.inventory.objects}
    missing = []
    for index, name in enumerate(own.names):
        if index == 0 and own.background == "class" and table.background == "class":
            values[index] = 0
        elif name in table.names:
            values[index] = table.names.index(name)
        elif index in used or (index == 0 and own.background == "class"):
            missing.append(name)
    if missing:
        raise UserError(
            f"The dataset has no class {listed(missing)}; it has {listed(table.names)}.",
            TO_MERGE_CLASSES,
        )
    return values


@contextmanager
def _working_folder(dataset: Path) -> Iterator[Path]:
    """A hidden folder in a dataset folder, so that files move without being copied; it vanishes at the end."""
    try:
        with tempfile.TemporaryDirectory(prefix=".merge-", dir=dataset, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        raise unwritable(dataset, error) from error


def _assign(conversion: Conversion, present: Mapping[str, tuple[str, Pair]]) -> list[str]:
    """Give each picture of the export its split and its file name: those of the dataset where it has it."""
    entries = conversion.inventory.pictures
    pairs = {name_key(stem): (split, pair) for stem, (split, pair) in present.items()}
    for entry, target in zip(entries, target_names([entry.picture for entry in entries]), strict=True):
        entry.split, entry.target = _place(entry, target, conversion, pairs)
    times = Counter(PurePosixPath(entry.target).stem for entry in entries)
    twice = [name for name, count in times.items() if count > 1]
    if twice:
        raise DataError("Several pictures of the export are named like one of the dataset:", twice, "Rename them.")
    if all(entry.split for entry in entries):
        return []
    known = {PurePosixPath(entry.target).stem for entry in entries}
    others = [(stem, pair.picture.name, split) for stem, (split, pair) in present.items() if stem not in known]
    names = [entry.name for entry in entries]
    if conversion.options.group_by == "auto":
        series = {series_of(name) for _, name, _ in others} - {None}
        names = [_name_in_series(entry, series) for entry in entries]
    candidates = [
        Candidate(name, entry.subset, frozenset(), entry.split, entry.target)
        for name, entry in zip(names, entries, strict=True)
    ]
    candidates += [Candidate(name, "", frozenset(), split, stem) for stem, name, split in others]
    assigned = assign_splits(candidates, conversion.options.val_fraction, conversion.options.group_by)
    for entry, split in zip(entries, assigned.splits, strict=False):
        entry.split = split
    return assigned.notes


def _name_in_series(entry: Entry, series: Collection[str | None]) -> str:
    """The name that a picture has, or would have, in the dataset, of those with its folders in front and without.

    Where the dataset has pictures of its series, they are called likewise.

    Args:
        entry: The picture.
        series: What the names of the dataset's pictures have in common with others, as ``series_of`` says it.
    """
    own, joined = PurePosixPath(entry.picture).name, joined_name(entry.name)
    names = [joined_name(entry.picture), joined]
    if series_of(own) or not telling_folders(entry.name):  # a number alone may be of any folder
        names.append(own)
    if called := next((name for name in names if series_of(name) in series), ""):
        return called
    # The dataset may have come from an export with further folders in front.
    longer = [
        f"{known.removesuffix(part)}{name}"
        for name in names
        if (part := series_of(name))
        for known in sorted(filter(None, series))
        if known.endswith(f"_{part}")
    ]
    return longer[0] if longer else joined


def _place(entry: Entry, target: str, conversion: Conversion, pairs: Mapping[str, tuple[str, Pair]]) -> tuple[str, str]:
    """The split and the file name of a picture in the dataset; no split and a new name where it is not there."""
    # With folders in front or without: which it was depended on the other pictures of that export.
    own, joined = PurePosixPath(entry.picture).name, joined_name(entry.picture)
    keys = [name_key(PurePosixPath(name).stem) for name in (joined, joined_name(entry.name), own)]
    found = next((key for key in keys if key in pairs), None)
    if found is None:
        return "", target
    split, pair = pairs[found]
    if found == keys[2] != keys[0] and telling_folders(entry.name):
        # In pools of several folders, another folder's picture may have come without its folder.
        content = conversion.export.pictures.source(entry.picture).read(entry.picture)
        if pair.picture.read_bytes() != content and not _is_same_picture(pair.picture, content, entry.name):
            return "", joined
    return split, f"{pair.stem}{PurePosixPath(target).suffix}"


def _refuse_other_pictures(entries: Sequence[Entry], folder: Path, present: Mapping[str, tuple[str, Pair]]) -> None:
    """Raise DataError where a picture of the export shows something else than the dataset's of its name."""
    problems = []
    for entry in entries:
        stem = PurePosixPath(entry.target).stem
        if stem not in present:
            continue
        old, new = present[stem][1].picture, folder / entry.split / IMAGES / entry.target
        if sha256(old) != sha256(new) and not _is_same_picture(old, new):
            problems.append(f"{entry.name} is another picture than {old}")
    if problems:
        raise DataError(
            "Pictures have names that others in the dataset have:",
            problems,
            "Rename them in the export; of several videos, convert all exports together, from one folder above them.",
        )


def _refuse_other_names(entries: Sequence[Entry], folder: Path, present: Mapping[str, tuple[str, Pair]]) -> None:
    """Raise DataError where the dataset has a new picture's file under another name: its old labels would stay."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for _, pair in present.values():
        by_size[pair.picture.stat().st_size].append(pair.picture)
    problems = []
    for entry in entries:
        new = folder / entry.split / IMAGES / entry.target
        alike = by_size[new.stat().st_size] if PurePosixPath(entry.target).stem not in present else []
        same = [old for old in alike if sha256(old) == sha256(new)]
        problems += [f"{entry.name} is {old}" for old in same[:1]]
    if problems:
        raise DataError(
            "Pictures are in the dataset already, under other names:",
            problems,
            "Give them these names in the export, or the folders that they had when they were converted.",
        )


def _is_same_picture(one: Path, other: Path | bytes, name: str = "") -> bool:
    """Whether two files show the same picture at the same size: tools save pictures anew.

    Args:
        one: A file.
        other: A file, or its content.
        name: What to call the other in errors, where it is content.
    """
    if shown_size(open_picture(one), str(one)) != shown_size(open_picture(other, name), name):
        return False
    before, after = (_coarse(read) for read in (read_picture(one), read_picture(other, name)))
    return bool(np.abs(before - after).max() <= np.clip(before.std() * SHARE_OF_CONTRAST, *SAVED_ANEW))


def _coarse(pixels: Array) -> npt.NDArray[np.float32]:
    """A picture as grey, so small that what JPEG changes is averaged away, and a small thing that moves is not."""
    picture = Image.fromarray(pixels).convert("F")
    side = min(256, max(1, max(picture.size) // 4))
    picture.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(picture)


def _move_in(
    report: ConvertReport,
    entries: Sequence[Entry],
    folder: Path,
    dataset: Path,
    table: ClassTable,
    values: npt.NDArray[np.uint8],
    present: Mapping[str, tuple[str, Pair]],
) -> MergeReport:
    """Move converted pictures into the dataset, and count what changes."""
    kept = _next_folder(dataset / REPLACED)
    lost, won, new = np.zeros((3, 256), np.int64)
    added: dict[str, list[str]] = {}
    changed: list[str] = []
    num_pixels = unchanged = 0
    for entry in entries:
        stem = PurePosixPath(entry.target).stem
        picture = folder / entry.split / IMAGES / entry.target
        path = folder / entry.split / LABELS / f"{stem}.png"
        labels = values[read_labels(path)]
        write_labels(path, labels, table)
        if stem not in present:
            # A split without pictures may still have label images.
            for made, kind in ((path, LABELS), (picture, IMAGES)):
                target = dataset / entry.split / kind / made.name
                if target.exists():
                    _keep(target, dataset, kept)
                _put(made, target)
            added.setdefault(entry.split, []).append(stem)
            new += np.bincount(labels.ravel(), minlength=256)
            continue
        _, pair = present[stem]
        before = _earlier_labels(pair, table)
        has_same_size = before.shape == labels.shape
        differs = before != labels if has_same_size else np.ones(labels.shape, bool)
        if not differs.any():
            unchanged += 1
            continue
        lost += np.bincount(before[differs] if has_same_size else before.ravel(), minlength=256)
        won += np.bincount(labels[differs], minlength=256)
        num_pixels += labels.size
        changed.append(stem)
        _keep(pair.labels, dataset, kept)
        if sha256(pair.picture) != sha256(picture):
            _keep(pair.picture, dataset, kept)
            target = pair.picture.with_suffix(picture.suffix)
            _put(picture, target)
            # Of suffixes that differ in capitals alone, many file systems make one file.
            if not target.samefile(pair.picture):
                pair.picture.unlink()
        _put(path, pair.labels)
    splits = Counter([split for split, _ in present.values()])
    splits.update({split: len(stems) for split, stems in added.items()})
    num_pictures = {split: splits[split] for split in ALL_SPLITS if splits[split]}
    kept_in = kept if kept.exists() else None
    return MergeReport(report, table, added, changed, unchanged, lost, won, new, num_pixels, kept_in, num_pictures)


def _earlier_labels(pair: Pair, table: ClassTable) -> npt.NDArray[np.uint8]:
    """The labels that a merge replaces; without a pixel where they can't be read, which is why they are replaced."""
    try:
        return read_labels(pair.labels, table)
    except UserError:
        return np.empty((0, 0), np.uint8)


def _next_folder(place: Path) -> Path:
    """The first of replaced/1, replaced/2, … that is not there."""
    number = 1
    while (place / str(number)).exists():
        number += 1
    return place / str(number)


def _keep(path: Path, dataset: Path, kept: Path) -> None:
    """Copy a file to where what was replaced is kept."""
    with atomic_path(kept / path.relative_to(dataset)) as temporary:
        shutil.copyfile(path, temporary)


def _put(path: Path, target: Path) -> None:
    """Move a file to its place, in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
