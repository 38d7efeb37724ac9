"""Augmentation: (Sample, random generator) -> Sample. Arrays that come in may be a cache's: none is written into."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segtune.classes import IGNORE
from segtune.data.sample import Sample
from segtune.preprocessing import Triple

Augmentation = Callable[[Sample, np.random.Generator], Sample]

GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])
"""Luma of RGB (ITU-R BT.601)."""

YIQ = np.array([GREY_WEIGHTS, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""RGB -> luma and two axes of colour (NTSC 1953): turning the latter turns the hue and leaves the luma."""


@dataclass(frozen=True)
class Flip:
    """Mirror the picture.

    Attributes:
        horizontal: Probability of exchanging left and right.
        vertical: Probability of exchanging top and bottom.
    """

    horizontal: float
    vertical: float

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Flip, or not."""
        image, labels = sample.image, sample.labels
        if generator.random() < self.horizontal:
            image, labels = image[:, ::-1], labels[:, ::-1]
        if generator.random() < self.vertical:
            image, labels = image[::-1], labels[::-1]
        return Sample(image, labels, sample.name)


@dataclass(frozen=True)
class ColorJitter:
    """Change the light: each factor is drawn from 1 - amount .. 1 + amount.

    All of it is linear, so it is one 3 x 4 matrix for each pixel: twenty times as fast as one change after the other in
    floats, and the same within 1.

    Attributes:
        brightness: Amount for the factor on all values.
        contrast: Amount for the factor on the distance from the picture's mean grey.
        saturation: Amount for the factor on the distance from each pixel's grey.
        hue: Share of the colour circle by which the hue is turned at most, either way.

    Source: Haeberli, Matrix Operations for Image Processing, 1993.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float = 0.0

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Change brightness, contrast, saturation and hue."""
        brightness, contrast, saturation = (
            float(generator.uniform(1 - amount, 1 + amount))
            for amount in (self.brightness, self.contrast, self.saturation)
        )
        grey = np.tile(GREY_WEIGHTS, (3, 1))
        matrix = brightness * ((1 - saturation) * grey + saturation * np.eye(3))
        if self.hue:
            matrix = hue_turn(float(generator.uniform(-self.hue, self.hue))) @ matrix
        mean_grey = brightness * float(GREY_WEIGHTS @ cv2.mean(sample.image)[:3])
        light = np.hstack([contrast * matrix, np.full((3, 1), (1 - contrast) * mean_grey)])
        return Sample(as_bytes(cv2.transform(sample.image, light)), sample.labels, sample.name)


def hue_turn(share: float) -> npt.NDArray[np.float64]:
    """The matrix (3, 3) that turns the hue of RGB by a share of the colour circle."""
    sine, cosine = np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return np.asarray(np.linalg.inv(YIQ) @ turn @ YIQ)


@dataclass(frozen=True)
class Blur:
    """Take the picture out of focus: a Gaussian whose width is drawn from ``WIDTHS``.

    Attributes:
        probability: How often.

    Source: the widths are those of Chen et al. 2020, SimCLR.
    """

    probability: float

    WIDTHS = 0.1, 2.0

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Blur, or not."""
        if generator.random() >= self.probability:
            return sample
        width = float(generator.uniform(*self.WIDTHS))
        return Sample(as_bytes(cv2.GaussianBlur(sample.image, (0, 0), width)), sample.labels, sample.name)


@dataclass(frozen=True)
class Cutout:
    """Paint over a rectangle; what was there is not counted.

    Attributes:
        probability: How often.
        fill: RGB in 0..1 of the rectangle.

    Source: Zhong et al. 2020, Random Erasing; DeVries and Taylor 2017, Cutout.
    """

    probability: float
    fill: Triple

    AREAS = 0.02, 0.2
    """Smallest and largest share of the picture."""
    LONGEST = 3.0
    """Largest height over width, or width over height."""

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Paint, or not."""
        if generator.random() >= self.probability:
            return sample
        height, width = sample.labels.shape
        area = generator.uniform(*self.AREAS) * height * width
        aspect = self.LONGEST ** generator.uniform(-1, 1)
        rows = _span(height, (area / aspect) ** 0.5, generator)
        columns = _span(width, (area * aspect) ** 0.5, generator)
        image, labels = sample.image.copy(), sample.labels.copy()
        image[rows, columns] = fill_color(self.fill)
        labels[rows, columns] = IGNORE
        return Sample(image, labels, sample.name)


def _span(length: int, wanted: float, generator: np.random.Generator) -> slice:
    part = min(length, max(1, round(wanted)))
    start = int(generator.integers(0, length - part + 1))
    return slice(start, start + part)


def fill_color(fill: Triple) -> npt.NDArray[np.uint8]:
    """RGB in 0..1 as uint8 (3,)."""
    return np.round(np.array(fill) * 255).astype(np.uint8)


def as_bytes(values: object) -> npt.NDArray[np.uint8]:
    """What OpenCV returned for uint8 values, as the type that it is."""
    return np.asarray(values, np.uint8)


@dataclass(frozen=True)
class Chain:
    """Augmentations one after the other.

    Attributes:
        steps: What to do, in order.
    """

    steps: tuple[Augmentation, ...]

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Apply all steps."""
        for step in self.steps:
            sample = step(sample, generator)
        return sample
