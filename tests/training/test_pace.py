"""How far a training is: by steps, by time."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from segtune.config import TrainConfig
from segtune.errors import UserError
from segtune.training.events import EpochDone, Notice, StepDone
from segtune.training.limits import seconds_in
from segtune.training.pace import Pace
from segtune.training.plan import Facts, make_plan
from segtune.training.resume import Progress
from segtune.training.train import TrainingInterrupted, train

PLAN = make_plan(TrainConfig(Path("d"), Path("r"), epochs=10, batch_size=1), Facts(2, 10, (9, 9), "cpu", 2))


def test_share_of_the_steps():
    assert [Pace(PLAN, Progress(step=step)).done() for step in (0, 50, 100)] == [0, 0.5, 1]


def test_share_of_the_time_leaves_room_for_the_last_validation():
    plan = replace(PLAN, epochs=0, total_steps=0, time_budget=100.0)
    assert Pace(plan, Progress(seconds=25)).done() == pytest.approx(0.25, abs=0.01)
    assert Pace(plan, Progress(seconds=25, validation_seconds=40 / 2.2)).done() == pytest.approx(25 / 60, abs=0.01)


@pytest.mark.parametrize(
    ("expected", "world_size", "fits", "kept"), [(10.0, 1, True, 22.0), (30.0, 1, False, 37.5), (10.0, 2, True, 33.0)]
)
def test_the_first_validation_is_expected_but_to_take_half_of_what_is_left_at_most(expected, world_size, fits, kept):
    """Together the processes validate, but the best model is scored by one of them."""
    plan = replace(PLAN, epochs=0, total_steps=0, time_budget=100.0, world_size=world_size)
    pace = Pace(plan, Progress(seconds=25))
    assert pace.expect_validation(expected) == fits
    assert pace.done() == pytest.approx(25 / (100 - kept), abs=0.01)


@pytest.mark.parametrize(
    ("seconds", "validating", "last", "is_time"),
    [(1, 0, 0, True), (100, 0, 4, True), (100, 2, 4, False), (100, 0, 6, False), (100, 4, 0.5, True)],
)
def test_validations_take_a_twentieth_of_the_time_over_all_resumes(seconds, validating, last, is_time):
    plan = replace(PLAN, epochs=0, total_steps=0, time_budget=1000.0)
    progress = Progress(seconds=seconds, validating_seconds=validating, validation_seconds=last)
    assert Pace(plan, progress).is_time_to_validate() == is_time


def test_steps_and_time_whichever_comes_first():
    plan = replace(PLAN, time_budget=100.0)
    assert Pace(plan, Progress(seconds=25, step=70)).done() == pytest.approx(0.7)
    assert Pace(plan, Progress(seconds=125, step=7)).done() == 1


def test_files_are_written_the_more_rarely_the_longer_it_takes(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("segtune.training.pace.time", SimpleNamespace(monotonic=lambda: now[0]))
    file = Pace(PLAN, Progress()).state_file
    assert file.is_due()
    with file.writing():
        now[0] = 2.0
    for now[0], is_due in ((2.0, False), (101.9, False), (102.0, True)):
        assert file.is_due() == is_due


@pytest.mark.parametrize(("expected", "is_time"), [(99.0, True), (101.0, False)])
def test_the_first_validation_takes_a_tenth_of_all_the_time_at_most(expected, is_time):
    pace = Pace(replace(PLAN, epochs=0, total_steps=0, time_budget=1000.0), Progress(seconds=1))
    pace.expect_validation(expected)
    assert pace.is_time_to_validate() == is_time


@pytest.mark.parametrize(("few_steps", "told"), [(10**9, True), (3, False)])
def test_too_short_a_time_for_the_net_is_told_early(dataset, few_steps, told, monkeypatch):
    """Too short is what is too short on a slow machine; here the bound moves."""
    monkeypatch.setattr("segtune.training.loop.FEW_STEPS", few_steps)
    events = []
    options = {"model": "unet:efficientnet_lite0", "crop": 128, "batch_size": 8, "report_to": "none"}

    def listen(event):
        events.append(event)
        if isinstance(event, StepDone) and event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted):
        train(TrainConfig(dataset, dataset.parent / "run", time_budget="1h", **options), listeners=[listen])
    (place,) = [index for index, event in enumerate(events) if isinstance(event, StepDone) and event.step == 2]
    assert (isinstance(events[place + 1], Notice) and "are enough for about" in events[place + 1].text) == told


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("1.5h", 5400), (" 2M ", 120)])
def test_times_are_read(text, seconds):
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "10 minutes", "0s", "1m1h"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UserError, match="--time-budget is"):
        seconds_in(text)


@pytest.mark.parametrize(("time_budget", "warns"), [("0.02s", True), ("1h", False)])
def test_too_short_a_time_to_validate_is_told(dataset, time_budget, warns):
    events = []
    options = {"model": "unet:efficientnet_lite0", "crop": 64, "batch_size": 2, "report_to": "none"}

    def listen(event):
        events.append(event)
        if isinstance(event, StepDone):
            raise KeyboardInterrupt

    with suppress(TrainingInterrupted):  # of the shorter time no step is done
        train(TrainConfig(dataset, dataset.parent / "run", time_budget=time_budget, **options), listeners=[listen])
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert any("takes more than half of the" in text for text in notices) == warns


def test_what_is_kept_for_validating_leaves_time_to_train():
    plan = replace(PLAN, epochs=0, total_steps=0, time_budget=100.0)
    pace = Pace(plan, Progress(seconds=80))  # trying it has taken so long
    assert not pace.expect_validation(80.0)
    assert pace.done() == pytest.approx(80 / 90, abs=0.01)
    assert not pace.is_time_to_validate()
    pace.validated(80.0)
    assert pace.done() == pytest.approx(80 / 90, abs=0.01)


def test_training_ends_when_the_time_is_up_with_its_rate_decayed(dataset):
    events = []
    options = {"model": "unet:efficientnet_lite0", "crop": 64, "batch_size": 2, "report_to": "none"}
    train(TrainConfig(dataset, dataset.parent / "run", time_budget="6s", **options), listeners=[events.append])
    steps = [event for event in events if isinstance(event, StepDone)]
    last = [event for event in events if isinstance(event, EpochDone)][-1]
    assert steps[-1].learning_rate < 0.2 * max(step.learning_rate for step in steps)
    assert last.metrics["mean_iou"] is not None
    assert len({event.epoch for event in events if isinstance(event, EpochDone)}) == last.epoch
