"""The command 'segtune convert': annotation export -> dataset folder."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from rich.table import Table
from rich.text import Text

from segtune.annotations.annotated_image import AnnotatedImage
from segtune.annotations.dataset_folder import IMAGES, LABELS, SPLITS
from segtune.annotations.formats import read_annotations
from segtune.annotations.painter import paint
from segtune.annotations.source import open_source
from segtune.annotations.split import assign_splits
from segtune.classes import CLASSES_FILE, ClassTable, class_table, write_classes
from segtune.config import ConvertConfig, Fill, names_in
from segtune.console import output, track
from segtune.errors import DataError, UserError, listed
from segtune.files import atomic_folder, refuse_used
from segtune.pictures import write_labels

BACKGROUND = "background"
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
        objects: Objects by class and kind.
        pixels: int64 (C,), pixels of each class in all label images.
        hidden: Objects by class that lie almost wholly under others.
        skipped: What was left out, by reason.
        unused: Classes that were asked for and that no object has.
    """

    dataset: Path
    format: str
    classes: ClassTable
    num_pictures: dict[str, int]
    objects: Counter[tuple[str, str]]
    pixels: npt.NDArray[np.int64]
    hidden: Counter[str]
    skipped: Counter[str]
    unused: Sequence[str]

    def render(self) -> None:
        """Print it."""
        pictures = ", ".join(f"{count} {split}" for split, count in self.num_pictures.items())
        table = Table(title=Text(f"{self.dataset}: {pictures} pictures from {self.format}"), title_justify="left")
        for column in ("id", "class", "objects", "pixels"):
            table.add_column(column, justify="left" if column == "class" else "right")
        for index, name in enumerate(self.classes.names):
            count = sum(number for (label, _), number in self.objects.items() if label == name)
            share = self.pixels[index] / max(1, self.pixels.sum())
            table.add_row(str(index), Text(name), str(count), f"{share:.1%}")
        output.print(table)
        for reason, count in self.skipped.items():
            output.print(f"Left out: {count} {reason}.")
        if self.unused:
            output.print(f"Warning: no object has the class {listed(self.unused)}.")
        if self.hidden:
            hidden = listed(
                f"{count} of {sum(self.objects[key] for key in self.objects if key[0] == name)} {name}"
                for name, count in self.hidden.most_common()
            )
            output.print(
                f"Warning: objects that lie almost wholly under others: {hidden}.\n  If they should be seen, give"
                " --paint-order with the classes from the bottom to the top (background first, small things last)."
            )


def convert(config: ConvertConfig) -> ConvertReport:
    """Convert an export; the dataset folder appears when all of it is written.

    Raises:
        UserError: The export can't be read or converted as asked, or the target is used; nothing is written then.
    """
    refuse_used(config.dataset)
    source = open_source(config.source)
    annotations = read_annotations(source)
    labels = Counter(shape.label for image in annotations.images for shape in image.shapes)
    table = choose_classes(config, labels)
    images = [image for image in annotations.images if image.shapes]
    skipped = annotations.skipped + Counter({"pictures without objects": len(annotations.images) - len(images)})
    splits = assign_splits(images, config.val_fraction)
    skipped += Counter({"pictures of the subset 'test'": splits.count("test")})
    targets = _target_names(images)
    pixels = np.zeros(table.num_classes, np.int64)
    hidden: Counter[str] = Counter()
    with atomic_folder(config.dataset) as folder:
        write_classes(folder / CLASSES_FILE, table)
        for split in SPLITS:
            (folder / split / IMAGES).mkdir(parents=True)
            (folder / split / LABELS).mkdir()
        work = [item for item in zip(images, splits, targets, strict=True) if item[1] in SPLITS]
        for image, split, target in track(work, "Converting"):
            source.copy(image.picture, folder / split / IMAGES / target)
            pixels += _write_labels(
                image, (folder / split / LABELS / target).with_suffix(".png"), table, config.fill, hidden, skipped
            )
    return ConvertReport(
        dataset=config.dataset,
        format=annotations.format,
        classes=table,
        num_pictures={split: splits.count(split) for split in SPLITS},
        objects=Counter((shape.label, shape.kind) for image in images for shape in image.shapes),
        pixels=pixels,
        hidden=hidden,
        skipped=+skipped,
        unused=[name for name in table.names if name not in labels and name != table.names[0]],
    )


def _write_labels(
    image: AnnotatedImage, path: Path, table: ClassTable, fill: Fill, hidden: Counter[str], skipped: Counter[str]
) -> npt.NDArray[np.int64]:
    """Paint and write a label image, and count what can't be seen. Returns the pixels of each class."""
    class_ids = {name: index for index, name in enumerate(table.names)}
    painted = paint(image, class_ids, table.paint_order, fill)
    write_labels(path, painted.labels, table)
    for shape, area, visible in zip(image.shapes, painted.areas, painted.visible, strict=True):
        if not area:
            skipped["objects without a pixel inside their picture"] += 1
        elif visible <= (1 - HIDDEN_SHARE) * area:
            hidden[shape.label] += 1
    return np.bincount(painted.labels.ravel(), minlength=table.num_classes)


def choose_classes(config: ConvertConfig, labels: Counter[str]) -> ClassTable:
    """The class table: background first, then the classes asked for, or all of the export in alphabetical order.

    Raises:
        UserError: The export has other classes, or the paint order doesn't fit.
    """
    chosen = names_in(config.classes)
    if not labels:
        raise UserError(
            f"{config.source} holds no outline: there is nothing to paint.", "Annotate with polygons or masks."
        )
    unknown = [f"{label} ({count} objects)" for label, count in sorted(labels.items()) if label not in chosen]
    if chosen and unknown:
        raise DataError(
            f"{config.source} has objects of classes that --classes does not name:",
            unknown,
            f"Add them to --classes {config.classes}, or leave --classes away to take all.",
        )
    wanted = chosen or sorted(labels)
    background = next((name for name in wanted if name.casefold() == BACKGROUND), BACKGROUND)
    names = [background, *(name for name in wanted if name != background)]
    order = names_in(config.paint_order)
    odd = [name for name in order if name not in names] or [name for name in labels if order and name not in order]
    if odd:
        problem = "names classes that the dataset does not have" if odd[0] in order else "leaves out classes"
        raise UserError(f"--paint-order {problem}: {listed(odd)}.", f"Name each of {listed(sorted(labels))} once.")
    if len(set(order)) != len(order):
        raise UserError(f"--paint-order names a class twice: {config.paint_order}.")
    return class_table(names, paint_order=order)


def _target_names(images: Sequence[AnnotatedImage]) -> list[str]:
    """File names in the dataset folder: the pictures' own; with their folders where these alone tell them apart.

    Raises:
        DataError: Two pictures differ in nothing but the suffix; both are named.
    """
    stems = Counter(PurePosixPath(image.picture).stem for image in images)
    names = [
        path.name if stems[path.stem] == 1 else "_".join(path.parts)
        for path in (PurePosixPath(image.picture) for image in images)
    ]
    pictures: dict[str, list[str]] = defaultdict(list)
    for image, name in zip(images, names, strict=True):
        pictures[PurePosixPath(name).stem].append(image.picture)
    problems = [" and ".join(same) for same in pictures.values() if len(same) > 1]
    if problems:
        raise DataError("Pictures have the same name but for the suffix:", problems, "Rename one of each.")
    return names
