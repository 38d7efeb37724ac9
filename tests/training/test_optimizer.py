"""Which parameters are trained, and how fast."""

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from segtune.config import TrainConfig
from segtune.training.optimizer import make_optimizer, rate_factor
from segtune.training.plan import Facts, make_plan

PLAN = make_plan(TrainConfig(Path("d"), Path("r"), epochs=10, batch_size=1), Facts(2, 10, (9, 9), "cpu", 2))


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))


def test_extractor_has_its_own_rate():
    both = net()
    groups = make_optimizer(both, both[0], PLAN).param_groups
    assert [group["lr"] for group in groups] == [PLAN.learning_rate * PLAN.extractor_rate_factor, PLAN.learning_rate]
    assert [len(group["params"]) for group in groups] == [2, 2]


def test_frozen_extractor_is_left_out():
    both = net()
    both[0].requires_grad_(False)
    (group,) = make_optimizer(both, both[0], PLAN).param_groups
    assert group["params"] == list(both[1].parameters())


def test_rate_warms_up_and_decays_to_nothing():
    factors = [rate_factor(step, PLAN) for step in range(PLAN.total_steps)]
    top = factors.index(max(factors))
    assert max(factors) == pytest.approx(1)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert factors[-1] < 0.01


@pytest.mark.parametrize("total_steps", [1, 2, 3])
def test_short_trainings_have_a_rate(total_steps):
    plan = replace(PLAN, total_steps=total_steps)
    assert all(0 < rate_factor(step, plan) <= 1 for step in range(total_steps))


def test_constant_rate_is_constant():
    plan = replace(PLAN, schedule="constant")
    assert {rate_factor(step, plan) for step in range(100)} == {1.0}
