"""Scores from a confusion matrix: IoU, accuracy, precision, recall; their table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from segtune.classes import IGNORE, ClassTable
from segtune.errors import listed
from segtune.evaluation.bootstrap import FEW_PICTURES, Bootstrap, Counts, Doubles, Interval, interval

NAMED_IN_SUMMARY = 5
"""At most so many of the classes that nothing has are named."""


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
        bootstrap: The same for resampled pictures, where intervals are asked for.
        boundary: int64 (2, C), intersections and unions near outlines, where boundary IoU is asked for.
        exclude_background: Whether class 0 is left out of the means, as the original project did.
    """

    confusion: Counts
    classes: ClassTable
    num_pictures: int
    pictures_with_class: Counts
    bootstrap: Bootstrap | None = None
    boundary: Counts | None = None
    exclude_background: bool = False

    @property
    def iou(self) -> Doubles:
        """Intersection over union of each class, float64 (C,); NaN where neither labels nor predictions have it."""
        hits = np.diag(self.confusion)
        return _ratio(hits, self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - hits)

    @property
    def dice(self) -> Doubles:
        """Dice, or F1, of each class, float64 (C,); NaN where neither labels nor predictions have it."""
        hits = np.diag(self.confusion)
        return _ratio(2 * hits, self.confusion.sum(axis=0) + self.confusion.sum(axis=1))

    @property
    def boundary_iou(self) -> Doubles | None:
        """IoU of each class near its outlines, float64 (C,); None where it was not asked for."""
        return None if self.boundary is None else _ratio(self.boundary[0], self.boundary[1])

    @property
    def recall(self) -> Doubles:
        """Share of a class's labelled pixels that are predicted so, float64 (C,); NaN without labels."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def precision(self) -> Doubles:
        """Share of a class's predicted pixels that are labelled so, float64 (C,); NaN where never predicted."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def pixel_share(self) -> Doubles:
        """Share of the labelled pixels that a class has, float64 (C,)."""
        labelled: Counts = self.confusion.sum(axis=1)
        share: Doubles = labelled / max(1, int(labelled.sum()))
        return share

    @property
    def has_mean_iou(self) -> bool:
        """Whether any class that counts in means occurs in labels or predictions."""
        return not np.isnan(self.iou[self._first :]).all()

    @property
    def mean_iou(self) -> float:
        """Mean of ``iou`` over the classes that occur in labels or predictions; 0 without any."""
        return self._mean(self.iou)

    @property
    def labelled_mean_iou(self) -> float:
        """Mean of ``iou`` over the classes that occur in the labels; 0 without any.

        A few stray pixels of a class that the labels lack take a whole class's share of ``mean_iou``; here they cost no
        more than the pixels that they are missing from. So epochs are compared by this.
        """
        return self._mean(np.where(self.confusion.sum(axis=1) > 0, self.iou, np.nan))

    @property
    def mean_accuracy(self) -> float:
        """Mean of ``recall`` over the classes that occur in the labels; 0 without any."""
        return self._mean(self.recall)

    @property
    def mean_dice(self) -> float:
        """Mean of ``dice`` over the classes that occur in labels or predictions; 0 without any."""
        return self._mean(self.dice)

    @property
    def frequency_weighted_iou(self) -> float:
        """Mean of ``iou``, each class weighted by its share of the labelled pixels."""
        share, iou = self.pixel_share[self._first :], self.iou[self._first :]
        return float(np.nansum(share * iou) / max(float(share.sum()), 1e-12))

    @property
    def mean_iou_interval(self) -> Interval | None:
        """Where the mean IoU lies with 95 % confidence; None without ``bootstrap``."""
        return None if self.bootstrap is None else interval(self.bootstrap.mean_iou(self._first), self.num_pictures)

    @property
    def iou_intervals(self) -> list[Interval | None]:
        """The same of the IoU of each class; None also where too few resampled pictures have it."""
        if self.bootstrap is None:
            return [None] * self.classes.num_classes
        counts = self.pictures_with_class.tolist()
        return list(map(interval, self.bootstrap.iou().T, counts))

    @property
    def _first(self) -> int:
        """The first class that counts in means."""
        return int(self.exclude_background)

    def _mean(self, values: Doubles) -> float:
        counted = values[self._first :]
        defined = counted[~np.isnan(counted)]
        return float(defined.mean()) if defined.size else 0.0

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels that are predicted right."""
        return float(np.trace(self.confusion) / max(1, int(self.confusion.sum())))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not defined is null."""
        boundary = [None] * self.classes.num_classes if self.boundary_iou is None else self.boundary_iou
        rows = zip(
            self.classes.names, self.iou, self.iou_intervals, self.precision, self.recall, self.dice, boundary,
            self.pixel_share, self.pictures_with_class, strict=True,
        )  # fmt: skip
        return {
            "mean_iou": self.mean_iou,
            "mean_iou_interval": self.mean_iou_interval,
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "mean_dice": self.mean_dice,
            **({} if self.boundary_iou is None else {"mean_boundary_iou": self._mean(self.boundary_iou)}),
            "num_pictures": self.num_pictures,
            "num_pixels": int(self.confusion.sum()),
            "exclude_background": self.exclude_background,
            "classes": [
                {
                    "name": name,
                    "iou": _defined(iou),
                    "iou_interval": between,
                    "precision": _defined(precision),
                    "recall": _defined(recall),
                    "dice": _defined(dice),
                    **({} if near_outlines is None else {"boundary_iou": _defined(near_outlines)}),
                    "pixel_share": float(share),
                    "num_pictures": int(count),
                }
                for name, iou, between, precision, recall, dice, near_outlines, share, count in rows
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
        return {"labelled_mean_iou": self.labelled_mean_iou, "pixel_accuracy": self.pixel_accuracy, "iou": iou}

    def table(self, title: str) -> Table:
        """The scores for the terminal."""
        table = score_table(title, self.summary())
        # Eighty columns hold this; Dice says no more of a class than its IoU does.
        table.add_column("class", overflow="fold", min_width=12)
        columns = {"iou": "IoU", "iou_interval": "95 %", "precision": "prec.", "recall": "recall"}
        if self.boundary is not None:
            columns["boundary_iou"] = "boundary"
        if self.bootstrap is None:
            del columns["iou_interval"]
        for name in (*columns.values(), "pixels", "pictures"):
            table.add_column(name, justify="right", no_wrap=True)
        for entry in self.to_dict()["classes"]:
            numbers = [shown(entry[name]) for name in columns]
            table.add_row(Text(entry["name"]), *numbers, f"{entry['pixel_share']:.1%}", str(entry["num_pictures"]))
        return table

    def summary(self) -> str:
        """The whole in words, with what was counted."""
        possible = self.classes.num_classes - self._first
        absent = [self.classes.names[index] for index in np.flatnonzero(np.isnan(self.iou)) if index >= self._first]
        between = self.mean_iou_interval
        sure = f" (95 %: {shown(between)})" if between else ""
        which = f"{possible - len(absent)} of {possible} classes"
        which += f" (neither labelled nor predicted: {listed(absent, NAMED_IN_SUMMARY)})" if absent else ""
        which += ", class 0 left out" if self.exclude_background else ""
        few = few_pictures(self.num_pictures) if between else ""
        told = (
            f"mean IoU {self.mean_iou:.4f}{sure} over {which}, pixel accuracy {self.pixel_accuracy:.4f},"
            f" mean accuracy {self.mean_accuracy:.4f}, mean Dice {self.mean_dice:.4f},"
            f" frequency-weighted IoU {self.frequency_weighted_iou:.4f};"
            f" {self.num_pictures} pictures at their own size, ignored pixels not counted"
        )
        return f"{told}\n{few}" if few else told


def score_table(title: str, caption: str) -> Table:
    """A table for the terminal that has no columns yet; narrow, so that eighty characters hold many."""
    return Table(
        title=Text(title), title_justify="left", caption=caption, caption_justify="left", box=SIMPLE_HEAD,
        collapse_padding=True, pad_edge=False,
    )  # fmt: skip


def few_pictures(num_pictures: int) -> str:
    """What to say of intervals that come from few pictures; otherwise nothing."""
    if num_pictures >= FEW_PICTURES:
        return ""
    return f"With {num_pictures} pictures the intervals are rough, and rather too narrow."


def majority_scores(scores: Scores) -> Scores:
    """What would be scored by predicting the most frequent labelled class everywhere: the floor for any model."""
    labelled = scores.confusion.sum(axis=1)
    confusion = np.zeros_like(scores.confusion)
    confusion[:, int(labelled.argmax())] = labelled
    return Scores(confusion, scores.classes, scores.num_pictures, scores.pictures_with_class)


def _ratio(counts: Counts, totals: Counts) -> Doubles:
    ratio = np.full(len(counts), np.nan)
    np.divide(counts, totals, out=ratio, where=totals > 0)
    return ratio


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def shown(value: float | Interval | None) -> str:
    """A score, or an interval, for people."""
    if isinstance(value, tuple):
        return f"{value[0]:.3f}–{value[1]:.3f}"
    return "–" if value is None else f"{value:.4f}"
