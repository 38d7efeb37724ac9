"""Batch norm that can train on a single value.

DeepLabV3 pools the picture to one pixel and normalises that over the batch. With a batch of one there is nothing to
compute a variance from, and torch's batch norm raises. Here such a value is normalised with the running statistics.
"""

from torch import Tensor, nn
from torch.nn import functional


class SingleValueBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` with the same state dict, that falls back on its running statistics for (1, C, 1, 1)."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise float (N, C, H, W)."""
        if self.training and features.shape[0] * features.shape[2] * features.shape[3] == 1:
            return functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(features)


def accept_single_values(net: nn.Module, keep: nn.Module) -> None:
    """Replace the plain batch norms of a new net in place, but for those inside ``keep``."""
    kept = set(keep.modules())
    for parent in list(net.modules()):
        if parent in kept:
            continue
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                norm = SingleValueBatchNorm2d(child.num_features, child.eps, child.momentum or 0.0)
                norm.momentum = child.momentum
                norm.load_state_dict(child.state_dict())
                setattr(parent, name, norm)
