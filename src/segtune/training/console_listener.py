"""Shows a training in the terminal: a live bar, a line an epoch, a table at the end."""

import time
from datetime import timedelta

from rich.progress import BarColumn, Progress, TextColumn

from segtune.console import output, progress_console
from segtune.training.events import EpochDone, Event, RunDone, RunStarted, StepDone
from segtune.training.plan import TrainPlan

SMOOTHING = 0.9
"""Weight of the past in the shown loss."""


class ConsoleListener:
    """Prints to the terminal what a person wants to know while training."""

    def __init__(self) -> None:
        self._plan: TrainPlan | None = None
        self._started = 0.0
        self._loss = 0.0
        self._num_pictures = 0
        console = progress_console()
        self._progress = Progress(
            TextColumn("Epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps  loss {task.fields[loss]:.4f}"),
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
        output.print(describe(plan))
        self._started = time.monotonic()
        self._progress.start()
        self._progress.add_task("", total=plan.total_steps, epoch=f"1/{plan.epochs}", loss=0.0, speed=0.0, left="–")

    def _step(self, event: StepDone) -> None:
        if self._plan is None:
            return
        self._loss = event.loss if event.step == 1 else SMOOTHING * self._loss + (1 - SMOOTHING) * event.loss
        self._num_pictures += event.num_pictures
        seconds = time.monotonic() - self._started
        # Validation is part of the time that has passed, and so of what is expected to be left.
        left = timedelta(seconds=round(seconds / event.step * (self._plan.total_steps - event.step)))
        self._progress.update(
            self._progress.task_ids[0], completed=event.step, epoch=f"{event.epoch}/{self._plan.epochs}",
            loss=self._loss, speed=self._num_pictures / max(seconds, 1e-6), left=str(left),
        )  # fmt: skip


def epoch_line(event: EpochDone, epochs: int) -> str:
    """An epoch in one line."""
    metrics = event.metrics
    scores = f"mean IoU {metrics['mean_iou']:.4f}" if metrics["mean_iou"] is not None else "no score"
    if metrics.get("pixel_accuracy") is not None:
        scores += f"  pixel accuracy {metrics['pixel_accuracy']:.4f}"
    loss = "no step" if metrics["train_loss"] is None else f"loss {metrics['train_loss']:.4f}"
    speed = f"{metrics['pictures_per_second']:.1f} pictures/s  {metrics['seconds']:.0f} s"
    best = "  best so far" if event.is_best else ""
    return f"epoch {event.epoch:>{len(str(epochs))}}/{epochs}  {loss}  {scores}  {speed}{best}"


def describe(plan: TrainPlan) -> str:
    """The plan in a few lines."""
    trained = "the head alone (feature extractor frozen)" if plan.freeze else "the whole net"
    shrink = f", pictures shrunk to {plan.longest_side} px" if plan.longest_side else ""
    weights = (
        f"\n  class weights {' '.join(f'{weight:g}' for weight in plan.class_weights)}" if plan.class_weights else ""
    )
    return (
        f"Plan: recipe {plan.recipe}, {plan.epochs} epochs, {plan.total_steps} steps of {plan.batch_size} crops of"
        f" {plan.crop} px{shrink}, on {plan.device}\n"
        f"  trains {trained} with {plan.optimizer}, rate {plan.learning_rate:g} ({plan.schedule}); seed {plan.seed}"
        f"{weights}"
    )
