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


def unpack(runs: Runs) -> Mask:
    """The covered pixels of run lengths; whole lines before the first and after the last are left out."""
    line = runs.height if runs.column_major else runs.width
    lengths = runs.lengths.copy()
    skipped = int(lengths[0]) // line
    lengths[0] -= skipped * line
    if len(lengths) % 2:
        lengths[-1] %= line
    covered = np.repeat(np.arange(len(lengths), dtype=np.uint8) & 1, lengths).reshape(-1, line).view(np.bool_)
    if runs.column_major:
        return Mask(np.ascontiguousarray(covered.T), runs.top, runs.left + skipped)
    return Mask(covered, runs.top + skipped, runs.left)
