"""How far a training is, by its steps and by the clock; when to save, when to validate."""

import math
import time

from segtune.training.plan import TrainPlan
from segtune.training.resume import Progress

SHARE_OF_SAVING = 50
"""A resume file is written when this many times as long has passed as the last took: 2 % of the time at most."""

SHARE_OF_VALIDATION = 0.05
"""Where time is bounded, an epoch's validation is left out if all would take more than this share of it."""

FIRST_STEPS = 1
"""Steps that say nothing of the speed: they wait for workers, caches, compilation and the device's start."""


class Pace:
    """The clock of a training.

    Args:
        plan: Its plan.
        progress: Where it stands; ``seconds`` is kept up to date.
        val_pixels: Of all validation pictures, to guess how long the first validation takes.
    """

    def __init__(self, plan: TrainPlan, progress: Progress, val_pixels: int) -> None:
        self.plan = plan
        self.progress = progress
        self.val_pixels = val_pixels
        self._started = time.monotonic() - progress.seconds
        self._saved = time.monotonic()
        self._saving = 0.0
        self._num_steps = 0
        self._seconds_a_pixel = math.inf

    def done(self) -> float:
        """The share of the training that is done, 0 to 1: of its steps, or of its time, whichever is more."""
        plan, progress = self.plan, self.progress
        progress.seconds = time.monotonic() - self._started
        by_steps = progress.step / plan.total_steps if plan.total_steps else 0.0
        if not plan.time_budget:
            return by_steps
        left_to_train = plan.time_budget - self._last_validation()
        by_time = progress.seconds / left_to_train if left_to_train > 0 else 1.0
        return min(1.0, max(by_steps, by_time))

    def _last_validation(self) -> float:
        """Seconds to keep for the validation at the end, and for scoring the best model after it."""
        if self.progress.validation_seconds:
            return 2.2 * self.progress.validation_seconds
        if self._num_steps <= FIRST_STEPS:
            return 0.0
        return min(2 * self.val_pixels * self._seconds_a_pixel, self.plan.time_budget / 2)

    def stepped(self, seconds: float, num_pictures: int) -> None:
        """A step with so many pictures took so long."""
        self._num_steps += 1
        if self._num_steps > FIRST_STEPS:
            # The fastest: what else a step may wait for, a validation does not.
            self._seconds_a_pixel = min(self._seconds_a_pixel, seconds / (num_pictures * self.plan.crop**2))

    def is_time_to_save(self) -> bool:
        """Whether the state should be written now."""
        return time.monotonic() - self._saved >= SHARE_OF_SAVING * self._saving

    def saved(self, seconds: float) -> None:
        """The state was written, and that took so long."""
        self._saved, self._saving = time.monotonic(), seconds

    def is_time_to_validate(self) -> bool:
        """Whether there is time for a validation beside the last one."""
        if not self.plan.time_budget or not self.progress.validation_seconds:
            return True
        after = self.progress.validating_seconds + self.progress.validation_seconds
        return after <= SHARE_OF_VALIDATION * (time.monotonic() - self._started)

    def validated(self, seconds: float) -> None:
        """A validation took so long."""
        self.progress.validation_seconds = seconds
        self.progress.validating_seconds += seconds
