"""How far a training is, by its steps and by the clock; when to save, when to validate."""

import time

from segtune.training.plan import TrainPlan
from segtune.training.resume import Progress

SHARE_OF_SAVING = 50
"""A resume file is written when this many times as long has passed as the last took: 2 % of the time at most."""

SHARE_OF_VALIDATION = 0.05
"""Where time is bounded, an epoch's validation is left out if all would take more than this share of it."""

RESERVE = 1.1
"""The end may take so many times as long as is expected."""


class Pace:
    """The clock of a training.

    Args:
        plan: Its plan.
        progress: Where it stands; ``seconds`` is kept up to date.
    """

    def __init__(self, plan: TrainPlan, progress: Progress) -> None:
        self.plan = plan
        self.progress = progress
        self._started = time.monotonic() - progress.seconds
        self._saved = time.monotonic()
        self._saving = 0.0
        self._expected = 0.0
        self._most_kept = plan.time_budget / 2

    def done(self) -> float:
        """The share of the training that is done, 0 to 1: of its steps, or of its time, whichever is more."""
        plan, progress = self.plan, self.progress
        progress.seconds = time.monotonic() - self._started
        by_steps = progress.step / plan.total_steps if plan.total_steps else 0.0
        if not plan.time_budget:
            return by_steps
        left_to_train = plan.time_budget - self._end()
        by_time = progress.seconds / left_to_train if left_to_train > 0 else 1.0
        return min(1.0, max(by_steps, by_time))

    def _end(self) -> float:
        """Seconds to keep for the validation at the end, and for scoring the best model after it; half at most."""
        seconds = self.progress.validation_seconds or self._expected
        return min(self._seconds_of_end(seconds), self._most_kept)

    def expect_validation(self, seconds: float) -> bool:
        """The first validation will take so long; False where the end would take more than half of what is left."""
        self._expected = seconds
        self._most_kept = max(0.0, self.plan.time_budget - (time.monotonic() - self._started)) / 2
        return self._has_time_for_the_end()

    def _has_time_for_the_end(self) -> bool:
        return self._seconds_of_end(self._expected) <= self._most_kept

    def _seconds_of_end(self, validation: float) -> float:
        """A validation, and scoring the best model, which one process does for all that share a validation."""
        sharing = self.plan.world_size if self.plan.validation == "whole" else 1
        return RESERVE * validation * (1 + sharing)

    def is_time_to_save(self) -> bool:
        """Whether the state should be written now."""
        return time.monotonic() - self._saved >= SHARE_OF_SAVING * self._saving

    def saved(self, seconds: float) -> None:
        """The state was written, and that took so long."""
        self._saved, self._saving = time.monotonic(), seconds

    def is_time_to_validate(self) -> bool:
        """Whether there is time for a validation beside the last one."""
        if not self.plan.time_budget:
            return True
        if not self.progress.validation_seconds:
            return self._has_time_for_the_end()
        after = self.progress.validating_seconds + self.progress.validation_seconds
        return after <= SHARE_OF_VALIDATION * (time.monotonic() - self._started)

    def validated(self, seconds: float) -> None:
        """A validation took so long."""
        self.progress.validation_seconds = seconds
        self.progress.validating_seconds += seconds
