"""Pictures that look the same: copies that were saved again, resized or made brighter, and frames of a still camera.

A 64-bit perceptual hash finds candidates (which of a cosine transform's lowest frequencies lie above their median:
Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"); a comparison of thumbnails decides,
as empty skies have nearly the same hash.
"""

from collections.abc import Container, Iterator, Sequence
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from segtune.pictures import shown_pixels

THUMBNAIL = 32
LOWEST = 8
MAX_BITS = 10
"""Hashes that differ in more bits are of different pictures."""
MAX_DIFFERENCE = 0.2
"""Largest mean difference of thumbnails whose brightness and contrast were made equal, as a share of the contrast."""
MIN_CONTRAST = 4.0
"""Grey levels: a flatter thumbnail says nothing."""
ROWS_AT_ONCE = 512
MAX_PAIRS = 1000
"""More are not told: they would be thousands of copies of a few pictures."""


def thumbnail(picture: Image.Image) -> npt.NDArray[np.float32]:
    """A decoded picture as grey float32 (32, 32)."""
    if picture.mode.startswith(("I", "F")):  # Pillow would cut them to 8 bits
        picture = Image.fromarray(shown_pixels(picture, "the picture"))
    grey = picture.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(grey, np.float32)


def find_pairs_alike(thumbnails: Sequence[npt.NDArray[np.float32]], groups: Sequence[object]) -> list[tuple[int, int]]:
    """The pairs (a, b), a < b, of thumbnails of different groups that show the same; the first MAX_PAIRS of them."""
    told = [index for index, values in enumerate(thumbnails) if values.std() >= MIN_CONTRAST]
    if len(told) < 2:
        return []
    hashes = np.array([_hash(thumbnails[index]) for index in told], np.uint64)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    owners = np.array([numbers[groups[index]] for index in told])
    pairs = ((told[one], told[other]) for one, other in _candidates(hashes, owners))
    return list(islice((pair for pair in pairs if _alike(thumbnails[pair[0]], thumbnails[pair[1]])), MAX_PAIRS))


class Copies:
    """Finds the copies of one picture after the other, however many there are; memory grows with the pictures alone.

    Args:
        thumbnails: float32 (32, 32) each.
    """

    def __init__(self, thumbnails: Sequence[npt.NDArray[np.float32]]) -> None:
        self._thumbnails = thumbnails
        self._is_told = np.array([values.std() >= MIN_CONTRAST for values in thumbnails], bool)
        self._hashes = np.array([_hash(values) for values in thumbnails], np.uint64)

    def like(self, index: int, known: Container[int] = ()) -> list[int]:
        """The others that show the same as a thumbnail, without those that are ``known``; of a flat one, none."""
        if not self._is_told[index]:
            return []
        near = (np.bitwise_count(self._hashes ^ self._hashes[index]) <= MAX_BITS) & self._is_told
        others = [int(other) for other in np.flatnonzero(near) if other != index and int(other) not in known]
        return [other for other in others if _alike(self._thumbnails[index], self._thumbnails[other])]


def _hash(values: npt.NDArray[np.float32]) -> int:
    low = cv2.dct(values)[:LOWEST, :LOWEST].ravel()
    # The first is the brightness.
    bits = low > np.median(low[1:])
    bits[0] = False
    return int.from_bytes(np.packbits(bits).tobytes())


def _candidates(hashes: npt.NDArray[np.uint64], owners: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Pairs whose hashes differ in few bits; in parts, so that the memory does not grow with the square."""
    for start in range(0, len(hashes), ROWS_AT_ONCE):
        rows = hashes[start : start + ROWS_AT_ONCE]
        near = np.bitwise_count(rows[:, None] ^ hashes[None, start:]) <= MAX_BITS
        near &= owners[start : start + ROWS_AT_ONCE, None] != owners[None, start:]
        for row, column in np.argwhere(np.triu(near, 1)):
            yield start + int(row), start + int(column)


def _alike(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    first, second = ((values - values.mean()) / values.std() for values in (one, other))
    return float(np.abs(first - second).mean()) <= MAX_DIFFERENCE
