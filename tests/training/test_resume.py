"""A training that was interrupted goes on exactly where it was."""

import json
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from segtune.config import ResumeConfig, TrainConfig
from segtune.errors import UserError
from segtune.training.events import EpochDone, Notice, RunStarted, StepDone
from segtune.training.resume import read_progress
from segtune.training.train import TrainingInterrupted, resume, train

OPTIONS = {
    "model": "deeplabv3plus:efficientnet_lite0", "epochs": 3, "batch_size": 4, "crop": 64, "ema": 0.9,
    "report_to": "none", "cutmix": 0.5, "clip_gradient": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_dataset) -> Path:
    """A run that was never interrupted, beside its dataset."""
    folder = tmp_path_factory.mktemp("whole")
    make_dataset(folder / "dataset", num_train=10)
    return train(TrainConfig(folder / "dataset", folder / "run", **OPTIONS), listeners=[]).run


@pytest.fixture
def config(whole, tmp_path) -> TrainConfig:
    """The same training in another folder."""
    return TrainConfig(whole.parent / "dataset", tmp_path / "run", **OPTIONS)


def interrupt(config: TrainConfig, kind: type, number: int) -> None:
    """Train until the ``number``-th event of a kind, and stop there as a kill would: nothing is written any more."""
    seen = []

    def listener(event):
        seen.extend([event] if isinstance(event, kind) else [])
        if len(seen) == number:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted):
        train(config, listeners=[listener])


def content(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in ("model.safetensors", "last.safetensors")]


def told(run: Path) -> list[dict]:
    """What metrics.jsonl says, without the times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


@pytest.mark.parametrize(
    ("kind", "number", "workers"), [(StepDone, 1, 0), (StepDone, 5, 2), (EpochDone, 1, 1), (EpochDone, 3, 0)]
)
def test_interrupted_training_ends_with_the_same_bytes(config, whole, kind, number, workers):
    interrupt(config, kind, number)
    resume(ResumeConfig(config.run, num_workers=workers), listeners=[])
    assert content(config.run) == content(whole)
    assert told(config.run) == told(whole)


def test_training_that_never_wrote_its_state_starts_again(config, whole):
    interrupt(config, RunStarted, 1)
    assert not (config.run / "resume.safetensors").exists()
    resume(ResumeConfig(config.run), listeners=[])
    assert content(config.run) == content(whole)


def test_train_goes_on_where_told_to_and_starts_where_there_is_nothing(config, whole):
    automatic = replace(config, resume="auto")
    interrupt(automatic, StepDone, 4)
    events = []
    result = train(replace(automatic, num_workers=1), listeners=[events.append])
    assert events[0].step > 0
    assert content(config.run) == content(whole)
    assert train(automatic, listeners=[events.append]).best_epoch == result.best_epoch
    assert isinstance(events[-2], Notice)
    assert "--epochs MORE" in events[-2].text


def test_dataset_and_run_may_be_moved(config, whole, tmp_path, make_dataset):
    interrupt(config, EpochDone, 1)
    config.run.rename(tmp_path / "moved")
    make_dataset(tmp_path / "elsewhere", num_train=10)
    resume(ResumeConfig(tmp_path / "moved", dataset=tmp_path / "elsewhere"), listeners=[])
    assert content(tmp_path / "moved") == content(whole)


def test_more_epochs_may_be_asked_for(config):
    train(replace(config, epochs=1), listeners=[])
    resume(ResumeConfig(config.run, epochs=2), listeners=[])
    assert [line["epoch"] for line in told(config.run)] == [1, 2]
    assert read_progress(config.run / "resume.safetensors").epoch == 3


def test_training_that_lost_patience_goes_on_only_if_more_is_asked_for(config):
    options = {"keep_feature_extract": True, "batch_norm": "frozen", "learning_rate": 1e-12}
    impatient = replace(config, epochs=60, patience=1, ema=0.0, **options)
    train(impatient, listeners=[])
    stopped = len(told(config.run))
    assert stopped < 60
    train(replace(impatient, resume="auto"), listeners=[])
    assert len(told(config.run)) == stopped
    train(replace(impatient, resume="auto", epochs=61), listeners=[])
    assert len(told(config.run)) > stopped


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.5}, "--learning-rate was auto, is 0.5"),
        ({"crop": 96, "seed": 3}, "--crop was 64, is 96, --seed was 0, is 3"),
        ({"dataset": Path("other")}, "--dataset was"),
    ],
)
def test_what_may_not_change_is_refused_by_name(config, changes, message):
    interrupt(config, StepDone, 1)
    with pytest.raises(UserError, match=message):
        train(replace(config, resume="auto", **changes), listeners=[])


def test_changed_dataset_is_refused(dataset, tmp_path):
    run = TrainConfig(dataset, tmp_path / "run", **OPTIONS)
    interrupt(run, StepDone, 1)
    Image.new("RGB", (96, 72)).save(dataset / "train" / "Images" / "000.jpg")
    with pytest.raises(UserError, match="has changed"):
        resume(ResumeConfig(run.run), listeners=[])


@pytest.mark.parametrize(
    "damage", [lambda content: content[:1000], lambda content: content[:0], lambda content: content[:-9]]
)
def test_damaged_state_is_told_and_left(config, damage):
    interrupt(config, StepDone, 3)
    state = config.run / "resume.safetensors"
    state.write_bytes(damage(state.read_bytes()))
    before = state.read_bytes()
    with pytest.raises(UserError, match="damaged"):
        resume(ResumeConfig(config.run), listeners=[])
    assert state.read_bytes() == before


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"plan": 1, "config": {}}'])
def test_damaged_record_is_told(config, record):
    config.run.mkdir()
    (config.run / "run.json").write_text(record)
    with pytest.raises(UserError, match=r"run\.json"):
        resume(ResumeConfig(config.run), listeners=[])


def test_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        resume(ResumeConfig(tmp_path), listeners=[])


def test_two_processes_do_not_train_in_one_folder(config):
    interrupt(config, StepDone, 1)
    with FileLock(config.run / ".lock"), pytest.raises(UserError, match="Another process is training"):
        resume(ResumeConfig(config.run), listeners=[])


def test_full_disk_leaves_the_last_good_state(config, whole):
    """Files may have no more than 20 MB from the second epoch on: a state takes more than twice as much."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(event):
        if isinstance(event, EpochDone) and event.epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, before[1]))

    try:
        with pytest.raises(UserError, match=r"resume\.safetensors could not be written"):
            train(config, listeners=[fill])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(config.run.glob(".*.safetensors"))
    resume(ResumeConfig(config.run), listeners=[])
    assert content(config.run) == content(whole)
