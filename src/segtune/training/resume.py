"""The state of a training <-> one file, RUN/resume.safetensors: tensors, and a header of plain values. Never pickle."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from segtune.errors import UserError
from segtune.model_file import write_tensors
from segtune.training.moving_average import MovingAverage
from segtune.training.plan import TrainPlan
from segtune.training.validation import UNSCORED, Validated

HEADER = "segtune-resume"
FORMAT_VERSION = 6


@dataclass
class Progress:
    """Where a training stands. All randomness is a function of the plan's seed and of this, so it needs no state.

    Attributes:
        epoch: The epoch that is going on, counted from 1.
        batch: How many of its batches are done.
        step: Steps done in all.
        seconds: Time spent in all.
        validation_seconds: Time that the last validation took.
        validating_seconds: Time that all of them took.
        loss_sum: Sum of the losses of the epoch's steps.
        num_pictures: Pictures trained on in the epoch.
        epoch_seconds: Time that this took.
        learning_rate: The head's rate in the last step.
        best_epoch: The epoch of model.safetensors; 0: none yet.
        best_selection_iou: What it was chosen by (``Validated.selection_iou``).
        without_better: Validations since one that was better than all before, or had no score.
        stopped_early: Whether the training ended by patience.
        time_is_up: Whether it ended by its time budget.
        epochs: The plan's, when this was written.
        time_budget: The plan's, too.
        metrics: The lines of metrics.jsonl.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    validating_seconds: float = 0.0
    loss_sum: float = 0.0
    num_pictures: int = 0
    epoch_seconds: float = 0.0
    learning_rate: float = 0.0
    best_epoch: int = 0
    best_selection_iou: float = UNSCORED
    without_better: int = 0
    stopped_early: bool = False
    time_is_up: bool = False
    epochs: int = 0
    time_budget: float = 0.0
    metrics: list[dict[str, Any]] = field(default_factory=list)

    def has_ended(self, plan: TrainPlan) -> bool:
        """Whether there is nothing left to do."""
        return self.stopped_early or self.time_is_up or (plan.epochs > 0 and self.epoch > plan.epochs)

    def is_scored(self) -> bool:
        """Whether the weights as they are were validated: no step was done since the last epoch, which was."""
        return not self.batch and bool(self.metrics) and "mean_iou" in self.metrics[-1]

    def go_on(self, plan: TrainPlan) -> None:
        """Take back what ended the training, where a plan asks for more of that.

        What run.json says does not count: it may hold a plan of which no step was done.
        """
        more_time = is_longer(plan.time_budget, self.time_budget)
        self.time_is_up = self.time_is_up and not more_time
        if self.stopped_early and (more_time or is_longer(plan.epochs, self.epochs)):
            self.stopped_early, self.without_better = False, 0
        self.epochs, self.time_budget = plan.epochs, plan.time_budget

    def count_step(self, loss: float, num_pictures: int, seconds: float) -> None:
        """A step of the epoch is done."""
        self.batch += 1
        self.step += 1
        self.loss_sum += loss
        self.num_pictures += num_pictures
        self.epoch_seconds += seconds

    def note_validation(self, validated: Validated, patience: int) -> bool:
        """The epoch was validated; returns whether it is the best so far, as of unscored ones the newest is.

        Of equal ones the last is trained best, as the rate goes down; the original, whose rate stays, keeps the first.
        """
        iou = validated.selection_iou
        is_better = iou > self.best_selection_iou
        self.without_better = 0 if is_better or iou == UNSCORED else self.without_better + 1
        self.stopped_early = 0 < patience <= self.without_better
        is_last_of_equal = iou == self.best_selection_iou and (validated.scores or iou == UNSCORED)
        is_best = is_better or bool(is_last_of_equal)
        if is_best:
            self.best_epoch, self.best_selection_iou = self.epoch, iou
        return is_best

    def begin_next_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1
        self.batch, self.loss_sum, self.num_pictures, self.epoch_seconds = 0, 0.0, 0, 0.0


def is_longer(asked: float, before: float) -> bool:
    """Whether epochs or seconds are more than before; 0 bounds them not at all."""
    return before > 0 and (not asked or asked > before)


@dataclass(frozen=True)
class TrainingState:
    """Everything that a step changes.

    Attributes:
        progress: Where the training stands.
        net: The network.
        optimizer: Its optimizer.
        scaler: Scales the gradients of fp16.
        average: The moving average of the weights, where there is one.
    """

    progress: Progress
    net: nn.Module
    optimizer: Optimizer
    scaler: GradScaler
    average: MovingAverage | None

    def save(self, path: Path) -> None:
        """Write the state atomically.

        Raises:
            UserError: It can't be written; the file is what it was before.
        """
        tensors = _named("net", self.net.state_dict())
        if self.average is not None:
            tensors |= _named("average", self.average.net.state_dict())
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.net.named_parameters()}
        for parameter, values in self.optimizer.state.items():
            tensors |= _named(f"optimizer.{names[parameter]}", values)
        header = {
            "format_version": FORMAT_VERSION,
            "progress": asdict(self.progress),
            "scaler": self.scaler.state_dict(),
        }
        write_tensors(path, tensors, {HEADER: json.dumps(header)})

    def restore(self, path: Path) -> None:
        """Become the state that a file holds.

        Raises:
            UserError: It is damaged, or of another training.
        """
        header = read_header(path)
        try:
            tensors = safetensors.torch.load_file(path)
            self.net.load_state_dict(_of(tensors, "net"))
            if self.average is not None:
                self.average.net.load_state_dict(_of(tensors, "average"))
            parameters = dict(self.net.named_parameters())
            self.optimizer.state.clear()
            for name, tensor in _of(tensors, "optimizer").items():
                parameter_name, _, key = name.rpartition(".")
                parameter = parameters[parameter_name]
                # AdamW counts its steps on the CPU.
                self.optimizer.state[parameter][key] = tensor if key == "step" else _laid_like(parameter, tensor)
            if header["scaler"]:
                self.scaler.load_state_dict(header["scaler"])
            for name, value in header["progress"].items():
                setattr(self.progress, name, value)
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise damaged(path) from error


def read_header(path: Path) -> dict[str, Any]:
    """The plain values of a resume file.

    Raises:
        UserError: It is damaged, or of another version.
    """
    try:
        with path.open("rb"):
            pass  # safetensors doesn't say why it can't open a file
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
    except PermissionError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.", "Resume as the user who began the run.") from error
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path) from error
    if not isinstance(header, dict) or header.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path} was written by another version of segtune.", "Resume with the version in run.json.")
    return header


def damaged(path: Path) -> UserError:
    """The error for a file that can't be resumed from."""
    run = path.parent
    return UserError(
        f"{path} is damaged, or another version of segtune wrote it: the training can't go on from it.",
        f"To train on with the weights that there are: segtune train DATASET NEW_RUN --init"
        f" {run / 'last.safetensors'}; to train again from the beginning: segtune train DATASET {run} --overwrite",
    )


def _laid_like(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """An optimizer's tensor where its weight is, and as that lies in memory: files hold all with the channels first."""
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": _plain(tensor) for name, tensor in tensors.items()}


def _of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
