"""Picture and label files on disk <-> arrays. Files are untrusted: size is bounded, errors are told in words."""

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from segtune.classes import IGNORE, ClassTable
from segtune.errors import UserError
from segtune.files import atomic_path

Array = npt.NDArray[np.uint8]

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})
MAX_PIXELS = 300_000_000
"""A picture above this is refused before it is decoded: 300 megapixels are 900 MB as RGB."""

DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError)
"""What Pillow raises on a file that is broken or is no picture."""


def open_picture(source: Path | bytes, name: str = "") -> Image.Image:
    """Open a picture file without decoding it.

    Args:
        source: A path, or the file's bytes.
        name: What to call it in errors; the path if not given.

    Raises:
        UserError: No picture, or above MAX_PIXELS.
    """
    name = name or _called(source)
    try:
        with warnings.catch_warnings():
            # Pillow warns above 89 megapixels; our own bound is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # From memory: Pillow keeps the files of some formats open as long as the picture lives.
            picture = Image.open(io.BytesIO(source if isinstance(source, bytes) else source.read_bytes()))
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not a picture that can be decoded.", "Replace or remove it.") from error
    except DECODE_ERRORS as error:
        raise UserError(f"{name} can't be opened: {error}.", "Replace or remove it.") from error
    if picture.width * picture.height > MAX_PIXELS:
        raise UserError(
            f"{name} has {picture.width} x {picture.height} pixels; at most {MAX_PIXELS:,} are accepted.",
            "Cut it into smaller pictures.",
        )
    return picture


def _called(source: Path | bytes) -> str:
    return "the picture" if isinstance(source, bytes) else str(source)


def shown_size(picture: Image.Image) -> tuple[int, int]:
    """Height and width of an opened picture as viewers show it, its EXIF orientation applied."""
    swapped = picture.getexif().get(0x0112, 1) in {5, 6, 7, 8}
    return (picture.width, picture.height) if swapped else (picture.height, picture.width)


def read_picture(source: Path | bytes, name: str = "") -> Array:
    """Read a picture as viewers show it: EXIF orientation applied, alpha dropped, 16 bits scaled to 8.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        UserError: It can't be decoded.
    """
    picture = open_picture(source, name)
    try:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith(("I", "F")):
            return _eight_bits(np.asarray(picture))
        return np.array(picture.convert("RGB"))
    except DECODE_ERRORS as error:
        raise UserError(f"{name or _called(source)} can't be decoded: {error}.", "Replace or remove it.") from error


def _eight_bits(values: npt.NDArray[np.generic]) -> Array:
    """One-channel values of more than 8 bits as grey RGB: 16-bit values by their range, others by what they hold."""
    grey = values.astype(np.float32)
    top = 65535.0 if values.dtype == np.uint16 or grey.max(initial=0) > 255 else 255.0
    if values.dtype.kind == "f" and grey.max(initial=0) <= 1:
        top = 1.0
    scaled = np.clip(np.nan_to_num(grey) * (255 / top), 0, 255).round().astype(np.uint8)
    return np.repeat(scaled[:, :, None], 3, axis=2)


def read_labels(path: Path, table: ClassTable | None = None) -> Array:
    """Read a label image.

    Args:
        path: A one-channel picture whose values are class ids; in a palette picture the indices are.
        table: Where given, its ignore value becomes ``IGNORE``.

    Returns:
        uint8 (H, W).

    Raises:
        UserError: It can't be decoded, or has several channels.
    """
    picture = open_picture(path)
    if picture.mode not in {"L", "P", "1"}:
        raise UserError(
            f"{path} has mode {picture.mode}; a label image has one 8-bit channel whose values are class ids.",
            "If its colours stand for classes, convert the annotation export with 'segtune convert'.",
        )
    try:
        labels = np.array(picture).astype(np.uint8)
    except DECODE_ERRORS as error:
        raise UserError(f"{path} can't be decoded: {error}.", "Replace or remove it.") from error
    if table is not None and table.ignore_value != IGNORE:
        labels[labels == table.ignore_value] = IGNORE
    return labels


def write_picture(path: Path, picture: Array) -> None:
    """Write uint8 (H, W, 3) RGB atomically, in the format of the path's suffix."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary)


def write_labels(path: Path, labels: Array, table: ClassTable) -> None:
    """Write class ids, uint8 (H, W), atomically as a palette PNG: the values are ids, viewers show the colours."""
    picture = Image.fromarray(labels)
    picture.putpalette(table.palette.tobytes())
    with atomic_path(path) as temporary:
        picture.save(temporary, optimize=False)
