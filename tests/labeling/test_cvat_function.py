"""The auto-annotation function: driven by cvat-sdk's own driver and by cvat-cli, against a stand-in for the server."""

import importlib.util
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.cli import main as segtune_main
from segtune.pictures import read_picture
from segtune.prediction.predictor import load

pytest.importorskip("cvat_sdk", reason="the extra cvat is not installed")

import cvat_sdk.auto_annotation as cvataa
from cvat_sdk import make_client, models
from cvat_sdk.masks import decode_mask, encode_mask

from segtune.annotations.mask_picture import mask_runs
from segtune.labeling.cvat_function import create, encoded

STAND_IN = importlib.util.spec_from_file_location("cvat_stand_in", Path(__file__).with_name("cvat_stand_in.py"))
cvat_stand_in = importlib.util.module_from_spec(STAND_IN)
STAND_IN.loader.exec_module(cvat_stand_in)


@pytest.fixture
def pictures(trained_run) -> dict[str, bytes]:
    folder = trained_run.parent / "dataset" / "val" / "Images"
    found = {}
    for path in sorted(folder.iterdir()):
        content = io.BytesIO()
        Image.fromarray(read_picture(path)).save(content, "PNG")
        found[path.name] = content.getvalue()
    return found


@pytest.fixture(autouse=True)
def cache_of_the_sdk(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def painted(shapes: list[dict], size: tuple[int, int], first_label: int) -> np.ndarray:
    """The class ids that uploaded masks add up to; 255 where there is none."""
    labels = np.full(size, 255, np.uint8)
    for shape in shapes:
        mask = decode_mask(shape["points"], image_width=size[1], image_height=size[0])
        assert (labels[mask] == 255).all()
        labels[mask] = shape["label_id"] - first_label
    return labels


LABELS = [("floor", "any"), ("wall", "mask"), ("box", "any")]


def test_driver_uploads_the_prediction(trained_run, pictures):
    task = cvat_stand_in.Task(pictures, LABELS)
    model = trained_run / "model.safetensors"
    with cvat_stand_in.cvat_stand_in(task) as address, make_client(address, access_token="any") as client:
        cvataa.annotate_task(client, cvat_stand_in.TASK_ID, create(str(model)))
    ((method, query, content),) = task.uploaded
    assert (method, query, content["tags"]) == ("PATCH", "action=create", [])
    predictor = load(model)
    for number, picture in enumerate(pictures.values()):
        shapes = [shape for shape in content["shapes"] if shape["frame"] == number]
        assert {(shape["type"], shape["source"]) for shape in shapes} == {("mask", "auto")}
        expected = predictor.predict(np.array(Image.open(io.BytesIO(picture)))).class_ids
        assert (painted(shapes, expected.shape, 100) == expected).all()


def cvat_cli(task: cvat_stand_in.Task, monkeypatch, *options: str) -> int:
    """The exit status of cvat-cli, which annotates the task."""
    from cvat_cli.__main__ import main

    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "any")
    monkeypatch.setattr(sys, "argv", ["cvat-cli"])
    with cvat_stand_in.cvat_stand_in(task) as address:
        host, port = address.rsplit(":", 1)
        command = ["--server-host", host, "--server-port", port, "task", "auto-annotate", str(cvat_stand_in.TASK_ID)]
        return main([*command, "--function-module", "segtune.labeling.cvat_function", *options])


def test_cvat_cli_finds_the_function(trained_run, pictures, monkeypatch):
    task = cvat_stand_in.Task(pictures, [(name, "any") for name, _ in LABELS])
    monkeypatch.chdir(trained_run)
    options = ["--clear-existing", "--conv-mask-to-poly", "--conf-threshold", "0.4"]
    assert cvat_cli(task, monkeypatch, "-p", "model=str:model.safetensors", "-p", "min_area=int:5", *options) == 0
    ((method, _, content),) = task.uploaded
    assert method == "PUT"
    assert {shape["type"] for shape in content["shapes"]} == {"polygon"}


@pytest.mark.parametrize(("options", "message"), [
    (["-p", "model=str:nothing.safetensors"], "nothing.safetensors"),
    (["-p", "model=str:model.safetensors", "-p", "min_confidence=float:2"], "min-confidence is 2"),
    (["-p", "model=str:ids.onnx", "-p", "min_confidence=float:0.5"], "Export it without --argmax"),
    (["-p", "model=str:ids.onnx", "--conf-threshold", "0.5"], "Export it without --argmax"),
])  # fmt: skip
def test_cvat_cli_tells_errors_without_a_traceback(
    trained_run, pictures, monkeypatch, tmp_path, caplog, options, message
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(trained_run / "model.safetensors", tmp_path)
    if "model=str:ids.onnx" in options:
        assert segtune_main(["export", "model.safetensors", "ids.onnx", "--no-check", "--argmax"]) == 0
    task = cvat_stand_in.Task(pictures, LABELS)
    assert cvat_cli(task, monkeypatch, *options) == 1
    assert message in caplog.text
    assert "Traceback" not in caplog.text
    assert not task.uploaded


def test_exports_without_confidence_draw_all(trained_run, pictures, tmp_path, monkeypatch):
    command = ["export", str(trained_run / "model.safetensors"), str(tmp_path / "ids.onnx"), "--no-check", "--argmax"]
    assert segtune_main(command) == 0
    task = cvat_stand_in.Task(pictures, LABELS)
    assert cvat_cli(task, monkeypatch, "-p", f"model=str:{tmp_path / 'ids.onnx'}") == 0
    assert task.uploaded


def test_labels_that_the_task_lacks_are_told(trained_run, pictures):
    task = cvat_stand_in.Task(pictures, LABELS[:2])
    function = create(str(trained_run / "model.safetensors"))
    with cvat_stand_in.cvat_stand_in(task) as address, make_client(address, access_token="any") as client:
        with pytest.raises(cvataa.BadFunctionError, match="box"):
            cvataa.annotate_task(client, cvat_stand_in.TASK_ID, function)
        cvataa.annotate_task(client, cvat_stand_in.TASK_ID, function, allow_unmatched_labels=True)
    assert {shape["label_id"] for shape in task.uploaded[0][2]["shapes"]} <= {100, 101}


def test_runs_are_what_the_sdk_encodes():
    generator = np.random.default_rng(0)
    for _ in range(30):
        bitmap = np.zeros((20, 30), bool)
        top, left = generator.integers(0, 10, 2)
        window = generator.random((8, 9)) < 0.6
        window[0, generator.integers(9)] = window[-1, 0] = window[0, 0] = window[0, -1] = True
        bitmap[top : top + 8, left : left + 9] = window
        assert encoded(mask_runs(window, int(top), int(left))) == encode_mask(bitmap)


def test_spec_names_the_classes(trained_run):
    function = create(str(trained_run / "model.safetensors"), min_confidence=0.5)
    assert [(label.name, label.type) for label in function.spec.labels] == [
        ("floor", "mask"), ("wall", "mask"), ("box", "mask"),
    ]  # fmt: skip
    assert all(isinstance(label, models.PatchedLabelRequest) for label in function.spec.labels)
