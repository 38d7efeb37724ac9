"""Scores from a confusion matrix: IoU, accuracy, precision, recall; their table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table
from rich.text import Text

from segtune.classes import IGNORE, ClassTable

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def confusion_matrix(labels: npt.NDArray[np.uint8], class_ids: npt.NDArray[np.uint8], num_classes: int) -> Counts:
    """Count pixels by labelled and predicted class.

    Args:
        labels: uint8 (H, W); pixels of value ``IGNORE`` don't count.
        class_ids: uint8 (H, W), 0 .. num_classes - 1.
        num_classes: C.

    Returns:
        int64 (C, C): rows are labels, columns predictions.
    """
    counted = labels != IGNORE
    pairs = labels[counted].astype(np.int64) * num_classes + class_ids[counted]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Scores:
    """How well predictions match labels, over all pixels of all pictures that carry a label.

    Attributes:
        confusion: int64 (C, C), pixels by labelled (row) and predicted (column) class.
        classes: The C classes.
        num_pictures: How many pictures were scored.
        pictures_with_class: int64 (C,), how many of them have the class in their labels.
    """

    confusion: Counts
    classes: ClassTable
    num_pictures: int
    pictures_with_class: Counts

    @property
    def iou(self) -> Values:
        """Intersection over union of each class, float64 (C,); NaN where neither labels nor predictions have it."""
        hits = np.diag(self.confusion)
        return _ratio(hits, self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - hits)

    @property
    def recall(self) -> Values:
        """Share of a class's labelled pixels that are predicted so, float64 (C,); NaN without labels."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def precision(self) -> Values:
        """Share of a class's predicted pixels that are labelled so, float64 (C,); NaN where never predicted."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def pixel_share(self) -> Values:
        """Share of the labelled pixels that a class has, float64 (C,)."""
        labelled: Counts = self.confusion.sum(axis=1)
        share: Values = labelled / max(1, int(labelled.sum()))
        return share

    @property
    def mean_iou(self) -> float:
        """Mean of ``iou`` over the classes that occur in labels or predictions; 0 without any."""
        return _mean(self.iou)

    @property
    def mean_accuracy(self) -> float:
        """Mean of ``recall`` over the classes that occur in the labels; 0 without any."""
        return _mean(self.recall)

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels that are predicted right."""
        return float(np.trace(self.confusion) / max(1, int(self.confusion.sum())))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not defined is null."""
        rows = zip(
            self.classes.names, self.iou, self.precision, self.recall, self.pixel_share, self.pictures_with_class,
            strict=True,
        )  # fmt: skip
        return {
            "mean_iou": self.mean_iou,
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "num_pictures": self.num_pictures,
            "num_pixels": int(self.confusion.sum()),
            "classes": [
                {
                    "name": name,
                    "iou": _defined(iou),
                    "precision": _defined(precision),
                    "recall": _defined(recall),
                    "pixel_share": float(share),
                    "num_pictures": int(count),
                }
                for name, iou, precision, recall, share, count in rows
            ],
            "confusion": self.confusion.tolist(),
        }

    @staticmethod
    def from_dict(values: dict[str, Any], classes: ClassTable) -> "Scores":
        """The inverse of ``to_dict``."""
        pictures_with_class = [entry["num_pictures"] for entry in values["classes"]]
        confusion = np.array(values["confusion"], np.int64)
        return Scores(confusion, classes, int(values["num_pictures"]), np.array(pictures_with_class, np.int64))

    def in_brief(self) -> dict[str, Any]:
        """What a line of metrics.jsonl says, beside the mean IoU."""
        iou = {name: _defined(value) for name, value in zip(self.classes.names, self.iou, strict=True)}
        return {"pixel_accuracy": self.pixel_accuracy, "iou": iou}

    def table(self, title: str) -> Table:
        """The scores for the terminal."""
        table = Table(title=Text(title), title_justify="left", caption=self.summary(), caption_justify="left")
        table.add_column("class")
        for name in ("IoU", "precision", "recall", "pixels", "pictures"):
            table.add_column(name, justify="right")
        for entry in self.to_dict()["classes"]:
            numbers = [_shown(entry[name]) for name in ("iou", "precision", "recall")]
            table.add_row(Text(entry["name"]), *numbers, f"{entry['pixel_share']:.1%}", str(entry["num_pictures"]))
        return table

    def summary(self) -> str:
        """The whole in one line, with what was counted."""
        counted = int(np.count_nonzero(~np.isnan(self.iou)))
        return (
            f"mean IoU {self.mean_iou:.4f} over {counted} of {self.classes.num_classes} classes, pixel accuracy"
            f" {self.pixel_accuracy:.4f}; {self.num_pictures} pictures at their own size, ignored pixels not counted"
        )


def majority_scores(scores: Scores) -> Scores:
    """What would be scored by predicting the most frequent labelled class everywhere: the floor for any model."""
    labelled = scores.confusion.sum(axis=1)
    confusion = np.zeros_like(scores.confusion)
    confusion[:, int(labelled.argmax())] = labelled
    return Scores(confusion, scores.classes, scores.num_pictures, scores.pictures_with_class)


def _ratio(counts: Counts, totals: Counts) -> Values:
    ratio = np.full(len(counts), np.nan)
    np.divide(counts, totals, out=ratio, where=totals > 0)
    return ratio


def _mean(values: Values) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else 0.0


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
