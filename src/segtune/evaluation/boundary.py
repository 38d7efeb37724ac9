"""Boundary IoU: how well outlines are met, where the IoU of large areas hides it.

Source: Cheng, Girshick, Dollár, Berg and Kirillov, "Boundary IoU", CVPR 2021; distance as in their code, 2 % of the
picture's diagonal.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from segtune.arrays import Array
from segtune.classes import IGNORE
from segtune.evaluation.bootstrap import Counts

SHARE_OF_DIAGONAL = 0.02


def boundary_counts(labels: Array, class_ids: Array, num_classes: int) -> Counts:
    """Pixels of a picture that are near the outline of a class and inside it.

    Args:
        labels: uint8 (H, W); pixels of value ``IGNORE`` belong to no class, in labels and predictions.
        class_ids: uint8 (H, W), 0 .. num_classes - 1.
        num_classes: C.

    Returns:
        int64 (2, C): so many are in labels and prediction (the intersection), and in either (the union).
    """
    distance = max(1, round(SHARE_OF_DIAGONAL * math.hypot(*labels.shape)))
    predicted = np.where(labels == IGNORE, np.uint8(IGNORE), class_ids)
    counts = np.zeros((2, num_classes), np.int64)
    for index in np.union1d(np.unique(labels), np.unique(predicted)):
        if index < num_classes:
            one, other = (_boundary(values == index, distance) for values in (labels, predicted))
            counts[:, index] = np.count_nonzero(one & other), np.count_nonzero(one | other)
    return counts


def _boundary(mask: npt.NDArray[np.bool_], distance: int) -> npt.NDArray[np.bool_]:
    """Pixels of a mask at most ``distance`` from its outline; the picture's edge is one."""
    padded = np.pad(mask.astype(np.uint8), 1)
    kernel = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    inside = cv2.erode(padded, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)[1:-1, 1:-1]
    near: npt.NDArray[np.bool_] = mask & (inside == 0)
    return near
