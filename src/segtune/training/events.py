"""What happens in a training. Listeners are told and may watch; nothing that they do changes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segtune.evaluation.scores import Scores
from segtune.training.plan import TrainPlan


@dataclass(frozen=True)
class RunStarted:
    """The plan is made, the weights are loaded; ``notes`` are sentences about data and weights."""

    plan: TrainPlan
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StepDone:
    """A training step is done; ``step`` counts from 1 over all epochs."""

    epoch: int
    step: int
    loss: float
    num_pictures: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch is trained, validated and saved; ``metrics`` is its line in metrics.jsonl."""

    epoch: int
    metrics: dict[str, Any]
    is_best: bool


@dataclass(frozen=True)
class RunDone:
    """The training is at its end; ``scores`` are those of model.safetensors on the validation pictures."""

    scores: Scores
    best_epoch: int


Event = RunStarted | StepDone | EpochDone | RunDone
Listener = Callable[[Event], None]
