"""A run that was begun before: what it was asked to do, and what may be different when it goes on."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from segtune.config import Auto, TrainConfig
from segtune.errors import UserError, listed
from segtune.models.pretrained import WeightsReport
from segtune.run_folder import RunFolder
from segtune.training.plan import MACHINE_VALUES, TrainPlan

CHANGEABLE = (
    "accumulate", "cache", "compile", "device", "epochs", "nproc", "num_workers", "overwrite", "report_to", "resume",
    "run", "time_budget",
)  # fmt: skip
"""Options that a resumed run may have at other values: the machine's, and how long to train."""


@dataclass(frozen=True)
class Earlier:
    """What run.json says of a run.

    Attributes:
        config: What it was asked to do.
        plan: Its plan.
        fingerprint: Of its dataset's content.
        weights: What it started from.
        commands: By what it was begun, and by what it went on.
        has_state: Whether its state was written; otherwise it starts again.
    """

    config: TrainConfig
    plan: TrainPlan
    fingerprint: str
    weights: WeightsReport
    commands: list[list[str]]
    has_state: bool


def run_to_resume(config: TrainConfig) -> Earlier | None:
    """The run that ``train`` goes on with; None where it starts one.

    Raises:
        UserError: It can't go on, or something is different that may not be.
    """
    folder = RunFolder(config.run)
    if config.resume != "auto" or not folder.record.exists():
        return None
    earlier = read_earlier(folder)
    _refuse_changes(earlier.config, config, folder)
    return earlier


def read_earlier(folder: RunFolder) -> Earlier:
    """The run that a folder holds.

    Raises:
        UserError: It holds none, one of another version, or a trained one without the state to go on from.
    """
    record = folder.read_record()
    _refuse_lost_state(folder)
    try:
        plan = TrainPlan(**{**record["plan"], "class_weights": tuple(record["plan"]["class_weights"])})
        weights = record["weights"]
        return Earlier(
            _config(record["config"]), plan, str(record["data"]["fingerprint"]),
            WeightsReport(weights["source"], weights["licence"], tuple(weights["taken"]), tuple(weights["new"])),
            [record["command"], *record.get("resumed_by", [])], folder.resume.exists(),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{folder.record} is not complete, or of another version of segtune ({error}).",
            "Resume with the version that it names; or start a new run.",
        ) from error


def _refuse_lost_state(folder: RunFolder) -> None:
    """A training that has written weights has written its state before: to start again would replace them."""
    trained = [path for path in (folder.last, folder.model) if path.exists()]
    if trained and not folder.resume.exists():
        raise UserError(
            f"{folder.path} holds {listed(path.name for path in trained)}, but no {folder.resume.name} to go on from.",
            f"To train on with these weights: segtune train DATASET NEW_RUN --init {trained[0]}; to train again from"
            " the beginning: segtune train DATASET RUN --overwrite",
        )


def _refuse_changes(earlier: TrainConfig, config: TrainConfig, folder: RunFolder) -> None:
    names = [entry.name for entry in fields(TrainConfig) if entry.name not in CHANGEABLE]
    different = [name for name in names if _absolute(getattr(config, name)) != _absolute(getattr(earlier, name))]
    if different:
        told = [
            f"--{name.replace('_', '-')} was {getattr(earlier, name)}, is {getattr(config, name)}" for name in different
        ]
        raise UserError(
            f"{folder.path} was begun with other options: {listed(told)}.",
            "A resumed run may change the epochs, the time and what is the machine's. For anything else name another"
            " run folder, or add --overwrite --resume never.",
        )


def epochs_to_resume(earlier: Earlier, config: TrainConfig) -> int | Auto:
    """The epochs of a run that goes on: those of its plan, unless another length is asked for."""
    is_asked = config.epochs != "auto" or config.time_budget != earlier.config.time_budget
    return config.epochs if is_asked else earlier.plan.epochs or "auto"


def resumed_plan(earlier: Earlier, config: TrainConfig, new: TrainPlan) -> TrainPlan:
    """The plan of the earlier run, with the length of the new one, of the same batch size, and what is the machine's.

    The parts of a batch stay, as batch norms and Dice are of a part each, unless others are asked for, or other
    processes share the batch.

    Raises:
        UserError: The machine can't compute as the run does.
    """
    names = {*MACHINE_VALUES, "epochs", "total_steps", "time_budget"}
    if config.accumulate == earlier.config.accumulate and new.world_size == earlier.plan.world_size:
        names.remove("accumulate")
    plan = replace(earlier.plan, **{name: getattr(new, name) for name in names})
    if plan.precision == "fp16" and plan.device != "cuda":
        raise UserError("The run computes with fp16, which needs a CUDA device.", "Go on where there is one.")
    return plan


def _config(values: dict[str, Any]) -> TrainConfig:
    """The inverse of what ``run_record`` writes."""
    restored: dict[str, Any] = {
        name: Path(value)
        if name in _paths() and value is not None
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in values.items()
    }
    return TrainConfig(**restored)


def _paths() -> list[str]:
    """The options of a training that are paths."""
    hints = get_type_hints(TrainConfig)
    return [name for name, hint in hints.items() if Path in (hint, *get_args(hint))]


def _absolute(value: Any) -> Any:
    """A path as it is kept in run.json; other values as they are."""
    return value.absolute() if isinstance(value, Path) else value
