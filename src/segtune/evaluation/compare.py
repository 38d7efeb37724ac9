"""Two models on the same pictures: how much they differ, and whether that is more than chance."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from segtune.evaluation.bootstrap import FEW_PICTURES, Interval, interval
from segtune.evaluation.scores import Scores, score_table, shown

MIN_PICTURES = 6
"""With fewer, all of them being better happens by chance in more than 5 % of the cases: twice 1/2 to the fifth."""


@dataclass(frozen=True)
class Comparison:
    """Scores of two models.

    Attributes:
        scores: The first one's.
        other: The other's, of the same classes, on the same pictures in the same order.
    """

    scores: Scores
    other: Scores

    @property
    def difference(self) -> float:
        """Mean IoU of the first less that of the other."""
        return self.scores.mean_iou - self.other.mean_iou

    @property
    def difference_interval(self) -> Interval | None:
        """Where it lies with 95 % confidence: both are scored on the same resampled pictures."""
        if self.scores.bootstrap is None or self.other.bootstrap is None:
            return None
        first = int(self.scores.exclude_background)
        differences = self.scores.bootstrap.mean_iou(first) - self.other.bootstrap.mean_iou(first)
        return interval(differences, self.scores.num_pictures)

    @property
    def class_intervals(self) -> list[Interval | None]:
        """The same of the IoU of each class."""
        if self.scores.bootstrap is None or self.other.bootstrap is None:
            return [None] * self.scores.classes.num_classes
        differences = self.scores.bootstrap.iou() - self.other.bootstrap.iou()
        return list(map(interval, differences.T, self.scores.pictures_with_class.tolist()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "scores": self.other.to_dict(),
            "difference": self.difference,
            "difference_interval": self.difference_interval,
            "class_difference_intervals": self.class_intervals,
        }

    def table(self, title: str, names: tuple[str, str]) -> Table:
        """Both for the terminal."""
        caption = f"mean IoU of {names[0]} less that of {names[1]} {self.difference:+.4f}; {self.verdict()}"
        table = score_table(title, caption)
        table.add_column("IoU")
        for name in (*names, "difference", "95 %"):
            table.add_column(Text(name), justify="right", no_wrap=True)
        mean = "mean", self.scores.mean_iou, self.other.mean_iou, self.difference_interval
        classes = zip(
            self.scores.classes.names, self.scores.iou, self.other.iou, self.class_intervals, strict=True
        )  # fmt: skip
        for name, one, other, between in (mean, *classes):
            numbers = [shown(None if value != value else float(value)) for value in (one, other)]
            difference = "–" if one != one or other != other else f"{one - other:+.4f}"
            table.add_row(Text(name), *numbers, difference, shown_signed(between))
        return table

    def verdict(self) -> str:
        """What the interval says."""
        between, num_pictures = self.difference_interval, self.scores.num_pictures
        if between is None or num_pictures < MIN_PICTURES:
            return f"too few pictures ({num_pictures}) to tell it from chance"
        rough = f" (roughly: {num_pictures} pictures)" if num_pictures < FEW_PICTURES else ""
        if between[0] <= 0 <= between[1]:
            return f"95 %: {shown_signed(between)}{rough}, so it may be chance"
        return f"95 %: {shown_signed(between)}{rough}, so it is more than chance"


def shown_signed(between: Interval | None) -> str:
    """An interval of differences, for people."""
    return "–" if between is None else f"{between[0]:+.3f} … {between[1]:+.3f}"
