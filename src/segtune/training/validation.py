"""Validation: the score of an epoch, as the plan computes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from segtune.annotations.dataset_folder import Pair
from segtune.data.cache import open_samples
from segtune.data.crop import CenterCrop
from segtune.data.loader import AugmentedPictures, Loader
from segtune.errors import UserError
from segtune.evaluation.evaluate import evaluate_pairs
from segtune.evaluation.scores import Scores
from segtune.evaluation.tally import Tally
from segtune.model_file import Model
from segtune.prediction.predictor import Predictor
from segtune.runtimes.eager import Eager
from segtune.training.original_validation import mean_iou_over_batches
from segtune.training.plan import TrainPlan
from segtune.training.processes import Processes

UNSCORED = -1.0
"""The selection IoU of what could not be scored: below all others."""


@dataclass(frozen=True)
class Validated:
    """How a net scores on the validation pictures.

    Attributes:
        mean_iou: 0 to 1; None where nothing could be scored.
        scores: All scores on whole pictures, where these were predicted.
    """

    mean_iou: float | None
    scores: Scores | None = None

    @property
    def selection_iou(self) -> float:
        """What nets and epochs are compared by, 0 to 1 or ``UNSCORED``; the original's validation has but its mean."""
        if self.scores is not None:
            return self.scores.labelled_mean_iou
        return UNSCORED if self.mean_iou is None else self.mean_iou


Validation = Callable[[nn.Module, int], Validated]
"""Net and epoch -> how it scores."""


def make_validation(
    model: Model, plan: TrainPlan, pairs: Sequence[Pair], device: torch.device, processes: Processes
) -> Validation:
    """How the plan scores an epoch: in all processes alike, each picture once."""
    if plan.validation == "original":
        return _on_center_crops(model, plan, pairs, device)

    def validate(net: nn.Module, epoch: int) -> Validated:
        """Pictures at their own size, by the code of prediction: the numbers that are also reported at the end."""
        del epoch
        share = pairs[processes.rank :: processes.world_size]
        predictor = Predictor(model.description, Eager(net, device))
        scores = evaluate_pairs(predictor, share, Tally(model.classes, with_intervals=False), "Validating")
        counts = np.concatenate([scores.confusion.ravel(), scores.pictures_with_class])
        counts = processes.sum_counts(counts, device)
        num_classes = model.classes.num_classes
        confusion = counts[: num_classes**2].reshape(num_classes, num_classes)
        scores = Scores(confusion, model.classes, len(pairs), counts[num_classes**2 :])
        return Validated(scores.mean_iou, scores)

    return validate


def validation_shortage() -> UserError:
    """The error where memory is out while validation pictures are predicted."""
    return UserError(
        "Memory is out in the validation, which predicts pictures as a whole.",
        "Lower --longest-side (or --enlarge, where that is given), and train anew.",
    )


def _on_center_crops(model: Model, plan: TrainPlan, pairs: Sequence[Pair], device: torch.device) -> Validation:
    """The original's validation, which shuffles and batches like its training; every process does all of it."""
    crop = CenterCrop(plan.crop, model.preprocessing.mean)
    samples = open_samples(pairs, model.classes, model.preprocessing, "none", plan.num_workers)
    loader = Loader(AugmentedPictures(samples, crop, plan.seed), plan.batch_size, plan.num_workers)

    def validate(net: nn.Module, epoch: int) -> Validated:
        batches = loader.epoch(epoch)
        mean_iou = mean_iou_over_batches(net, batches, model.preprocessing, model.classes.num_classes, device)
        return Validated(mean_iou)

    return validate
