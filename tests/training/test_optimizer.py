"""Which parameters are trained, and how fast."""

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from segtune.config import TrainConfig
from segtune.training.optimizer import make_optimizer, rate_factor, set_rates
from segtune.training.plan import Facts, make_plan

PLAN = make_plan(TrainConfig(Path("d"), Path("r"), epochs=10, batch_size=1), Facts(2, 10, (9, 9), "cpu", 2))


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))


def test_extractor_has_its_own_rate():
    both = net()
    groups = make_optimizer(both, [[both[0]]], PLAN).param_groups
    assert [group["lr"] for group in groups] == [PLAN.learning_rate * PLAN.backbone_rate, PLAN.learning_rate]
    assert [len(group["params"]) for group in groups] == [2, 2]


def test_frozen_extractor_is_left_out():
    both = net()
    both[0].requires_grad_(False)
    (group,) = make_optimizer(both, [[both[0]]], PLAN).param_groups
    assert group["params"] == list(both[1].parameters())


@pytest.mark.parametrize("schedule", ["poly", "cosine", "one-cycle"])
@pytest.mark.parametrize("total_steps", [0, PLAN.total_steps])
def test_rate_warms_up_and_decays_to_nothing(schedule, total_steps):
    plan = replace(PLAN, schedule=schedule, total_steps=total_steps)
    factors = [rate_factor(step / PLAN.total_steps, plan) for step in range(PLAN.total_steps)]
    top = factors.index(max(factors))
    assert max(factors) == pytest.approx(1, abs=0.01)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert 0 < factors[0] < 0.1
    assert 0 < factors[-1] < 0.03
    assert rate_factor(1, plan) == pytest.approx(0)


@pytest.mark.parametrize("total_steps", [1, 2, 3])
def test_short_trainings_have_a_rate(total_steps):
    plan = replace(PLAN, total_steps=total_steps)
    assert all(0 < rate_factor(step / total_steps, plan) <= 1 for step in range(total_steps))


def test_constant_rate_is_constant():
    plan = replace(PLAN, schedule="constant")
    assert {rate_factor(step / 100, replace(plan, warmup=0)) for step in range(100)} == {1.0}
    assert rate_factor(0.1, replace(plan, warmup=0.5)) < rate_factor(0.6, replace(plan, warmup=0.5)) == 1


def test_rates_of_the_groups_follow_the_factor():
    both = net()
    optimizer = make_optimizer(both, [[both[0]]], PLAN)
    head = set_rates(optimizer, 0.6, PLAN)
    assert head == optimizer.param_groups[1]["lr"] == PLAN.learning_rate * rate_factor(0.6, PLAN)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(head * PLAN.backbone_rate)


def test_each_stage_learns_slower_than_the_one_above():
    three = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 5))
    plan = replace(PLAN, learning_rate=1.0, backbone_rate=0.5, layer_decay=0.1)
    rates = [group["lr"] for group in make_optimizer(three, [[three[0]], [three[1]]], plan).param_groups]
    assert rates == pytest.approx([0.05, 0.5, 1.0])
