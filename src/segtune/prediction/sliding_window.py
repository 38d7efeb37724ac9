"""Sliding window: logits of a large picture from overlapping tiles, blended, without ever holding all of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np

from segtune.arrays import Array, Arrays, Floats, Values

ALIGNMENT = 32
"""Tiles start at multiples of this: an encoder that shrinks up to 32 times samples the whole picture there, too."""

MARGIN = 0.4
"""Share of the least overlap, on either side of it, that is not used: there a tile sees least of what is around a
pixel. Tiles are spread evenly, so that they may overlap by more; in between they count alike then."""


class Pixels(Protocol):
    """What is read in parts, as an array (H, W, 3) is indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width, 3."""

    def __getitem__(self, place: tuple[slice, slice], /) -> Array:
        """Rows and columns of it, uint8 (h, w, 3) RGB."""


class LargePicture(Pixels, Protocol):
    """A picture that need not be read as a whole."""

    def shrunk(self, height: int, width: int) -> Array:
        """The whole at another size, uint8 (height, width, 3)."""


class Enlarged:
    """A picture seen larger, bilinear; only what is asked for is.

    Args:
        picture: The picture.
        factor: How many times as high and as wide.
    """

    def __init__(self, picture: Pixels, factor: int) -> None:
        self.picture = picture
        self.factor = factor
        height, width = picture.shape[:2]
        self.shape = (factor * height, factor * width, 3)

    def __getitem__(self, place: tuple[slice, slice]) -> Array:
        """Rows and columns of it."""
        spans = [part.indices(length)[:2] for part, length in zip(place, self.shape, strict=False)]
        # One more pixel on each side: by these, too, pixels at the edge are interpolated.
        first = [max(0, start // self.factor - 1) for start, _ in spans]
        rows, columns = (slice(low, -(-stop // self.factor) + 1) for low, (_, stop) in zip(first, spans, strict=True))
        part = self.picture[rows, columns]
        size = self.factor * part.shape[1], self.factor * part.shape[0]
        enlarged = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
        (top, bottom), (left, right) = (
            (start - low * self.factor, stop - low * self.factor)
            for low, (start, stop) in zip(first, spans, strict=True)
        )
        return np.asarray(enlarged[top:bottom, left:right], np.uint8)


def aligned(pixels: int) -> int:
    """``pixels`` rounded up to a multiple of ``ALIGNMENT``."""
    return -(-pixels // ALIGNMENT) * ALIGNMENT


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along a side of ``length`` pixels: evenly spread, and overlapping by at least ``overlap``.

    Args:
        length: Of the picture's side.
        tile: Of the tiles' side, a multiple of ``ALIGNMENT``.
        overlap: A multiple of ``ALIGNMENT`` below ``tile``.
    """
    if length <= tile:
        return [0]
    last = aligned(length - tile)
    count = -(-last // (tile - overlap)) + 1
    return [index * last // (count - 1) // ALIGNMENT * ALIGNMENT for index in range(count)]


def tile_weights(length: int, starts: Sequence[int], tile: int, overlap: int) -> list[Floats]:
    """How much each tile counts along a side: it fades in over the least overlap's middle; at each pixel the sum is 1.

    Returns:
        For each start, float32 (min(tile, length - start),).
    """
    everywhere = np.zeros(length, np.float32)
    weights = []
    for start in starts:
        stop = min(start + tile, length)
        places = np.arange(start, stop, dtype=np.float32) + np.float32(0.5)
        weight = np.ones(stop - start, np.float32)
        for is_inside, distance in ((start > 0, places - start), (stop < length, stop - places)):
            if is_inside:
                fade = (distance - MARGIN * overlap) / max(1.0, (1 - 2 * MARGIN) * overlap)
                weight = np.minimum(weight, fade.clip(1e-6, 1))
        everywhere[start:stop] += weight
        weights.append(weight)
    return [weight / everywhere[start : start + len(weight)] for start, weight in zip(starts, weights, strict=True)]


def sliding_window(
    logits_of: Callable[[Array], Values], picture: Pixels, tile: int, overlap: int, arrays: Arrays
) -> Iterator[Values]:
    """Logits of a picture in bands of rows, from its top to its bottom.

    At any time the logits of one row of tiles are in memory. A pixel's logits are the mean of those of the tiles
    that hold it, weighted by the product of ``tile_weights`` along both sides.

    Args:
        logits_of: Pixels, uint8 (h, w, 3) -> logits (1, C, h, w).
        picture: An array, or what can be read in parts.
        tile: Side of the tiles, a multiple of ``ALIGNMENT``.
        overlap: Least overlap of neighbours, a multiple of ``ALIGNMENT`` below ``tile``.
        arrays: What the logits are.

    Yields:
        float32 (1, C, h, W), to be used before the next is asked for: its memory is used again.
    """
    height, width = picture.shape[:2]
    tops, lefts = (tile_starts(length, tile, overlap) for length in (height, width))
    row_weights = tile_weights(height, tops, tile, overlap)
    column_weights = tile_weights(width, lefts, tile, overlap)
    sums: Values = None
    for top, following, down in zip(tops, [*tops[1:], height], row_weights, strict=True):
        for left, across in zip(lefts, column_weights, strict=True):
            logits = logits_of(picture[top : top + tile, left : left + tile])
            if sums is None:
                sums = arrays.zeros((1, logits.shape[1], min(tile, height), width))
            weights = arrays.array(down[:, None] * across)
            sums[:, :, : len(down), left : left + len(across)] += logits * weights
        # No tile further down reaches the rows above its own top.
        finished = following - top
        yield sums[:, :, :finished]
        kept = sums.shape[2] - finished
        sums[:, :, :kept] = arrays.joined([sums[:, :, finished:]], axis=2)
        sums[:, :, kept:] = 0
