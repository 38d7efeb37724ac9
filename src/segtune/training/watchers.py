"""Metrics for TensorBoard, MLflow and Weights & Biases. Each is imported when it is asked for."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, Protocol

from segtune.config import names_in
from segtune.console import messages
from segtune.errors import UserError, first_line, install, listed, nearest
from segtune.run_folder import RunFolder
from segtune.training.events import EpochDone, Event, RunStarted, StepDone

STEPS_BETWEEN = 10
"""Steps between two points of the loss curve."""


def make_watchers(names: str, folder: RunFolder, resume: bool) -> list["Watcher"]:
    """The watchers that ``--report-to`` names.

    Args:
        names: Names separated by commas, 'none' for none, as ``refuse_unknown_watchers`` lets them pass.
        folder: The run folder.
        resume: Whether the run goes on.
    """
    return [Watcher(name, WRITERS[name](folder, resume)) for name in _chosen(names)]


def refuse_unknown_watchers(names: str) -> None:
    """Look at ``--report-to`` before anything is written.

    Raises:
        UserError: There is no such watcher, or its package is not installed.
    """
    unknown = [name for name in _chosen(names) if name not in WRITERS]
    if unknown:
        raise UserError(
            f"--report-to names {listed(unknown)}; known are {listed(WRITERS)} and none.", nearest(unknown[0], WRITERS)
        )
    for name in _chosen(names):
        if find_spec(name) is None:  # each is named as its package
            raise UserError(f"--report-to {name} needs the package {name}.", f"{install(name)}; or --report-to none.")


def _chosen(names: str) -> list[str]:
    return [name for name in names_in(names) if name != "none"]


Outcome = Literal["finished", "interrupted", "failed"]
"""How a training ended."""


class Writer(Protocol):
    """Where numbers go."""

    def begin(self, values: dict[str, Any], step: int) -> None:
        """The values of the plan, and the step that the run goes on after."""

    def write(self, values: dict[str, float], step: int) -> None:
        """Numbers by name, after a step."""

    def end(self, outcome: Outcome) -> None:
        """The training has ended; this is told only where it has begun."""


class Watcher:
    """A listener that gives a writer the numbers of events. What the writer raises is said once, and ends the watching.

    Args:
        name: The writer's name.
        writer: The writer.
    """

    def __init__(self, name: str, writer: Writer) -> None:
        self._name = name
        self._writer = writer
        self._is_watching = False

    def __call__(self, event: Event) -> None:
        """Take an event."""
        match event:
            case RunStarted():
                self._is_watching = True
                self._try(lambda: self._writer.begin(event.plan.to_dict(), event.step))
            case StepDone() if event.step % STEPS_BETWEEN == 0:
                values = {"train/loss": event.loss, "train/learning_rate": event.learning_rate}
                self._try(lambda: self._writer.write(values, event.step))
            case EpochDone():
                self._try(lambda: self._writer.write(_numbers(event.metrics), event.step))

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        outcome: Outcome = "finished" if kind is None else "interrupted" if interrupted else "failed"
        self._try(lambda: self._writer.end(outcome))

    def _try(self, action: Callable[[], None]) -> None:
        if not self._is_watching:
            return
        try:
            action()
        except Exception as error:  # noqa: BLE001 - hours of training must not fail for who watches it
            self._is_watching = False
            messages.print(f"Warning: {self._name} is told no more, the training goes on: {first_line(error)}")


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

    def end(self, outcome: Outcome) -> None:
        """Write what is left."""
        del outcome
        self._writer.close()


class MLflowWriter:
    """A run in MLflow, where its own settings (MLFLOW_TRACKING_URI, …) say; named as the run folder."""

    def __init__(self, folder: RunFolder, resume: bool) -> None:
        self._folder = folder
        self._resume = resume
        self._id = folder.mlflow_id

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

        mlflow.log_metrics({_mlflow_name(name): value for name, value in values.items()}, step=step)

    def end(self, outcome: Outcome) -> None:
        """End the run."""
        import mlflow

        mlflow.end_run({"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}[outcome])


def _mlflow_name(name: str) -> str:
    """A name such as 'iou/person, sitting' with nothing that MLflow refuses."""
    group, _, rest = name.partition("/")
    return group + "/" + re.sub(r"[^\w-]", "_", rest)


class WandbWriter:
    """A run at Weights & Biases, as its own settings (WANDB_PROJECT, WANDB_MODE, …) say; named as the run folder."""

    def __init__(self, folder: RunFolder, resume: bool) -> None:
        self._folder = folder
        self._resume = resume
        self._id = folder.wandb_id
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

    def end(self, outcome: Outcome) -> None:
        """End the run."""
        self._run.finish(exit_code=0 if outcome == "finished" else 1)


WRITERS: dict[str, Callable[[RunFolder, bool], Writer]] = {
    "tensorboard": TensorBoardWriter, "mlflow": MLflowWriter, "wandb": WandbWriter,
}  # fmt: skip
