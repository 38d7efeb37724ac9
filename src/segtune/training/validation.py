"""Validation: the score of an epoch, as the plan computes it."""

from collections.abc import Callable, Sequence

import torch

from segtune.annotations.dataset_folder import Pair
from segtune.data.cache import open_samples
from segtune.data.crop import CenterCrop
from segtune.data.loader import AugmentedPictures, Loader
from segtune.evaluation.evaluate import evaluate_pairs
from segtune.evaluation.scores import Scores
from segtune.model_file import Model
from segtune.prediction.predictor import Predictor
from segtune.training.original import mean_iou_over_batches
from segtune.training.plan import TrainPlan

Validation = Callable[[int], tuple[float, Scores | None]]
"""Epoch -> the score that chooses the best epoch (NaN: none), and the scores on whole pictures where it made them."""


def make_validation(model: Model, plan: TrainPlan, pairs: Sequence[Pair], device: torch.device) -> Validation:
    """How the plan scores an epoch; ``model.net`` is scored as it is then."""
    return {"whole": _on_whole_pictures, "original": _on_center_crops}[plan.validation](model, plan, pairs, device)


def _on_whole_pictures(model: Model, plan: TrainPlan, pairs: Sequence[Pair], device: torch.device) -> Validation:
    """Pictures at their own size, by the code of prediction: the numbers that are also reported at the end."""
    del plan

    def validate(epoch: int) -> tuple[float, Scores | None]:
        del epoch
        scores = evaluate_pairs(Predictor(model, device), pairs, model.classes, "Validating")
        return scores.mean_iou, scores

    return validate


def _on_center_crops(model: Model, plan: TrainPlan, pairs: Sequence[Pair], device: torch.device) -> Validation:
    """The original's validation, which shuffles and batches like its training."""
    crop = CenterCrop(plan.crop, model.preprocessing.mean)
    samples = open_samples(pairs, model.classes, model.preprocessing, "none", plan.num_workers)
    loader = Loader(AugmentedPictures(samples, crop, plan.seed), plan.batch_size, plan.num_workers)

    def validate(epoch: int) -> tuple[float, Scores | None]:
        batches = loader.epoch(epoch)
        score = mean_iou_over_batches(model.net, batches, model.preprocessing, model.classes.num_classes, device)
        return score, None

    return validate
