"""Which pictures to label: those that the model is unsure of, and that are unlike each other and what is labelled."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from segtune.annotations.near_duplicates import MIN_CONTRAST, Copies
from segtune.annotations.split import FRAMES
from segtune.arrays import Floats

MIN_CORRELATION = 0.93
"""Neighbouring frames whose thumbnails correlate as much show the same view, and add little to each other.

Measured on the 361 pairs of neighbours among CamVid's 367 training pictures, a second apart, by looking at them: most
of the 77 from 0.93 on show one place, as where the car waits at a junction; most of those at 0.90 to 0.92 have moved
on by some houses. The median is 0.88. Of two different drives, no two pictures reach 0.88; 99 % stay below 0.81.
"""


@dataclass(frozen=True)
class RankCandidate:
    """A picture that is labelled, or could be.

    Attributes:
        name: Its path, or folders and name as one: frames of a video differ in their number alone.
        uncertainty: 0 and above; of labelled ones it doesn't count.
        features: float32 (F,), what is in it: pictures alike have features that are near.
        thumbnail: float32 (32, 32), as ``near_duplicates.thumbnail`` makes it.
        is_labeled: Whether it is labelled.
    """

    name: str
    uncertainty: float
    features: Floats
    thumbnail: npt.NDArray[np.float32]
    is_labeled: bool = False


@dataclass(frozen=True)
class Choice:
    """A picture's place.

    Attributes:
        index: Of the candidate.
        distance: Of its features to the nearest that is labelled or comes before, 0 to 2; infinite where none is.
        like: The index of a picture that is labelled or comes before, and that it is a copy of, or a neighbouring frame
            of the same view.
    """

    index: int
    distance: float
    like: int | None = None


def rank(candidates: Sequence[RankCandidate], count: int) -> list[Choice]:
    """Put the pictures that are not labelled in the order in which to label them.

    The first ``count`` are chosen one by one, each the highest in uncertainty times distance (k-centre greedy, Sener
    and Savarese 2018, weighted by uncertainty). Copies of what is labelled or chosen, and neighbouring frames of the
    same view, wait until nothing else is left. The others follow by the same product.
    """
    features = np.stack([_unit(candidate.features) for candidate in candidates])
    uncertainty = np.array([candidate.uncertainty for candidate in candidates])
    copies = Copies([candidate.thumbnail for candidate in candidates])
    neighbors = _neighbors(candidates)
    distance = np.full(len(candidates), np.inf)
    like: dict[int, int] = {}
    free = {index for index, candidate in enumerate(candidates) if not candidate.is_labeled}

    def take(index: int) -> None:
        free.discard(index)
        np.minimum(distance, np.linalg.norm(features - features[index], axis=1), out=distance)
        # What is like an earlier one is not compared again: of a still camera all would be, with all.
        for other in [*copies.like(index, like), *neighbors[index]]:
            like.setdefault(other, index)

    for index, candidate in enumerate(candidates):
        if candidate.is_labeled:
            take(index)
    chosen: list[Choice] = []

    def value(index: int) -> tuple[bool, float, int]:
        # Before there is anything to be far from, all are as far.
        far = distance[index] if np.isfinite(distance[index]) else 1.0
        return index not in like, float(uncertainty[index] * far), -index

    while free and len(chosen) < count:
        best = max(free, key=value)
        chosen.append(Choice(best, float(distance[best]), like.get(best)))
        take(best)
    rest = sorted(free, key=value, reverse=True)
    return [*chosen, *(Choice(index, float(distance[index]), like.get(index)) for index in rest)]


def _unit(features: Floats) -> Floats:
    """Features of length 1, so that a distance says how much the content differs, not how strong it is."""
    unit: Floats = features / max(float(np.linalg.norm(features)), 1e-12)
    return unit


def _neighbors(candidates: Sequence[RankCandidate]) -> dict[int, list[int]]:
    """For each candidate those of the frame before and the one after it that show the same view."""
    neighbors: dict[int, list[int]] = defaultdict(list)
    for one, other in neighboring_frames([candidate.name for candidate in candidates]):
        if _is_same_view(candidates[one].thumbnail, candidates[other].thumbnail):
            neighbors[one].append(other)
            neighbors[other].append(one)
    return neighbors


def _is_same_view(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    if min(one.std(), other.std()) < MIN_CONTRAST:
        return False
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) >= MIN_CORRELATION


def neighboring_frames(names: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of pictures whose names differ in their number alone, with none between them that is as near.

    Frames that were taken at the rate of the whole series are neighbours; after a gap a new scene may have begun.
    """
    series: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, name in enumerate(names):
        stem = name.rsplit(".", 1)[0]
        found = re.search(FRAMES, stem)
        digits = re.search(r"(\d+)$", stem)
        if found and digits and len(digits[1]) < 19:
            series[found[1]].append((int(digits[1]), index))
    pairs = []
    for members in series.values():
        ordered = sorted(members)
        steps = [after - before for (before, _), (after, _) in pairwise(ordered)]
        usual = float(np.median(steps)) if steps else 0.0
        pairs += [
            (before, after)
            for (_, before), (_, after), step in zip(ordered, ordered[1:], steps, strict=False)
            if step <= usual
        ]
    return pairs
