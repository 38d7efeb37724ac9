"""The loop: plan, data, network, optimizer -> weights, epoch by epoch."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segtune.data.batch import Batch
from segtune.data.loader import Loader
from segtune.errors import UserError, listed
from segtune.model_file import Model, save_model
from segtune.models.smp_decoders import PACKAGED_MODEL
from segtune.out_of_memory import shortage_told
from segtune.run_folder import RunFolder
from segtune.training.events import EpochDone, Event, Notice, StepDone
from segtune.training.losses import make_loss
from segtune.training.moving_average import MovingAverage
from segtune.training.network import Network
from segtune.training.optimizer import make_optimizer, set_rates
from segtune.training.pace import Pace, Rarely
from segtune.training.plan import TrainPlan
from segtune.training.processes import Processes
from segtune.training.record import epoch_metrics, header_scores
from segtune.training.resume import Progress, TrainingState
from segtune.training.step import Stepper
from segtune.training.validation import Validated, Validation, validation_shortage

SHORT = 2.0
"""Seconds. A trial validation that took less is made again."""
STEP_TO_JUDGE_BY, FEW_STEPS = 2, 100
"""The first step takes longer. With so few a net has hardly begun to learn, and its batch norms to follow."""
DROPOUT = 2
"""Which use of randomness this is, beside order and augmentation (data/loader.py)."""


class StopRequested(Exception):  # it is no error
    """The process was asked to stop; the state is written."""


@dataclass(frozen=True)
class TrialValidation:
    """A validation of a few pictures, by which the time of a whole one is known ahead.

    Attributes:
        validate: How these are scored.
        times_larger: How many times as many pictures there are in all.
    """

    validate: Validation
    times_larger: float


@dataclass(frozen=True)
class Run:
    """What the loop works with.

    Attributes:
        model: The model that is trained.
        network: Its net, as it is trained.
        plan: The plan.
        loader: The training batches.
        validate: How an epoch is scored.
        trial: The same for few pictures, where time is bounded.
        folder: Where to write.
        processes: Who trains together.
        tell: Tells the listeners what happens.
        stop_requested: Whether the process was asked to stop.
    """

    model: Model
    network: Network
    plan: TrainPlan
    loader: Loader
    validate: Validation
    trial: TrialValidation | None
    folder: RunFolder
    processes: Processes
    tell: Callable[[Event], None]
    stop_requested: Callable[[], bool]


def run_epochs(run: Run, state: TrainingState, stepper: Stepper) -> None:
    """Train from where ``state`` stands to the end of the plan.

    Raises:
        UserError: The loss is not finite, memory is out, or the run folder can't be written.
        StopRequested: The process was asked to stop.
    """
    plan, progress = run.plan, state.progress
    pace, last = Pace(plan, progress), LastModel(run.folder.last)
    if run.trial is not None and not progress.validation_seconds and not progress.has_ended(plan):
        _look_ahead(run, run.trial, state, pace)
    while not progress.has_ended(plan):
        run.network.train_mode()
        started = time.monotonic()
        for batch in islice(run.loader.epoch(progress.epoch, progress.batch), plan.steps_per_epoch - progress.batch):
            total, done, stop = _agree(run, stepper, batch, pace)
            if stop:
                _save(run, state, pace)
                raise StopRequested
            if done >= 1:
                progress.time_is_up = True
                break
            progress.learning_rate = set_rates(state.optimizer, done, plan)
            loss = _step(run, stepper, batch, total, progress.step)
            if state.average is not None:
                state.average.update(run.network.net, progress.step + 1)
            _count_step(run, progress, pace, loss, time.monotonic() - started)
            if pace.state_file.is_due():
                _save(run, state, pace)
            started = time.monotonic()
        ends_epoch = not (progress.time_is_up and progress.is_scored())
        is_best = ends_epoch and _end_epoch(run, state, pace, last)
        if ends_epoch:
            progress.begin_next_epoch()
        else:
            last.write()
        # A new best model comes with its state: what is trained again after a kill may be another model, but on CPUs.
        if is_best or pace.state_file.is_due() or progress.has_ended(plan):
            _save(run, state, pace)


def make_state(run: Run) -> tuple[TrainingState, Stepper]:
    """The state of a training before its first step, and what moves it."""
    plan, network = run.plan, run.network
    optimizer = make_optimizer(network.net, network.stages, plan)
    average = MovingAverage(network.net, plan.ema) if plan.ema else None
    loss = make_loss(plan, network.device)
    stepper = Stepper(network, run.model.preprocessing, loss, optimizer, plan)
    progress = Progress(epochs=plan.epochs, time_budget=plan.time_budget)
    return TrainingState(progress, network.net, optimizer, stepper.scaler, average), stepper


def _look_ahead(run: Run, trial: TrialValidation, state: TrainingState, pace: Pace) -> None:
    """Keep time for the last validation, by trying it on few pictures."""
    seconds = _seconds_of(trial, run.network.net)
    if run.processes.broadcast(seconds < SHORT):  # then starting things up was a part of it
        seconds = _seconds_of(trial, run.network.net)
    candidates = 1 if state.average is None else 2
    if not pace.expect_validation(seconds * trial.times_larger * candidates):
        run.tell(Notice(
            f"Warning: to validate and to score all validation pictures takes more than half of the"
            f" {run.plan.time_budget:g} s: half is kept for it, and the end comes later. Give more time, or fewer"
            " pictures in val/."
        ))  # fmt: skip


def _seconds_of(trial: TrialValidation, net: nn.Module) -> float:
    """The seconds that it takes to validate few pictures."""
    started = time.monotonic()
    with shortage_told(validation_shortage):
        trial.validate(net, 1)
    return time.monotonic() - started


def _count_step(run: Run, progress: Progress, pace: Pace, loss: float, seconds: float) -> None:
    """Note that a step is done, and tell; early also where the time is too short for the net."""
    size = run.loader.num_pictures(progress.batch)
    progress.count_step(loss, size, seconds)
    run.tell(StepDone(progress.epoch, progress.step, loss, size, progress.learning_rate, pace.done()))
    # Compiling may take minutes of any of the first steps.
    if progress.step != STEP_TO_JUDGE_BY or not run.plan.time_budget or run.plan.compile:
        return
    steps = progress.step + max(0.0, pace.seconds_to_train() - progress.seconds) / seconds
    if steps >= FEW_STEPS:
        return
    faster = "" if run.model.architecture == PACKAGED_MODEL else f", or a faster net: --model {PACKAGED_MODEL}"
    run.tell(Notice(
        f"Warning: a step takes {seconds:.3g} s, so the {run.plan.time_budget:g} s are enough for about {steps:.0f},"
        f" and a net learns little in fewer than {FEW_STEPS}. Give more time{faster}."
    ))  # fmt: skip


def _agree(run: Run, stepper: Stepper, batch: Batch, pace: Pace) -> tuple[Tensor, float, bool]:
    """What all processes must know alike before a step: what its labels weigh, how far the training is, who stops."""
    total, done, stop = stepper.total_weight(batch), pace.done(), run.stop_requested()
    if run.processes.world_size == 1:
        return total, done, stop
    mine = torch.tensor([done if run.processes.is_first else 0.0, float(stop)], device=total.device)
    values = run.processes.sum(torch.cat([total.view(1), mine]))
    return values[0], float(values[1]), bool(values[2])


def _step(run: Run, stepper: Stepper, batch: Batch, total: Tensor, step: int) -> float:
    """A step, in more parts where memory is out."""
    share = _try_step(run, stepper, batch, total, step)
    while share is None and run.processes.world_size == 1 and stepper.halve(batch):
        run.tell(Notice(f"Memory is out: from here on each batch is computed in {stepper.num_parts} parts."))
        run.folder.note_in_plan(accumulate=stepper.num_parts)
        share = _try_step(run, stepper, batch, total, step)
    if share is None:
        raise _out_of_memory(run.plan, stepper.num_parts)
    loss = float(run.processes.sum(torch.tensor(share, dtype=torch.float64, device=run.network.device)))
    if not math.isfinite(loss):
        raise _not_finite(run, f"The loss is not finite at step {step + 1} (pictures {listed(batch.names, 32)}).")
    return loss


def _try_step(run: Run, stepper: Stepper, batch: Batch, total: Tensor, step: int) -> float | None:
    """A step; None where its gradients don't fit into memory."""
    # Dropout draws from torch's generator. As a function of the step it needs no state that a resume would restore.
    seeds = np.random.SeedSequence([run.plan.seed, DROPOUT, step, run.processes.rank])
    torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
    # The optimizer's own tensors may not fit either; by then weights may have moved, so there is no second try.
    with shortage_told(lambda: _out_of_memory(run.plan, stepper.num_parts)):
        return stepper.step(batch, total, run.processes.world_size)


class LastModel:
    """The newest epoch's model, which is written in 2 % of the time at most, and at the end.

    Args:
        path: Where to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = Rarely()
        self._waiting: Model | None = None

    def offer(self, model: Model, must: bool) -> None:
        """Write a model if it must be, or if it is time; else it waits, as long as its net is not trained further."""
        self._waiting = model
        if must or self._file.is_due():
            self.write()

    def write(self) -> None:
        """Write the model that waits, if there is one."""
        if self._waiting is not None:
            with self._file.writing():
                save_model(self._path, self._waiting)
            self._waiting = None


def _end_epoch(run: Run, state: TrainingState, pace: Pace, last: LastModel) -> bool:
    """Validate where the plan says so, write the weights, and tell; returns whether they are the best so far."""
    plan, progress = run.plan, state.progress
    _refuse_spoilt(run, progress.step)
    epoch = progress.epoch
    is_last = progress.time_is_up or epoch == plan.epochs
    validates = is_last or (epoch % plan.validate_every == 0 and pace.is_time_to_validate())
    best, metrics, scores = False, epoch_metrics(progress), None
    # The average first: at equal scores it is the steadier.
    candidates = {"weights": run.network.net}
    if state.average is not None:
        candidates = {"average": state.average.net, **candidates}
    chosen = next(iter(candidates))
    if run.processes.broadcast(validates):
        validated = _validate(run, candidates, progress, pace)
        for name, of_candidate in validated.items() if len(validated) > 1 else ():
            metrics[f"selection_iou_{name}"] = None if of_candidate.mean_iou is None else of_candidate.selection_iou
        chosen = max(validated, key=lambda name: validated[name].selection_iou)
        metrics["mean_iou"], scores = validated[chosen].mean_iou, validated[chosen].scores
        metrics |= {} if scores is None else scores.in_brief()
        best = progress.note_validation(validated[chosen], plan.patience)
    progress.metrics.append(metrics)
    if run.processes.is_first:
        trained = replace(run.model, net=candidates[chosen], scores=header_scores(scores, epoch))
        last.offer(trained, must=best or is_last or progress.stopped_early)
        _write(run, trained, epoch, best)
        run.folder.append_metrics(metrics)
    run.tell(EpochDone(epoch, progress.step, metrics, best))
    return best


def _validate(run: Run, candidates: dict[str, nn.Module], progress: Progress, pace: Pace) -> dict[str, Validated]:
    """How each candidate scores."""
    started = time.monotonic()
    validated = {}
    for name, net in candidates.items():
        # Each process has followed its own batches' statistics; those of the first are the model's.
        run.processes.broadcast_tensors(net.buffers())
        with shortage_told(validation_shortage):
            validated[name] = run.validate(net, progress.epoch)
    pace.validated(time.monotonic() - started)
    return validated


def _write(run: Run, trained: Model, epoch: int, best: bool) -> None:
    if best:
        save_model(run.folder.model, trained)
        run.folder.forget_scores()
    if run.plan.checkpoint_every and epoch % run.plan.checkpoint_every == 0:
        save_model(run.folder.checkpoint(epoch), trained)


def _save(run: Run, state: TrainingState, pace: Pace) -> None:
    """Write the resume file."""
    _refuse_spoilt(run, state.progress.step)
    pace.done()  # brings the time up to date
    with pace.state_file.writing():
        if run.processes.is_first:
            state.save(run.folder.resume)


def _refuse_spoilt(run: Run, step: int) -> None:
    """Raise UserError where a step has made weights or batch statistics that are not finite, before these are written.

    A loss is computed before its step, so the last one says nothing of that.
    """
    tensors = [*run.network.net.parameters(), *run.network.net.buffers()]
    floats = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
    if not bool(nn.utils.get_total_norm(floats, math.inf).isfinite()):
        raise _not_finite(run, f"The weights are not finite after step {step}.")


def _not_finite(run: Run, found: str) -> UserError:
    good = run.folder.model if run.folder.model.exists() else run.folder.last
    kept = f"{good} holds the last good weights." if good.exists() else "No epoch was done before it."
    return UserError(
        f"{found} {kept}",
        f"Lower --learning-rate (it was {run.plan.learning_rate:g}), or add --clip-gradient 1, and train anew.",
    )


def _out_of_memory(plan: TrainPlan, num_parts: int) -> UserError:
    return UserError(
        f"Memory is out: crops of {plan.crop} px, {plan.batch_size} a batch, computed in {num_parts} parts.",
        "Lower --crop or --batch-size, or raise --accumulate (the same batch in more parts).",
    )
