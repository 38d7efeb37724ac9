"""--init: a training that goes on from a model."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from segtune.classes import class_table, read_classes, write_classes
from segtune.config import TrainConfig
from segtune.errors import UserError
from segtune.model_file import load_model
from segtune.models.catalog import build_model
from segtune.training.initial_model import load_initial, with_architecture
from segtune.training.train import train

MODEL = "deeplabv3plus:efficientnet_lite0"


@pytest.fixture
def model(trained_run):
    return trained_run / "model.safetensors"


def config(dataset, **options) -> TrainConfig:
    return TrainConfig(dataset, dataset.parent / "run", **options)


def test_all_of_a_model_is_taken_where_the_classes_are_the_same(model):
    net = build_model(MODEL, 3)
    report = load_initial(net, MODEL, model, class_table(["floor", "wall", "box"]))
    expected = load_model(model).net.state_dict()
    assert (report.new, report.not_taken) == ((), ())
    assert all(torch.equal(tensor, expected[name]) for name, tensor in net.state_dict().items())
    assert report.licence == "Apache-2.0"


@pytest.mark.parametrize(
    "names", [["wall", "floor", "box"], ["floor", "wall", "roof"], ["floor", "wall", "box", "roof"]]
)
def test_head_is_new_where_classes_have_other_names_or_places(model, names):
    net = build_model(MODEL, len(names), seed=5)
    fresh = build_model(MODEL, len(names), seed=5).state_dict()
    report = load_initial(net, MODEL, model, class_table(names))
    assert set(report.new) == {"segmentation_head.0.weight", "segmentation_head.0.bias"}
    assert all(torch.equal(net.state_dict()[name], fresh[name]) for name in report.new)
    assert "other classes: floor, wall, box" in " ".join(report.describe())


def test_network_is_that_of_the_model(dataset, model):
    assert with_architecture(config(dataset, init=model)).model == MODEL
    assert with_architecture(config(dataset, init=model, model=MODEL)).model == MODEL
    assert with_architecture(config(dataset)).model == "deeplabv3_resnet101"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "unet:efficientnet_lite0"}, "--model is unet"),
        ({"weights": "none"}, "both say what to start from"),
    ],
)
def test_options_that_contradict_are_refused(dataset, model, options, message):
    with pytest.raises(UserError, match=message):
        with_architecture(config(dataset, init=model, **options))


@pytest.mark.parametrize("name", ["model.onnx", "nowhere.safetensors", "ensemble.json"])
def test_what_is_no_model_is_refused(dataset, name):
    with pytest.raises(UserError, match=r"no model\.safetensors|no model file"):
        train(config(dataset, init=dataset / name))


def test_a_model_whose_tensors_have_other_names_is_refused(model, tmp_path):
    names = ["floor", "wall", "box"]
    tensors = {name.replace("decoder.", "neck."): tensor for name, tensor in load_file(model).items()}
    with safe_open(model, "pt") as file:
        save_file(tensors, tmp_path / "other.safetensors", file.metadata())
    with pytest.raises(UserError, match="its tensors don't fit deeplabv3plus") as caught:
        load_initial(build_model(MODEL, 3), MODEL, tmp_path / "other.safetensors", class_table(names))
    assert "--weights" in caught.value.hint


@pytest.mark.parametrize(("batch_norm", "within"), [("frozen", 0.03), ("train", 0.05)])
def test_training_goes_on_from_the_model(dataset, model, trained_run, batch_norm, within):
    # One step: the weights hardly move at this rate, the running statistics a little.
    options = {"epochs": 1, "batch_size": 8, "crop": 64, "learning_rate": 1e-6, "report_to": "none"}
    result = train(config(dataset, init=model, batch_norm=batch_norm, **options))
    best = json.loads((trained_run / "scores.json").read_text())["mean_iou"]
    assert result.scores.mean_iou == pytest.approx(best, abs=within)
    assert str(model) in json.loads((result.run / "run.json").read_text())["weights"]["source"]


def test_training_with_new_classes_says_so(dataset, model, capsys):
    table = read_classes(dataset / "classes.yaml")
    write_classes(dataset / "classes.yaml", replace(table, names=("floor", "wall", "crate")))
    train(config(dataset, init=model, epochs=1, batch_size=4, crop=64, report_to="none"))
    assert "head, which is for other classes" in " ".join(capsys.readouterr().out.split())
