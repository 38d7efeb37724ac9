"""Metrics reach who watches; what is not there is told, and what fails there ends no training.

MLflow and Weights & Biases are not among the packages that tests need: small modules of their names stand for them.
"""

import sys
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from textwrap import dedent
from types import ModuleType

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segtune.classes import class_table, write_classes
from segtune.config import ResumeConfig, TrainConfig
from segtune.errors import UserError
from segtune.run_folder import RunFolder
from segtune.training.train import TrainingInterrupted, resume, train
from segtune.training.watchers import make_watchers, refuse_unknown_watchers


def curves(run) -> dict[str, list[int]]:
    """The steps of each curve."""
    accumulator = EventAccumulator(str(run / "tensorboard")).Reload()
    return {name: [point.step for point in accumulator.Scalars(name)] for name in accumulator.Tags()["scalars"]}


@pytest.mark.parametrize(
    ("names", "message"),
    [("tensorbord", "Did you mean tensorboard"), ("tensorboard,nothing", "--report-to names nothing")],
)
def test_unknown_watchers_are_refused(names, message):
    with pytest.raises(UserError, match=message):
        refuse_unknown_watchers(names)


def test_a_mistyped_watcher_leaves_the_earlier_run(dataset):
    options = {"model": "unet:efficientnet_lite0", "crop": 64, "epochs": 1, "overwrite": True}
    config = TrainConfig(dataset, dataset.parent / "run", report_to="none", **options)
    before = train(config, listeners=[]).model.read_bytes()
    with pytest.raises(UserError, match="Did you mean tensorboard"):
        train(replace(config, report_to="tensorbord"))
    assert (config.run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", [name for name in ("mlflow", "wandb") if find_spec(name) is None])
def test_watcher_that_is_not_installed_says_how_to_install_it(name):
    with pytest.raises(UserError, match=rf"\.\[{name}\]"):
        refuse_unknown_watchers(name)


def test_none_watches_nothing(tmp_path):
    assert make_watchers("none", RunFolder(tmp_path), False) == []


MLFLOW = """
import re, signal
from types import SimpleNamespace
calls, fails, stops_at = [], False, None

def start_run(run_id=None, run_name=None):
    calls.append(("start", run_id))
    return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "one"))

def log_params(values):
    calls.append(("params", len(values)))

def log_metrics(values, step):
    if stops_at is not None and step >= stops_at:
        signal.raise_signal(signal.SIGTERM)
    if fails:
        raise ConnectionError("the server is gone")
    for name in values:
        if not re.fullmatch(r"[\\w./ -]+", name):
            raise ValueError(name)
    calls.append(("metrics", tuple(values)))

def end_run(status="FINISHED"):
    calls.append(("end", status))
"""
WANDB = """
import signal
from types import SimpleNamespace
calls, stops_at = [], None

def log(values, step):
    if stops_at is not None and step >= stops_at:
        signal.raise_signal(signal.SIGTERM)
    calls.append(("metrics", tuple(values)))

def init(name, id, resume, config, dir):
    calls.append(("start", id))
    finish = lambda exit_code=None: calls.append(("end", exit_code))
    return SimpleNamespace(id=id or "one", log=log, finish=finish)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Makes a module that stands for a package."""

    def make(name: str, text: str) -> ModuleType:
        (tmp_path / "packages").mkdir()
        (tmp_path / "packages" / f"{name}.py").write_text(dedent(text))
        monkeypatch.syspath_prepend(tmp_path / "packages")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return __import__(name)

    before = set(sys.modules)
    yield make
    for name in {"mlflow", "wandb"} - before:
        sys.modules.pop(name, None)


@pytest.fixture
def config(dataset) -> TrainConfig:
    write_classes(dataset / "classes.yaml", class_table(["floor", "wall, white", "box (100%)"]))
    options = {"model": "unet:efficientnet_lite0", "crop": 64, "batch_size": 2, "epochs": 1}
    return TrainConfig(dataset, dataset.parent / "run", **options)


def test_tensorboard_shows_the_epochs_once_though_the_run_was_interrupted(config, stand_in):
    mlflow = stand_in("mlflow", MLFLOW)
    mlflow.stops_at = 6
    with pytest.raises(TrainingInterrupted):
        train(replace(config, epochs=3, report_to="tensorboard,mlflow"))
    mlflow.stops_at = None
    resume(ResumeConfig(config.run))
    shown = curves(config.run)
    assert shown["epoch/mean_iou"] == shown["epoch/train_loss"] == shown["iou/floor"] == [3, 6, 9]


def test_mlflow_is_told_of_classes_with_any_name(config, stand_in):
    mlflow = stand_in("mlflow", MLFLOW)
    train(replace(config, epochs=4, report_to="mlflow"))
    named = {name for kind, names in mlflow.calls if kind == "metrics" for name in names}
    assert {"iou/floor", "iou/wall__white", "iou/box__100__", "epoch/mean_iou", "train/loss"} <= named
    assert mlflow.calls[0] == ("start", None)
    assert mlflow.calls[-1] == ("end", "FINISHED")


def test_a_watcher_that_fails_is_told_of_once_and_the_training_goes_on(config, stand_in, capsys):
    stand_in("mlflow", MLFLOW).fails = True
    assert train(replace(config, report_to="mlflow")).model.exists()
    assert capsys.readouterr().err.count("mlflow is told no more, the training goes on: the server is gone") == 1


@pytest.mark.parametrize(
    ("stops_at", "learning_rate", "of_mlflow"), [(1, 1e-3, "KILLED"), (None, 1e30, "FAILED"), (None, 1e-3, "FINISHED")]
)
@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_watchers_are_told_how_a_training_ended(config, stand_in, name, stops_at, learning_rate, of_mlflow):
    module = stand_in(name, {"mlflow": MLFLOW, "wandb": WANDB}[name])
    module.stops_at = stops_at
    with nullcontext() if of_mlflow == "FINISHED" else pytest.raises((TrainingInterrupted, UserError)):
        train(replace(config, epochs=2, learning_rate=learning_rate, report_to=name))
    of_wandb = int(of_mlflow != "FINISHED")
    assert module.calls[-1] == ("end", {"mlflow": of_mlflow, "wandb": of_wandb}[name])
