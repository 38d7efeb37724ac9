"""segtune cache: shows what there is, and removes what is its own."""

import pytest

from segtune.annotations.dataset_folder import dataset_classes, find_pairs
from segtune.cli import main
from segtune.data.cache import open_samples
from segtune.data.cache_folder import picture_folder, session_folder
from segtune.preprocessing import Preprocessing


@pytest.fixture
def filled(dataset, tmp_path, monkeypatch):
    """The cache of six pictures, and a file of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    list(open_samples(find_pairs(dataset, "train"), dataset_classes(dataset), Preprocessing(), "disk", 0))
    (picture_folder() / "mine.sample").write_text("mine")
    (picture_folder() / ".0123456789ab.sample").write_text("what a kill left")
    return picture_folder()


def test_place_and_size_are_shown(filled, capsys):
    assert main(["cache"]) == 0
    out = capsys.readouterr().out
    assert f"{filled}: 7 pictures, 0.2 MB" in out
    assert "segtune cache --clear" in out


def test_exported_models_are_shown_and_removed_too(filled, capsys):
    session_folder().mkdir()
    session = session_folder() / f"{'0' * 64}.onnx"
    session.write_bytes(bytes(1000))
    assert main(["cache"]) == 0
    assert f"{filled.with_name('sessions')}: 1 files of exported models" in capsys.readouterr().out
    assert main(["cache", "--clear"]) == 0
    assert not session.exists()


def test_clear_removes_what_is_its_own(filled, capsys):
    assert main(["cache", "--clear"]) == 0
    assert "Removed" in capsys.readouterr().out
    assert [path.name for path in filled.iterdir()] == ["mine.sample"]


def test_a_folder_of_nothing_else_goes_too(filled):
    (filled / "mine.sample").unlink()
    assert main(["cache", "--clear"]) == 0
    assert not filled.exists()
    assert main(["cache", "--clear"]) == 0


def test_relative_xdg_cache_home_is_ignored_as_its_specification_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert picture_folder() == tmp_path / ".cache" / "segtune" / "pictures"
