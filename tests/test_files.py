"""Atomic writing."""

from pathlib import Path

import pytest

from segtune.errors import UserError
from segtune.files import atomic_folder, atomic_path, refuse_used, write_json, write_text


def test_failed_writing_leaves_the_last_good_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "good")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert path.read_text() == "good"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "file").write_text(f"half {1 / 0}")
    assert not list(tmp_path.iterdir())
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "file").touch()
    assert (tmp_path / "folder" / "file").exists()


def test_an_empty_folder_is_filled(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    with pytest.raises(ZeroDivisionError), atomic_folder(Path()) as temporary:
        (temporary / "file").write_text(f"half {1 / 0}")
    assert not list(Path().iterdir())
    with atomic_folder(Path()) as temporary:
        (temporary / "file").touch()
    assert [path.name for path in Path().iterdir()] == ["file"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_place_that_can_not_be_written_is_told():
    with pytest.raises(UserError, match="could not be written"):
        write_json(Path("/dev/full/x.json"), {})


def test_used_folders_are_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match=r"is not empty|is a file"):
            refuse_used(path)
