"""Picture and label files on disk <-> arrays. Files are untrusted: size is bounded, errors are told in words."""

import io
import struct
import warnings
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from zlib_ng import zlib_ng

from segtune.arrays import Array
from segtune.classes import IGNORE, ClassTable
from segtune.errors import UserError, listed
from segtune.files import atomic_path, write_bytes

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp"})
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")
"""What Pillow may try: others run outside programs (EPS), or read other files."""

MAX_PIXELS = 2 * 89_478_485
"""A picture above this is refused before it is decoded: Pillow's own bound, 537 MB as RGB."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What brings pictures of an EXIF orientation upright."""
TURNED = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange height and width."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_GRAY, PNG_RGB, PNG_PALETTE = 0, 2, 3
"""Colour types of the PNG header."""
XMP, RAW_EXIF = b"XML:com.adobe.xmp", b"Raw profile type exif"
"""Keywords of PNG texts from which Pillow takes an orientation."""


class PictureTooLarge(UserError):
    """A picture of more pixels than are decoded."""


DECODE_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, OverflowError, LookupError, AttributeError, AssertionError,
    NotImplementedError, struct.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises on a file that is broken or is no picture. Memory that is out says nothing of a file."""


def open_picture(source: Path | bytes | IO[bytes], name: str = "") -> Image.Image:
    """Open a picture file without decoding it.

    Args:
        source: A path, the file's bytes, or the opened file, of which only the start is read.
        name: What to call it in errors; the path if not given.

    Raises:
        UserError: No picture, or above MAX_PIXELS.
    """
    name = name or _called(source)
    try:
        with warnings.catch_warnings():
            # Pillow warns above half of what it refuses.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # From memory: Pillow keeps the files of some formats open as long as the picture lives.
            content = source.read_bytes() if isinstance(source, Path) else source
            file = io.BytesIO(content) if isinstance(content, bytes) else content
            picture = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not a picture that can be decoded.", "Replace or remove it.") from error
    except Image.DecompressionBombError as error:
        raise PictureTooLarge(
            f"{name} has more than {MAX_PIXELS:,} pixels.", "Cut it into smaller pictures."
        ) from error
    except DECODE_ERRORS as error:
        raise UserError(f"{name} can't be opened: {error}.", "Replace or remove it.") from error
    return picture


def _called(source: Path | bytes | IO[bytes]) -> str:
    return str(source) if isinstance(source, Path) else "the picture"


def num_frames(picture: Image.Image) -> int:
    """How many pictures an opened file holds, as scans and animations do; where the second is the first shrunk, one."""
    if picture.format not in {"TIFF", "WEBP", "PNG"}:
        return 1
    first = picture.size
    with warnings.catch_warnings(), suppress(Exception):  # Pillow raises anything on directories that it can't read
        warnings.simplefilter("ignore")
        count: int = getattr(picture, "n_frames", 1)
        if count > 1:
            picture.seek(1)
        is_preview = picture.size < first and same_shape(picture.size, first)
        return 1 if is_preview else count
    return 1


def shown_size(picture: Image.Image, name: str = "the picture") -> tuple[int, int]:
    """Height and width of an opened picture as viewers show it, its EXIF orientation applied.

    Raises:
        UserError: As of ``orientation``.
    """
    turned = orientation(picture, name) in TURNED
    return (picture.width, picture.height) if turned else (picture.height, picture.width)


def orientation(picture: Image.Image, name: str = "the picture") -> int:
    """The EXIF orientation of an opened picture, 1 to 8; 1 where it has none, and of TIFFs, which Pillow turns itself.

    Nothing is decoded but a PNG whose EXIF stands behind the pixels.

    Raises:
        UserError: Such a one can't be decoded; ``name`` is what to call it.
    """
    if picture.format == "TIFF":
        return 1
    if picture.format == "PNG" and _has_exif_at_end(picture):
        try:
            picture.load()
        except DECODE_ERRORS as error:
            raise UserError(f"{name} can't be decoded: {error}.", "Replace or remove it.") from error
    # As viewers do: EXIF that can't be read says nothing. (A PNG's own method would decode it.)
    with warnings.catch_warnings(), suppress(*DECODE_ERRORS):
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        found = Image.Image.getexif(picture).get(0x0112, 1)
        return found if found in range(1, 9) else 1
    return 1


def upright(picture: Image.Image, name: str = "the picture") -> Image.Image:
    """A picture as viewers show it, its EXIF orientation applied.

    Raises:
        UserError: As of ``orientation``.
    """
    turn = TURNS.get(orientation(picture, name))
    return picture if turn is None else picture.transpose(turn)


def _has_exif_at_end(picture: Image.Image) -> bool:
    """Whether a chunk of an opened PNG that Pillow has not read yet may hold an orientation; goes through their heads.

    Source: PNG specification, https://www.w3.org/TR/png-3/.
    """
    file = getattr(picture, "fp", None)
    if file is None:  # decoded, so all is read
        return False
    place = file.tell()
    try:
        next_chunk = len(PNG_SIGNATURE)
        seen_pixels = False
        while True:
            file.seek(next_chunk)
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                return False
            length, name = struct.unpack(">I4s", head)
            is_text = name in {b"tEXt", b"zTXt", b"iTXt"}  # dates and the like are, too
            if seen_pixels and (name == b"eXIf" or (is_text and file.read(len(RAW_EXIF)).startswith((XMP, RAW_EXIF)))):
                return True
            seen_pixels |= name == b"IDAT"
            next_chunk += length + 12
    finally:
        file.seek(place)


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one size, height and width, is the other scaled: by one side, the other rounded to whole pixels."""
    (rows, columns), (height, width) = one, other
    return min(abs(rows * width / columns - height), abs(columns * height / rows - width)) <= 0.5


def read_picture(source: Path | bytes, name: str = "") -> Array:
    """Read a picture as viewers show it: EXIF orientation applied, alpha dropped, 16 bits scaled to 8.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        UserError: It can't be decoded.
    """
    return shown_pixels(open_picture(source, name), name or _called(source))


def shown_pixels(picture: Image.Image, name: str) -> Array:
    """The pixels of an opened picture, as ``read_picture`` gives them; ``name`` is for errors.

    Raises:
        UserError: It can't be decoded.
    """
    try:
        picture = upright(picture, name)
        if picture.mode.startswith(("I", "F")):
            return _eight_bits(np.asarray(picture))
        return np.array(picture.convert("RGB"))
    except DECODE_ERRORS as error:
        raise UserError(f"{name} can't be decoded: {error}.", "Replace or remove it.") from error


def _eight_bits(values: npt.NDArray[np.generic]) -> Array:
    """One-channel values of more than 8 bits as grey RGB, uint8 (H, W, 3)."""
    grey = np.nan_to_num(values.astype(np.float32))
    scaled = np.clip(grey * (255 / white_value(values)), 0, 255).round().astype(np.uint8)
    return np.repeat(scaled[:, :, None], 3, axis=2)


def white_value(values: npt.NDArray[np.generic]) -> int:
    """Which of one-channel values of more than 8 bits is shown as white.

    Where the type doesn't tell, it is the lowest of 1 (of floats), 255 and 65535 that the values don't go far beyond:
    reflectances and resampled values may.
    """
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # in either order of bytes
        return 65535
    highest = np.nanmax(values.astype(np.float32), initial=0)
    return 1 if values.dtype.kind == "f" and highest <= 2 else 255 if highest <= 2 * 255 else 65535


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
    labels = decode_labels(open_picture(path), str(path))
    if table is not None and table.ignore_value != IGNORE:
        labels[labels == table.ignore_value] = IGNORE
    return labels


def decode_labels(picture: Image.Image, name: str) -> Array:
    """The values of an opened label image, uint8 (H, W); ``name`` is for errors.

    Raises:
        UserError: It has several channels or more bits, or can't be decoded.
    """
    if picture.mode not in {"L", "P", "1"}:
        raise UserError(
            f"{name} {_describe_mode(picture)}; expected: one 8-bit channel whose values are class ids.",
            "If its colours stand for classes, convert the annotation export with 'segtune convert'.",
        )
    step = grey_step(picture)
    try:
        values = np.array(picture, np.uint8)
        return values // step if step > 1 else values
    except DECODE_ERRORS as error:
        raise UserError(f"{name} can't be decoded: {error}.", "Replace or remove it.") from error


def grey_step(picture: Image.Image) -> int:
    """What to divide grey values by, of a picture that is not decoded yet: Pillow spreads 2 and 4 bits over 0..255."""
    tiles = getattr(picture, "tile", [])
    return {"L;2": 85, "L;4": 17}.get(str(tiles[0][3]) if tiles else "", 1)


def _describe_mode(picture: Image.Image) -> str:
    """What a picture looks like that is no label image."""
    if picture.mode not in {"RGB", "RGBA"}:
        return f"has mode {picture.mode}"
    try:
        colors = picture.convert("RGB").getcolors(256)
    except DECODE_ERRORS:
        colors = None
    if colors is None:
        return "is a colour picture"
    return f"has {len(picture.mode)} channels with the colours {listed((c for _, c in sorted(colors)[::-1]), 4)}"


def write_picture(path: Path, picture: Array) -> None:
    """Write uint8 (H, W, 3) RGB atomically, in the format of the path's suffix."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary)


def write_labels(path: Path, labels: Array, table: ClassTable) -> None:
    """Write class ids, uint8 (H, W), atomically as a palette PNG."""
    write_bytes(path, labels_png(labels, table))


def labels_png(labels: Array, table: ClassTable) -> bytes:
    """Class ids, uint8 (H, W), as a palette PNG: the values are ids, viewers show the colours."""
    rows = np.zeros((labels.shape[0], labels.shape[1] + 1), np.uint8)  # each row starts with its filter: 0, none
    rows[:, 1:] = labels
    return _png(rows, labels.shape[1], PNG_PALETTE, table.palette.tobytes())


def rgb_png(picture: Array) -> bytes:
    """uint8 (H, W, 3) RGB as a PNG."""
    return _difference_png(picture, PNG_RGB)


def jpeg(picture: Array, quality: int = 90) -> bytes:
    """uint8 (H, W, 3) RGB as a JPEG."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=quality)
    return content.getvalue()


def gray_png(values: Array) -> bytes:
    """uint8 (H, W) as a grey PNG."""
    return _difference_png(values[:, :, None], PNG_GRAY)


def _difference_png(picture: Array, color_type: int) -> bytes:
    """uint8 (H, W, channels) as the differences to the pixels on the left: even areas become runs of zeros."""
    height, width, channels = picture.shape
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0] = 1  # the filter: Sub
    flat = picture.reshape(height, -1)
    rows[:, 1 : 1 + channels] = flat[:, :channels]
    np.subtract(flat[:, channels:], flat[:, :-channels], out=rows[:, 1 + channels :])
    return _png(rows, width, color_type)


def _png(rows: Array, width: int, color_type: int, palette: bytes = b"") -> bytes:
    """A PNG from filtered rows, uint8 (H, 1 + bytes of a row).

    Source: PNG specification, https://www.w3.org/TR/png-3/.
    """
    # Runs of equal values are most of what there is to compress. Pillow's own writer takes five times as long.
    packer = zlib_ng.compressobj(level=1, memLevel=9, strategy=zlib_ng.Z_RLE)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, rows.shape[0], 8, color_type, 0, 0, 0)),
        *([(b"PLTE", palette)] if palette else []),
        (b"IDAT", packer.compress(rows.data) + packer.flush()),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib_ng.crc32(name + content))
        for name, content in chunks
    )
    return PNG_SIGNATURE + body
