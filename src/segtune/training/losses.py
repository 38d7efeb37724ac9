"""The loss: cross entropy over the pixels that carry a label."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from segtune.classes import IGNORE

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (N, C, H, W) and labels int64 (N, H, W) -> a scalar."""


def cross_entropy(class_weights: Sequence[float], device: torch.device) -> Loss:
    """Mean cross entropy over all pixels whose label is not ``IGNORE``; 0 where there is none.

    Args:
        class_weights: One weight a class; empty: all equal. The mean is weighted, as ``nn.CrossEntropyLoss`` does it.
        device: Where the logits are.
    """
    weight = torch.tensor(class_weights, device=device) if class_weights else None

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        value = functional.cross_entropy(logits, labels, weight, ignore_index=IGNORE)
        # Without a single counted pixel the mean is 0 / 0.
        counted = labels != IGNORE
        if weight is not None:
            counted &= weight[labels.clamp(max=len(weight) - 1)] > 0
        return value if counted.any() else logits.sum() * 0

    return loss
