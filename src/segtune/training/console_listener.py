"""Shows a training in the terminal: a live bar, a line an epoch, a table at the end."""

import math
import time
from collections.abc import Sequence
from datetime import timedelta

from rich.progress import BarColumn, Progress, TextColumn

from segtune.config import LOSSES
from segtune.console import output, progress_console
from segtune.errors import listed
from segtune.training.events import EpochDone, Event, Notice, RunDone, RunStarted, StepDone
from segtune.training.plan import TrainPlan

CANDIDATES = {"selection_iou_average": "moving average", "selection_iou_weights": "weights"}
SOMETIMES = (
    "aspect_jitter", "rotation", "rare_crop", "hue_jitter", "blur", "cutout", "cutmix", "copy_paste", "label_smoothing",
    "clip_gradient", "ema", "patience",
)  # fmt: skip
"""What a plan may have beside the usual, said where it has it."""

WEIGHTS_SHOWN = 20
"""Classes whose weights are told; run.json has all."""

SMOOTHING = 0.9
"""Weight of the past in the shown loss."""


class ConsoleListener:
    """Prints to the terminal what a person wants to know while training."""

    def __init__(self) -> None:
        self._plan: TrainPlan | None = None
        self._started = 0.0
        self._loss: float | None = None
        self._num_pictures = 0
        self._done_before = 0.0
        console = progress_console()
        self._progress = Progress(
            TextColumn("Epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.fields[steps]}  loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[speed]:.1f} pictures/s with validation  {task.fields[left]} left"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted():
                self._start(event)
            case StepDone():
                self._step(event)
            case EpochDone():
                output.print(epoch_line(event, self._plan.epochs if self._plan else 0))
            case Notice():
                output.print(event.text)
            case RunDone():
                self._progress.stop()
                output.print(event.scores.table(f"Validation, best epoch {event.best_epoch}"))

    def __enter__(self) -> "ConsoleListener":
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _start(self, event: RunStarted) -> None:
        self._plan = plan = event.plan
        for note in event.notes:
            output.print(note)
        output.print(describe(plan, event.class_names))
        if event.step:
            output.print(f"Going on after step {event.step}.")
        self._started = time.monotonic()
        self._progress.start()
        self._progress.add_task("", total=1.0, epoch="", steps="", loss=math.nan, speed=0.0, left="–")

    def _step(self, event: StepDone) -> None:
        if self._plan is None:
            return
        seconds = time.monotonic() - self._started
        if self._loss is None:
            self._loss, self._done_before = event.loss, event.done
        self._loss = SMOOTHING * self._loss + (1 - SMOOTHING) * event.loss
        self._num_pictures += event.num_pictures
        # Validation is part of the time that has passed, and so of what is expected to be left.
        rate = (event.done - self._done_before) / max(seconds, 1e-6)
        left = str(timedelta(seconds=round((1 - event.done) / rate))) if rate > 0 else "–"
        of_epochs, of_steps = (f"/{value}" if value else "" for value in (self._plan.epochs, self._plan.total_steps))
        self._progress.update(
            self._progress.task_ids[0], completed=event.done, epoch=f"{event.epoch}{of_epochs}",
            steps=f"{event.step}{of_steps} steps", loss=self._loss, left=left,
            speed=self._num_pictures / max(seconds, 1e-6),
        )  # fmt: skip


def epoch_line(event: EpochDone, epochs: int) -> str:
    """An epoch in one line."""
    metrics = event.metrics
    scores = f"mean IoU {metrics['mean_iou']:.4f}" if metrics.get("mean_iou") is not None else "no score"
    labelled = metrics.get("labelled_mean_iou", metrics.get("mean_iou"))
    if labelled != metrics.get("mean_iou"):  # the best epoch is chosen by it
        scores += f" (of labelled classes {labelled:.4f})"
    both = [f"{name} {metrics[key]:.4f}" for key, name in CANDIDATES.items() if metrics.get(key) is not None]
    scores += f" ({', '.join(both)})" if both else ""
    if metrics.get("pixel_accuracy") is not None:
        scores += f"  pixel accuracy {metrics['pixel_accuracy']:.4f}"
    best = "  best so far" if event.is_best else ""
    number = f"{event.epoch:>{len(str(epochs))}}/{epochs}" if epochs else str(event.epoch)
    if metrics["train_loss"] is None:
        return f"epoch {number}  no step  {scores}{best}"
    speed = f"{metrics['pictures_per_second']:.1f} pictures/s  {metrics['seconds']:.0f} s"
    return f"epoch {number}  loss {metrics['train_loss']:.4f}  {scores}  {speed}{best}"


def describe(plan: TrainPlan, class_names: Sequence[str]) -> str:
    """The plan in a few lines."""
    length = f"{plan.epochs} epochs, {plan.total_steps} steps in all" if plan.epochs else f"{plan.time_budget:g} s"
    if plan.epochs and plan.time_budget:
        length += f", {plan.time_budget:g} s at most"
    parts = f" in {plan.accumulate} parts" if plan.accumulate > 1 else ""
    shrink = f", pictures shrunk to {plan.longest_side} px" if plan.longest_side else ""
    shrink += f", pictures enlarged {plan.enlarge} times" if plan.enlarge > 1 else ""
    frozen = {0: "the whole net", -1: "the head alone (feature extractor frozen)"}
    trained = frozen.get(plan.freeze, f"all but the first {plan.freeze} stages")
    rate = f"rate {plan.learning_rate:g} ({plan.schedule}; backbone x {plan.backbone_rate:g})"
    workers = f", batches prepared by {plan.num_workers} workers" if plan.num_workers else ""
    often = "each epoch" if plan.validate_every == 1 else f"every {plan.validate_every} epochs"
    often += ", where the time allows" if plan.time_budget else ""
    lines = [
        f"Plan: recipe {plan.recipe}, {length}; a step takes {plan.batch_size} crops of {plan.crop} px{parts}{shrink}",
        f"trains {trained} with {plan.optimizer}, {rate}, {LOSSES[plan.loss]}; seed {plan.seed}",
        f"on {plan.device}, {plan.precision}{', compiled' if plan.compile else ''}"
        f"{f', {plan.world_size} processes' if plan.world_size > 1 else ''}{workers},"
        f" decoded pictures kept in: {plan.cache}; validates {often}",
    ]
    used = [f"{name.replace('_', ' ')} {getattr(plan, name):g}" for name in SOMETIMES if getattr(plan, name)]
    lines += ["with " + ", ".join(used)] if used else []
    if plan.class_weights:
        adjustment = f"; logit adjustment {plan.logit_adjustment:g}" if plan.logit_adjustment else ""
        weights = (f"{name} {weight:g}" for name, weight in zip(class_names, plan.class_weights, strict=True))
        lines.append(f"class weights: {listed(weights, WEIGHTS_SHOWN)}{adjustment}")
    return "\n  ".join(lines)
