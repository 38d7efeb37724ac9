"""The optimizer and its rate."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from segtune.training.plan import TrainPlan

POLY_POWER = 0.9
"""Of the poly schedule, as in DeepLab (Chen et al. 2017)."""


def make_optimizer(net: nn.Module, stages: Sequence[Sequence[nn.Module]], plan: TrainPlan) -> Optimizer:
    """The optimizer over all parameters that are to be trained, the head's in the last group.

    Args:
        net: The network.
        stages: The modules of each stage of its feature extractor, from the picture to the head; every stage is a
            group with a rate of its own.
        plan: Rates and the rest.
    """
    groups: list[dict[str, Any]] = []
    of_stages: set[int] = set()
    for index, modules in enumerate(stages):
        parameters = [parameter for module in modules for parameter in module.parameters()]
        of_stages |= {id(parameter) for parameter in parameters}
        below_top = len(stages) - 1 - index
        rate = plan.learning_rate * plan.backbone_rate * plan.layer_decay**below_top
        groups.append({"params": [parameter for parameter in parameters if parameter.requires_grad], "lr": rate})
    head = [parameter for parameter in net.parameters() if parameter.requires_grad and id(parameter) not in of_stages]
    groups.append({"params": head, "lr": plan.learning_rate})
    groups = [{**group, "highest_rate": group["lr"]} for group in groups if group["params"]]
    if plan.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=plan.momentum, weight_decay=plan.weight_decay)
    # On CPUs one pass over the weights takes a third of the time of one for each of its terms.
    return torch.optim.AdamW(groups, weight_decay=plan.weight_decay, fused=plan.device == "cpu" or None)


def set_rates(optimizer: Optimizer, done: float, plan: TrainPlan) -> float:
    """Set the rate of each group for the step that begins at ``done``, 0 to 1; returns the head's."""
    factor = rate_factor(done, plan)
    for group in optimizer.param_groups:
        group["lr"] = group["highest_rate"] * factor
    return float(optimizer.param_groups[-1]["lr"])


def rate_factor(done: float, plan: TrainPlan) -> float:
    """The share of the highest rate at ``done``, 0 to 1, of the training.

    A linear warm-up (of 'one-cycle': half a cosine, as in fastai; after Smith and Topin 2018, without its momentum),
    then: 'constant' stays, 'poly' falls with a power of what is left, 'cosine' and 'one-cycle' with half a cosine to
    nothing.
    """
    # Without a step's worth of rate at the start the first step would be lost.
    first_step = 1 / plan.total_steps if plan.total_steps else 0.001
    warmup = max(plan.warmup, first_step) if plan.schedule != "constant" or plan.warmup else 0.0
    if done < warmup:
        share = min(1.0, (done + first_step) / warmup)
        return 0.5 * (1 - math.cos(math.pi * share)) if plan.schedule == "one-cycle" else share
    left = 1 - min(1.0, (done - warmup) / max(1 - warmup, 1e-12))
    if plan.schedule == "constant":
        return 1.0
    return left**POLY_POWER if plan.schedule == "poly" else 0.5 * (1 - math.cos(math.pi * left))
