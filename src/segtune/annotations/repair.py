"""'segtune convert DATASET TARGET --repair …': a copy of a dataset folder with what 'segtune check' proposes done."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from segtune.annotations.check import check_dataset
from segtune.annotations.check_pair import is_cut_short
from segtune.annotations.damaged_labels import (
    Lookup,
    color_fit,
    color_ids,
    grey_lookup,
    nearest_color_ids,
    palette_lookup,
    sound_values,
)
from segtune.annotations.dataset_folder import (
    ALL_SPLITS,
    IMAGES,
    LABELS,
    all_files,
    dataset_classes,
    folder_files,
    look_alikes,
)
from segtune.annotations.dataset_report import DatasetReport
from segtune.annotations.findings import REPAIRS
from segtune.annotations.image_builder import BadAnnotation
from segtune.annotations.label_image import channels, decode
from segtune.annotations.source import FolderSource
from segtune.classes import CLASSES_FILE, IGNORE, ClassTable
from segtune.config import ConversionOptions, ConvertConfig, changed_options, names_in
from segtune.console import output, track
from segtune.errors import UserError, listed, nearest
from segtune.files import atomic_folder, refuse_used, sha256
from segtune.pictures import (
    DECODE_ERRORS,
    TURNED,
    TURNS,
    labels_png,
    open_picture,
    orientation,
    same_shape,
    shown_size,
)  # fmt: skip

Pixels = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Meaning:
    """What label images of a dataset mean.

    Attributes:
        table: The classes.
        greys: The class of each grey value, uint8 (256,), where grey levels stand for classes.
    """

    table: ClassTable
    greys: Lookup | None = None


@dataclass(frozen=True)
class RepairReport:
    """What a repair did.

    Attributes:
        target: The new dataset folder.
        changed: How many files each repair changed or left out.
        after: What a check finds in the new folder.
    """

    target: Path
    changed: Counter[str]
    after: DatasetReport

    def render(self) -> None:
        """Print it."""
        for name, count in self.changed.items():
            output.print(f"{name}: {count} files; it {REPAIRS[name]}.")
        output.print(f"\nWhat is left to find in {self.target}:")
        self.after.render()


def repair_dataset(config: ConvertConfig) -> RepairReport:
    """Copy the dataset folder ``config.source`` and mend the copy. The original is never changed.

    Raises:
        UserError: A repair has no such name or changes nothing, or the target is used; nothing is written then.
    """
    dataset, target = config.source, config.dataset
    refuse_used(target)
    others = changed_options(config, ConversionOptions)
    if others:
        raise UserError(
            f"--repair copies a dataset folder; {listed(others)} would say how to convert an export.",
            "Leave these away, or --repair.",
        )
    chosen = names_in(config.repair)
    unknown = [name for name in chosen if name not in REPAIRS]
    if unknown or not chosen:
        known = "\n".join(f"  {name}: {what}" for name, what in REPAIRS.items())
        raise UserError(
            f"--repair names {unknown[0]!r}, which is no repair." if unknown else "--repair names no repair.",
            f"{nearest(unknown[0], REPAIRS) if unknown else ''}\nThere are:\n{known}".strip(),
        )
    table = dataset_classes(dataset, config.num_classes, config.ignore_value)
    changed: Counter[str] = Counter(dict.fromkeys((name for name in REPAIRS if name in chosen), 0))
    splits = [split for split in ALL_SPLITS if (dataset / split / IMAGES).is_dir()]
    missing = [folder for split in splits if not (folder := dataset / split / LABELS).is_dir()]
    if missing:
        raise UserError(f"{listed(missing)} is missing.", "Each split needs Images and Labels.")
    if "shift" in chosen and not _numbered_from_1(dataset, table):
        raise UserError(
            f"The repair shift fits classes that are numbered from 1; those of {dataset} are not.",
            f"'segtune check {dataset}' says what helps.",
        )
    meaning = Meaning(table, _greys(dataset, table) if "nearest" in chosen else None)
    source = FolderSource(dataset)
    with atomic_folder(target) as folder:
        if (dataset / CLASSES_FILE).exists():
            shutil.copyfile(dataset / CLASSES_FILE, folder / CLASSES_FILE)
        for split in splits:
            # Scores must be of pictures that were not trained on, nor chosen by.
            later = ALL_SPLITS[ALL_SPLITS.index(split) + 1 :] if "duplicates" in chosen else ()
            elsewhere = frozenset[str]().union(*(_digests(dataset, other) for other in later))
            _repair_split(source, folder, split, meaning, elsewhere, changed)
        idle = [name for name, count in changed.items() if not count]
        if idle:
            raise UserError(
                f"The repair {listed(idle)} would change nothing in {dataset}.",
                f"'segtune check {dataset}' says what helps; leave the others out.",
            )
    return RepairReport(target, changed, check_dataset(target, table))


def _repair_split(
    source: FolderSource, target: Path, split: str, meaning: Meaning, elsewhere: frozenset[str], changed: Counter[str]
) -> None:
    """Copy and mend the pairs of a split; pictures whose digest is ``elsewhere`` are left out."""
    for kind in (IMAGES, LABELS):
        (target / split / kind).mkdir(parents=True)
    pictures, labels = (folder_files(source.path / split / kind) for kind in (IMAGES, LABELS))
    times = Counter(path.stem for path in all_files(source.path / split / LABELS))
    several = {stem for stem in labels if times[stem] > 1}
    done = {*pictures.values(), *(path for stem, path in labels.items() if stem not in several)}
    # Names that only look alike are no pair, but nobody wants to lose them.
    alike = look_alikes(pictures, labels)
    several |= {*alike, *alike.values()}
    for stem in track(sorted(pictures | labels), f"Repairing {split}"):
        picture, label = pictures.get(stem), labels.get(stem)
        if picture is not None and elsewhere and sha256(picture) in elsewhere:
            changed["duplicates"] += 1
        elif stem in several:
            done -= {picture, label}
        else:
            _repair_pair(source, target / split, picture, label, meaning, changed)
    _copy_others(source, target, split, done)


def _copy_others(source: FolderSource, target: Path, split: str, done: set[Path]) -> None:
    """Of several files of one name it is not known which is meant: all stay."""
    for path in all_files(source.path / split / IMAGES):
        if path not in done:
            source.copy(_name(source, path), target / split / IMAGES / path.name)
    for path in all_files(source.path / split / LABELS):
        if path not in done:
            shutil.copyfile(path, target / split / LABELS / path.name)


def _numbered_from_1(dataset: Path, table: ClassTable) -> bool:
    """Whether a label image has a value that is one above the last class, and is not what never counts."""
    if table.ignore_value == table.num_classes:
        return False
    folders = [folder for split in ALL_SPLITS if (folder := dataset / split / LABELS).is_dir()]
    files = [path for folder in folders for path in all_files(folder) if path.suffix.lower() == ".png"]
    arrays = map(_decoded, files)
    return any(pixels is not None and pixels.ndim == 2 and (pixels == table.num_classes).any() for pixels in arrays)


def _greys(dataset: Path, table: ClassTable) -> Lookup | None:
    """What grey levels mean in the label images that hold others than class ids."""
    total = np.zeros(256, np.int64)
    sound = sound_values(table)
    for split in ALL_SPLITS:
        folder = dataset / split / LABELS
        for path in track(all_files(folder) if folder.is_dir() else [], f"Looking at {split}"):
            pixels = _one_channel(_decoded(path), table)
            if pixels is not None and _are_bytes(pixels):
                counts = np.bincount(pixels.ravel(), minlength=256)
                if set(np.flatnonzero(counts)) - sound or _is_jpeg(path):
                    total += counts
    return grey_lookup(total, table)


def _one_channel(pixels: Pixels | None, table: ClassTable) -> Pixels | None:
    """The values of a one-channel label image, or of one with three equal channels that are not classes' colours."""
    if pixels is None or pixels.ndim == 2:
        return pixels
    values = pixels[..., 0]
    if (values != pixels[..., 1]).any() or (values != pixels[..., 2]).any():
        return None
    found = {int(value) for value in np.unique(values)}
    colors = color_ids(table)
    return values if found <= sound_values(table) or not all((v, v, v) in colors for v in found) else None


def _is_jpeg(path: Path) -> bool:
    return open_picture(path).format == "JPEG"


def _digests(dataset: Path, split: str) -> frozenset[str]:
    folder = dataset / split / IMAGES
    return frozenset(sha256(path) for path in folder_files(folder).values()) if folder.is_dir() else frozenset()


def _repair_pair(
    source: FolderSource,
    target: Path,
    picture: Path | None,
    labels: Path | None,
    meaning: Meaning,
    changed: Counter[str],
) -> None:
    """Copy a picture and its label image, the latter mended; pictures are linked where the disk allows."""
    shown = _shown(picture) if picture is not None else None
    pixels = _decoded(labels) if labels is not None else None
    if "drop" in changed and (shown is None or pixels is None):
        changed["drop"] += (picture is not None) + (labels is not None)
        return
    if picture is not None:
        source.copy(_name(source, picture), target / IMAGES / picture.name)
    if labels is None:
        return
    mended = pixels
    done = []
    for name in changed:
        if mended is not None and name in MENDS:
            new = MENDS[name](mended, labels, shown, meaning)
            if new is not None:
                mended = new
                done.append(name)
    if not done or mended is None:
        shutil.copyfile(labels, target / LABELS / labels.name)
        return
    if mended.ndim == 3 or not _are_bytes(mended):
        # Scaled or turned, but not label values yet.
        shutil.copyfile(labels, target / LABELS / labels.name)
        return
    changed.update(done)
    (target / LABELS / f"{labels.stem}.png").write_bytes(labels_png(mended.astype(np.uint8), meaning.table))


def _name(source: FolderSource, path: Path) -> str:
    return path.relative_to(source.path).as_posix()


@dataclass(frozen=True)
class Shown:
    """How viewers show a picture.

    Attributes:
        size: Height and width.
        orientation: Its EXIF orientation, which is applied for that.
    """

    size: tuple[int, int]
    orientation: int


def _shown(path: Path) -> Shown | None:
    """How a picture is shown that decodes to its end; None for others."""
    try:
        content = path.read_bytes()
        picture = decode(content, str(path))
        return None if is_cut_short(content, picture) else Shown(shown_size(picture), orientation(picture))
    except (UserError, BadAnnotation, *DECODE_ERRORS):
        return None


def _decoded(path: Path) -> Pixels | None:
    try:
        return channels(decode(path.read_bytes(), str(path)))
    except (UserError, BadAnnotation, OSError):
        return None


def _are_bytes(values: Pixels) -> bool:
    """Whether all values fit into a byte: GIS files say "no data" by negative ones, which would become classes."""
    return bool(values.min(initial=0) >= 0 and values.max(initial=0) <= IGNORE)


# Each takes the pixels, the file, how the picture is shown, and the classes; None: there is nothing to mend.


def _format(pixels: Pixels, path: Path, shown: Shown | None, meaning: Meaning) -> Pixels | None:  # noqa: ARG001
    picture = open_picture(path)
    values = _one_channel(pixels, meaning.table)
    if values is None or picture.format == "JPEG" or not _are_bytes(values):
        return None
    is_plain = picture.format == "PNG" and path.suffix.lower() == ".png"
    is_right = is_plain and picture.mode in {"L", "P", "1"} and pixels.dtype == np.uint8
    return None if is_right else values.astype(np.uint8)


def _binary(pixels: Pixels, path: Path, shown: Shown | None, meaning: Meaning) -> Pixels | None:  # noqa: ARG001
    if pixels.ndim == 3 or not set(np.unique(pixels)) <= {0, IGNORE} or not pixels.any():
        return None
    return (pixels > 0).astype(np.uint8)


def _shift(pixels: Pixels, path: Path, shown: Shown | None, meaning: Meaning) -> Pixels | None:  # noqa: ARG001
    if pixels.ndim == 3 or not _are_bytes(pixels):
        return None
    ignored = np.isin(pixels, [0, IGNORE, meaning.table.ignore_value])
    return np.where(ignored, IGNORE, pixels - 1).astype(np.uint8)


def _colors(pixels: Pixels, path: Path, shown: Shown | None, meaning: Meaning) -> Pixels | None:  # noqa: ARG001
    table = meaning.table
    if pixels.ndim == 2:
        picture = open_picture(path)
        if picture.mode != "P":
            return None
        counts = np.bincount(pixels.ravel(), minlength=256)
        lookup = palette_lookup(picture, counts, table)
        used = np.flatnonzero(counts)
        return None if lookup is None or (lookup[used] == used).all() else lookup[pixels]
    if color_fit(Image.fromarray(pixels.astype(np.uint8)), table) != "exact":
        return None
    return nearest_color_ids(pixels, table)


def _nearest(pixels: Pixels, path: Path, shown: Shown | None, meaning: Meaning) -> Pixels | None:  # noqa: ARG001
    values = _one_channel(pixels, meaning.table)
    if values is None:
        return nearest_color_ids(pixels, meaning.table)
    found = {int(value) for value in np.unique(values)}
    # White alone may be a level or what is ignored; where some label images have levels, it is one.
    damaged = found - sound_values(meaning.table) or IGNORE in found or _is_jpeg(path)
    if meaning.greys is None or not damaged or not _are_bytes(values):
        return None
    mended: Pixels = meaning.greys[values]
    return mended


def _orientation(pixels: Pixels, path: Path, shown: Shown | None, meaning: Meaning) -> Pixels | None:  # noqa: ARG001
    if shown is None or pixels.shape[:2] == shown.size or pixels.shape[:2] != shown.size[::-1]:
        return None
    # The picture's own orientation says in which direction.
    if shown.orientation not in TURNED or not _are_bytes(pixels):
        return None
    turned = Image.fromarray(pixels.astype(np.uint8)).transpose(TURNS[shown.orientation])
    return np.asarray(turned)


def _scale(pixels: Pixels, path: Path, shown: Shown | None, meaning: Meaning) -> Pixels | None:  # noqa: ARG001
    size = None if shown is None else shown.size
    if size is None or pixels.shape[:2] == size or not same_shape((pixels.shape[0], pixels.shape[1]), size):
        return None
    if not _are_bytes(pixels):
        return None
    return np.asarray(cv2.resize(pixels.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))


Mend = Callable[[Pixels, Path, Shown | None, Meaning], Pixels | None]
MENDS: dict[str, Mend] = {
    "format": _format,
    "binary": _binary,
    "shift": _shift,
    "colors": _colors,
    "nearest": _nearest,
    "orientation": _orientation,
    "size": _scale,
}
