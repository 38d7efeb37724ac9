"""The wheel with the extra ``runtime`` alone predicts with an .onnx, in an environment without torch."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.cli import main
from segtune.config import ExportConfig
from segtune.exports.export import export
from segtune.pictures import read_labels
from segtune.prediction.predictor import load

ROOT = Path(__file__).parents[2]


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def modules_of(extra):
    return {re.split("[><=]", requirement)[0].replace("-", "_") for requirement in EXTRAS[extra]}


BLOCKED = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {modules_of("train") | modules_of("onnx") - modules_of("runtime")}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
from segtune.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_prediction_and_scores_of_an_onnx_import_no_torch(trained_run, tmp_path):
    model = tmp_path / "m.onnx"
    export(ExportConfig(trained_run / "model.safetensors", model, no_check=True))
    data = trained_run.parent / "dataset"
    run(sys.executable, "-c", BLOCKED, "predict", model, data / "val" / "Images", tmp_path / "lean")
    assert main(["predict", str(model), str(data / "val" / "Images"), str(tmp_path / "full")]) == 0
    for path in (tmp_path / "full" / "labels").iterdir():
        assert (read_labels(path) == read_labels(tmp_path / "lean" / "labels" / path.name)).all()
    assert "mean IoU" in run(sys.executable, "-c", BLOCKED, "evaluate", model, data)


def test_a_merge_needs_no_torch(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "export")
    Image.new("L", (96, 72), 1).save(tmp_path / "export" / "train" / "Labels" / "000.png")
    told = run(sys.executable, "-c", BLOCKED, "convert", tmp_path / "export", dataset, "--merge")
    assert "1 pictures changed" in told


@pytest.mark.slow
def test_wheel_with_the_extra_runtime_predicts_without_torch(trained_run, tmp_path):
    model, python = tmp_path / "m.onnx", tmp_path / "venv" / "bin" / "python"
    export(ExportConfig(trained_run / "model.safetensors", model, no_check=True))
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    uv = Path(sys.executable).with_name("uv")
    run(uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    run(uv, "pip", "install", "--python", python, f"{wheel}[runtime]")
    installed = run(uv, "pip", "list", "--python", python)
    assert "onnxruntime" in installed
    assert "torch" not in installed
    picture = next((trained_run.parent / "dataset" / "val" / "Images").iterdir())
    run(python, "-m", "segtune", "predict", model, picture, tmp_path / "lean")
    labels = read_labels(tmp_path / "lean" / "labels" / f"{picture.stem}.png")
    assert (labels == load(model, "cpu").predict(picture).class_ids).mean() > 0.999
    assert "mean IoU" in run(python, "-m", "segtune", "evaluate", model, trained_run.parent / "dataset")
    done = subprocess.run([python, "-m", "segtune", "train", "a", "b"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs PyTorch" in done.stderr
    assert "pip install '.[train]'" in done.stderr
    assert np.isin(labels, (0, 1, 2)).all()
