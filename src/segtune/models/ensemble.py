"""Several networks as one: the mean of their softmax."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Answers with the mean of what several networks say.

    Args:
        nets: float32 (N, 3, H, W) -> logits (N, C, H, W) each.
    """

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, images: Tensor) -> Tensor:
        """The logarithm of the mean probabilities, (N, C, H, W): its softmax is that mean again."""
        total = torch.zeros((), device=images.device)
        for net in self.nets:
            total = total + net(images).float().softmax(dim=1)
        # No probability is zero, but it may be too small for a float32.
        return (total / len(self.nets)).clamp(min=torch.finfo(torch.float32).tiny).log()
