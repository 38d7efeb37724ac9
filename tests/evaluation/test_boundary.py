"""Boundary IoU by its definition: pixels of a class within a distance of its outline."""

import math

import cv2
import numpy as np
import pytest

from segtune.classes import IGNORE
from segtune.evaluation.boundary import boundary_counts


def reference(mask: np.ndarray) -> np.ndarray:
    """The paper's code: https://github.com/bowenc0221/boundary-iou-api, boundary_iou/utils/boundary_utils.py."""
    height, width = mask.shape
    dilation = max(1, round(0.02 * math.sqrt(height**2 + width**2)))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=dilation)
    return mask & (eroded[1:-1, 1:-1] == 0)


@pytest.mark.parametrize("size", [(30, 40), (200, 150), (5, 300)])
def test_counts_are_those_of_the_papers_code(size):
    generator = np.random.default_rng(0)
    blobs = [
        (cv2.GaussianBlur(generator.random(size), (0, 0), 5)[..., None] * 3).argsort(axis=None).reshape(size)
        for _ in range(2)
    ]
    labels, class_ids = ((blob * 3 // blob.size).astype(np.uint8) for blob in blobs)
    counts = boundary_counts(labels, class_ids, 4)
    for index in range(3):
        one, other = reference(labels == index), reference(class_ids == index)
        assert counts[:, index].tolist() == [(one & other).sum(), (one | other).sum()]
    assert counts[:, 3].tolist() == [0, 0]


def test_shifted_area_scores_lower_near_its_outline():
    labels, shifted = np.zeros((2, 100, 100), np.uint8)
    labels[20:80, 20:80] = 1
    shifted[22:82, 20:80] = 1
    inter, union = boundary_counts(labels, shifted, 2)[:, 1]
    assert inter / union < 0.7 < 58 / 62


def test_ignored_pixels_belong_to_no_class():
    labels = np.zeros((50, 50), np.uint8)
    labels[:25] = IGNORE
    wrong = np.zeros((50, 50), np.uint8)
    wrong[:25] = 1
    inter, union = boundary_counts(labels, wrong, 2)
    assert inter.tolist() == union.tolist()
    assert union[1] == 0
