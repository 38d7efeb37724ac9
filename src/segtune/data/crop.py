"""Crops: the part of a picture that the network sees. What lies outside of the picture is ignored."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from segtune.arrays import Array
from segtune.classes import IGNORE
from segtune.data.augment import as_bytes, fill_color
from segtune.data.rotation import Window, rotated
from segtune.data.sample import Sample
from segtune.preprocessing import Triple


@dataclass(frozen=True)
class ScaledCrop:
    """A crop of the picture, seen larger or smaller; a picture smaller than the crop is surrounded by ignored padding.

    A place where nothing is labelled teaches nothing, so the crop is put on a labelled pixel then.

    Attributes:
        size: Height and width of the result in pixels.
        min_scale: Smallest factor by which a picture is scaled.
        max_scale: Largest one; all in between are equally likely.
        fill: RGB in 0..1 of the padding: the mean that normalisation subtracts.
        aspect_jitter: Width over height is changed by a factor of 1 / (1 + this) .. 1 + this, evenly in its logarithm.
        rotation: Largest angle in degrees, either way.
        rare_crop: Probability that the crop is placed on a pixel of a class that is drawn among those of the picture.
        class_weights: How likely each class is then, relative to the others; empty: all alike.
        needs_labels: Whether a place where nothing is labelled is exchanged for one where something is.
        enlarge: Scales are of the picture enlarged by this factor.
    """

    size: int
    min_scale: float
    max_scale: float
    fill: Triple
    aspect_jitter: float = 0.0
    rotation: float = 0.0
    rare_crop: float = 0.0
    class_weights: tuple[float, ...] = ()
    needs_labels: bool = True
    enlarge: int = 1

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """Scale, turn and crop, at a random place."""
        scale = self.enlarge * float(generator.uniform(self.min_scale, self.max_scale))
        stretch = (1 + self.aspect_jitter) ** float(generator.uniform(-0.5, 0.5)) if self.aspect_jitter else 1.0
        scales = scale / stretch, scale * stretch
        angle = math.radians(generator.uniform(-self.rotation, self.rotation)) if self.rotation else 0.0
        goal = None
        if self.rare_crop and generator.random() < self.rare_crop:
            goal = pixel_of_class(sample.labels, self.class_weights, generator)
        # Only the window that becomes the crop is resized, never the whole picture.
        # It is rather too large, and squeezed by less than one of its pixels, than too small: that would take padding.
        lengths = [math.ceil(self.size / factor) for factor in scales]
        if angle:
            # What is at least this far from the window's edges stays inside as it turns.
            inside = min(lengths) / (abs(math.sin(angle)) + abs(math.cos(angle)))
            margins = [round((length - inside) / 2) for length in lengths]
        else:
            margins = [0, 0]

        def cut(goal: tuple[int, int] | None) -> Sample:
            spans = [
                _span(sample.labels.shape[axis], lengths[axis], generator, goal and goal[axis], margins[axis])
                for axis in (0, 1)
            ]
            if angle:
                center = [start + length / 2 for start, length in spans]
                return rotated(sample, Window(center[0], center[1], *scales, angle, self.size), self.fill)
            return self._scaled(sample, spans, scales, generator)

        crop = cut(goal)
        if self.needs_labels and (crop.labels == IGNORE).all():
            crop = cut(_random_pixel(sample.labels != IGNORE, generator))
        return crop

    def _scaled(
        self, sample: Sample, spans: list[tuple[int, int]], scales: tuple[float, float], generator: np.random.Generator
    ) -> Sample:
        (top, height), (left, width) = spans
        image = sample.image[top : top + height, left : left + width]
        labels = sample.labels[top : top + height, left : left + width]
        new_height = min(self.size, max(1, round(height * scales[0])))
        new_width = min(self.size, max(1, round(width * scales[1])))
        if (new_height, new_width) != labels.shape:
            shrink = new_height * new_width < height * width
            size = (new_width, new_height)
            image = as_bytes(cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR))
            labels = as_bytes(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT))
        return padded(Sample(image, labels, sample.name), self.size, self.fill, generator)


def _span(length: int, window: int, generator: np.random.Generator, goal: int | None, margin: int) -> tuple[int, int]:
    """Start and length of a window inside ``length`` pixels; all of them where they are fewer.

    With a goal the window holds that pixel, at least ``margin`` from its ends where the picture goes on that far.
    """
    if length <= window:
        return 0, length
    last = length - window
    if goal is None:
        return int(generator.integers(0, last + 1)), window
    low = min(last, max(0, goal - window + 1 + margin))
    return int(generator.integers(low, max(low, min(last, goal - margin)) + 1)), window


def pixel_of_class(labels: Array, weights: tuple[float, ...], generator: np.random.Generator) -> tuple[int, int] | None:
    """Row and column of a random pixel of a class that is drawn among those that the picture has.

    Args:
        labels: uint8 (H, W), class ids or ``IGNORE``.
        weights: How likely each class is, relative to the others; empty: all alike.
        generator: Draws.

    Returns:
        None where no class can be drawn: nothing is labelled, or its weight is 0.
    """
    counts = cv2.calcHist([np.ascontiguousarray(labels)], [0], None, [256], [0, 256]).ravel()
    chances = (counts[:IGNORE] > 0).astype(float)
    if weights:
        chances[: len(weights)] *= weights
        chances[len(weights) :] = 0
    if not chances.any():
        return None
    return _random_pixel(labels == generator.choice(IGNORE, p=chances / chances.sum()), generator)


def _random_pixel(mask: Array, generator: np.random.Generator) -> tuple[int, int] | None:
    """Row and column of a random pixel of a mask (H, W), found row by row in little memory; None of an empty one."""
    in_row = np.count_nonzero(mask, axis=1)
    if not in_row.any():
        return None
    row = int(generator.choice(len(in_row), p=in_row / in_row.sum()))
    return row, int(generator.choice(np.flatnonzero(mask[row])))


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
    image[:] = fill_color(fill)
    labels = np.full((size, size), IGNORE, np.uint8)
    image[top : top + height, left : left + width] = sample.image
    labels[top : top + height, left : left + width] = sample.labels
    return Sample(image, labels, sample.name)


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
