"""The auto-annotation function: driven by cvat-sdk's own driver and by cvat-cli, against a stand-in for the server."""

import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def test_cvat_cli_finds_the_function(trained_run, pictures, monkeypatch):
    from cvat_cli.__main__ import main

    task = cvat_stand_in.Task(pictures, [(name, "any") for name, _ in LABELS])
    monkeypatch.chdir(trained_run)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "any")
    with cvat_stand_in.cvat_stand_in(task) as address:
        host, port = address.rsplit(":", 1)
        command = ["--server-host", host, "--server-port", port, "task", "auto-annotate", str(cvat_stand_in.TASK_ID)]
        function = ["--function-module", "segtune.labeling.cvat_function", "-p", "model=str:model.safetensors"]
        monkeypatch.setattr(sys, "argv", ["cvat-cli"])
        options = ["--clear-existing", "--conv-mask-to-poly", "--conf-threshold", "0.4"]
        assert not main([*command, *function, "-p", "min_area=int:5", *options])
    ((method, _, content),) = task.uploaded
    assert method == "PUT"
    assert {shape["type"] for shape in content["shapes"]} == {"polygon"}


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
