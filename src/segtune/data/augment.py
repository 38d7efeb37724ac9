"""Augmentation: (Sample, random generator) -> Sample. Geometry moves picture and labels together."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from segtune.classes import IGNORE
from segtune.data.sample import Sample
from segtune.preprocessing import Triple

Augmentation = Callable[[Sample, np.random.Generator], Sample]

GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""Luma of RGB (ITU-R BT.601)."""


@dataclass(frozen=True)
class ScaledCrop:
    """A crop of the picture, seen larger or smaller; a picture smaller than the crop is surrounded by ignored padding.

    Attributes:
        size: Height and width of the result in pixels.
        min_scale: Smallest factor by which a picture is scaled.
        max_scale: Largest one; all in between are equally likely.
        fill: RGB in 0..1 of the padding: the mean that normalisation subtracts.
    """

    size: int
    min_scale: float
    max_scale: float
    fill: Triple

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Scale and crop, at a random place."""
        scale = float(generator.uniform(self.min_scale, self.max_scale))
        height, width = sample.labels.shape
        # Only the window that becomes the crop is resized, never the whole picture.
        window = max(1, round(self.size / scale))
        top, crop_height = _span(height, window, generator)
        left, crop_width = _span(width, window, generator)
        image = sample.image[top : top + crop_height, left : left + crop_width]
        labels = sample.labels[top : top + crop_height, left : left + crop_width]
        new_height = min(self.size, max(1, round(crop_height * scale)))
        new_width = min(self.size, max(1, round(crop_width * scale)))
        if (new_height, new_width) != labels.shape:
            shrink = new_height * new_width < crop_height * crop_width
            size = (new_width, new_height)
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR))
            labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT))
        return padded(
            Sample(image.astype(np.uint8), labels.astype(np.uint8), sample.name), self.size, self.fill, generator
        )


def _span(length: int, window: int, generator: np.random.Generator) -> tuple[int, int]:
    """Start and length of a window inside ``length`` pixels; all of them where they are fewer."""
    if length <= window:
        return 0, length
    return int(generator.integers(0, length - window + 1)), window


def padded(sample: Sample, size: int, fill: Triple, generator: np.random.Generator | None = None) -> Sample:
    """The sample inside a square of ``size`` pixels, at a random place or, without a generator, in the middle."""
    height, width = sample.labels.shape
    if (height, width) == (size, size):
        return sample
    free_height, free_width = size - height, size - width
    if generator is None:
        top, left = free_height // 2, free_width // 2
    else:
        top, left = int(generator.integers(0, free_height + 1)), int(generator.integers(0, free_width + 1))
    image = np.empty((size, size, 3), np.uint8)
    image[:] = np.round(np.array(fill) * 255).astype(np.uint8)
    labels = np.full((size, size), IGNORE, np.uint8)
    image[top : top + height, left : left + width] = sample.image
    labels[top : top + height, left : left + width] = sample.labels
    return Sample(image, labels, sample.name)


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

    Attributes:
        brightness: Amount for the factor on all values.
        contrast: Amount for the factor on the distance from the picture's mean grey.
        saturation: Amount for the factor on the distance from each pixel's grey.
    """

    brightness: float
    contrast: float
    saturation: float

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Change brightness, contrast and saturation."""
        brightness, contrast, saturation = (
            float(generator.uniform(1 - amount, 1 + amount))
            for amount in (self.brightness, self.contrast, self.saturation)
        )
        image = sample.image.astype(np.float32) * brightness
        grey = image @ GREY_WEIGHTS
        image = grey[:, :, None] * (1 - saturation) + image * saturation
        image = grey.mean() * (1 - contrast) + image * contrast
        return Sample(np.clip(image, 0, 255).astype(np.uint8), sample.labels, sample.name)


@dataclass(frozen=True)
class CenterCrop:
    """The middle of the picture; the original's validation.

    Attributes:
        size: Height and width in pixels.
        fill: RGB in 0..1 of the padding of smaller pictures.
    """

    size: int
    fill: Triple

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Crop; nothing is random."""
        del generator
        height, width = sample.labels.shape
        # torchvision's rounding of the middle, so that the same pixels are scored.
        top, left = (max(0, round((length - self.size) / 2.0)) for length in (height, width))
        area = slice(top, top + self.size), slice(left, left + self.size)
        return padded(Sample(sample.image[area], sample.labels[area], sample.name), self.size, self.fill)


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
