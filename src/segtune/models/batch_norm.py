"""Batch norms beyond torch's: one that can train on a single value, one that takes its statistics over all processes.

DeepLabV3 pools the picture to one pixel and normalises that over the batch. With a batch of one there is nothing to
compute a variance from, and torch's batch norm raises. Here such a value is normalised with the running statistics.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


class SingleValueBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` with the same state dict, that falls back on its running statistics for (1, C, 1, 1)."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise float (N, C, H, W)."""
        if self.training and features.shape[0] * features.shape[2] * features.shape[3] == 1:
            return functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(features)


class ProcessesBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose batch is that of all processes.

    Torch's own, ``nn.SyncBatchNorm``, refuses CPUs, fails under autocast where a process has no picture, and makes its
    running variance infinite where there is one value in all.

    Attributes:
        counts: Whether the features of this process are part of the batch; if not, they are normalised like it.
    """

    counts = True

    def forward(self, features: Tensor) -> Tensor:
        """Normalise float (N, C, H, W); each process may have another N, also 0. Statistics are taken in float32."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(features)
        counted = features.float() if self.counts else features[:0].float()
        own_count = counted.new_tensor([counted.numel() // self.num_features])
        sums = _OverProcesses.apply(torch.cat([counted.sum((0, 2, 3)), own_count]))
        count = sums[-1]
        mean = (sums[:-1] / count).view(1, -1, 1, 1)
        # Around the mean: the difference of two large sums of squares would lose the digits.
        variance = (_OverProcesses.apply(((counted - mean) ** 2).sum((0, 2, 3))) / count).view(1, -1, 1, 1)
        if count > 1:
            self._follow(mean.detach().flatten(), (variance.detach().flatten() * count / (count - 1)))
        else:
            mean, variance = self.running_mean.view(1, -1, 1, 1), self.running_var.view(1, -1, 1, 1)
        normalised: Tensor = (features.float() - mean) * torch.rsqrt(variance + self.eps)
        normalised = normalised * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return normalised.to(features.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked or 1) if self.momentum is None else self.momentum
        for running, value in ((self.running_mean, mean), (self.running_var, variance)):
            assert running is not None
            running.lerp_(value.to(running.dtype), share)


class ProcessesBatchNormAct2d(ProcessesBatchNorm2d):
    """The same for timm's batch norm, which drops and activates, too."""

    drop: nn.Module
    act: nn.Module

    def forward(self, features: Tensor) -> Tensor:
        """Normalise float (N, C, H, W), and activate."""
        activated: Tensor = self.act(self.drop(super().forward(features)))
        return activated


def accept_single_values(net: nn.Module) -> None:
    """Replace the plain batch norms of a new net in place: decoders pool to one value, and attention in encoders."""
    _replace(net, {nn.BatchNorm2d: SingleValueBatchNorm2d}, set())


def synchronise(net: nn.Module, frozen: list[nn.Module]) -> None:
    """Let the batch norms take their statistics over all processes, but for those inside ``frozen``; in place."""
    if not distributed.is_initialized():
        return
    kept = {module for root in frozen for module in root.modules()}
    plain, active = ProcessesBatchNorm2d, ProcessesBatchNormAct2d
    _replace(net, {nn.BatchNorm2d: plain, SingleValueBatchNorm2d: plain, BatchNormAct2d: active}, kept)


@contextmanager
def looking_on(net: nn.Module) -> Iterator[None]:
    """Let what goes through a net that is trained leave its batch norms as they are.

    Those over all processes take part, as the others wait for them, and count nothing.
    """
    training = [norm for norm in net.modules() if isinstance(norm, _BatchNorm) and norm.training]
    try:
        for norm in training:
            if isinstance(norm, ProcessesBatchNorm2d):
                norm.counts = False
            else:
                norm.eval()
        yield
    finally:
        for norm in training:
            norm.train()
            if isinstance(norm, ProcessesBatchNorm2d):
                norm.counts = True


class _OverProcesses(torch.autograd.Function):
    """The sum over all processes. Each has used it, so the gradient is the sum of what comes back from all of them."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return _sum_over_processes(values)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _sum_over_processes(gradient)


def _sum_over_processes(values: Tensor) -> Tensor:
    values = values.contiguous().clone()
    distributed.all_reduce(values)
    return values


def _replace(net: nn.Module, kinds: Mapping[type[nn.Module], type[nn.Module]], kept: set[nn.Module]) -> None:
    """Replace batch norms by others that have the same weights and statistics."""
    for parent in list(net.modules()):
        if parent in kept:
            continue
        for name, child in parent.named_children():
            if type(child) not in kinds or child in kept:
                continue
            norm = kinds[type(child)](
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            norm.load_state_dict(child.state_dict())
            norm.to(next(child.parameters()).device)
            for parameter, replaced in zip(norm.parameters(), child.parameters(), strict=True):
                parameter.requires_grad_(replaced.requires_grad)
            if isinstance(child, BatchNormAct2d):
                norm.drop, norm.act = child.drop, child.act
            setattr(parent, name, norm)
