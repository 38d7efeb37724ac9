"""How far a training is, by its steps and by the clock; when to save, when to validate."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from segtune.training.plan import TrainPlan
from segtune.training.resume import Progress

TIMES_BETWEEN_FILES = 50
"""A file is written when this many times as long has passed as the last took: 2 % of the time at most."""

SHARE_OF_VALIDATION = 0.05
"""Where time is bounded, an epoch's validation is left out if all would take more than this share of what is over."""
SHARE_OF_FIRST_VALIDATION = 0.1
"""The first, which shows early whether all goes well, may take this share of all the time that there is."""

RESERVE = 1.1
"""The end may take so many times as long as is expected."""


class Rarely:
    """When to write a file again that takes time."""

    def __init__(self) -> None:
        self._written = time.monotonic()
        self._took = 0.0

    def is_due(self) -> bool:
        """Whether it should be written now."""
        return time.monotonic() - self._written >= TIMES_BETWEEN_FILES * self._took

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Note how long it takes."""
        started = time.monotonic()
        yield
        self._written = time.monotonic()
        self._took = self._written - started


class Pace:
    """The clock of a training.

    Args:
        plan: Its plan.
        progress: Where it stands; ``seconds`` is kept up to date.

    Attributes:
        state_file: When to write the state.
    """

    def __init__(self, plan: TrainPlan, progress: Progress) -> None:
        self.plan = plan
        self.progress = progress
        self._started = time.monotonic() - progress.seconds
        self.state_file = Rarely()
        self._expected = 0.0
        self._most_kept = plan.time_budget / 2

    def done(self) -> float:
        """The share of the training that is done, 0 to 1: of its steps, or of its time, whichever is more."""
        plan, progress = self.plan, self.progress
        progress.seconds = time.monotonic() - self._started
        by_steps = progress.step / plan.total_steps if plan.total_steps else 0.0
        if not plan.time_budget:
            return by_steps
        to_train = self.seconds_to_train()
        by_time = progress.seconds / to_train if to_train > 0 else 1.0
        return min(1.0, max(by_steps, by_time))

    def seconds_to_train(self) -> float:
        """The time budget, less what is kept for the end."""
        return self.plan.time_budget - self._end()

    def _end(self) -> float:
        """Seconds to keep for the validation at the end, and for scoring the best model after it; half at most."""
        seconds = self.progress.validation_seconds or self._expected
        return min(self._seconds_of_end(seconds), self._most_kept)

    def expect_validation(self, seconds: float) -> bool:
        """The first validation will take so long; False where the end would take more than half of what is left."""
        self._expected = seconds
        self._most_kept = max(0.0, self.plan.time_budget - (time.monotonic() - self._started)) / 2
        return self._seconds_of_end(seconds) <= self._most_kept

    def _seconds_of_end(self, validation: float) -> float:
        """A validation, and scoring the best model, which one process does for all that share a validation."""
        sharing = self.plan.world_size if self.plan.validation == "whole" else 1
        return RESERVE * validation * (1 + sharing)

    def is_time_to_validate(self) -> bool:
        """Whether there is time for a validation beside the last one."""
        if not self.plan.time_budget:
            return True
        if not self.progress.validation_seconds:
            return self._expected <= SHARE_OF_FIRST_VALIDATION * self.plan.time_budget
        after = self.progress.validating_seconds + self.progress.validation_seconds
        return after <= SHARE_OF_VALIDATION * (time.monotonic() - self._started)

    def validated(self, seconds: float) -> None:
        """A validation took so long."""
        self.progress.validation_seconds = seconds
        self.progress.validating_seconds += seconds
