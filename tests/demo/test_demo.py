"""The whole demo, made small."""

import json

import pytest

from segtune.config import DemoConfig
from segtune.demo import demo as module
from segtune.errors import UserError


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Fewer and smaller pictures, fewer epochs: the same steps."""
    for name, value in {"HEIGHT": 90, "WIDTH": 120, "NUM_ANNOTATED": 16, "NUM_NEW": 2, "EPOCHS": 4, "CROP": 64}.items():
        monkeypatch.setattr(module, name, value)


def test_demo_makes_everything_and_says_where(tmp_path, capsys):
    module.demo(DemoConfig(tmp_path / "demo"))
    out = capsys.readouterr().out
    for made in ("export.zip", "dataset/classes.yaml", "run/model.safetensors", "run/samples", "predictions/overlays"):
        assert (tmp_path / "demo" / made).exists()
    assert "majority class" in out
    assert "segtune convert EXPORT.zip" in out
    num_val = len(list((tmp_path / "demo" / "dataset" / "val" / "Images").iterdir()))
    assert json.loads((tmp_path / "demo" / "scores" / "scores.json").read_text())["num_pictures"] == num_val > 0


def test_demo_replaces_its_own_files_alone(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "export.zip").write_text("mine")
    with pytest.raises(UserError, match="not by a demo"):
        module.demo(DemoConfig(tmp_path / "demo", overwrite=True))
    assert (tmp_path / "demo" / "export.zip").read_text() == "mine"
