"""What the pictures of a pool are called."""

from pathlib import Path

import pytest

from segtune.labeling.pool import dataset_names, sort_pool
from segtune.labeling.selection import neighboring_frames
from segtune.prediction.inputs import find_inputs


@pytest.mark.parametrize(
    ("pictures", "taken", "expected"),
    [
        (["a/x.jpg", "b/y.jpg"], {}, ["x.jpg", "y.jpg"]),
        (["a/x.jpg", "b/x.jpg", "y.jpg"], {}, ["a_x.jpg", "b_x.jpg", "y.jpg"]),
        (["a/x.jpg", "b/X.png"], {}, ["a_x.jpg", "b_X.png"]),
        (["a/x.jpg"], {"x": {"another"}}, ["a_x.jpg"]),
        (["a/x.jpg"], {"x": {"hash of a/x.jpg"}}, ["x.jpg"]),
        (["a/x.jpg"], {"x": {"hash of a/x.jpg", "another"}}, ["a_x.jpg"]),
        (["a/x.jpg"], {"x": {"another"}, "a_x": {"a third"}}, ["a_x_#.jpg"]),
        (["x.jpg"], {"x": {"another"}}, ["x_#.jpg"]),
        (["a/x.jpg", "b/x.jpg", "a_x.jpg"], {}, ["a_x_#.jpg", "b_x.jpg", "a_x_#.jpg"]),
    ],
)
def test_names(pictures, taken, expected):
    names = dataset_names(pictures, [f"hash of {picture}" for picture in pictures], taken)
    assert len(set(names)) == len(names)
    for name, pattern in zip(names, expected, strict=True):
        start, _, end = pattern.partition("#")
        assert name.startswith(start)
        assert name.endswith(end)
        assert len(name) == len(pattern) + 11 * pattern.count("#")


def test_long_names_stay_within_what_file_systems_take():
    (name,) = dataset_names([f"{'d' * 200}/{'x' * 200}.jpg"], ["hash"], {"x" * 200: {"another"}})
    assert len(name) <= 255
    (name,) = dataset_names([f"{'x' * 250}.jpg"], ["hash"], {"x" * 250: {"another"}})
    assert len(name) <= 255


def files(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_names_stay_while_the_dataset_grows(tmp_path):
    contents = {"a/1.jpg": b"a", "b/1.jpg": b"b", "c/2.jpg": b"c", "c_2.jpg": b"d", "3.jpg": b"e"}
    entries = find_inputs(files(tmp_path / "pool", contents), tmp_path / "out")
    images = files(tmp_path / "dataset", {"2.jpg": b"others", "4.jpg": b"others"})
    first, _ = sort_pool(entries, sorted(images.iterdir()))
    assert len({picture.file for picture in first}) == 5
    for picture in first[:3]:
        files(images, {picture.file: picture.path.read_bytes()})
        later, labeled = sort_pool(entries, sorted(images.iterdir()))
        assert set(later) == {entry for entry in first if not (images / entry.file).exists()}
        assert len(labeled) + len(later) == 7


def test_labelled_frames_have_the_folder_of_their_video(tmp_path):
    contents = {"a/000001.jpg": b"a", "a/000002.jpg": b"b", "000002.jpg": b"c", "b/000003.jpg": b"d"}
    entries = find_inputs(files(tmp_path / "pool", contents), tmp_path / "out")
    images = files(tmp_path / "dataset", {"000001.jpg": b"a"})
    pool, labeled = sort_pool(entries, sorted(images.iterdir()))
    both = [*labeled, *pool]
    pairs = neighboring_frames([picture.series for picture in both])
    assert {frozenset(both[index].shown for index in pair) for pair in pairs} == {
        frozenset({"000001.jpg", "a/000002.jpg"})
    }


def test_files_that_cannot_be_read_are_not_taken_for_labelled(tmp_path):
    pool = files(tmp_path / "pool", {"a.jpg": b"a", "b.jpg": b"b"})
    entries = find_inputs(pool, tmp_path / "out")
    (pool / "b.jpg").unlink()
    left, labeled = sort_pool(entries, [tmp_path / "gone.jpg"])
    assert [picture.shown for picture in left] == ["a.jpg", "b.jpg"]
    assert [picture.file for picture in labeled] == ["gone.jpg"]
