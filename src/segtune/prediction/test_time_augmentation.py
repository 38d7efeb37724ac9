"""Test-time augmentation: the mean of what a network says of a picture, of its mirror image, and of other sizes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from segtune.arrays import Arrays, Floats, NumpyArrays, Values
from segtune.config import TestTimeAugmentation

SCALES = {"none": (1.0,), "flip": (1.0,), "flip+scale": (0.75, 1.0, 1.25)}
"""Sizes that pictures are shown at, by the name of the augmentation."""

TINY = float(np.finfo(np.float32).tiny)
"""Added to probabilities, so that they have a logarithm."""


def augmented(
    net: Callable[[Any], Values], kind: TestTimeAugmentation, size_multiple: int, arrays: Arrays
) -> Callable[[Any], Values]:
    """A network that answers with the mean of its softmax over the augmented pictures.

    Args:
        net: float32 (N, 3, H, W) -> logits (N, C, H, W).
        kind: 'none': ``net`` itself; 'flip': and mirrored; 'flip+scale': both, at three sizes.
        size_multiple: Heights and widths that the network takes are multiples of it.
        arrays: What the logits are.

    Returns:
        The same with the logarithm of the mean probabilities for logits: their softmax is the mean again.
    """
    if kind == "none":
        return net
    pictures = NumpyArrays()

    def logits_of(images: Floats) -> Values:
        size = images.shape[2], images.shape[3]
        total: Values = 0
        for scale in SCALES[kind]:
            height, width = (max(1, round(side * scale / size_multiple)) * size_multiple for side in size)
            scaled = images if scale == 1 else pictures.resized(images, height, width)
            for mirrored in (False, True):
                logits = arrays.mirrored(net(pictures.mirrored(scaled))) if mirrored else net(scaled)
                total = total + arrays.softmax(arrays.resized(logits, *size))
        # No probability is zero, but it may be too small for a float32.
        return arrays.log(total / (2 * len(SCALES[kind])) + TINY)

    return logits_of
