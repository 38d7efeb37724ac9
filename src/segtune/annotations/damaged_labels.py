"""Label images whose values or colours are not class ids, or were changed by JPEG or resizing: what they mean.

A guess that is wrong makes labels that look sound and are not. So nothing is guessed where more than one meaning is
possible: the labels must then be exported again.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from segtune.annotations.label_image import CLOSE
from segtune.classes import IGNORE, ClassTable, Color

Lookup = npt.NDArray[np.uint8]

SPREAD = 12
"""JPEG moves few values of flat areas further than this from the level that they had."""

MIN_GAP = 20
"""Levels closer than this can't be told apart after JPEG."""

MIN_SHARE = 0.002
"""A value of fewer of the pixels is an edge, not a level."""

MIN_NEAR = 0.9
"""As much of the pixels must lie close to a known level or colour."""

MAX_COLORS = 4096


def sound_values(table: ClassTable) -> frozenset[int]:
    """The values that label images may have."""
    return frozenset({*range(table.num_classes), table.ignore_value, IGNORE})


def grey_lookup(counts: npt.NDArray[np.int64], table: ClassTable) -> Lookup | None:
    """The class id of each grey value, uint8 (256,), where label images hold grey levels that stand for classes.

    Args:
        counts: int64 (256,), how many pixels of all such label images have each value.
        table: The classes. Levels are ids themselves, the classes' grey colours, or even steps from black to white.

    Returns:
        None where the values are no few clear levels, or it isn't clear what these stand for.
    """
    levels = _levels(counts)
    ids = _level_ids(levels, table) if len(levels) > 1 else None
    if ids is None:
        return None
    nearest = np.abs(np.arange(256)[:, None] - np.array(levels)[None]).argmin(axis=1)
    found: Lookup = np.array(ids, np.uint8)[nearest]
    return found


def _levels(counts: npt.NDArray[np.int64]) -> list[int]:
    """The values that the others lie around, in order; none where there are no clear ones."""
    total, levels = int(counts.sum()), list[int]()
    for value in np.argsort(-counts, kind="stable"):
        if counts[value] < max(1, MIN_SHARE * total):
            break
        if all(abs(int(value) - level) > SPREAD for level in levels):
            levels.append(int(value))
    levels.sort()
    distance = np.abs(np.arange(256)[:, None] - np.array([*levels, -999])[None]).min(axis=1)
    clear = counts[distance <= SPREAD].sum() >= MIN_NEAR * total and (np.diff(levels) >= MIN_GAP).all()
    return levels if clear else []


def _level_ids(levels: Sequence[int], table: ClassTable) -> list[int] | None:
    """What levels stand for; None where that isn't clear."""
    greys = {color[0]: index for index, color in enumerate(table.colors) if color[0] == color[1] == color[2]}
    if len(greys) > 1:
        ids = _matched(levels, greys)
        if ids is not None:
            return ids
    if set(levels) <= sound_values(table) - {IGNORE}:
        return list(levels)
    # Black and white may be two classes of three, or object and background, or a mask with ignored pixels.
    if table.num_classes > 2 and len(levels) == 2 and levels[1] >= IGNORE - 3 and levels[1] != 254:
        return None
    for top in {IGNORE, IGNORE // max(1, table.num_classes - 1) * (table.num_classes - 1)}:
        steps = {round(step): index for index, step in enumerate(np.linspace(0, top, table.num_classes))}
        ids = _matched(levels, steps) if len(steps) == table.num_classes else None
        if ids is not None:
            return ids
    return None


def _matched(levels: Sequence[int], known: Mapping[int, int]) -> list[int] | None:
    """The id of the known grey nearest to each level; None where one is far from all, or two are near the same."""
    nearest = [min(known, key=lambda grey, level=level: abs(grey - level)) for level in levels]  # type: ignore[misc]
    near = all(abs(grey - level) <= 3 for grey, level in zip(nearest, levels, strict=True))
    gaps = np.diff(sorted(known))
    if not near or len(set(nearest)) < len(levels) or (gaps < MIN_GAP).any():
        return None
    return [known[grey] for grey in nearest]


def color_ids(table: ClassTable) -> dict[Color, int]:
    """The class of each colour. White, where no class has it, is what segtune paints ignored pixels as."""
    return {(255, 255, 255): IGNORE, **{color: index for index, color in enumerate(table.colors)}}


def color_fit(picture: Image.Image, table: ClassTable) -> Literal["exact", "near", "none"]:
    """Whether a colour picture has the classes' colours alone, nearly so (JPEG, resizing), or others."""
    colors = picture.convert("RGB").getcolors(MAX_COLORS)
    if colors is None:
        # A sample says as much.
        sample = picture.convert("RGB").resize((64, 64), Image.Resampling.NEAREST)
        colors = sample.getcolors(MAX_COLORS) or []
    elif {color for _, color in colors} <= color_ids(table).keys():
        return "exact"
    counts = np.array([count for count, _ in colors])
    near = _distances(np.array([color for _, color in colors]), table).min(axis=1, initial=999) <= CLOSE
    return "near" if counts[near].sum() >= MIN_NEAR * counts.sum() else "none"


def nearest_color_ids(pixels: npt.NDArray[np.integer], table: ClassTable) -> Lookup | None:
    """The class of the nearest colour, uint8 (H, W), for colours (H, W, 3); None where too many are of no class."""
    wide = pixels.astype(np.int32)
    packed, inverse, counts = np.unique(
        wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], return_inverse=True, return_counts=True
    )
    distances = _distances(np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1), table)
    close = distances <= CLOSE
    if counts[close.any(axis=1)].sum() < MIN_NEAR * counts.sum():
        return None
    # Colours between two classes, along their edge, may be nearest to a third that isn't there at all.
    present = (close * counts[:, None]).sum(axis=0) >= max(1, MIN_SHARE / 10 * counts.sum())
    ids = np.array(list(color_ids(table).values()), np.uint8)[present]
    found: Lookup = ids[distances[:, present].argmin(axis=1)][inverse.reshape(pixels.shape[:2])]
    return found


def _distances(colors: npt.NDArray[np.integer], table: ClassTable) -> npt.NDArray[np.int64]:
    """The largest difference in a channel of N colours to each of ``color_ids``, int64 (N, K)."""
    known = np.array(list(color_ids(table)), np.int64)
    distances: npt.NDArray[np.int64] = np.abs(colors.reshape(-1, 1, 3).astype(np.int64) - known[None]).max(axis=2)
    return distances


def is_grey(picture: Image.Image) -> bool:
    """Whether a colour picture's three channels are equal."""
    red, green, blue = (np.asarray(channel) for channel in picture.convert("RGB").split())
    return bool((red == green).all() and (red == blue).all())


def palette_lookup(picture: Image.Image, counts: npt.NDArray[np.int64], table: ClassTable) -> Lookup | None:
    """The class of each index by its colour, uint8 (256,), for an opened palette picture.

    Args:
        picture: Any picture.
        counts: int64 (256,), how many pixels have each index.
        table: The classes.

    Returns:
        None where it has no palette, an index that occurs has a colour of no class, or two classes share a colour; or
        where others are in another order, and what never counts has the colour of a class, and may be that.
    """
    if picture.mode != "P" or picture.palette is None or len(set(table.colors)) < table.num_classes:
        return None
    flat, known = bytes(picture.palette.palette), color_ids(table)
    lookup = np.arange(256, dtype=np.uint8)
    in_doubt = False
    for index in np.flatnonzero(counts):
        red, green, blue = (*flat[3 * index : 3 * index + 3], -1, -1, -1)[:3]
        if index in {table.ignore_value, IGNORE}:
            in_doubt |= (red, green, blue) in table.colors
        elif (red, green, blue) not in known:
            return None
        else:
            lookup[index] = known[red, green, blue]
    return None if in_doubt and (lookup != np.arange(256)).any() else lookup
