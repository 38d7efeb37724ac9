"""What happens in a training. Listeners are told and may watch; nothing that they do changes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segtune.evaluation.scores import Scores
from segtune.training.plan import TrainPlan


@dataclass(frozen=True)
class RunStarted:
    """The plan is made, the weights are loaded, or the state of a run to go on with.

    Attributes:
        plan: The plan.
        notes: Sentences about data and weights.
        class_names: Names of the classes, in the order of their ids.
        step: Steps that an earlier process has done.
    """

    plan: TrainPlan
    notes: tuple[str, ...]
    class_names: tuple[str, ...]
    step: int = 0


@dataclass(frozen=True)
class StepDone:
    """A training step is done.

    Attributes:
        epoch: The epoch, counted from 1.
        step: The step, counted from 1 over all epochs.
        loss: The loss before it.
        num_pictures: Pictures of its batch.
        learning_rate: The head's rate.
        done: Share of the training that is done, 0 to 1.
    """

    epoch: int
    step: int
    loss: float
    num_pictures: int
    learning_rate: float
    done: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch is trained, and validated where the plan says so.

    Attributes:
        epoch: The epoch, counted from 1.
        step: Steps done.
        metrics: Its line in metrics.jsonl.
        is_best: Whether model.safetensors is from it.
    """

    epoch: int
    step: int
    metrics: dict[str, Any]
    is_best: bool


@dataclass(frozen=True)
class Notice:
    """Something that a person should know; ``text`` says it."""

    text: str


@dataclass(frozen=True)
class RunDone:
    """The training is at its end; ``scores`` are those of model.safetensors on the validation pictures."""

    scores: Scores
    best_epoch: int


Event = RunStarted | StepDone | EpochDone | Notice | RunDone
Listener = Callable[[Event], None]
