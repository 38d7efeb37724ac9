"""A picture and its label image: what they hold, and what is wrong with these two alone."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from segtune.annotations.damaged_labels import Lookup, color_fit, is_grey, palette_lookup, sound_values
from segtune.annotations.dataset_folder import Pair
from segtune.annotations.findings import Finding
from segtune.annotations.label_values import count_png_values, count_values
from segtune.annotations.near_duplicates import THUMBNAIL, thumbnail
from segtune.classes import IGNORE, ClassTable
from segtune.errors import UserError
from segtune.pictures import (
    DECODE_ERRORS,
    TURNED,
    decode_labels,
    open_picture,
    orientation,
    same_shape,
    shown_size,
    white_value,
)

MAX_SAMPLED = 512
"""Rows, and columns, from which the range of a picture's values is taken."""

MIN_ZEROS = 1024
"""Bytes. Some cameras end their files with a few zeros."""


@dataclass
class PairFacts:
    """What one pair of files holds.

    Attributes:
        pair: The files.
        split: Where they are.
        size: Height and width of the picture as viewers show it; (0, 0) where it can't be read.
        turned: Whether its EXIF orientation exchanges height and width.
        grey_range: Between which values those of a picture that is read as grey of 16 bits lie, but for a few.
        white: Which value is shown as white, of a grey picture whose type doesn't tell; None for others and black ones.
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
    grey_range: tuple[int, int] | None = None
    white: int | None = None
    by_palette: Lookup | None = None
    values: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    picture_digest: str = ""
    labels_digest: str = ""
    thumbnail: npt.NDArray[np.float32] | None = None
    findings: list[Finding] = field(default_factory=list)


def check_pair(dataset: Path, split: str, pair: Pair, table: ClassTable, thorough: bool) -> PairFacts:
    """Decode a picture and its labels, and compare them."""
    facts = PairFacts(pair, split)
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
    facts.findings.append(Finding("error", "other-size", message, relative(dataset, pair.labels), repair))
    return facts


def _check_picture(dataset: Path, facts: PairFacts, thorough: bool) -> tuple[int, int] | None:
    """Height and width of a picture that decodes to its end; else None, and the error is noted."""
    path = facts.pair.picture
    try:
        content = path.read_bytes()
        facts.picture_digest = hashlib.sha256(content).hexdigest()
        picture = open_picture(content, str(path))
        size = shown_size(picture, str(path))
        facts.turned = orientation(picture) in TURNED
        if is_cut_short(content, picture):
            raise UserError(f"{path} is truncated: its end was never written, there are only zeros.")
        # An eighth of the size skips most of the work, but still reads the file to its end.
        picture.draft("L", (max(2 * THUMBNAIL, picture.width // 8), max(2 * THUMBNAIL, picture.height // 8)))
        picture.load()
        if picture.mode.startswith(("I", "F")) and (values := np.asarray(picture)).any():
            white = white_value(values)
            facts.white = None if picture.mode.startswith("I;16") else white
            if white == 65535:
                # A hot pixel is one of thousands; some rows and columns say as much as all.
                sampled = values[:: 1 + picture.height // MAX_SAMPLED, :: 1 + picture.width // MAX_SAMPLED]
                low, high = np.nanpercentile(sampled, (0.1, 99.9))
                facts.grey_range = int(low), int(high)
        if thorough:
            facts.thumbnail = thumbnail(picture)
    except UserError as error:
        facts.findings.append(
            Finding("error", "undecodable", error.message.rstrip("."), relative(dataset, path), "drop")
        )
    except DECODE_ERRORS as error:
        message = f"{path} can't be decoded: {error}"
        facts.findings.append(Finding("error", "undecodable", message, relative(dataset, path), "drop"))
    else:
        return size
    return None


def is_cut_short(content: bytes, picture: Image.Image) -> bool:
    """Whether a JPEG was cut short, and filled up: it decodes, but its lower part is grey."""
    kept = len(content.rstrip(b"\0"))
    return picture.format == "JPEG" and len(content) - kept > MIN_ZEROS and b"\xff\xd9" not in content[kept - 64 : kept]


def _check_labels(dataset: Path, facts: PairFacts, table: ClassTable) -> tuple[int, int] | None:
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
            facts.findings.append(Finding("error", "label-format", message, relative(dataset, path), "nearest"))
        return picture.height, picture.width
    except UserError as error:
        kind, repair = ("undecodable", "drop") if picture is None else _check_mode(picture, facts, table)
        unknown = "; classes.yaml gives no class these colours" if kind == "colored-labels" and not repair else ""
        message = error.message.rstrip(".") + unknown
        facts.findings.append(Finding("error", kind, message, relative(dataset, path), repair))
        return (picture.height, picture.width) if picture is not None and kind != "undecodable" else None
    except DECODE_ERRORS as error:
        message = f"{path} can't be decoded: {error}"
        facts.findings.append(Finding("error", "undecodable", message, relative(dataset, path), "drop"))
    return None


def _check_mode(picture: Image.Image, facts: PairFacts, table: ClassTable) -> tuple[str, str]:
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


def relative(dataset: Path, *paths: Path) -> tuple[str, ...]:
    """Names of files for findings."""
    return tuple(path.relative_to(dataset).as_posix() for path in paths)
