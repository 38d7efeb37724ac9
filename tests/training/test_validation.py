"""Which epoch is the best."""

import numpy as np
import pytest

from segtune.classes import numbered_classes
from segtune.evaluation.scores import Scores
from segtune.training.resume import Progress
from segtune.training.validation import UNSCORED, Validated


def validated(confusion) -> Validated:
    confusion = np.array(confusion)
    scores = Scores(confusion, numbered_classes(len(confusion)), 1, (confusion.sum(axis=1) > 0).astype(np.int64))
    return Validated(scores.mean_iou, scores)


BACKGROUND_ALONE, TRAINED_WELL, STRAY = [[99, 0], [0, 0]], [[99, 0], [0, 0]], [[98, 1], [0, 0]]


@pytest.mark.parametrize(
    ("epochs", "best"),
    [
        ([BACKGROUND_ALONE, STRAY, TRAINED_WELL], 3),
        ([[[50, 49], [0, 9]], [[60, 39], [0, 9]], [[55, 44], [0, 9]]], 2),
    ],
)
def test_of_equal_epochs_the_last_is_the_best(epochs, best):
    progress = Progress()
    for epoch, confusion in enumerate(epochs, 1):
        progress.epoch = epoch
        assert progress.note_validation(validated(confusion), patience=0) == (epoch == 1 or epoch == best)
    assert progress.best_epoch == best


def test_patience_ends_what_gets_no_better():
    progress = Progress()
    for epoch in (1, 2, 3):
        progress.epoch = epoch
        assert not progress.stopped_early
        assert progress.note_validation(validated(STRAY), patience=2)
    assert progress.stopped_early


def test_the_original_keeps_the_first_of_equal_epochs():
    """It has but the mean of its crops."""
    progress = Progress()
    for epoch in (1, 2):
        progress.epoch = epoch
        progress.note_validation(Validated(0.5), patience=0)
    assert progress.best_epoch == 1


def test_without_a_score_the_newest_epoch_is_the_best_and_patience_does_not_count():
    progress = Progress()
    for epoch in range(1, 9):
        progress.epoch = epoch
        assert progress.note_validation(Validated(None), patience=2)
    assert (progress.best_epoch, progress.best_selection_iou, progress.stopped_early) == (8, UNSCORED, False)
    assert progress.note_validation(Validated(0.0), patience=2)
