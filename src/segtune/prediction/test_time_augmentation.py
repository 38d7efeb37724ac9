"""Test-time augmentation: the mean of what a network says of a picture, of its mirror image, and of other sizes."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from segtune.config import TestTimeAugmentation

SCALES = {"none": (1.0,), "flip": (1.0,), "flip+scale": (0.75, 1.0, 1.25)}
"""Sizes that pictures are shown at, by the name of the augmentation."""


def augmented(
    net: Callable[[Tensor], Tensor], kind: TestTimeAugmentation, size_multiple: int
) -> Callable[[Tensor], Tensor]:
    """A network that answers with the mean of its softmax over the augmented pictures.

    Args:
        net: float32 (N, 3, H, W) -> logits (N, C, H, W).
        kind: 'none': ``net`` itself; 'flip': and mirrored; 'flip+scale': both, at three sizes.
        size_multiple: Heights and widths that the network takes are multiples of it.

    Returns:
        The same with the logarithm of the mean probabilities for logits: their softmax is the mean again.
    """
    if kind == "none":
        return net

    def logits_of(images: Tensor) -> Tensor:
        size = images.shape[2], images.shape[3]
        total = torch.zeros((), device=images.device)
        for scale in SCALES[kind]:
            height, width = (max(1, round(side * scale / size_multiple)) * size_multiple for side in size)
            scaled = images if scale == 1 else _resized(images, (height, width))
            for mirrored in (False, True):
                logits = net(scaled.flip(3)).flip(3) if mirrored else net(scaled)
                total = total + _resized(logits, size).softmax(dim=1)
        return (total / (2 * len(SCALES[kind]))).log()

    return logits_of


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    if values.shape[2:] == size:
        return values
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=False)
