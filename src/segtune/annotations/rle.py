"""Run-length encodings: COCO's compressed counts, and unpacking parts of a mask."""

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import Mask, Runs
from segtune.annotations.polygon_fill import EMPTY

MAX_AT_ONCE = 2**24
"""Pixels that are unpacked at once."""


def run_ends(counts: bytes) -> npt.NDArray[np.int64]:
    """Where the runs of a compressed RLE end, int64 (R,); runs of odd index are covered.

    Source: rleFrString in pycocotools' maskApi.c. A number is a series of 5-bit groups, the lowest first, with a bit
    that says whether more follow; from the fourth number on, each is stored less the one two places before.

    Raises:
        ValueError: The characters are not such an encoding.
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((codes & 0x20) == 0)
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not len(last) or last[-1] != len(codes) - 1:
        raise ValueError("not a compressed RLE")
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first).max() > 7:
        raise ValueError("a run length of more than 40 bits")
    place = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    lengths = np.add.reduceat((codes & 0x1F) << (5 * place), first)
    lengths -= np.where(codes[last] & 0x10, np.int64(1) << (5 * (last - first + 1)), 0)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return np.cumsum(lengths)


def unpack(runs: Runs, size: tuple[int, int]) -> Mask:
    """The pixels of a picture of ``size`` that runs cover; whole lines before the first and after the last left out.

    Only lines inside of the picture are unpacked, and not all at once where they are much longer than it.
    """
    height, width = size[::-1] if runs.column_major else size
    top, left = (runs.left, runs.top) if runs.column_major else (runs.top, runs.left)
    line = runs.height if runs.column_major else runs.width
    ends = np.cumsum(runs.lengths)
    if len(ends) < 2:
        return EMPTY
    # Covered is what lies between the first end and the last of odd index.
    first = max(int(ends[0]) // line, -top)
    last = min(-(-int(ends[-1 - len(ends) % 2]) // line), height - top)
    inside = slice(max(0, -left), max(0, min(line, width - left)))
    if last <= first or inside.stop <= inside.start:
        return EMPTY
    at_once = max(1, MAX_AT_ONCE // line)
    if last - first <= at_once:
        pixels = _unpack_lines(ends, first, last, line)[:, inside]
    else:
        pixels = np.empty((last - first, inside.stop - inside.start), np.bool_)
        for start in range(first, last, at_once):
            end = min(start + at_once, last)
            pixels[start - first : end - first] = _unpack_lines(ends, start, end, line)[:, inside]
    if runs.column_major:
        return Mask(np.ascontiguousarray(pixels.T), top=max(0, left), left=top + first)
    return Mask(pixels, top=top + first, left=max(0, left))


def _unpack_lines(ends: npt.NDArray[np.int64], first: int, last: int, line: int) -> npt.NDArray[np.bool_]:
    """The lines from ``first`` to before ``last``, bool (last - first, line), of runs that end at ``ends``."""
    start, end = first * line, last * line
    a, b = (int(ends.searchsorted(place, side="right")) for place in (start, end))
    inside = ends[a:b]
    lengths = np.full(len(inside) + 1, end)
    lengths[:-1] = inside
    lengths[1:] -= inside
    lengths[0] -= start
    covered = np.arange(len(lengths), dtype=np.uint8) + (a & 1) & 1
    return np.repeat(covered, lengths).reshape(-1, line).view(np.bool_)
