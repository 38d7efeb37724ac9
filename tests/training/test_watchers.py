"""Metrics reach TensorBoard; what is not there is told."""

from importlib.util import find_spec

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segtune.config import ResumeConfig, TrainConfig
from segtune.errors import UserError
from segtune.run_folder import RunFolder
from segtune.training.events import EpochDone
from segtune.training.train import TrainingInterrupted, resume, train
from segtune.training.watchers import make_watchers


def curves(run) -> dict[str, list[int]]:
    """The steps of each curve."""
    accumulator = EventAccumulator(str(run / "tensorboard")).Reload()
    return {name: [point.step for point in accumulator.Scalars(name)] for name in accumulator.Tags()["scalars"]}


def test_tensorboard_shows_the_epochs_once_though_the_run_was_interrupted(dataset, monkeypatch):
    def stop(event):
        if isinstance(event, EpochDone) and event.epoch == 2:
            raise KeyboardInterrupt

    options = {"model": "unet:efficientnet_lite0", "crop": 64, "batch_size": 2, "epochs": 3}
    config = TrainConfig(dataset, dataset.parent / "run", **options)
    monkeypatch.setattr("segtune.training.console_listener.ConsoleListener.__call__", lambda _, event: stop(event))
    with pytest.raises(TrainingInterrupted):
        train(config)
    monkeypatch.undo()
    resume(ResumeConfig(config.run))
    shown = curves(config.run)
    assert shown["epoch/mean_iou"] == shown["epoch/train_loss"] == shown["iou/box"] == [3, 6, 9]


@pytest.mark.parametrize(
    ("names", "message"),
    [("tensorbord", "Did you mean tensorboard"), ("tensorboard,nothing", "--report-to names nothing")],
)
def test_unknown_watchers_are_refused(names, message, tmp_path):
    with pytest.raises(UserError, match=message):
        make_watchers(names, RunFolder(tmp_path), False)


@pytest.mark.parametrize("name", [name for name in ("mlflow", "wandb") if find_spec(name) is None])
def test_watcher_that_is_not_installed_says_how_to_install_it(name, tmp_path):
    with pytest.raises(UserError, match=rf"segtune\[{name}\]"):
        make_watchers(name, RunFolder(tmp_path), False)


def test_none_watches_nothing(tmp_path):
    assert make_watchers("none", RunFolder(tmp_path), False) == []
