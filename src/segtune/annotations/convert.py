"""The command 'segtune convert': annotation export -> dataset folder."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from segtune.annotations.class_choice import ClassChoice
from segtune.annotations.conversion import ConvertReport, make_report, make_splits, read_export, write_pictures
from segtune.annotations.dataset_folder import SPLITS, dataset_classes, find_split
from segtune.annotations.inventory import Entry, Inventory
from segtune.annotations.merge import MergeReport, merge_export
from segtune.annotations.repair import RepairReport, repair_dataset
from segtune.annotations.split import Candidate, assign_splits
from segtune.annotations.target_names import joined_name, target_names
from segtune.classes import CLASSES_FILE, write_classes
from segtune.config import ConversionOptions, ConvertConfig
from segtune.errors import UserError
from segtune.files import atomic_folder, refuse_used


def convert(config: ConvertConfig) -> ConvertReport | RepairReport | MergeReport:
    """Convert an export, add it to a dataset with ``merge``, or mend a copy of a dataset with ``repair``.

    A new folder appears when all is written.

    Raises:
        UserError: The source can't be read, converted or mended as asked, or the target is used; nothing is written
            then.
    """
    if config.repair and config.merge:
        raise UserError("--repair and --merge can't be done at once.", "Repair first, then merge.")
    if config.repair:
        return repair_dataset(config)
    if config.merge:
        table = dataset_classes(config.dataset, config.num_classes, config.ignore_value)
        return merge_export(config.source, config.dataset, config, table)
    if config.num_classes is not None or config.ignore_value is not None:
        raise UserError(
            "--num-classes and --ignore-value go with --repair and --merge, of which none is given.",
            "An export's classes are chosen with --classes, and ignored with --ignore-labels.",
        )
    return convert_export(config.source, config.dataset, config)


def convert_export(source: Path, dataset: Path, options: ConversionOptions) -> ConvertReport:
    """Like ``convert``, with options from any command."""
    refuse_used(dataset)
    conversion = read_export(source, options)
    notes = _assign(conversion.inventory, conversion.choice, options)
    with atomic_folder(dataset) as folder:
        write_classes(folder / CLASSES_FILE, conversion.choice.table)
        splits = {entry.split for entry in conversion.inventory.pictures}
        make_splits(folder, (*SPLITS, *({"test"} & splits)))
        results = write_pictures(conversion, folder)
    return make_report(dataset, conversion, notes, results)


def _assign(inventory: Inventory, choice: ClassChoice, options: ConversionOptions) -> list[str]:
    """Give each picture its split and its file name. Returns what to say about the split."""
    entries = inventory.pictures
    for entry, target in zip(entries, target_names([entry.picture for entry in entries]), strict=True):
        entry.target = target
    earlier = _earlier_splits(entries, options.split_like) if options.split_like is not None else {}
    candidates = [
        Candidate(
            entry.name,
            entry.subset,
            frozenset(choice.class_name(label) for label in entry.labels) - {"ignored"},
            earlier.get(entry.picture, ""),
            entry.target,
        )
        for entry in entries
    ]
    assigned = assign_splits(candidates, options.val_fraction, options.group_by)
    for entry, split in zip(entries, assigned.splits, strict=True):
        entry.split = split
    if options.split_like is not None and not earlier:
        return [*assigned.notes, f"no picture of {options.split_like} is in this export: none has the same name"]
    return assigned.notes


def _earlier_splits(entries: Sequence[Entry], dataset: Path) -> dict[str, str]:
    """The split that pictures have in a dataset made before, by their file in the export.

    Pictures may have come since that are called the same, or have gone: names with and without folders are the same.
    """
    split_of = find_split(dataset)
    found = {}
    for entry in entries:
        names = (entry.target, joined_name(entry.picture), PurePosixPath(entry.picture).name)
        splits = [split_of[stem] for name in names if (stem := PurePosixPath(name).stem) in split_of]
        if splits:
            found[entry.picture] = splits[0]
    return found
