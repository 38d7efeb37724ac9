"""Pictures of the report: which are chosen, and what their difference shows."""

import numpy as np
import pytest

from segtune.report.example_pictures import STRIPES, WRONG, choose_pictures, difference, small_size


@pytest.mark.parametrize(
    ("scored", "count", "worst", "best"),
    [
        (6, 2, ["100", "101"], ["105", "104"]),
        (3, 4, ["100", "101"], ["102"]),
        (1, 4, ["100"], []),
        (6, 0, [], []),
    ],
)
def test_worst_and_best_come_by_turns_and_once(make_dataset, tmp_path, scored, count, worst, best):
    dataset = make_dataset(tmp_path / "dataset", num_val=6)
    scores = {f"{100 + place}.jpg": place / 10 for place in range(scored)}
    chosen = choose_pictures(dataset, scores, count)
    assert [pair.stem for pair, kind in chosen if kind == "worst"] == worst
    assert [pair.stem for pair, kind in chosen if kind == "best"] == best
    assert [kind for _, kind in chosen][:2] == ["worst", "best"][: len(chosen)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, []), (1, ["100", "103"]), (2, ["100", "101", "103", "104"]), (9, [f"10{place}" for place in range(6)])],
)
def test_without_scores_pictures_are_spread(make_dataset, tmp_path, count, expected):
    chosen = [pair.stem for pair, _ in choose_pictures(make_dataset(tmp_path / "d", num_val=6), {}, count)]
    assert chosen == expected


def test_difference_shows_wrong_right_and_ignored():
    picture = np.full((20, 30, 3), (200, 0, 0), np.uint8)
    labels, class_ids = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    class_ids[:, 10:20] = 1
    labels[:, 20:] = 255
    drawn = difference(picture, labels, class_ids)
    right = drawn[:, :10].reshape(-1, 3)
    assert (right == right[0, 0]).all()
    assert right[0, 0] > 120
    assert (drawn[:, 10:20] == WRONG).all()
    assert {tuple(map(int, color)) for color in drawn[:, 20:].reshape(-1, 3)} == set(STRIPES)


@pytest.mark.parametrize(
    ("size", "small"),
    [((72, 96), (72, 96)), ((4000, 3000), (640, 480)), ((1, 9000), (1, 640)), ((640, 640), (640, 640))],
)
def test_small_size_keeps_the_shape(size, small):
    assert small_size(*size) == small
