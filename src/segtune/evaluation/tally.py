"""Counting: pictures come one by one, scores go out at the end; memory does not grow with their number."""

from dataclasses import replace

import numpy as np

from segtune.arrays import Array
from segtune.classes import ClassTable
from segtune.evaluation.bootstrap import Bootstrap, Counts
from segtune.evaluation.boundary import boundary_counts
from segtune.evaluation.scores import Scores, confusion_matrix


class Tally:
    """Adds up pictures.

    Args:
        classes: The C classes.
        with_intervals: Whether to resample the pictures.
        with_boundary: Whether to count near outlines, too; takes longer.
        exclude_background: As in ``Scores``.
    """

    def __init__(
        self,
        classes: ClassTable,
        *,
        with_intervals: bool = True,
        with_boundary: bool = False,
        exclude_background: bool = False,
    ) -> None:
        count = classes.num_classes
        self.classes = classes
        self._sum = Scores(
            np.zeros((count, count), np.int64), classes, 0, np.zeros(count, np.int64),
            Bootstrap(count) if with_intervals else None, np.zeros((2, count), np.int64) if with_boundary else None,
            exclude_background,
        )  # fmt: skip

    def add(self, index: int, labels: Array, class_ids: Array) -> Scores:
        """Add a picture, and say how it alone scores.

        Args:
            index: Its place among the pictures: resampling depends on it.
            labels: uint8 (H, W).
            class_ids: What was predicted, uint8 (H, W).
        """
        confusion = confusion_matrix(labels, class_ids, self.classes.num_classes)
        has_class: Counts = (confusion.sum(axis=1) > 0).astype(np.int64)
        boundary = None
        if self._sum.boundary is not None:
            boundary = boundary_counts(labels, class_ids, self.classes.num_classes)
        one = replace(
            self._sum, confusion=confusion, num_pictures=1, pictures_with_class=has_class, bootstrap=None,
            boundary=boundary,
        )  # fmt: skip
        if self._sum.bootstrap is not None:
            self._sum.bootstrap.add(index, confusion)
        self._sum = replace(
            self._sum,
            confusion=self._sum.confusion + confusion,
            num_pictures=self._sum.num_pictures + 1,
            pictures_with_class=self._sum.pictures_with_class + has_class,
            boundary=None if boundary is None or self._sum.boundary is None else self._sum.boundary + boundary,
        )
        return one

    @property
    def scores(self) -> Scores:
        """Of all that was added."""
        return self._sum
