"""What INPUT may be, and how results are named after it."""

import io
from pathlib import Path

import pytest

from segtune.errors import UserError
from segtune.prediction.inputs import STDIN, find_inputs

FILES = ["a.jpg", "day 1/b.PNG", "day 1/c.tif", "day [2]/ü/b.webp", ".hidden/x.jpg", ".y.jpg", "film.mp4", "notes.md"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("in", ["a", "day 1/b", "day 1/c", "day [2]/ü/b"]),
        ("in/day 1", ["b", "c"]),
        ("in/day [2]/ü/b.webp", ["b"]),
        ("in/film.mp4", ["film"]),
        ("in/*.jpg", ["a"]),
        ("in/**/b.*", ["day 1/b", "day [2]/ü/b"]),
        ("in/*.m*", ["film"]),
    ],
)
def test_names_keep_the_structure(source, names):
    assert [str(entry.name) for entry in find_inputs(Path(source), Path("out"))] == names


def test_folders_that_are_links_are_looked_into_once(place):
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "z.jpg").touch()
    (place / "in" / "linked").symlink_to("../elsewhere")
    (place / "elsewhere" / "up").symlink_to("../in")
    (place / "in" / "again").symlink_to("day 1")
    (place / "in" / "linked twice").symlink_to("../elsewhere")
    (place / "out").mkdir()
    (place / "out" / "a.png").touch()
    (place / "in" / "results").symlink_to("../out")
    names = [str(entry.name) for entry in find_inputs(Path("in"), Path("out"))]
    assert names == ["a", "day 1/b", "day 1/c", "day [2]/ü/b", "linked/z"]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("source", "is_told"), [("in", True), ("in/day 1", False), ("in/*", False)])
def test_videos_that_a_folder_has_beside_pictures_are_told(source, is_told, capsys):
    find_inputs(Path(source), Path("out"))
    assert ("Note: videos in the folder are left out: film.mp4. Name one" in capsys.readouterr().err) == is_told


@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_list_is_taken_in_its_order(place, monkeypatch, from_stdin):
    text = f"in/day 1/c.tif\n\n{place}/in/a.jpg\nin/day 1/c.tif\nin/missing.jpg\n"
    Path("list.txt").write_text(text)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    found = find_inputs(STDIN if from_stdin else Path("list.txt"), Path("out"))
    assert [str(entry.name) for entry in found] == ["day 1/c", "a", "missing"]


@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_list_may_have_nuls_between_its_paths(place, monkeypatch, from_stdin):  # noqa: ARG001
    content = b"in/day 1/c.tif\0in/a.jpg\0"
    Path("list.txt").write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    found = find_inputs(STDIN if from_stdin else Path("list.txt"), Path("out"))
    assert [str(entry.name) for entry in found] == ["day 1/c", "a"]


@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_list_that_is_no_utf_8_is_told(place, monkeypatch, from_stdin):  # noqa: ARG001
    content = "in/M\u00fcll.jpg\n".encode("latin-1")
    Path("list.txt").write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(UserError, match=r"(standard input|list\.txt) can't be read as a list"):
        find_inputs(STDIN if from_stdin else Path("list.txt"), Path("out"))


def test_results_of_an_earlier_run_inside_the_folder_are_no_pictures(place):
    (place / "in" / "out" / "overlays").mkdir(parents=True)
    (place / "in" / "out" / "overlays" / "a.png").touch()
    assert len(find_inputs(Path("in"), Path("in/out"))) == 4


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("source", "files", "message"),
    [
        ("nothing", [], "no picture or folder nothing"),
        ("empty", ["empty/x.md"], "empty holds no pictures"),
        ("films", ["films/x.mp4"], r"It holds videos \(x.mp4\)"),
        ("in/*.xyz", [], r"No picture or video matches"),
        ("list.txt", ["list.txt"], "lists no pictures"),
        ("twice", ["twice/a.jpg", "twice/a.png"], "both become a.png"),
        ("twice", ["twice/a.jpg", "twice/A.jpg"], "both become"),
        ("ride/**/*", ["ride/a.mp4", "ride/a/b/000001.jpg"], "both go to the folder a"),
    ],
)
def test_what_can_not_be_meant_is_refused(source, files, message):
    for name in files:
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).touch()
    with pytest.raises(UserError, match=message):
        find_inputs(Path(source), Path("out"))
