"""COCO's run-length encoding: column-major over the whole picture, the first run is not covered."""

import numpy as np
import numpy.typing as npt


def run_ends(counts: bytes) -> npt.NDArray[np.int64]:
    """Where the runs of a compressed RLE end, int64 (R,); runs of odd index are covered.

    Source: rleFrString in pycocotools' maskApi.c. A number is a series of 5-bit groups, the lowest first, with a bit
    that says whether more follow; from the fourth number on, each is stored less the one two places before.
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((codes & 0x20) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    lengths = np.add.reduceat((codes & 0x1F) << (5 * place), first)
    lengths -= np.where(codes[last] & 0x10, np.int64(1) << (5 * (last - first + 1)), 0)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return np.cumsum(lengths)


def unpack_box(
    ends: npt.NDArray[np.int64], height: int, top: int, left: int, bottom: int, right: int
) -> npt.NDArray[np.bool_]:
    """Unpack a part of a picture of ``height`` rows, without the memory for all of it.

    Returns:
        bool (bottom - top, right - left).
    """
    num_pixels = (right - left) * height
    inside = np.clip(ends - left * height, 0, num_pixels)
    lengths = np.diff(inside, prepend=0, append=num_pixels)
    columns = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return columns.reshape(right - left, height).T[top:bottom]
