"""Run-length encodings: COCO's compressed counts, and unpacking parts of a mask."""

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import Mask, Runs


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


def unpack_box(
    ends: npt.NDArray[np.int64], height: int, top: int, left: int, bottom: int, right: int
) -> npt.NDArray[np.bool_]:
    """Unpack a part of a column-major mask of ``height`` rows, without the memory for all of it.

    Returns:
        bool (bottom - top, right - left).
    """
    num_pixels = (right - left) * height
    inside = np.clip(ends - left * height, 0, num_pixels)
    lengths = np.diff(inside, prepend=0, append=num_pixels)
    columns = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return columns.reshape(right - left, height).T[top:bottom]


def unpack(runs: Runs) -> Mask:
    """The covered pixels of run lengths; lines before the first and after the last covered pixel are left out."""
    ends = np.cumsum(runs.lengths)
    if len(ends) < 2 or not runs.lengths[1::2].any():
        return Mask(np.zeros((0, 0), np.bool_))
    line, num_lines = (runs.height, runs.width) if runs.column_major else (runs.width, runs.height)
    covered = np.flatnonzero(runs.lengths[1::2]) * 2 + 1
    first = int(ends[covered[0]] - runs.lengths[covered[0]]) // line
    last = min(num_lines, int(ends[covered[-1]] - 1) // line + 1)
    pixels = unpack_box(ends, line, 0, first, line, last)
    if runs.column_major:
        return Mask(pixels, runs.top, runs.left + first)
    return Mask(pixels.T, runs.top + first, runs.left)
