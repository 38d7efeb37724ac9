"""Pictures that look the same: copies that were saved again, resized or made brighter, and frames of a still camera.

A 64-bit perceptual hash finds candidates (the signs of the lowest frequencies of a cosine transform: Zauner 2010,
"Implementation and benchmarking of perceptual image hash functions"); a comparison of thumbnails decides, as the hash of
empty skies is nearly the same for all of them.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

THUMBNAIL = 32
LOWEST = 8
MAX_BITS = 10
"""Hashes that differ in more bits are of different pictures."""
MAX_DIFFERENCE = 0.15
"""Largest mean difference of thumbnails, of their own contrast: after brightness and contrast are made equal."""
MIN_CONTRAST = 4.0
"""Grey levels: a flatter thumbnail says nothing."""
ROWS_AT_ONCE = 512


def thumbnail(picture: Image.Image) -> npt.NDArray[np.float32]:
    """A decoded picture as grey float32 (32, 32)."""
    grey = picture.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(grey, np.float32)


def find_pairs_alike(thumbnails: Sequence[npt.NDArray[np.float32]]) -> list[tuple[int, int]]:
    """The pairs (a, b), a < b, of thumbnails that show the same, in the order of a and b."""
    if len(thumbnails) < 2:
        return []
    hashes = np.array([_hash(values) for values in thumbnails], np.uint64)
    return [pair for pair in _candidates(hashes) if _alike(thumbnails[pair[0]], thumbnails[pair[1]])]


def _hash(values: npt.NDArray[np.float32]) -> int:
    low = cv2.dct(values)[:LOWEST, :LOWEST].ravel()
    # The first is the brightness.
    bits = low > np.median(low[1:])
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes())


def _candidates(hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Pairs whose hashes differ in few bits; in parts, so that the memory does not grow with the square."""
    for start in range(0, len(hashes), ROWS_AT_ONCE):
        rows = hashes[start : start + ROWS_AT_ONCE]
        near = np.bitwise_count(rows[:, None] ^ hashes[None, start:]) <= MAX_BITS
        for row, column in np.argwhere(np.triu(near, 1)):
            yield start + int(row), start + int(column)


def _alike(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    if min(one.std(), other.std()) < MIN_CONTRAST:
        return False
    first, second = ((values - values.mean()) / values.std() for values in (one, other))
    return float(np.abs(first - second).mean()) <= MAX_DIFFERENCE
