"""How sure a model is of a picture: pixel by pixel, and as one number that thin borders don't dominate."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segtune.arrays import Array, Floats
from segtune.prediction.predictor import Prediction, Predictor

Map = npt.NDArray[np.float16]

BORDER = 0.005
"""Half the width of the band along borders that is left out, as a share of the diagonal; at least 2 pixels."""

GRID = 4
"""Rows and columns of cells over which probabilities are pooled."""


@dataclass(frozen=True)
class Look:
    """What a model says of a picture, and how sure it is.

    Attributes:
        prediction: The classes.
        entropy: float16 (H, W), 0 where one class has all the probability, 1 where all have the same.
        margin: float16 (H, W), 1 minus the difference of the two largest probabilities.
        pooled: float32 (C * GRID * GRID,), the square roots of each class's and cell's share of all probability.
    """

    prediction: Prediction
    entropy: Map
    margin: Map
    pooled: Floats

    @property
    def uncertainty(self) -> Map:
        """The mean of entropy and margin: one sees how many classes are possible, the other how near the second is."""
        mean: Map = (self.entropy + self.margin) / np.float16(2)
        return mean


@dataclass(frozen=True)
class Uncertainty:
    """A picture's uncertainty, 0 to 1 each.

    Attributes:
        entropy: By regions.
        margin: By regions.
        plain_entropy: The mean entropy of all pixels, borders and all.
    """

    entropy: float
    margin: float
    plain_entropy: float

    @property
    def score(self) -> float:
        """What pictures are ranked by."""
        return (self.entropy + self.margin) / 2


def look_at(predictor: Predictor, picture: Array) -> Look:
    """Predict a picture, uint8 (H, W, 3) RGB; of its probabilities a band of rows is in memory at a time."""
    height, width = picture.shape[:2]
    classes = predictor.model.classes
    class_ids = np.empty((height, width), np.uint8)
    confidence = np.empty((height, width), np.float32)
    entropy, margin = np.empty((2, height, width), np.float16)
    cells = np.zeros((classes.num_classes, GRID, GRID))
    columns = np.arange(width) * GRID // width
    for rows, logits in predictor.logit_rows(picture):
        class_ids[rows], confidence[rows] = predictor.backend.best(logits)
        probabilities = predictor.backend.numpy(predictor.backend.softmax(logits[None])[0])
        entropy[rows] = -(probabilities * np.log(probabilities + 1e-12)).sum(axis=0) / np.log(max(2, len(cells)))
        margin[rows] = _margin(probabilities)
        for row in np.unique(np.arange(rows.start, rows.stop) * GRID // height):
            part = probabilities[:, np.arange(rows.start, rows.stop) * GRID // height == row].sum(axis=1)
            for column in range(GRID):
                cells[:, row, column] += part[:, columns == column].sum(axis=1)
    prediction = Prediction(class_ids, confidence, classes)
    return Look(prediction, entropy, margin, np.sqrt(cells / (height * width)).astype(np.float32).ravel())


def measure(look: Look) -> Uncertainty:
    """The uncertainty of a picture as numbers."""
    inner = away_from_borders(look.prediction.class_ids)
    entropy, margin = (_by_region(values, look.prediction.class_ids, inner) for values in (look.entropy, look.margin))
    return Uncertainty(entropy, margin, float(look.entropy.mean(dtype=np.float64)))


def away_from_borders(class_ids: Array) -> npt.NDArray[np.bool_]:
    """The pixels of uint8 (H, W) that have one class all around."""
    radius = max(2, round(BORDER * float(np.hypot(*class_ids.shape))))
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return np.asarray(cv2.dilate(class_ids, window) == cv2.erode(class_ids, window))


def _by_region(values: Map, class_ids: Array, inner: npt.NDArray[np.bool_]) -> float:
    """The mean of the classes' means off the borders, each weighted by the square root of its size.

    At borders every model is unsure by nature, and to label them again teaches little. By plain pixels a large road
    would drown the few people on it; by classes alone a speck would count as much as the road. A class that is nothing
    but border, as a thin pole, counts with all of its pixels.
    """
    total = weights = 0.0
    for class_id in np.unique(class_ids):
        has_class = class_ids == class_id
        counted = has_class & inner
        weight = float(np.sqrt(has_class.sum()))
        total += weight * float(values[counted if counted.any() else has_class].mean(dtype=np.float64))
        weights += weight
    return total / weights


def _margin(probabilities: Floats) -> Floats:
    if len(probabilities) == 1:
        return np.zeros(probabilities.shape[1:], np.float32)
    second, first = np.partition(probabilities, -2, axis=0)[-2:]
    nearness: Floats = 1 - (first - second)
    return nearness
