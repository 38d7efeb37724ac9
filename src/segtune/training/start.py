"""A run that was begun before: what it was asked to do, and what may be different when it goes on."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from segtune.config import TrainConfig
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
    """

    config: TrainConfig
    plan: TrainPlan
    fingerprint: str
    weights: WeightsReport


def earlier_run(folder: RunFolder) -> Earlier:
    """The run that a folder holds.

    Raises:
        UserError: It holds none, or one of another version.
    """
    record = folder.read_record()
    try:
        plan = TrainPlan(**{**record["plan"], "class_weights": tuple(record["plan"]["class_weights"])})
        weights = record["weights"]
        return Earlier(
            _config(record["config"]), plan, str(record["data"]["fingerprint"]),
            WeightsReport(weights["source"], weights["licence"], tuple(weights["taken"]), tuple(weights["new"])),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{folder.record} is not complete, or of another version of segtune ({error}).",
            "Resume with the version that it names; or start a new run.",
        ) from error


def changed_config(earlier: TrainConfig, config: TrainConfig, folder: RunFolder) -> TrainConfig:
    """What a resumed run is asked to do.

    Raises:
        UserError: Something is different that may not be.
    """
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
    return config


def resumed_plan(earlier: TrainPlan, new: TrainPlan) -> TrainPlan:
    """The plan of the earlier run, with the new one's length and what is the machine's."""
    names = (*MACHINE_VALUES, "epochs", "total_steps", "time_budget")
    return replace(earlier, **{name: getattr(new, name) for name in names})


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
