"""A .safetensors in ONNX Runtime: cached by content, never stale, and no error where nothing can be written."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from segtune.data.cache_folder import session_folder
from segtune.errors import UserError
from segtune.model_file import load_model, save_model
from segtune.prediction.predictor import load
from segtune.runtimes.onnx_runtime import OnnxRuntime


@pytest.fixture
def model(trained_run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Which one is faster is the machine's; here it is ONNX Runtime.
    monkeypatch.setattr("segtune.runtimes.session_cache.MIN_SPEED", 0)
    return shutil.copy(trained_run / "model.safetensors", tmp_path / "model.safetensors")


@pytest.fixture
def picture(trained_run):
    return next((trained_run.parent / "dataset" / "val" / "Images").iterdir())


def kept():
    return sorted(path.suffix for path in session_folder().iterdir()) if session_folder().exists() else []


def test_second_time_the_session_comes_from_the_cache(model, picture, capsys):
    first, second = load(model, "cpu"), load(model, "cpu")
    assert capsys.readouterr().err.count("Preparing the model") == 1
    assert isinstance(first.backend, OnnxRuntime)
    assert isinstance(second.backend, OnnxRuntime)
    assert kept() == [".json", ".onnx"]
    eager = load(model, "cpu", backend="eager").predict(picture)
    for predictor in (first, second):
        assert (predictor.predict(picture).class_ids == eager.class_ids).mean() >= 0.999


def test_another_model_of_the_same_name_gets_a_session_of_its_own(model):
    load(model, "cpu")
    other = load_model(model)
    save_model(model, replace(other, scores={"mean_iou": 0.5}))
    load(model, "cpu")
    assert kept().count(".onnx") == 2


def test_damaged_cache_is_made_again(model, picture):
    load(model, "cpu")
    for path in session_folder().iterdir():
        path.write_bytes(b"damaged")
    assert isinstance(load(model, "cpu").backend, OnnxRuntime)
    assert load(model, "cpu").predict(picture).class_ids.shape == (72, 96)


def test_cache_that_can_not_be_written_is_no_error(model, tmp_path):
    (tmp_path / "cache").write_text("a file, no folder")
    assert isinstance(load(model, "cpu").backend, OnnxRuntime)


def test_slower_sessions_are_not_taken_and_remembered(model, monkeypatch, capsys):
    monkeypatch.setattr("segtune.runtimes.session_cache.MIN_SPEED", np.inf)
    for _ in range(2):
        assert not isinstance(load(model, "cpu").backend, OnnxRuntime)
    assert isinstance(load(model, "cpu", backend="onnxruntime").backend, OnnxRuntime)  # who asks for it gets it
    assert kept() == [".json", ".onnx"]
    assert capsys.readouterr().err.count("Preparing the model") == 1


def test_sessions_of_other_classes_are_not_taken_and_remembered(model, monkeypatch, capsys):
    monkeypatch.setattr("segtune.runtimes.session_cache.MIN_EQUAL", 1.1)
    for _ in range(2):
        assert not isinstance(load(model, "cpu").backend, OnnxRuntime)
        with pytest.raises(UserError, match="of the pixels the same class"):
            load(model, "cpu", backend="onnxruntime")
    assert kept() == [".json"]
    assert capsys.readouterr().err.count("Preparing the model") == 1
