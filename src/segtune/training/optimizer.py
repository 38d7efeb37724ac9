"""The optimizer and its rate."""

import math

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from segtune.training.plan import TrainPlan


def make_optimizer(net: nn.Module, extractor: nn.Module, plan: TrainPlan) -> Optimizer:
    """The optimizer over all parameters that are to be trained; the feature extractor's with their own rate."""
    extractor_ids = {id(parameter) for parameter in extractor.parameters()}
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [parameter for parameter in trained if id(parameter) in extractor_ids],
            "lr": plan.learning_rate * plan.extractor_rate_factor,
        },
        {
            "params": [parameter for parameter in trained if id(parameter) not in extractor_ids],
            "lr": plan.learning_rate,
        },
    ]
    groups = [group for group in groups if group["params"]]
    if plan.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=plan.momentum, weight_decay=plan.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=plan.weight_decay)


def make_schedule(optimizer: Optimizer, plan: TrainPlan) -> LambdaLR:
    """The factor on the rates at each step."""
    return LambdaLR(optimizer, lambda step: rate_factor(step, plan))


def rate_factor(step: int, plan: TrainPlan) -> float:
    """The share of the highest rate at ``step``, counted from 0: 1 throughout, or a warm-up and a half cosine."""
    if plan.schedule == "constant":
        return 1.0
    warmup_steps = max(1, round(plan.warmup * plan.total_steps))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, plan.total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
