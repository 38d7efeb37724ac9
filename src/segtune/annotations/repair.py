"""'segtune convert DATASET FIXED --repair …': a copy of a dataset folder with what 'segtune check' proposes done."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from segtune.annotations.check import DatasetReport, check_dataset, same_shape
from segtune.annotations.dataset_folder import ALL_SPLITS, IMAGES, LABELS, dataset_classes, folder_files
from segtune.annotations.findings import REPAIRS
from segtune.annotations.image_builder import BadAnnotation
from segtune.annotations.label_image import channels, decode
from segtune.annotations.source import FolderSource
from segtune.classes import CLASSES_FILE, IGNORE, ClassTable
from segtune.config import ConvertConfig, names_in
from segtune.console import output, track
from segtune.errors import UserError, listed, nearest
from segtune.files import atomic_folder, refuse_used, sha256
from segtune.pictures import labels_png, open_picture, shown_size

Pixels = npt.NDArray[np.integer]


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
    if "shift" in chosen and not _numbered_from_1(dataset, table):
        raise UserError(
            f"The repair shift fits classes that are numbered from 1; those of {dataset} are not.",
            f"'segtune check {dataset}' says what helps.",
        )
    source = FolderSource(dataset)
    in_val = _digests(dataset, "val") if "duplicates" in chosen else frozenset()
    with atomic_folder(target) as folder:
        if (dataset / CLASSES_FILE).exists():
            source.copy(CLASSES_FILE, folder / CLASSES_FILE)
        for split in splits:
            for kind in (IMAGES, LABELS):
                (folder / split / kind).mkdir(parents=True)
            pictures, labels = (folder_files(dataset / split / kind) for kind in (IMAGES, LABELS))
            for stem in track(sorted(pictures | labels), f"Repairing {split}"):
                picture, label = pictures.get(stem), labels.get(stem)
                if split == "train" and picture is not None and in_val and sha256(picture) in in_val:
                    changed["duplicates"] += 1
                    continue
                _repair_pair(source, folder / split, picture, label, table, changed)
        idle = [name for name, count in changed.items() if not count]
        if idle:
            raise UserError(
                f"The repair {listed(idle)} would change nothing in {dataset}.",
                f"'segtune check {dataset}' says what helps; leave the others out.",
            )
    return RepairReport(target, changed, check_dataset(target, table))


def _numbered_from_1(dataset: Path, table: ClassTable) -> bool:
    """Whether a label image has a value that is one above the last class."""
    files = [path for split in ALL_SPLITS for path in sorted((dataset / split / LABELS).glob("*.png"))]
    arrays = (_decoded(path) for path in files)
    return any(pixels is not None and pixels.ndim == 2 and (pixels == table.num_classes).any() for pixels in arrays)


def _digests(dataset: Path, split: str) -> frozenset[str]:
    folder = dataset / split / IMAGES
    return frozenset(sha256(path) for path in folder_files(folder).values()) if folder.is_dir() else frozenset()


def _repair_pair(
    source: FolderSource,
    target: Path,
    picture: Path | None,
    labels: Path | None,
    table: ClassTable,
    changed: Counter[str],
) -> None:
    """Copy a picture and its label image, the latter mended."""
    size = _size(picture) if picture is not None else None
    pixels = _decoded(labels) if labels is not None else None
    if "drop" in changed and (size is None or pixels is None):
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
            new = MENDS[name](mended, labels, size, table)
            if new is not None:
                mended = new
                done.append(name)
    if not done or mended is None:
        source.copy(_name(source, labels), target / LABELS / labels.name)
        return
    changed.update(done)
    if mended.ndim == 3 or mended.max(initial=0) > IGNORE:
        raise UserError(f"{labels} still has colours or values above 255 after the repair.", "Add: --repair nearest")
    (target / LABELS / f"{labels.stem}.png").write_bytes(labels_png(mended.astype(np.uint8), table))


def _name(source: FolderSource, path: Path) -> str:
    return path.relative_to(source.path).as_posix()


def _size(path: Path) -> tuple[int, int] | None:
    """Height and width of a picture that decodes to its end; None for others."""
    try:
        picture = decode(path.read_bytes(), str(path))
    except (UserError, BadAnnotation):
        return None
    return shown_size(picture)


def _decoded(path: Path) -> Pixels | None:
    try:
        return channels(decode(path.read_bytes(), str(path)))
    except (UserError, BadAnnotation):
        return None


# Each takes the pixels, the file, the picture's size and the classes; None: there is nothing to mend.


def _format(pixels: Pixels, path: Path, size: tuple[int, int] | None, table: ClassTable) -> Pixels | None:  # noqa: ARG001
    is_png = open_picture(path).format == "PNG" and path.suffix.lower() == ".png"
    return None if is_png and (pixels.ndim == 3 or pixels.dtype == np.uint8) else pixels


def _binary(pixels: Pixels, path: Path, size: tuple[int, int] | None, table: ClassTable) -> Pixels | None:  # noqa: ARG001
    if pixels.ndim == 3 or not set(np.unique(pixels)) <= {0, IGNORE} or not pixels.any():
        return None
    return (pixels > 0).astype(np.uint8)


def _shift(pixels: Pixels, path: Path, size: tuple[int, int] | None, table: ClassTable) -> Pixels | None:  # noqa: ARG001
    if pixels.ndim == 3:
        return None
    ignored = np.isin(pixels, [0, IGNORE, table.ignore_value])
    return np.where(ignored, IGNORE, pixels - 1).astype(np.uint8)


def _colors(pixels: Pixels, path: Path, size: tuple[int, int] | None, table: ClassTable) -> Pixels | None:
    if pixels.ndim == 2:
        return None
    known = {(int(r), int(g), int(b)) for r, g, b in np.unique(pixels.reshape(-1, 3), axis=0)}
    return _nearest(pixels, path, size, table) if known <= set(_color_ids(table)) else None


def _color_ids(table: ClassTable) -> dict[tuple[int, int, int], int]:
    """The class of each colour; white, where no class has it, never counts."""
    return {(255, 255, 255): IGNORE, **{color: index for index, color in enumerate(table.colors)}}


def _nearest(pixels: Pixels, path: Path, size: tuple[int, int] | None, table: ClassTable) -> Pixels | None:  # noqa: ARG001
    if pixels.ndim == 3:
        ids = _color_ids(table)
        colors, inverse = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
        wanted = np.array(list(ids), np.int64)
        distance = ((colors[:, None].astype(np.int64) - wanted[None]) ** 2).sum(axis=2)
        by_color: Pixels = np.array(list(ids.values()), np.uint8)[distance.argmin(axis=1)]
        return by_color[inverse.ravel()].reshape(pixels.shape[:2])
    meant = np.array([*range(table.num_classes), table.ignore_value, IGNORE])
    counts = np.bincount(pixels.ravel(), minlength=256)
    if not counts[[value for value in range(len(counts)) if value not in meant]].any():
        return None
    if counts[: table.num_classes].sum() < counts[table.num_classes : IGNORE].sum() and table.num_classes <= 64:
        # Grey levels spread over the range, as by a picture program: the classes are its steps.
        meant = np.round(np.linspace(0, 255, table.num_classes)).astype(np.int64)
        steps: Pixels = np.abs(np.arange(256)[:, None] - meant[None]).argmin(axis=1).astype(np.uint8)[pixels]
        return steps
    by_value: Pixels = meant[np.abs(np.arange(256)[:, None] - meant[None]).argmin(axis=1)].astype(np.uint8)[pixels]
    return by_value


def _orientation(pixels: Pixels, path: Path, size: tuple[int, int] | None, table: ClassTable) -> Pixels | None:  # noqa: ARG001
    if size is None or pixels.shape[:2] == size or pixels.shape[:2] != size[::-1]:
        return None
    # The picture's own orientation says in which direction.
    picture = next(iter(sorted((path.parents[1] / IMAGES).glob(f"{_escaped(path.stem)}.*"))))
    turn = TURNS.get(open_picture(picture).getexif().get(0x0112, 1))
    if turn is None:
        return None
    turned = Image.fromarray(pixels.astype(np.uint8)).transpose(turn)
    return np.asarray(turned)


def _escaped(stem: str) -> str:
    """A name for glob, which takes brackets for patterns."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)


TURNS = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How viewers turn a picture of an EXIF orientation that exchanges height and width."""


def _scale(pixels: Pixels, path: Path, size: tuple[int, int] | None, table: ClassTable) -> Pixels | None:  # noqa: ARG001
    if size is None or pixels.shape[:2] == size or not same_shape((pixels.shape[0], pixels.shape[1]), size):
        return None
    values = pixels if pixels.ndim == 3 else pixels.astype(np.uint8)
    return np.asarray(cv2.resize(values, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


Mend = Callable[[Pixels, Path, tuple[int, int] | None, ClassTable], Pixels | None]
MENDS: dict[str, Mend] = {
    "format": _format,
    "binary": _binary,
    "shift": _shift,
    "colors": _colors,
    "nearest": _nearest,
    "orientation": _orientation,
    "size": _scale,
}
