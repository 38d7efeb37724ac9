"""Mixing: (Sample, another of the same size, random generator) -> Sample, in pictures and labels alike."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from segtune.classes import IGNORE
from segtune.data.sample import Sample


class Mixing(Protocol):
    """Puts something of one sample into another."""

    @property
    def probability(self) -> float:
        """How often."""
        ...

    def __call__(self, sample: Sample, other: Sample, generator: np.random.Generator) -> Sample:
        """``sample`` with something of ``other``; both stay what they are."""
        ...


@dataclass(frozen=True)
class CutMix:
    """A rectangle of the other sample. Its share of the picture is evenly distributed, but for what the edges cut off.

    Attributes:
        probability: How often.

    Source: Yun et al. 2019, CutMix, with alpha = 1.
    """

    probability: float

    def __call__(self, sample: Sample, other: Sample, generator: np.random.Generator) -> Sample:
        """Mix."""
        side = float(generator.random()) ** 0.5
        area = tuple(_around(length, side * length, generator) for length in sample.labels.shape)
        mask = np.zeros(sample.labels.shape, bool)
        mask[area] = True
        return pasted(sample, other, mask)


def _around(length: int, part: float, generator: np.random.Generator) -> slice:
    """``part`` pixels around a random one of ``length``, as far as there are any."""
    middle = int(generator.integers(length))
    return slice(max(0, round(middle - part / 2)), round(middle + part / 2))


@dataclass(frozen=True)
class CopyPaste:
    """All pixels of half of the other sample's classes, rounded up; without those that cover more than half of it.

    What covers so much is scenery that objects lie in, and pasting it would leave nothing of the sample.

    Attributes:
        probability: How often.

    Source: Ghiasi et al. 2021, Simple Copy-Paste; half of the classes as in Olsson et al. 2021, ClassMix.
    """

    probability: float

    def __call__(self, sample: Sample, other: Sample, generator: np.random.Generator) -> Sample:
        """Mix."""
        counts = np.bincount(other.labels.ravel(), minlength=IGNORE + 1)[:IGNORE]
        classes = np.flatnonzero((counts > 0) & (counts <= other.labels.size / 2))
        chosen = np.zeros(IGNORE + 1, bool)
        chosen[generator.choice(classes, -(-len(classes) // 2), replace=False) if len(classes) else []] = True
        return pasted(sample, other, chosen[other.labels])


def pasted(sample: Sample, other: Sample, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Sample:
    """``sample``, and ``other`` where the mask, bool (H, W), is true; the name stays."""
    image = np.where(mask[:, :, None], other.image, sample.image)
    return Sample(image, np.where(mask, other.labels, sample.labels), sample.name)
