"""The scores equal those of torchmetrics, streamed picture by picture as they are."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassPrecision,
)

from segtune.classes import IGNORE, numbered_classes
from segtune.evaluation.tally import Tally

NUM_CLASSES = 5


def pictures(seed: int, absent: tuple[int, ...] = ()):
    """Pictures of several sizes with ignored pixels, and predictions that are right in half of the pixels."""
    generator = np.random.default_rng(seed)
    present = [index for index in range(NUM_CLASSES) if index not in absent]
    for _ in range(4):
        size = tuple(generator.integers(5, 40, 2))
        labels = generator.choice([*present, IGNORE], size).astype(np.uint8)
        guesses = generator.choice(present, size)
        yield labels, np.where((generator.random(size) < 0.5) & (labels != IGNORE), labels, guesses).astype(np.uint8)


def torchmetrics_of(metric, found) -> np.ndarray:
    for labels, class_ids in found:
        metric.update(torch.from_numpy(class_ids)[None].long(), torch.from_numpy(labels)[None].long())
    return metric.compute().numpy()


@pytest.mark.parametrize("absent", [(), (2,), (0, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_torchmetrics(seed, absent):
    found = list(pictures(seed, absent))
    tally = Tally(numbered_classes(NUM_CLASSES))
    for index, (labels, class_ids) in enumerate(found):
        tally.add(index, labels, class_ids)
    scores = tally.scores
    present = [index for index in range(NUM_CLASSES) if index not in absent]
    options = {"num_classes": NUM_CLASSES, "ignore_index": IGNORE}
    for ours, metric in (
        (scores.iou, MulticlassJaccardIndex(average=None, **options)),
        (scores.recall, MulticlassAccuracy(average=None, **options)),
        (scores.precision, MulticlassPrecision(average=None, **options)),
        (scores.dice, MulticlassF1Score(average=None, **options)),
    ):
        np.testing.assert_allclose(ours[present], torchmetrics_of(metric, found)[present], atol=1e-6)
        assert np.isnan(ours[list(absent)]).all()
    for mean, metric in (
        (scores.mean_iou, MulticlassJaccardIndex(average="macro", **options)),
        (scores.mean_accuracy, MulticlassAccuracy(average="macro", **options)),
        (scores.mean_dice, MulticlassF1Score(average="macro", **options)),
        (scores.pixel_accuracy, MulticlassAccuracy(average="micro", **options)),
        (scores.frequency_weighted_iou, MulticlassJaccardIndex(average="weighted", **options)),
    ):
        assert mean == pytest.approx(float(torchmetrics_of(metric, found)), abs=1e-6)
