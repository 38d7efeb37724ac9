"""Intervals from resampling in one pass: those of the ordinary bootstrap, and as sure as they say."""

import numpy as np
import pytest

from segtune.classes import numbered_classes
from segtune.evaluation.bootstrap import Bootstrap, interval
from segtune.evaluation.compare import Comparison
from segtune.evaluation.tally import Tally


def confusions(generator: np.random.Generator, count: int) -> np.ndarray:
    """Pictures of different difficulty, int64 (count, 3, 3)."""
    right = generator.beta(6, 3, (count, 3, 1))
    sizes = generator.integers(200, 4000, (count, 3, 1))
    matrix = np.eye(3) * right + (1 - np.eye(3)) * (1 - right) / 2
    return (matrix * sizes).astype(np.int64)


def mean_iou(confusion: np.ndarray) -> float:
    hits = np.diag(confusion)
    return float(np.mean(hits / (confusion.sum(axis=0) + confusion.sum(axis=1) - hits)))


def streamed(pictures: np.ndarray) -> Bootstrap:
    bootstrap = Bootstrap(3)
    for index, confusion in enumerate(pictures):
        bootstrap.add(index, confusion)
    return bootstrap


def test_interval_is_that_of_the_ordinary_bootstrap():
    generator = np.random.default_rng(0)
    pictures = confusions(generator, 80)
    resampled = [mean_iou(pictures[generator.integers(0, 80, 80)].sum(axis=0)) for _ in range(4000)]
    low, high = interval(streamed(pictures).mean_iou(), 80)
    width = high - low
    assert np.quantile(resampled, [0.025, 0.975]) == pytest.approx((low, high), abs=0.12 * width)


def test_interval_holds_the_truth_in_95_of_100_cases():
    truth = mean_iou(confusions(np.random.default_rng(1), 200_000).sum(axis=0))
    held = 0
    for seed in range(100):
        low, high = interval(streamed(confusions(np.random.default_rng([2, seed]), 60)).mean_iou(), 60)
        held += low <= truth <= high
    assert 88 <= held <= 100


def test_result_does_not_depend_on_who_counts_which_picture():
    pictures = confusions(np.random.default_rng(3), 10)
    whole, odd, even = streamed(pictures), Bootstrap(3), Bootstrap(3)
    for index, confusion in enumerate(pictures):
        (odd if index % 2 else even).add(index, confusion)
    assert (odd.unions + even.unions == whole.unions).all()


def test_class_in_few_pictures_has_a_wide_interval_and_one_in_one_or_none_has_none():
    tally = Tally(numbered_classes(4))
    for index in range(40):
        labels = np.zeros((10, 10), np.uint8)
        labels[:4] = index in {3, 7, 9}
        labels[9, 9] = 2 if index == 7 else 0
        found_columns = np.arange(10) < index % 5
        tally.add(index, labels, np.where(found_columns, labels, 0).astype(np.uint8))
    often, few, once, never = tally.scores.iou_intervals
    assert few[1] - few[0] > 3 * (often[1] - often[0])
    assert once is never is None


@pytest.mark.parametrize(
    ("num_pictures", "verdict"),
    [
        (1, "too few pictures (1)"),
        (5, "too few pictures (5)"),
        (6, "(roughly: 6 pictures), so it is more than chance"),
        (40, "+0.182, so it is more than chance"),
    ],
)
def test_few_pictures_say_little_however_much_better_a_model_is(num_pictures, verdict):
    one, other = Tally(numbered_classes(2)), Tally(numbered_classes(2))
    for index in range(num_pictures):
        labels = np.repeat([0, 1], 50).astype(np.uint8)[None]
        worse = np.where(np.arange(100) % 10 == 0, 1 - labels, labels).astype(np.uint8)
        one.add(index, labels, labels)
        other.add(index, labels, worse)
    assert verdict in Comparison(one.scores, other.scores).verdict()


@pytest.mark.parametrize(("better", "is_chance"), [(0.0, True), (0.3, False)])
def test_difference_of_two_models_is_more_than_chance_where_it_is(better, is_chance):
    generator = np.random.default_rng(4)
    one, other = Tally(numbered_classes(2)), Tally(numbered_classes(2))
    for index in range(60):
        labels = generator.integers(0, 2, (20, 30)).astype(np.uint8)
        for tally, wrong in ((one, 0.4 - better), (other, 0.4)):
            flipped = generator.random(labels.shape) < wrong
            tally.add(index, labels, np.where(flipped, 1 - labels, labels).astype(np.uint8))
    comparison = Comparison(one.scores, other.scores)
    low, high = comparison.difference_interval
    assert low <= comparison.difference <= high
    assert (low <= 0 <= high) == is_chance
    assert ("may be chance" in comparison.verdict()) == is_chance
