"""Metrics for TensorBoard, MLflow and Weights & Biases. Each is imported when it is asked for."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

from segtune.config import names_in
from segtune.errors import UserError, listed, nearest
from segtune.run_folder import RunFolder
from segtune.training.events import EpochDone, Event, RunStarted, StepDone

STEPS_BETWEEN = 10
"""Steps between two points of the loss curve."""


def make_watchers(names: str, folder: RunFolder, resume: bool) -> list["Metrics"]:
    """The watchers that ``--report-to`` names.

    Args:
        names: Names separated by commas; 'none' for none.
        folder: The run folder.
        resume: Whether the run goes on.

    Raises:
        UserError: There is no such watcher, or its package is not installed.
    """
    chosen = [name for name in names_in(names) if name != "none"]
    unknown = [name for name in chosen if name not in WRITERS]
    if unknown:
        raise UserError(
            f"--report-to names {listed(unknown)}; known are {listed(WRITERS)} and none.", nearest(unknown[0], WRITERS)
        )
    return [Metrics(_installed(name)(folder, resume)) for name in chosen]


def _installed(name: str) -> "Callable[[RunFolder, bool], Writer]":
    # Each is named as its package.
    if find_spec(name) is None:
        raise UserError(
            f"--report-to {name} needs the package {name}.", f"pip install 'segtune[{name}]', or --report-to none."
        )
    return WRITERS[name]


class Writer(Protocol):
    """Where numbers go."""

    def begin(self, values: dict[str, Any], step: int) -> None:
        """The values of the plan, and the step that the run goes on after."""

    def write(self, values: dict[str, float], step: int) -> None:
        """Numbers by name, after a step."""

    def end(self) -> None:
        """The training has ended, or was interrupted."""


class Metrics:
    """A listener that gives a writer the numbers of events."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __call__(self, event: Event) -> None:
        """Take an event."""
        match event:
            case RunStarted():
                self._writer.begin(event.plan.to_dict(), event.step)
            case StepDone() if event.step % STEPS_BETWEEN == 0:
                self._writer.write({"train/loss": event.loss, "train/learning_rate": event.learning_rate}, event.step)
            case EpochDone():
                self._writer.write(_numbers(event.metrics), event.step)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.end()


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl; those of classes by their names."""
    numbers = {f"epoch/{name}": value for name, value in metrics.items() if isinstance(value, int | float)}
    return numbers | {f"iou/{name}": value for name, value in metrics.get("iou", {}).items() if value is not None}


class TensorBoardWriter:
    """RUN/tensorboard, for ``tensorboard --logdir RUN``."""

    def __init__(self, folder: RunFolder, resume: bool) -> None:
        del resume  # what an interrupted run wrote past the step that it goes on from is hidden by ``purge_step``
        self._folder = folder
        self._writer: Any = None

    def begin(self, values: dict[str, Any], step: int) -> None:
        """Open the file; the plan is its text."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._folder.tensorboard), purge_step=step + 1 if step else None)
        text = "\n".join(f"| {name} | {value} |" for name, value in values.items())
        self._writer.add_text("plan", f"| | |\n|---|---|\n{text}", step)

    def write(self, values: dict[str, float], step: int) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def end(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


class MLflowWriter:
    """A run in MLflow, where its own settings (MLFLOW_TRACKING_URI, …) say; named as the run folder."""

    def __init__(self, folder: RunFolder, resume: bool) -> None:
        self._folder = folder
        self._resume = resume
        self._id = folder.path / "mlflow_run.txt"

    def begin(self, values: dict[str, Any], step: int) -> None:
        """Start the run, or go on with it."""
        import mlflow

        del step
        known = self._id.read_text().strip() if self._resume and self._id.exists() else None
        run = mlflow.start_run(run_id=known, run_name=None if known else self._folder.path.name)
        self._id.write_text(run.info.run_id)
        if known is None:
            mlflow.log_params(values)

    def write(self, values: dict[str, float], step: int) -> None:
        """Log numbers."""
        import mlflow

        mlflow.log_metrics({name.replace(" ", "_"): value for name, value in values.items()}, step=step)

    def end(self) -> None:
        """End the run."""
        import mlflow

        mlflow.end_run()


class WandbWriter:
    """A run at Weights & Biases, as its own settings (WANDB_PROJECT, WANDB_MODE, …) say; named as the run folder."""

    def __init__(self, folder: RunFolder, resume: bool) -> None:
        self._folder = folder
        self._resume = resume
        self._id = folder.path / "wandb_run.txt"
        self._run: Any = None

    def begin(self, values: dict[str, Any], step: int) -> None:
        """Start the run, or go on with it."""
        import wandb

        del step
        known = self._id.read_text().strip() if self._resume and self._id.exists() else None
        self._run = wandb.init(
            name=self._folder.path.name, id=known, resume="allow", config=values, dir=str(self._folder.path)
        )
        self._id.write_text(self._run.id)

    def write(self, values: dict[str, float], step: int) -> None:
        """Log numbers."""
        self._run.log(values, step=step)

    def end(self) -> None:
        """End the run."""
        if self._run is not None:
            self._run.finish()


WRITERS: dict[str, Callable[[RunFolder, bool], Writer]] = {
    "tensorboard": TensorBoardWriter, "mlflow": MLflowWriter, "wandb": WandbWriter,
}  # fmt: skip
