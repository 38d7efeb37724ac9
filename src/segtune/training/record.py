"""What a run says of itself: run.json, the lines of metrics.jsonl, the scores in a model's header."""

import math
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segtune.annotations.check import DatasetReport
from segtune.config import TrainConfig
from segtune.evaluation.scores import Scores
from segtune.models.pretrained import WeightsReport
from segtune.training.plan import TrainPlan

PACKAGES = ("segtune", "torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy", "pillow")


def run_record(config: TrainConfig, plan: TrainPlan, data: DatasetReport, weights: WeightsReport) -> dict[str, Any]:
    """What run.json holds: all that is needed to know how a run came about."""
    return {
        "command": sys.argv,
        "config": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(config).items()},
        "plan": plan.to_dict(),
        "weights": {"source": weights.source, "licence": weights.licence, "new": list(weights.new)},
        "data": data.to_dict(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def epoch_metrics(
    epoch: int,
    rate: float,
    losses: Sequence[float],
    num_pictures: int,
    seconds: float,
    score: float,
    scores: Scores | None,
) -> dict[str, Any]:
    """An epoch's line in metrics.jsonl.

    Args:
        epoch: Counted from 1.
        rate: The head's learning rate in the last step.
        losses: The loss of each step.
        num_pictures: Pictures that were trained on.
        seconds: Time that this took, without validation.
        score: The score that chooses the best epoch; NaN: none.
        scores: Scores on whole pictures, where there are any.
    """
    metrics: dict[str, Any] = {
        "epoch": epoch,
        "train_loss": sum(losses) / len(losses) if losses else None,
        "learning_rate": rate,
        "mean_iou": None if math.isnan(score) else score,
        "seconds": seconds,
        "pictures_per_second": num_pictures / max(seconds, 1e-9),
    }
    if scores is not None:
        metrics["pixel_accuracy"] = scores.pixel_accuracy
        metrics["iou"] = {entry["name"]: entry["iou"] for entry in scores.to_dict()["classes"]}
    return metrics


def header_scores(scores: Scores | None, epoch: int) -> dict[str, Any]:
    """What a model file of ``epoch`` says of its scores on the validation pictures."""
    return {"epoch": epoch} if scores is None else {"epoch": epoch, "split": "val", **scores.to_dict()}
