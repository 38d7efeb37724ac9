"""The command 'segtune convert': annotation export -> dataset folder."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from rich.table import Table
from rich.text import Text

from segtune.annotations.annotated_image import AnnotatedImage, Annotations, Shape
from segtune.annotations.class_choice import ClassChoice, choose_classes, count_classes
from segtune.annotations.dataset_folder import ALL_SPLITS, IMAGES, LABELS, SPLITS, find_split
from segtune.annotations.export import Export, open_export
from segtune.annotations.formats import read_annotations
from segtune.annotations.label_writer import LabelJob, LabelResult, write_label_images
from segtune.annotations.repair import RepairReport, repair_dataset
from segtune.annotations.split import Candidate, assign_splits
from segtune.annotations.target_names import joined_name, target_names
from segtune.classes import CLASSES_FILE, IGNORE, ClassTable, write_classes
from segtune.config import ConversionOptions, ConvertConfig, names_in
from segtune.console import output, track
from segtune.errors import DataError, UserError, listed
from segtune.files import atomic_folder, refuse_used
from segtune.pictures import same_shape

MISSING = "annotated pictures that are not there"

HIDDEN_SHARE = 0.95
"""An object of which more than this lies under others counts as hidden."""


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion did.

    Attributes:
        dataset: The dataset folder.
        format: The export's format.
        classes: The classes of the label images.
        num_pictures: Pictures of each split.
        objects: Objects by class; 'ignored' counts those whose pixels never count.
        kinds: Objects by kind: polygon, mask, …
        pixels: int64 (256,), pixels of each value in all label images.
        hidden: Objects by class that lie almost wholly under others.
        skipped: What was left out, by reason.
        notes: What was decided about the split.
        warnings: What looks like a mistake, a sentence each.
    """

    dataset: Path
    format: str
    classes: ClassTable
    num_pictures: dict[str, int]
    objects: Counter[str]
    kinds: Counter[str]
    pixels: npt.NDArray[np.int64]
    hidden: Counter[str]
    skipped: Counter[str]
    notes: Sequence[str]
    warnings: Sequence[str]

    def render(self) -> None:
        """Print it."""
        pictures = ", ".join(f"{count} {split}" for split, count in self.num_pictures.items())
        table = Table(title=Text(f"{self.dataset}: {pictures} pictures from {self.format}"), title_justify="left")
        for column in ("id", "class", "objects", "pixels"):
            table.add_column(column, justify="left" if column == "class" else "right")
        rows = [(str(index), name, self.pixels[index]) for index, name in enumerate(self.classes.names)]
        if self.pixels[IGNORE] or self.objects["ignored"]:
            rows.append((str(IGNORE), "ignored", self.pixels[IGNORE]))
        for value, name, count in rows:
            table.add_row(value, Text(name), str(self.objects[name]), f"{count / max(1, self.pixels.sum()):.1%}")
        output.print(table)
        output.print(f"Objects: {listed(f'{count} x {kind}' for kind, count in self.kinds.most_common())}.")
        for note in self.notes:
            output.print(f"Split: {note}.")
        for reason, count in self.skipped.items():
            output.print(f"Left out: {count} {reason}.")
        for warning in self.warnings:
            output.print(f"Warning: {warning}.")
        if self.hidden:
            hidden = listed(f"{count} of {self.objects[name]} {name}" for name, count in self.hidden.most_common())
            output.print(
                f"Warning: objects that lie almost wholly under others: {hidden}.\n  If they should be seen, give"
                " --paint-order with the classes from the bottom to the top (background first, small things last)."
            )


@dataclass
class _Entry:
    """What is kept of an annotated picture while all are read for the first time."""

    name: str
    picture: str
    size: tuple[int, int]
    subset: str
    labels: frozenset[str | None]
    split: str = ""
    target: str = ""


@dataclass
class _Inventory:
    """What the export holds: everything but the shapes themselves."""

    entries: list[_Entry | None] = field(default_factory=list)
    objects: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: dict[str, None] = field(default_factory=dict)


def convert(config: ConvertConfig) -> ConvertReport | RepairReport:
    """Convert an export, or mend a copy of a dataset folder with ``repair``; the folder appears when all is written.

    Raises:
        UserError: The source can't be read, converted or mended as asked, or the target is used; nothing is written
            then.
    """
    if config.repair:
        return repair_dataset(config)
    if config.num_classes is not None or config.ignore_value is not None:
        raise UserError(
            "--num-classes and --ignore-value go with --repair, which is not given.",
            "An export's classes are chosen with --classes, and ignored with --ignore-labels.",
        )
    return convert_export(config.source, config.dataset, config)


def convert_export(source: Path, dataset: Path, options: ConversionOptions) -> ConvertReport:
    """Like ``convert``, with options from any command."""
    refuse_used(dataset)
    export = open_export(source, options.images, options.attribute, names_in(options.classes))
    format_name, annotations = read_annotations(export, options.format)
    inventory = _take_inventory(export, annotations, options)
    _check_usable(inventory, source)
    objects: Counter[str | None] = Counter()
    for (label, _), count in inventory.objects.items():
        objects[label] += count
    choice = choose_classes(options, objects, annotations.classes, annotations.complete)
    notes = _assign(inventory, choice, options)
    with atomic_folder(dataset) as folder:
        write_classes(folder / CLASSES_FILE, choice.table)
        for split in (*SPLITS, *({"test"} & {entry.split for entry in inventory.entries if entry})):
            (folder / split / IMAGES).mkdir(parents=True)
            (folder / split / LABELS).mkdir()
        jobs = _jobs(export, annotations, inventory, options, folder)
        total = sum(entry is not None for entry in inventory.entries)
        results = list(track(write_label_images(jobs, choice, options.fill, total), "Converting", total))
        _check_covered(inventory, choice, results)
    return _report(dataset, format_name, inventory, choice, notes, results)


def _take_inventory(export: Export, annotations: Annotations, options: ConversionOptions) -> _Inventory:
    """Read all annotations once, and find all that is wrong with them and their pictures.

    Raises:
        DataError: Something is.
    """
    inventory = _Inventory()
    problems: list[str] = []
    missing: list[str] = []
    annotated: dict[str, list[str]] = defaultdict(list)
    files: set[str] = set()  # label images are pictures, too
    for image in track(annotations.images(), "Reading the export"):
        shapes = _wanted(image.shapes, options, inventory.skipped)
        inventory.skipped.update(image.skipped)
        inventory.warnings.update(dict.fromkeys(image.warnings))
        inventory.entries.append(None)
        files.add(image.file)
        picture = image.picture or export.pictures.find(image.name, image.subset, image.file)
        where = f"{image.file}: {image.name}" if image.file and image.file != image.name else image.name
        if image.problems:
            problems += [f"{where}: {problem}" for problem in image.problems]
        elif picture is None:
            missing.append(f"{where}: {export.pictures.why_missing(image.name, image.subset, image.file)}")
        else:
            annotated[picture].append(where)
            size, problem = _check_size(export, image, picture, options)
            problems += [f"{where}: {problem}"] if problem else []
            if not shapes and options.empty == "skip":
                inventory.skipped["pictures without objects (--empty background takes them as background)"] += 1
                continue
            inventory.entries[-1] = _Entry(
                image.name, picture, size, image.subset, frozenset(shape.label for shape in shapes)
            )
            inventory.objects.update((shape.label, shape.kind) for shape in shapes)
    if missing and not options.allow_missing:
        problems += missing
    inventory.skipped[MISSING] += len(missing)
    problems += [
        f"{picture} is annotated {len(names)} times: {listed(names)}"
        for picture, names in annotated.items()
        if len(names) > 1
    ]
    inventory.skipped["pictures without annotations"] += len(set(export.pictures.names) - annotated.keys() - files)
    if problems:
        hint = "Mend these in the export."
        if missing:
            hint = "Export with pictures, name their folder with --images, or go on without them with --allow-missing."
        raise DataError(f"{export.source.path} can't be converted as it is:", problems, hint)
    return inventory


def _check_usable(inventory: _Inventory, source: Path) -> None:
    """Raise UserError where too little is left to convert, with all that was left out and how to keep it."""
    num_pictures = sum(entry is not None and entry.subset != "test" for entry in inventory.entries)
    if inventory.objects and num_pictures > 1:
        return
    if inventory.objects:
        problem = (
            f"1 annotated picture of {source} can be used" if num_pictures else f"{source} holds test pictures alone"
        )
        problem += "; at least 2 are needed, one to train on and one to validate with."
    else:
        problem = f"{source} holds no outline or mask that can be used: there is nothing to paint."
    left_out = [f"\nLeft out: {count} {reason}." for reason, count in (+inventory.skipped).items()]
    advice = ["Annotate more, with polygons or masks."]
    if inventory.skipped[MISSING]:
        advice.insert(0, "--images names the folder that has the pictures.")
    raise UserError(problem + "".join(left_out), " ".join(advice))


def _wanted(shapes: Sequence[Shape], options: ConversionOptions, skipped: Counter[str]) -> list[Shape]:
    """The shapes that are painted; boxes are, on request."""
    wanted = [shape for shape in shapes if options.boxes or shape.kind != "box"]
    skipped["boxes (--boxes fills them)"] += len(shapes) - len(wanted)
    return wanted


def _check_size(
    export: Export, image: AnnotatedImage, picture: str, options: ConversionOptions
) -> tuple[tuple[int, int], str]:
    """Height and width of a picture, and what is wrong with them, or an empty string."""
    try:
        size = export.pictures.size(picture)
    except UserError as error:
        return (0, 0), error.message
    if image.size in {None, size}:
        return size, ""
    (rows, columns), (height, width) = image.size or size, size
    stated = f"it was annotated at {columns} x {rows} pixels, but {picture} is shown at {width} x {height}"
    if (columns, rows) == size:
        return size, (
            f"{stated}: height and width are exchanged, as by an EXIF orientation that the tool did not apply; turn the"
            " picture's pixels, remove the EXIF tag, or annotate again"
        )
    if same_shape((rows, columns), size):
        return size, "" if options.scale else f"{stated}: the same shape, so --scale can fit the annotations"
    return size, f"{stated}: is it another picture, or a cropped one?"


def _assign(inventory: _Inventory, choice: ClassChoice, options: ConversionOptions) -> list[str]:
    """Give each picture its split and its file name. Returns what to say about the split."""
    entries = [entry for entry in inventory.entries if entry is not None]
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


def _earlier_splits(entries: Sequence[_Entry], dataset: Path) -> dict[str, str]:
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


def _jobs(
    export: Export,
    annotations: Annotations,
    inventory: _Inventory,
    options: ConversionOptions,
    folder: Path,
) -> Iterator[LabelJob]:
    """Read the export once more, and put each picture in its place; its label image is left to others."""
    nothing: Counter[str] = Counter()
    for image, entry in zip(annotations.images(), inventory.entries, strict=True):
        if entry is None:
            continue
        export.pictures.source(entry.picture).copy(entry.picture, folder / entry.split / IMAGES / entry.target)
        shapes = _wanted(image.shapes, options, nothing)
        path = folder / entry.split / LABELS / f"{PurePosixPath(entry.target).stem}.png"
        yield LabelJob(shapes, image.size or entry.size, entry.size, path)


def _check_covered(inventory: _Inventory, choice: ClassChoice, results: Sequence[LabelResult]) -> None:
    """Raise DataError where pixels lie outside all objects, though that was called an error."""
    entries = [entry for entry in inventory.entries if entry is not None]
    open_pixels = [
        f"{entry.name}: {result.uncovered} pixels"
        for entry, result in zip(entries, results, strict=True)
        if result.uncovered
    ]
    if choice.table.background == "error" and open_pixels:
        raise DataError(
            "With --background error each pixel must lie in an object, but outside all of them are:",
            open_pixels,
            "Annotate them, or choose --background class or --background ignore.",
        )


def _report(
    dataset: Path,
    format_name: str,
    inventory: _Inventory,
    choice: ClassChoice,
    notes: Sequence[str],
    results: Sequence[LabelResult],
) -> ConvertReport:
    """Sum up."""
    hidden: Counter[str] = Counter()
    skipped = inventory.skipped.copy()
    for result in results:
        for label, area, visible in result.shapes:
            if not area:
                skipped["objects without a pixel inside their picture"] += 1
            elif visible < (1 - HIDDEN_SHARE) * area:
                hidden[choice.class_name(label)] += 1
    splits = Counter(entry.split for entry in inventory.entries if entry is not None)
    kinds: Counter[str] = Counter()
    for (_, kind), count in inventory.objects.items():
        kinds[kind] += count
    return ConvertReport(
        dataset=dataset,
        format=format_name,
        classes=choice.table,
        num_pictures={split: splits[split] for split in ALL_SPLITS if splits[split]},
        objects=count_classes(choice, inventory.objects),
        kinds=kinds,
        pixels=np.sum([result.pixels for result in results], axis=0),
        hidden=hidden,
        skipped=+skipped,
        notes=notes,
        warnings=[*inventory.warnings, *choice.warnings],
    )
