"""segtune export: every format predicts what its model predicts; what can't be is told, and leaves nothing behind."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import segtune
from segtune.arrays import NumpyArrays
from segtune.classes import class_table, numbered_classes, write_classes
from segtune.cli import main
from segtune.config import EvaluateConfig, ExportConfig, PredictConfig
from segtune.errors import UserError
from segtune.evaluation.evaluate import evaluate
from segtune.exports.export import export
from segtune.model_file import Model, load_model, save_model
from segtune.models.catalog import build_model, model_preprocessing
from segtune.pictures import read_labels
from segtune.prediction.predict import predict
from segtune.prediction.predictor import MIN_AUTO_TILE, PredictOptions, load

ALL = [
    "deeplabv3plus:efficientnet_lite0", "unet:resnet18", "lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large",
]  # fmt: skip
SIZES = [(1, 1), (2, 300), (33, 47), (64, 64), (150, 230)]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Model files with random weights, made when they are asked for."""
    folder = tmp_path_factory.mktemp("models")

    def file_of(name):
        path = folder / f"{name.replace(':', '-')}.safetensors"
        if not path.exists():
            net = build_model(name, 4)
            # Random weights leave logits that are all but equal; nobody's classes lie so close.
            for module in net.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    torch.nn.init.normal_(module.bias)
            save_model(path, Model(net, name, numbered_classes(4), model_preprocessing(name, 100)))
        return path

    return file_of


def exported(model, target, **options):
    export(ExportConfig(model, target, no_check=True, **options))
    return target


@pytest.fixture(scope="module")
def onnx_file(models, tmp_path_factory):
    return exported(models(ALL[0]), tmp_path_factory.mktemp("onnx") / "m.onnx")


def assert_equal(model, target, size):
    picture = noise(*size)
    one = load(model, "cpu", backend="eager").predict(picture)
    two = load(target, "cpu").predict(picture)
    assert (one.class_ids == two.class_ids).mean() >= 0.999 or one.class_ids.size < 1000
    np.testing.assert_allclose(one.confidence, two.confidence, atol=1e-3)
    assert two.classes == one.classes


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("suffix", [".onnx", ".torchscript.pt"])
def test_exports_predict_pictures_of_all_sizes_as_their_model(models, tmp_path, name, suffix):
    target = exported(models(name), tmp_path / f"m{suffix}")
    for size in SIZES:
        assert_equal(models(name), target, size)


@pytest.mark.parametrize("suffix", [".xml", ".pt2"])
def test_openvino_and_torch_export_predict_as_their_model(models, tmp_path, suffix):
    target = exported(models(ALL[0]), tmp_path / f"m{suffix}")
    for size in SIZES:
        if suffix == ".pt2" and min(size) <= 32:  # torch.export takes a side of one step for a constant
            with pytest.raises(UserError, match="can't compute"):
                load(target, "cpu").predict(noise(*size))
        else:
            assert_equal(models(ALL[0]), target, size)
    (tmp_path / "in").mkdir()
    for size in (20, 70):
        Image.fromarray(noise(size, size)).save(tmp_path / "in" / f"{size}.png")
    report = predict(PredictConfig(target, tmp_path / "in", tmp_path / "out"))
    assert (tmp_path / "out" / "labels" / "70.png").exists()
    assert [re.search(r"20\.png: .*can't compute", told) is not None for told in report.unreadable] == (
        [True] if suffix == ".pt2" else []
    )


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("name", [ALL[0], ALL[2]])
def test_preprocessing_in_the_file_is_that_of_prediction(models, tmp_path, name, layout):
    target = exported(models(name), tmp_path / "m.onnx", with_preprocessing=layout)
    for size in SIZES:
        assert_equal(models(name), target, size)


def test_several_pictures_at_once_get_what_each_gets(onnx_file):
    backend = load(onnx_file, "cpu").backend
    images = np.random.default_rng(0).normal(size=(3, 3, 64, 96)).astype(np.float32)
    together = backend.run(images)
    assert together.shape == (3, 4, 64, 96)
    np.testing.assert_allclose(together[1:2], backend.run(images[1:2]), atol=1e-4)


def test_class_ids_are_those_of_the_logits(models, tmp_path, onnx_file):
    target = exported(models(ALL[0]), tmp_path / "ids.onnx", argmax=True)
    picture = noise(90, 70)
    assert (load(target, "cpu").predict(picture).class_ids == load(onnx_file, "cpu").predict(picture).class_ids).all()
    with pytest.raises(UserError, match="no mean"):
        load(target, "cpu", PredictOptions(tta="flip"))


def test_class_ids_of_pictures_that_are_shrunk_pass_the_check(models, make_dataset, tmp_path):
    data = make_dataset(tmp_path / "data", height=300, width=400)
    table = class_table(["a", "b", "c", "d"])
    write_classes(data / "classes.yaml", table)
    export(ExportConfig(models(ALL[0]), tmp_path / "ids.onnx", argmax=True, data=data))
    report = json.loads((tmp_path / "ids.onnx.json").read_text())
    assert report["check"]["equal_pixels"] >= 0.999


@pytest.mark.parametrize(
    "options", [PredictOptions(64, 32), PredictOptions(tta="flip+scale"), PredictOptions(64, tta="flip")]
)
def test_tiles_and_augmentation_are_those_of_torch(models, onnx_file, options):
    picture = noise(150, 130)
    one = load(models(ALL[0]), "cpu", options, backend="eager").predict(picture)
    two = load(onnx_file, "cpu", options).predict(picture)
    assert (one.class_ids == two.class_ids).mean() >= 0.999
    np.testing.assert_allclose(one.confidence, two.confidence, atol=1e-3)


def test_check_prints_what_it_found_and_the_commands_take_the_file(trained_run, tmp_path, capsys):
    model, target = trained_run / "model.safetensors", tmp_path / "deep" / "m.onnx"
    assert main(["export", str(model), str(target)]) == 0
    assert "of the pixels have the same class" in capsys.readouterr().out
    report = json.loads((tmp_path / "deep" / "m.onnx.json").read_text())
    assert report["check"]["equal_pixels"] >= 0.999
    assert report["check"]["mean_iou"] == pytest.approx(report["check"]["model_mean_iou"], abs=1e-3)
    data = trained_run.parent / "dataset"
    own, other = (evaluate(EvaluateConfig(path, data)).mean_iou for path in (model, target))
    assert own == pytest.approx(other, abs=1e-3)
    predict(PredictConfig(target, data / "val" / "Images", tmp_path / "o"))
    assert read_labels(tmp_path / "o" / "labels" / "100.png").shape == (72, 96)
    assert sorted(path.name for path in target.parent.iterdir()) == ["m.onnx", "m.onnx.json"]


@pytest.mark.parametrize("options", [{"half": True}, {"int8": True}])
def test_smaller_files_say_what_they_cost(trained_run, tmp_path, options):
    report = export(ExportConfig(trained_run / "model.safetensors", tmp_path / "m.onnx", **options))
    full = exported(trained_run / "model.safetensors", tmp_path / "full.onnx")
    assert (tmp_path / "m.onnx").stat().st_size < 0.6 * full.stat().st_size
    assert report.check.equal_pixels > 0.5
    assert segtune.load(tmp_path / "m.onnx", "cpu").predict(noise(50, 40)).class_ids.shape == (50, 40)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("m.engine", {}, "names no format"),
        (".onnx", {}, "names no format"),
        ("m.pt", {}, "names no format"),
        ("m.pt2", {"int8": True}, "--int8 is for"),
        ("m.onnx", {"int8": True, "half": True}, "exclude each other"),
        ("m.onnx", {"no_check": False}, "no pictures to check"),
        ("m.onnx", {"no_check": False, "data": "nothing"}, "missing"),
    ],
)
def test_what_can_not_be_exported_is_told(models, tmp_path, name, options, message):
    if "data" in options:
        options = options | {"data": tmp_path / options["data"]}
    with pytest.raises(UserError, match=message) as caught:
        export(ExportConfig(models(ALL[0]), tmp_path / name, **({"no_check": True} | options)))
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("existing", ["m.onnx", "m.onnx.json"])
def test_nothing_is_overwritten_unless_told(models, tmp_path, existing):
    (tmp_path / existing).write_text("mine")
    with pytest.raises(UserError, match="already exists"):
        exported(models(ALL[0]), tmp_path / "m.onnx")
    assert (tmp_path / existing).read_text() == "mine"
    exported(models(ALL[0]), tmp_path / "m.onnx", overwrite=True)
    assert (tmp_path / existing).read_bytes() != b"mine"


def test_failed_check_leaves_nothing(trained_run, tmp_path, monkeypatch):
    monkeypatch.setattr("segtune.exports.export.MIN_EQUAL", 1.1)
    with pytest.raises(UserError, match="It was not kept"):
        export(ExportConfig(trained_run / "model.safetensors", tmp_path / "m.onnx"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("enlarge", [1, 2, 3])
def test_example_of_the_documentation_gives_the_same_without_segtune(trained_run, tmp_path, enlarge):
    model = load_model(trained_run / "model.safetensors")
    changed = tmp_path / "model.safetensors"
    save_model(changed, replace(model, preprocessing=replace(model.preprocessing, enlarge=enlarge)))
    target = exported(changed, tmp_path / "m.onnx")
    page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert "segtune" not in re.sub(r'\["segtune"\]|segtune\.json', "", code)
    names = {}
    for size in ((90, 120), (33, 1100), (1, 1)):
        Image.fromarray(noise(*size)).save(tmp_path / "x.png")
        places = {"runs/mine/model.onnx": str(target), "my-pictures/x.jpg": str(tmp_path / "x.png")}
        for name, place in places.items():
            code = code.replace(name, place)
        exec(code, names)
        expected = load(target, "cpu").predict(noise(*size)).class_ids
        assert names["class_ids"].shape == size
        assert (names["class_ids"] == expected).mean() >= 0.999


def test_numpy_is_what_onnx_predicts_with(onnx_file):
    assert isinstance(load(onnx_file, "cpu").backend, NumpyArrays)


def spoilt(path, target, change):
    described = onnx.load(str(path))
    change(described)
    onnx.save(described, str(target))
    return target


def say(text):
    def change(described):
        described.metadata_props[0].value = text

    return change


def say_other(**values):
    def change(described):
        header = json.loads(described.metadata_props[0].value)
        described.metadata_props[0].value = json.dumps(header | values)

    return change


SPOILT = {
    "of somebody else": (lambda described: described.metadata_props.pop(), "does not say which classes"),
    "no JSON": (say("{'a': 1}"), "not a segtune model file"),
    "nested deep": (say("[" * 10**5), "not a segtune model file"),
    "a list": (say("[1]"), "not a segtune model file"),
    "newer": (say_other(format_version=2), "newer segtune"),
    "classes are a number": (say_other(classes=5), "not a class table"),
    "no preprocessing": (say_other(preprocessing=None), "no valid preprocessing"),
    "impossible mean": (say_other(preprocessing={"mean": [0], "std": 1}), "no valid preprocessing"),
    "input": (say_other(export={"input": ["nhwc"]}), "what goes in and out"),
    "export is a list": (say_other(export=[]), "what goes in and out"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_spoilt_onnx_is_told(onnx_file, tmp_path, what):
    change, message = SPOILT[what]
    with pytest.raises(UserError, match=message) as caught:
        load(spoilt(onnx_file, tmp_path / "m.onnx", change), "cpu")
    assert caught.value.hint


@pytest.mark.parametrize("crop", ["x", -5, 1 << 40, None, [1]])
def test_impossible_crop_is_not_believed(onnx_file, tmp_path, crop):
    path = spoilt(onnx_file, tmp_path / "m.onnx", say_other(training={"crop": crop}))
    assert load(path, "cpu").tile == MIN_AUTO_TILE


@pytest.mark.parametrize("suffix", [".onnx", ".torchscript.pt", ".pt2", ".xml", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04" + bytes(50)])
def test_broken_files_are_told(tmp_path, suffix, content):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(path, "cpu")
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(("name", "message"), [("m.pth", "no model format .pth"), ("m", "without a suffix")])
def test_other_suffixes_are_told(tmp_path, name, message):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=message):
        load(tmp_path / name)


def test_other_number_of_classes_is_told(onnx_file, tmp_path):
    five = numbered_classes(5).to_dict()
    change = say_other(classes=five, architecture={"name": "x", "num_classes": 5})
    with pytest.raises(UserError, match="4 classes"):
        load(spoilt(onnx_file, tmp_path / "m.onnx", change), "cpu").predict(noise(9, 9))


@pytest.mark.parametrize(
    ("place", "suffix", "message"),
    [
        ("segtune.runtimes.onnx_runtime.find_spec", ".onnx", r"pip install '\.\[runtime\]'"),
        ("segtune.runtimes.openvino_runtime.find_spec", ".xml", r"pip install '\.\[openvino\]'"),
        ("segtune.errors.find_spec", ".safetensors", r"pip install '\.\[train\]'"),
    ],
)
def test_what_is_not_installed_is_told(tmp_path, monkeypatch, place, suffix, message):
    (tmp_path / f"m{suffix}").write_bytes(b"x")
    monkeypatch.setattr(place, lambda _: None)
    with pytest.raises(UserError, match=message):
        load(tmp_path / f"m{suffix}", "cpu")
