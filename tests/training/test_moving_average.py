"""The moving average of the weights."""

import pytest
import torch
from torch import nn

from segtune.training.moving_average import MovingAverage


def test_average_follows_weights_and_statistics():
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.zeros_(net[0].weight)
    average = MovingAverage(net, past=0.5)
    nn.init.ones_(net[0].weight)
    net[1].running_mean.fill_(4)
    net[1].num_batches_tracked.fill_(7)
    average.update(net, step=100)
    assert average.net[0].weight.item() == pytest.approx(0.5)
    assert average.net[1].running_mean.item() == pytest.approx(2)
    assert average.net[1].num_batches_tracked.item() == 7
    assert net[0].weight.item() == 1


def test_random_start_is_soon_forgotten():
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    average = MovingAverage(net, past=0.9999)
    nn.init.ones_(net.weight)
    for step in range(1, 101):
        average.update(net, step)
    assert average.net.weight.item() > 0.99
    assert not any(weight.requires_grad for weight in average.net.parameters())
    assert torch.is_grad_enabled()
