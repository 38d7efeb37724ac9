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


@pytest.mark.slow
def test_it_runs_and_keeps_the_backbone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split, names in (("train", "ab"), ("val", "c")):
        for kind, mode in (("Images", "RGB"), ("Labels", "L")):
            (tmp_path / "sample_dataset" / split / kind).mkdir(parents=True)
            for name in names:
                picture = Image.new(mode, (96, 64), 3 if mode == "L" else (90, 120, 60))
                picture.save(tmp_path / "sample_dataset" / split / kind / f"{name}.png")
    published = put_weights_into_the_cache(tmp_path / "cache", monkeypatch)
    assert main(COMMAND.split()) == 0
    trained = load_file(tmp_path / "training_output" / "model.safetensors")
    assert all(torch.equal(trained[name], tensor) for name, tensor in published.items() if name.startswith("backbone."))
    assert trained["classifier.4.weight"].shape[0] == 5
