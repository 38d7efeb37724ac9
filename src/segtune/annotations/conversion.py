"""Conversion: an export that was read once, on its way to label images, and the report of what became of it."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from rich.table import Table
from rich.text import Text

from segtune.annotations.annotated_image import Annotations
from segtune.annotations.class_choice import ClassChoice, choose_classes, count_classes
from segtune.annotations.dataset_folder import ALL_SPLITS, IMAGES, LABELS
from segtune.annotations.export import Export, open_export
from segtune.annotations.formats import read_annotations
from segtune.annotations.inventory import Inventory, check_usable, take_inventory, wanted_shapes
from segtune.annotations.label_writer import LabelJob, LabelResult, write_label_images
from segtune.classes import IGNORE, ClassTable
from segtune.config import ConversionOptions, list_of_names, names_in
from segtune.console import output, track
from segtune.errors import DataError, listed

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
        covered: The classes of which others cover all objects.
        largest_first: The classes that have objects, by the mean size of these: a guess at a paint order.
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
    covered: Sequence[str]
    largest_first: Sequence[str]
    skipped: Counter[str]
    notes: Sequence[str]
    warnings: Sequence[str]

    @property
    def proposed_order(self) -> str:
        """A paint order to try, as it is typed; empty where nothing is hidden, or the order was that one."""
        is_of_use = self.hidden and list(self.largest_first) != list(self.classes.paint_order)
        return list_of_names(self.largest_first) if is_of_use else ""

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
            output.print(f"Left out: {reason}: {count}.")
        for warning in self.warnings:
            output.print(f"Warning: {warning}.")
        if self.hidden:
            hidden = listed(f"{count} of {self.objects[name]} {name}" for name, count in self.hidden.most_common())
            output.print(f"Warning: objects that lie almost wholly under others: {hidden}.")
        if self.proposed_order:
            output.print(
                "  If they should be seen, say in which order classes are painted, the lowest first. By their size it"
                f" is this; mend it where it is not so: --paint-order {shlex.quote(self.proposed_order)}"
            )


@dataclass(frozen=True)
class Conversion:
    """An export whose classes are chosen.

    Attributes:
        export: Where it is.
        format: The name of its format.
        annotations: What reads it again.
        inventory: What it holds; the splits and file names of its pictures are filled in later.
        choice: What its labels become.
        options: What the person asked for.
    """

    export: Export
    format: str
    annotations: Annotations
    inventory: Inventory
    choice: ClassChoice
    options: ConversionOptions


def read_export(source: Path, options: ConversionOptions, min_pictures: int = 2) -> Conversion:
    """Read all of an export once.

    Raises:
        UserError: It can't be read or converted as asked, or has fewer pictures that can be used.
    """
    export = open_export(source, options.images, options.attribute, names_in(options.classes))
    format_name, annotations = read_annotations(export, options.format)
    inventory = take_inventory(export, annotations, options)
    check_usable(inventory, source, min_pictures)
    choice = _choice(options, inventory, annotations)
    return Conversion(export, format_name, annotations, inventory, choice, options)


def with_paint_order(conversion: Conversion, paint_order: str) -> Conversion:
    """The conversion with another paint order, as ``ConversionOptions`` has it.

    Raises:
        UserError: The order doesn't fit the classes.
    """
    options = replace(conversion.options, paint_order=paint_order)
    choice = _choice(options, conversion.inventory, conversion.annotations)
    return replace(conversion, choice=choice, options=options)


def _choice(options: ConversionOptions, inventory: Inventory, annotations: Annotations) -> ClassChoice:
    objects: Counter[str | None] = Counter()
    for (label, _), count in inventory.objects.items():
        objects[label] += count
    return choose_classes(options, objects, annotations.classes, annotations.complete)


def write_pictures(conversion: Conversion, folder: Path) -> list[LabelResult]:
    """Write all pictures and their label images into the splits of ``folder``, which are there.

    Raises:
        UserError: They can't be written, or pixels are open that may not be.
    """
    total = len(conversion.inventory.pictures)
    written = write_label_images(_jobs(conversion, folder), conversion.choice, conversion.options.fill, total)
    results = list(track(written, "Converting", total))
    _check_covered(conversion.inventory, conversion.choice, results)
    return results


def make_splits(folder: Path, splits: Sequence[str]) -> None:
    """Make the empty folders of splits."""
    for split in splits:
        (folder / split / IMAGES).mkdir(parents=True)
        (folder / split / LABELS).mkdir()


def _jobs(conversion: Conversion, folder: Path) -> Iterator[LabelJob]:
    """Read the export once more, and put each picture in its place; its label image is left to others."""
    nothing: Counter[str] = Counter()
    for image, entry in zip(conversion.annotations.images(), conversion.inventory.entries, strict=True):
        if entry is None:
            continue
        picture = folder / entry.split / IMAGES / entry.target
        conversion.export.pictures.source(entry.picture).copy(entry.picture, picture)
        shapes = wanted_shapes(image.shapes, conversion.options, nothing)
        path = folder / entry.split / LABELS / f"{PurePosixPath(entry.target).stem}.png"
        yield LabelJob(shapes, image.size or entry.size, entry.size, path)


def _check_covered(inventory: Inventory, choice: ClassChoice, results: Sequence[LabelResult]) -> None:
    """Raise DataError where pixels lie outside all objects, though that was called an error."""
    open_pixels = [
        f"{entry.name}: {result.uncovered} pixels"
        for entry, result in zip(inventory.pictures, results, strict=True)
        if result.uncovered
    ]
    if choice.table.background == "error" and open_pixels:
        raise DataError(
            "With --background error each pixel must lie in an object, but outside all of them are:",
            open_pixels,
            "Annotate them, or choose --background class or --background ignore.",
        )


def make_report(
    dataset: Path, conversion: Conversion, notes: Sequence[str], results: Sequence[LabelResult]
) -> ConvertReport:
    """Sum up."""
    inventory, choice = conversion.inventory, conversion.choice
    hidden: Counter[str] = Counter()
    areas: Counter[str] = Counter()
    objects = count_classes(choice, inventory.objects)
    skipped = inventory.skipped.copy()
    for result in results:
        for label, area, visible in result.shapes:
            areas[choice.class_name(label)] += area
            if not area:
                skipped["objects without a pixel inside their picture"] += 1
            elif visible < (1 - HIDDEN_SHARE) * area:
                hidden[choice.class_name(label)] += 1
    pixels = np.sum([result.pixels for result in results], axis=0)
    names = [name for name in choice.table.names if objects[name]]
    splits = Counter(entry.split for entry in inventory.pictures)
    kinds: Counter[str] = Counter()
    for (_, kind), count in inventory.objects.items():
        kinds[kind] += count
    return ConvertReport(
        dataset=dataset,
        format=conversion.format,
        classes=choice.table,
        num_pictures={split: splits[split] for split in ALL_SPLITS if splits[split]},
        objects=objects,
        kinds=kinds,
        pixels=pixels,
        hidden=hidden,
        covered=[name for name in names if areas[name] and not pixels[choice.table.names.index(name)]],
        largest_first=sorted(names, key=lambda name: -areas[name] / objects[name]),
        skipped=+skipped,
        notes=notes,
        warnings=[*inventory.warnings, *choice.warnings],
    )
