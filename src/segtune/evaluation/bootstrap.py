"""How sure a score is: a 95 % interval from resampling the pictures, in one pass.

Each of many replicates counts each picture as often as a Poisson(1) draw says. Where pictures are many, this is the
bootstrap, and it needs no picture to be kept. Draws depend on the picture's place alone: two models scored on the same
pictures have the same replicates, so their difference has an interval, too.

Source: Chamandy, Muralidharan, Najmi and Naidu, "Estimating Uncertainty for Massive Data Streams", Google 2012.
"""

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Interval = tuple[float, float]

NUM_REPLICATES = 1000
SEED = 2012
LEVEL = 0.95

FEW_PICTURES = 20
"""Below this an interval is rough: there are too few pictures to tell how much pictures differ."""


class Bootstrap:
    """Intersections and unions of each class in each replicate.

    Args:
        num_classes: C.

    Attributes:
        intersections: int64 (replicates, C).
        unions: int64 (replicates, C).
    """

    def __init__(self, num_classes: int) -> None:
        self.intersections: Counts = np.zeros((NUM_REPLICATES, num_classes), np.int64)
        self.unions: Counts = np.zeros((NUM_REPLICATES, num_classes), np.int64)

    def add(self, index: int, confusion: Counts) -> None:
        """Add picture number ``index`` with its confusion matrix, int64 (C, C)."""
        hits = np.diag(confusion)
        union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
        times = np.random.default_rng([SEED, index]).poisson(1, NUM_REPLICATES)[:, None]
        self.intersections += times * hits
        self.unions += times * union

    def iou(self) -> Doubles:
        """IoU of each class in each replicate, float64 (replicates, C); NaN where the replicate has none of it."""
        ratio = np.full(self.unions.shape, np.nan)
        np.divide(self.intersections, self.unions, out=ratio, where=self.unions > 0)
        return ratio

    def mean_iou(self, first_class: int = 0) -> Doubles:
        """Mean IoU of the classes from ``first_class`` on in each replicate, float64 (replicates,); NaN without any."""
        iou = self.iou()[:, first_class:]
        counted = (~np.isnan(iou)).sum(axis=1)
        means: Doubles = np.full(len(iou), np.nan)
        np.divide(np.nansum(iou, axis=1), counted, out=means, where=counted > 0)
        return means


def interval(values: Doubles, num_pictures: int) -> Interval | None:
    """Where the middle 95 % of the replicates' values lie.

    None where hardly any is defined, or they are of one picture: that doesn't tell how much pictures differ.
    """
    defined = values[~np.isnan(values)]
    if num_pictures < 2 or len(defined) < NUM_REPLICATES // 2:
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
