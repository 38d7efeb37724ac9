"""Scores against counting by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segtune.classes import IGNORE, numbered_classes
from segtune.evaluation.scores import Scores, confusion_matrix, majority_scores


def scores(confusion) -> Scores:
    confusion = np.array(confusion)
    return Scores(confusion, numbered_classes(len(confusion)), 1, (confusion.sum(axis=1) > 0).astype(np.int64))


@given(
    arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, IGNORE])),
    arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2])),
)
def test_confusion_matrix_equals_counting(labels, class_ids):
    counts = np.zeros((3, 3), int)
    for label, class_id in zip(labels.ravel(), class_ids.ravel(), strict=True):
        if label != IGNORE:
            counts[label, class_id] += 1
    assert (confusion_matrix(labels, class_ids, 3) == counts).all()


def test_scores_of_a_known_matrix():
    known = scores([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    assert known.iou[:2].tolist() == [6 / 9, 3 / 6]
    assert known.recall[:2].tolist() == [6 / 8, 3 / 4]
    assert known.precision[:2].tolist() == [6 / 7, 3 / 5]
    assert known.pixel_accuracy == 9 / 12
    assert known.mean_iou == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert known.mean_accuracy == pytest.approx(0.75)


def test_absent_class_is_not_counted_but_a_false_one_is():
    assert np.isnan(scores([[5, 0], [0, 0]]).iou[1])
    assert scores([[5, 0], [0, 0]]).mean_iou == 1
    assert scores([[4, 1], [0, 0]]).iou[1] == 0
    assert scores([[4, 1], [0, 0]]).mean_iou == pytest.approx(0.4)


def test_stray_pixels_of_a_class_without_labels_cost_little_where_epochs_are_compared():
    clean, stray = scores([[50, 50, 0], [0, 99, 0], [0, 0, 0]]), scores([[60, 39, 1], [0, 99, 0], [0, 0, 0]])
    assert stray.mean_iou < clean.mean_iou
    assert stray.labelled_mean_iou > clean.labelled_mean_iou == clean.mean_iou
    assert scores([[0, 0], [0, 0]]).labelled_mean_iou == 0


def test_what_is_not_defined_is_null_in_json():
    entry = scores([[5, 0], [0, 0]]).to_dict()["classes"][1]
    assert (entry["iou"], entry["precision"], entry["recall"], entry["num_pictures"]) == (None, None, None, 0)


def test_majority_predicts_one_class_everywhere():
    floor = majority_scores(scores([[2, 3], [4, 1]]))
    assert floor.confusion.tolist() == [[5, 0], [5, 0]]
    assert floor.mean_iou == pytest.approx(0.25)


def test_table_says_what_was_scored():
    assert "3 pictures" in Scores(np.eye(2, dtype=np.int64), numbered_classes(2), 3, np.array([1, 1])).summary()


def test_summary_names_the_classes_that_nothing_has():
    confusion = np.zeros((4, 4), np.int64)
    confusion[0, 0] = confusion[2, 2] = 5
    told = Scores(confusion, numbered_classes(4), 1, np.array([1, 0, 1, 0])).summary()
    assert "over 2 of 4 classes (neither labelled nor predicted: class_1, class_3)" in told
