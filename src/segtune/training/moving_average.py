"""A moving average of the weights: often better than the weights themselves, and steadier."""

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """An exponential moving average of a net's weights and batch statistics (Polyak averaging).

    Args:
        net: The net that is trained.
        past: Share of the past in each update, 0 to 1. The first updates take less of it, so that the random start is
            soon forgotten.
    """

    def __init__(self, net: nn.Module, past: float) -> None:
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self.past = past

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Take in the weights after ``step``, counted from 1."""
        past = min(self.past, step / (step + 10))
        averages, values = ([*_tensors(module)] for module in (self.net, net))
        floats = [index for index, tensor in enumerate(values) if tensor.is_floating_point()]
        torch._foreach_lerp_([averages[i] for i in floats], [values[i].detach() for i in floats], 1 - past)
        for index in set(range(len(values))) - set(floats):
            averages[index].copy_(values[index])


def _tensors(net: nn.Module) -> list[Tensor]:
    return [*net.parameters(), *net.buffers()]
