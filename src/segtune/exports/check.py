"""What an exported file predicts beside what its model predicts, through the code of 'segtune predict'."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segtune.annotations.dataset_folder import Pair
from segtune.arrays import Array, Floats, Values
from segtune.classes import ClassTable
from segtune.console import track
from segtune.evaluation.scores import Scores, confusion_matrix
from segtune.pictures import read_labels, read_picture
from segtune.prediction.predictor import Predictor


@dataclass(frozen=True)
class ExportCheck:
    """An exported file beside its model, on the same pictures at their own size.

    Attributes:
        num_pictures: How many.
        equal_pixels: Share of pixels of the same class, 0..1; where class ids come out, of what the network put out.
        mean_iou: The exported file's against the labels.
        model_mean_iou: The model's.
        largest_difference: Between two logits, of what the network saw first of each picture; NaN where class ids come
            out.
        speed_ratio: How many times as fast as PyTorch the exported file predicted, the whole way; the median.
    """

    num_pictures: int
    equal_pixels: float
    mean_iou: float
    model_mean_iou: float
    largest_difference: float
    speed_ratio: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values; null where there is no number."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in vars(self).items()
        }

    def lines(self) -> list[str]:
        """What to print."""
        difference = "" if math.isnan(self.largest_difference) else f", logits within {self.largest_difference:.2g}"
        return [
            f"On {self.num_pictures} pictures: {self.equal_pixels:.4%} of the pixels have the same class{difference}",
            f"Mean IoU {self.mean_iou:.4f}, the model's is {self.model_mean_iou:.4f}",
            f"{self.speed_ratio:.2f} times as fast as PyTorch here",
        ]


class _Noted:
    """A predictor of whose network's answers to a picture is kept what is compared.

    Args:
        predictor: It.
        of_all: Whether that is the class ids of each answer; else it is the first answer alone.
    """

    def __init__(self, predictor: Predictor, of_all: bool) -> None:
        self.predictor = predictor
        self.kept: list[Values] = []
        self._of_all = of_all
        self._run = predictor.backend.run
        predictor.answer = self._answer

    def _answer(self, images: Floats | Array) -> Values:
        answer = self._run(images)
        if self._of_all:
            is_logits = self.predictor.has_confidence
            self.kept.append(np.asarray(answer).argmax(axis=1).astype(np.uint8) if is_logits else np.asarray(answer))
        elif not self.kept:
            self.kept.append(answer)
        return answer

    def predict(self, picture: Array) -> tuple[Array, float]:
        """Class ids, uint8 (H, W), and the seconds that they took."""
        self.kept.clear()
        start = time.perf_counter()
        class_ids = self.predictor.predict(picture).class_ids
        return class_ids, time.perf_counter() - start


def check_export(model: Predictor, exported: Predictor, pairs: Sequence[Pair], table: ClassTable) -> ExportCheck:
    """Predict pictures with both, one after the other.

    Args:
        model: The model in PyTorch.
        exported: The exported file.
        pairs: Pictures and label images.
        table: Says which label values are ignored.
    """
    has_logits = exported.has_confidence
    one, two = (_Noted(predictor, of_all=not has_logits) for predictor in (model, exported))
    num_classes = table.num_classes
    counts = np.zeros((2, num_classes, num_classes), np.int64)
    present = np.zeros(num_classes, np.int64)
    equal = pixels = 0
    largest = 0.0 if has_logits else math.nan
    ratios = []
    for index, pair in enumerate(track(pairs, "Checking")):
        picture, labels = read_picture(pair.picture), read_labels(pair.labels, table)
        if index == 0:  # warms up
            one.predict(picture)
            two.predict(picture)
        # The first one's threads wait actively for a while, and slow the second one down: that is each in turn.
        turn = (one, two) if index % 2 else (two, one)
        answers = {predictor: predictor.predict(picture) for predictor in turn}
        (expected, seconds), (found, exported_seconds) = answers[one], answers[two]
        ratios.append(seconds / exported_seconds)
        # Class ids as the network gives them: tiles and the picture's own size blend logits, but not ids.
        same = expected == found if has_logits else _same(one.kept, two.kept)
        equal += int(same.sum())
        pixels += same.size
        if has_logits:
            largest = max(largest, _difference(one.kept[0], two.kept[0]))
        for confusion, class_ids in zip(counts, (expected, found), strict=True):
            confusion += confusion_matrix(labels, class_ids, num_classes)
        present += np.bincount(labels[labels < num_classes], minlength=num_classes) > 0
    model_scores, scores = (Scores(confusion, table, len(pairs), present) for confusion in counts)
    return ExportCheck(
        len(pairs), equal / pixels, scores.mean_iou, model_scores.mean_iou, largest, float(np.median(ratios))
    )


def _difference(one: Values, two: Values) -> float:
    """Between logits (N, C, H, W) of both."""
    first, second = _cropped(one, two)
    return float(np.abs(first - second).max())


def _same(one: Sequence[Values], two: Sequence[Values]) -> Values:
    """Where class ids (N, H, W) of both are the same, of all answers to a picture."""
    return np.concatenate([np.equal(*_cropped(*ids)).ravel() for ids in zip(one, two, strict=True)])


def _cropped(one: Values, two: Values) -> Sequence[Values]:
    """Both as large as the smaller: one of them may be padded."""
    arrays = [np.asarray(value) for value in (one, two)]
    height, width = (min(array.shape[axis] for array in arrays) for axis in (-2, -1))
    return [array[..., :height, :width] for array in arrays]
