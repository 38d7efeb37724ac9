"""The original project's command line, typed exactly."""

import hashlib
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from segtune.cli import main
from segtune.models import torchvision_nets
from segtune.models.catalog import build_model

COMMAND = "train ./sample_dataset ./training_output --num_classes 5 --epochs 100 --batch_size 16 --keep_feature_extract"


def put_weights_into_the_cache(folder, monkeypatch) -> dict[str, torch.Tensor]:
    """A file as torchvision publishes it (21 classes, auxiliary classifier), whose name holds its hash."""
    state = dict(build_model("deeplabv3_resnet101", 21, seed=1).state_dict())
    state["aux_classifier.4.bias"] = torch.zeros(21)
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(state, checkpoints / "new.pth")
    digest = hashlib.sha256((checkpoints / "new.pth").read_bytes()).hexdigest()
    name = f"deeplabv3_resnet101_coco-{digest[:8]}.pth"
    (checkpoints / "new.pth").rename(checkpoints / name)
    monkeypatch.setenv("TORCH_HOME", str(folder))
    published = SimpleNamespace(url=f"https://nowhere.invalid/{name}")
    monkeypatch.setitem(torchvision_nets.WEIGHTS, "deeplabv3_resnet101", published)
    return state


def write_sample_dataset(tmp_path) -> None:
    for split, names in (("train", "ab"), ("val", "c")):
        for kind, mode in (("Images", "RGB"), ("Labels", "L")):
            (tmp_path / "sample_dataset" / split / kind).mkdir(parents=True)
            for name in names:
                picture = Image.new(mode, (96, 64), 3 if mode == "L" else (90, 120, 60))
                picture.save(tmp_path / "sample_dataset" / split / kind / f"{name}.png")


@pytest.mark.slow
def test_it_runs_and_keeps_the_backbone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sample_dataset(tmp_path)
    published = put_weights_into_the_cache(tmp_path / "cache", monkeypatch)
    assert main(COMMAND.split()) == 0
    trained = load_file(tmp_path / "training_output" / "model.safetensors")
    assert all(torch.equal(trained[name], tensor) for name, tensor in published.items() if name.startswith("backbone."))
    assert trained["classifier.4.weight"].shape[0] == 5


def test_it_runs_for_an_epoch_from_random_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_sample_dataset(tmp_path)
    assert main([*COMMAND.replace("100", "1").split(), "--weights", "none", "--crop", "64"]) == 0
    assert "frozen, and its weights are random" in capsys.readouterr().out


def test_without_network_and_cache_it_says_what_to_fetch(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_sample_dataset(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    published = SimpleNamespace(url="http://127.0.0.1:9/deeplabv3_resnet101_coco-586e9e4e.pth")
    monkeypatch.setitem(torchvision_nets.WEIGHTS, "deeplabv3_resnet101", published)
    assert main(COMMAND.split()) == 2
    error = capsys.readouterr().err
    for part in (published.url, str(tmp_path / "cache"), "--weights none", "deeplabv3plus:efficientnet_lite0"):
        assert part in error
    assert not (tmp_path / "training_output").exists()
