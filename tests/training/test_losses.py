"""The losses count labelled pixels alone, and add up over parts."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss, LovaszLoss
from torch.nn import functional

from segtune.classes import IGNORE
from segtune.config import LOSSES, LossName, TrainConfig
from segtune.training.losses import OHEM_LOSS, dice_loss, make_loss
from segtune.training.plan import Facts, make_plan

CPU = torch.device("cpu")
PLAN = make_plan(
    TrainConfig(Path("d"), Path("r"), class_weights="none", loss="cross-entropy"), Facts(3, 9, (9, 9, 9), "cpu", 2)
)


def data(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of four pictures; the upper third is ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 3, 6, 5, generator=generator)
    labels = torch.randint(0, 3, (4, 6, 5), generator=generator)
    labels[:, :2] = IGNORE
    return logits, labels


def value(logits, labels, **options) -> torch.Tensor:
    loss = make_loss(replace(PLAN, **options), CPU)
    return loss(logits, labels, loss.total_weight(labels))


@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 0.5)])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs_over_labelled_pixels(weights, label_smoothing):
    logits, labels = data()
    expected = functional.cross_entropy(
        logits[:, :, 2:], labels[:, 2:], torch.tensor(weights) if weights else None, label_smoothing=label_smoothing
    )
    found = value(logits, labels, class_weights=weights, label_smoothing=label_smoothing)
    assert torch.allclose(found, expected)


@pytest.mark.parametrize(("name", "regions"), [("dice", DiceLoss), ("lovasz", LovaszLoss)])
def test_losses_over_regions_are_added_to_cross_entropy(name, regions):
    logits, labels = data()
    expected = functional.cross_entropy(logits, labels, ignore_index=IGNORE)
    expected = expected + regions("multiclass", ignore_index=IGNORE)(logits, labels)
    assert torch.allclose(value(logits, labels, loss=name), expected)


@pytest.mark.parametrize("absent", [(), (2,), (0, 2)])
def test_dice_and_its_gradient_are_those_of_the_library(absent):
    logits, labels = data()
    for label in absent:
        labels[labels == label] = 1
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    found, expected = dice_loss(ours, labels), DiceLoss("multiclass", ignore_index=IGNORE)(theirs, labels)
    assert torch.allclose(found, expected)
    found.backward()
    expected.backward()
    assert theirs.grad.any()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-8)


def test_focal_loss_is_that_of_the_paper():
    logits, labels = data()
    certainty = torch.softmax(logits, 1).gather(1, labels.clamp(max=2)[:, None])[:, 0]
    expected = -((1 - certainty) ** 2 * certainty.log())[labels != IGNORE].mean()
    assert torch.allclose(value(logits, labels, loss="focal"), expected)


def test_ohem_counts_the_pixels_that_are_hard():
    logits, labels = data()
    losses = functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    hard = losses[(losses > OHEM_LOSS) & (labels != IGNORE)]
    assert torch.allclose(value(logits, labels, loss="ohem"), hard.mean())


def test_ohem_keeps_the_hardest_where_all_are_easy():
    labels = data()[1]
    logits = 9.0 * functional.one_hot(labels.clamp(max=2), 3).permute(0, 3, 1, 2).float()
    logits[0, :, 5, 0] *= 0.5
    assert 0 < value(logits, labels, loss="ohem") < OHEM_LOSS


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 0.5)])
def test_parts_add_up(name, weights):
    logits, labels = data()
    labels[0] = IGNORE
    loss = make_loss(replace(PLAN, loss=name, class_weights=weights), CPU)
    total = loss.total_weight(labels)
    assert total == sum(loss.total_weight(part) for part in labels)
    shares = [loss(part[None], label[None], total) for part, label in zip(logits, labels, strict=True)]
    assert shares[0] == 0
    if name in {"cross-entropy", "focal"}:
        assert torch.allclose(sum(shares), loss(logits, labels, total))
    else:
        # The mean of the parts' own losses, by what they weigh.
        weights = [loss.total_weight(part) for part in labels]
        own = [
            loss(part[None], label[None], weight) for part, label, weight in zip(logits, labels, weights, strict=True)
        ]
        weighted = sum(weight * each for weight, each in zip(weights, own, strict=True)) / total
        assert torch.allclose(sum(shares), weighted)


NOTHING_LABELLED = [(name, IGNORE, weights) for name in LOSSES for weights in [(), (1.0, 1.0)]]
WEIGHS_NOTHING = [(name, 0, (0.0, 1.0)) for name in LOSSES]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("name", "label", "weights"), NOTHING_LABELLED + WEIGHS_NOTHING)
def test_batch_without_counted_pixels_costs_nothing(name, label, weights, label_smoothing):
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    labels = torch.full((1, 3, 3), label)
    loss = value(logits, labels, loss=name, class_weights=weights, label_smoothing=label_smoothing)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_pixels_of_a_class_of_weight_zero_are_as_if_not_labelled(name):
    logits, labels = data()
    options = {"loss": name, "class_weights": (0.0, 1.0, 2.0), "label_smoothing": 0.1}
    assert torch.equal(value(logits, labels, **options), value(logits, labels.where(labels > 0, IGNORE), **options))


@pytest.mark.parametrize("adjustment", [0.0, 0.5, 1.0])
def test_logits_learn_what_the_adjustment_leaves_of_the_weights(adjustment):
    """Where the loss is lowest, a class is as likely as it is frequent, times its weight to the power of the rest."""
    frequencies, weights = torch.tensor([0.5, 0.3, 0.2]), (0.5, 1.0, 2.0)
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 2).view(1, 2, 5)
    lowest = (frequencies * torch.tensor(weights) ** (1 - adjustment)).log()
    logits = lowest.view(1, 3, 1, 1).repeat(1, 1, 2, 5).requires_grad_()
    value(logits, labels, class_weights=weights, logit_adjustment=adjustment).backward()
    assert torch.allclose(logits.grad.sum((0, 2, 3)), torch.zeros(3), atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_of_zero_has_no_infinite_adjustment(name):
    logits, labels = data()
    assert value(logits, labels, loss=name, class_weights=(0.0, 1.0, 2.0), logit_adjustment=0.5).isfinite()


def test_the_logit_of_a_class_of_weight_0_is_not_adjusted():
    """Else it would have to make up for that, and the class would be predicted where it is not."""
    logits = torch.zeros((1, 3, 1, 1), requires_grad=True)
    (gradient,) = torch.autograd.grad(
        value(logits, torch.ones((1, 1, 1), dtype=torch.int64), class_weights=(0.0, 1.0, 1.0), logit_adjustment=1.0),
        logits,
    )
    assert torch.allclose(gradient.flatten(), torch.tensor([1 / 3, -2 / 3, 1 / 3]))


def test_each_loss_is_called_something():
    assert set(LOSSES) == set(get_args(LossName))
