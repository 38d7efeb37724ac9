"""What people get wrong, through the command line: exit code 2, a clear word, no traceback, nothing lost."""

import shutil

import numpy as np
import pytest
from PIL import Image

from segtune.cli import main

MODEL = ["--model", "deeplabv3plus:efficientnet_lite0", "--epochs", "1", "--crop", "64"]


def label(path, value=9):
    Image.fromarray(np.full((72, 96), value, np.uint8)).save(path)


TRAIN = {
    "missing dataset": (lambda d: shutil.rmtree(d), [], "The export itself may be given, too"),
    "missing split": (lambda d: shutil.rmtree(d / "val"), [], "val/Images is missing"),
    "missing labels": (lambda d: (d / "train/Labels/000.png").unlink(), [], "000.jpg has no label image"),
    "missing picture": (lambda d: (d / "train/Images/000.jpg").unlink(), [], "000.png has no picture"),
    "value outside": (lambda d: label(d / "val/Labels/100.png"), [], "value 9 (6912 pixels)"),
    "other size": (lambda d: Image.new("L", (5, 5)).save(d / "val/Labels/100.png"), [], "5 x 5 pixels"),
    "three channels": (lambda d: Image.new("RGB", (96, 72)).save(d / "val/Labels/100.png"), [], "3 channels"),
    "no picture": (lambda d: (d / "val/Images/100.jpg").write_text("x"), [], "not a picture"),
    "other number": (lambda _: None, ["--num-classes", "7"], "names 3 classes"),
    "unknown model": (lambda _: None, ["--model", "deeplabv3_resnet111"], "deeplabv3_resnet101"),
    "unknown encoder": (lambda _: None, ["--model", "unet:resnet19"], "resnet18"),
    "missing weights": (lambda _: None, ["--weights", "gone.pth"], "no weights file gone.pth"),
    "wrong weights": (
        lambda d: (d / "w.pth").write_text("x"),
        ["--weights", "dataset/w.pth"],
        "can't be read as weights",
    ),
    "classes.yaml": (lambda d: (d / "classes.yaml").write_text("["), [], "could not be read as YAML"),
}


@pytest.mark.parametrize("case", TRAIN)
def test_train_tells_what_is_wrong(dataset, case, capsys, monkeypatch):
    spoil, options, message = TRAIN[case]
    monkeypatch.chdir(dataset.parent)
    spoil(dataset)
    assert main(["train", "dataset", "run", *MODEL, *options]) == 2
    error = capsys.readouterr().err
    assert message in error.replace("\n", " ")
    assert "Traceback" not in error
    assert not (dataset.parent / "run").exists()


def test_a_refused_training_leaves_a_folder_that_was_there(dataset):
    run = dataset.parent / "run"
    run.mkdir()
    assert main(["train", str(dataset), str(run), *MODEL, "--weights", "gone.pth"]) == 2
    assert not list(run.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "gone.safetensors", "dataset/val/Images", "out"], "no model file"),
        (["predict", "text.safetensors", "x.jpg", "out"], "no picture or folder"),
        (["predict", "text.safetensors", "text.safetensors", "out"], "not a segtune model file"),
        (["evaluate", "text.safetensors", "dataset"], "not a segtune model file"),
        (["convert", "gone.zip", "out"], "no annotation export"),
        (["convert", "text.safetensors", "out"], "can't be opened as a zip"),
        (["convert", "dataset/val/Images", "out"], "no annotation export that segtune reads"),
        (["import-weights", "gone.pth", "out.safetensors", "--num-classes", "3"], "no weights file"),
        (["train", "dataset", "text.safetensors", *MODEL], "is a file"),
        (["train", "dataset", "/proc/run", *MODEL], "could not be written"),
        (["demo", "dataset"], "in use, and not by a demo"),
        (["models", "resnoot"], "no encoder"),
    ],
)
def test_commands_tell_what_is_wrong(dataset, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(dataset.parent)
    (dataset.parent / "text.safetensors").write_text("some text that is long enough to be a header of something")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error.replace("\n", " ")
    assert "Traceback" not in error
