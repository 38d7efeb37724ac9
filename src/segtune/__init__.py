"""segtune fine-tunes semantic segmentation models on a person's own pictures.

The public names are imported when they are first used: ``import segtune`` alone does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segtune.annotations.check import check_dataset
    from segtune.annotations.convert import convert
    from segtune.classes import ClassTable
    from segtune.config import (
        ConvertConfig,
        CrossvalConfig,
        EvaluateConfig,
        ImportWeightsConfig,
        PredictConfig,
        ReportConfig,
        ResumeConfig,
        SuggestConfig,
        TrainConfig,
    )
    from segtune.errors import DataError, UserError
    from segtune.evaluation.evaluate import evaluate
    from segtune.evaluation.scores import Scores
    from segtune.foreign_weights import import_weights
    from segtune.labeling.suggest import suggest
    from segtune.prediction.predict import predict
    from segtune.prediction.predictor import Prediction, Predictor, load
    from segtune.report.report import write_report
    from segtune.training.crossval import crossval
    from segtune.training.train import TrainResult, resume, train

__all__ = [
    "ClassTable",
    "ConvertConfig",
    "CrossvalConfig",
    "DataError",
    "EvaluateConfig",
    "ImportWeightsConfig",
    "PredictConfig",
    "Prediction",
    "Predictor",
    "ReportConfig",
    "ResumeConfig",
    "Scores",
    "SuggestConfig",
    "TrainConfig",
    "TrainResult",
    "UserError",
    "check_dataset",
    "convert",
    "crossval",
    "evaluate",
    "import_weights",
    "load",
    "predict",
    "resume",
    "suggest",
    "train",
    "write_report",
]

_MODULES = {
    "segtune.annotations.check": ("check_dataset",),
    "segtune.annotations.convert": ("convert",),
    "segtune.classes": ("ClassTable",),
    "segtune.config": (
        "ConvertConfig",
        "CrossvalConfig",
        "EvaluateConfig",
        "ImportWeightsConfig",
        "PredictConfig",
        "ReportConfig",
        "ResumeConfig",
        "SuggestConfig",
        "TrainConfig",
    ),
    "segtune.errors": ("DataError", "UserError"),
    "segtune.evaluation.evaluate": ("evaluate",),
    "segtune.evaluation.scores": ("Scores",),
    "segtune.foreign_weights": ("import_weights",),
    "segtune.labeling.suggest": ("suggest",),
    "segtune.prediction.predict": ("predict",),
    "segtune.prediction.predictor": ("Prediction", "Predictor", "load"),
    "segtune.report.report": ("write_report",),
    "segtune.training.crossval": ("crossval",),
    "segtune.training.train": ("TrainResult", "resume", "train"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'segtune' has no attribute {name!r}")
