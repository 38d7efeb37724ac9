"""The loss counts labelled pixels alone."""

import pytest
import torch
from torch.nn import functional

from segtune.classes import IGNORE
from segtune.training.losses import cross_entropy

CPU = torch.device("cpu")


@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 0.5)])
def test_loss_is_torchs_over_labelled_pixels(weights):
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    labels[:, :2] = IGNORE
    expected = functional.cross_entropy(logits[:, :, 2:], labels[:, 2:], torch.tensor(weights) if weights else None)
    assert torch.allclose(cross_entropy(weights, CPU)(logits, labels), expected)


@pytest.mark.parametrize(("label", "weights"), [(IGNORE, ()), (IGNORE, (1.0, 1.0)), (0, (0.0, 1.0))])
def test_batch_without_counted_pixels_costs_nothing(label, weights):
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = cross_entropy(weights, CPU)(logits, torch.full((1, 3, 3), label))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()
