"""How often each value occurs in a label image: the check's most frequent question, so answered fast."""

import struct

import numpy as np
import numpy.typing as npt
from zlib_ng import zlib_ng

from segtune.pictures import MAX_PIXELS

BLOCK = 2**19
"""Bytes that are unpacked at once: they stay in the processor's cache, and no large memory has to be got anew."""

Counts = npt.NDArray[np.int64]


def count_values(values: npt.NDArray[np.uint8]) -> Counts:
    """How often each value occurs, int64 (256,); ``values`` is uint8 (N,), without gaps.

    Label images are made of runs: only where eight pixels differ from the eight before is there anything to count. That
    is five times as fast as counting pixels.
    """
    eights = values[: len(values) // 8 * 8].view(np.uint64)
    starts = np.flatnonzero(eights[1:] != eights[:-1]) + 1
    if not len(eights) or len(starts) > len(eights) // 4:
        return np.bincount(values, minlength=256)
    starts = np.concatenate([[0], starts])
    lengths = np.diff(starts, append=len(eights))
    in_runs = np.bincount(eights[starts].view(np.uint8), np.repeat(lengths, 8), minlength=256).astype(np.int64)
    rest: Counts = np.bincount(values[8 * len(eights) :], minlength=256)
    return in_runs + rest


def count_png_values(content: bytes) -> Counts | None:
    """The same for a PNG file's content, without keeping its pixels: int64 (256,).

    None where the file is not of the simplest kind, which segtune writes: 8 bits, grey or palette, not interlaced, no
    filters; or where anything in it is wrong. Pillow then says what is so. Its decoder takes twice as long.

    Source: PNG specification, https://www.w3.org/TR/png-3/.
    """
    packed = _intact_data(content)
    if packed is None:
        return None
    width, height = struct.unpack_from(">II", content, 16)
    unpacker, remaining = zlib_ng.decompressobj(), packed
    counts = np.zeros(256, np.int64)
    rows_at_once = max(1, BLOCK // (width + 1))
    try:
        for top in range(0, height, rows_at_once):
            num_rows = min(rows_at_once, height - top)
            block = unpacker.decompress(remaining, num_rows * (width + 1))
            remaining = unpacker.unconsumed_tail
            if len(block) != num_rows * (width + 1):
                return None
            rows = np.frombuffer(block, np.uint8)
            if rows[:: width + 1].any():
                return None
            counts += count_values(rows)
            counts[0] -= num_rows  # the filter that stands before each row: 0, none
        if unpacker.decompress(remaining, 1) or not unpacker.eof:
            return None
    except zlib_ng.error:  # type: ignore[misc]  # zlib-ng's stub calls the class an instance
        return None
    return counts


def _intact_data(content: bytes) -> bytes | None:
    """The packed pixels of a PNG of the simplest kind whose chunks are all intact; else None."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR" or len(content) < 33:
        return None
    width, height, depth, color_type, *rest = struct.unpack_from(">IIBBBBB", content, 16)
    if depth != 8 or color_type not in {0, 3} or any(rest) or not 0 < width * height <= MAX_PIXELS:
        return None
    view, data, place = memoryview(content), list[memoryview](), 8
    while place + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        if end + 4 > len(content) or zlib_ng.crc32(view[place + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            return None
        if name == b"IEND":
            return b"".join(data)
        if name == b"IDAT":
            data.append(view[place + 8 : end])
        place = end + 4
    return None
