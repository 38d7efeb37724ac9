"""What a run says of itself: run.json, the lines of metrics.jsonl, the scores in a model's header."""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segtune.config import TrainConfig
from segtune.evaluation.scores import Scores
from segtune.models.pretrained import WeightsReport
from segtune.training.plan import TrainPlan
from segtune.training.resume import Progress

PACKAGES = ("segtune", "torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy", "pillow")


def run_record(
    config: TrainConfig,
    plan: TrainPlan,
    dataset: Path,
    data: dict[str, Any],
    weights: WeightsReport,
    commands: Sequence[list[str]],
) -> dict[str, Any]:
    """What run.json holds: all that is needed to know how a run came about, and to go on with it.

    Args:
        config: What was asked for.
        plan: What came of it.
        dataset: The dataset folder.
        data: What the check says of it.
        weights: What the net started from.
        commands: By what it was begun, and by what it went on.
    """
    return {
        "command": commands[0],
        "resumed_by": commands[1:],
        "config": {
            name: str(value.absolute()) if isinstance(value, Path) else value for name, value in asdict(config).items()
        },
        "plan": plan.to_dict(),
        "weights": {
            "source": weights.source, "licence": weights.licence, "new": list(weights.new), "taken": list(weights.taken)
        },
        "dataset": str(dataset.absolute()),
        "data": data,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }  # fmt: skip


def epoch_metrics(progress: Progress) -> dict[str, Any]:
    """An epoch's line in metrics.jsonl, without its scores."""
    seconds = progress.epoch_seconds
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "train_loss": progress.loss_sum / progress.batch if progress.batch else None,
        "learning_rate": progress.learning_rate,
        "seconds": seconds,
        "pictures_per_second": progress.num_pictures / max(seconds, 1e-9),
    }


def header_scores(scores: Scores | None, epoch: int) -> dict[str, Any]:
    """What a model file of ``epoch`` says of its scores on the validation pictures."""
    return {"epoch": epoch} if scores is None else {"epoch": epoch, "split": "val", **scores.to_dict()}
