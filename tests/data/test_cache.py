"""The cache: pictures are decoded once, and are the same as decoded anew, whatever happens to the files."""

import multiprocessing
import pickle
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.dataset_folder import dataset_classes, find_pairs
from segtune.classes import numbered_classes
from segtune.data.cache import open_samples
from segtune.data.cache_folder import picture_folder
from segtune.data.disk_cache import DiskSamples
from segtune.data.samples import DecodedSamples
from segtune.errors import UserError
from segtune.preprocessing import Preprocessing


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return picture_folder()


def opened(dataset, cache, num_workers=0, longest_side=64):
    table = dataset_classes(dataset)
    return open_samples(
        find_pairs(dataset, "train"), table, Preprocessing(longest_side=longest_side), cache, num_workers
    )


def same(one, other) -> bool:
    return bool((one.image == other.image).all() and (one.labels == other.labels).all() and one.name == other.name)


def remove_pictures(dataset):
    for path in (dataset / "train").glob("*/*"):
        path.unlink()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("longest_side", [0, 64])
@pytest.mark.parametrize(("cache", "num_workers"), [("ram", 0), ("ram", 2), ("disk", 0), ("disk", 2)])
def test_cached_samples_are_those_decoded(dataset, cache, num_workers, longest_side):
    decoded, cached = (opened(dataset, kind, num_workers, longest_side) for kind in ("none", cache))
    assert len(cached) == len(decoded) == 6
    for index in (3, 0, 3, 5):
        assert same(cached[index], decoded[index])
    assert not cached[3].image.flags.writeable
    assert not cached[3].labels.flags.writeable


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_one_process_decoded_all_have(dataset, method):
    decoded, cached = list(opened(dataset, "none")), opened(dataset, "ram", num_workers=1)
    worker = multiprocessing.get_context(method).Process(target=list, args=(cached,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    remove_pictures(dataset)
    assert all(same(cached[index], sample) for index, sample in enumerate(decoded))


def shared_memory() -> list[str]:
    """What the open descriptors of shared memory are called."""
    paths = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [name for name in map(str, map(Path.readlink, paths)) if "segtune" in name and "memfd" in name]


def test_shared_memory_has_no_name_that_could_stay_behind(dataset):
    samples = opened(dataset, "ram", num_workers=1)
    assert set(shared_memory()) == {"/memfd:segtune (deleted)"}
    del samples
    assert not shared_memory()


def test_later_trainings_find_the_files(dataset, folder, tmp_path):
    decoded = list(opened(dataset, "disk"))
    moved = shutil.copytree(dataset, tmp_path / "moved")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert all(same(one, other) for one, other in zip(opened(moved, "disk"), decoded, strict=True))
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert len(before) == 6


def change_picture(pairs):
    Image.fromarray(np.full((72, 96, 3), 7, np.uint8)).save(pairs[0].picture)


def change_labels(pairs):
    Image.fromarray(np.full((72, 96), 2, np.uint8)).save(pairs[0].labels)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("change", [change_picture, change_labels])
def test_changed_files_are_decoded_anew(dataset, change):
    samples = opened(dataset, "disk")
    before = pickle.dumps(samples[0])
    change(find_pairs(dataset, "train"))
    assert same(samples[0], opened(dataset, "none")[0])
    assert pickle.dumps(samples[0]) != before


@pytest.mark.parametrize(("longest_side", "ignore_value", "more"), [(64, 255, 0), (32, 255, 1), (64, 2, 1)])
def test_files_depend_on_the_working_size_and_on_what_is_ignored(dataset, folder, longest_side, ignore_value, more):
    pairs = find_pairs(dataset, "train")
    for side, value in ((64, 255), (longest_side, ignore_value)):
        open_samples(pairs, numbered_classes(2, value), Preprocessing(longest_side=side), "disk", 0)[0]
    assert len(list(folder.iterdir())) == 1 + more


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: content[:10],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"x" + content[1:],
        lambda content: content[:8] + bytes(8) + content[16:],
        lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    ],
    ids=["empty", "short header", "short", "long", "other file", "no size", "one bit"],
)
def test_damaged_files_are_made_anew(dataset, folder, damage):
    sample = opened(dataset, "disk")[0]
    pixels = sample.image.copy()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert (opened(dataset, "disk")[0].image == pixels).all()
    assert path.read_bytes() == content


@pytest.mark.parametrize("reason", ["disk too small", "no folder can be made", "write fails"])
def test_without_room_pictures_are_decoded_each_time_and_it_is_said_once(dataset, tmp_path, capsys, reason):
    place = tmp_path / "cache"
    if reason == "no folder can be made":
        place.write_text("a file")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    decoded = DecodedSamples(find_pairs(dataset, "train"), dataset_classes(dataset), Preprocessing())
    samples = DiskSamples(decoded, place / "pictures", stays_free=10**18 if reason == "disk too small" else 0)
    try:
        if reason == "write fails":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        assert all(same(one, other) for _ in range(2) for one, other in zip(samples, decoded, strict=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capsys.readouterr().err.count("Training goes on") == 1
    assert not list(place.glob("pictures/*"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("cache", ["ram", "disk", "none"])
def test_what_is_wrong_with_a_picture_is_said(dataset, cache):
    samples = opened(dataset, cache)
    (dataset / "train" / "Images" / "001.jpg").unlink()
    with pytest.raises(UserError, match=r"001\.jpg can't be opened"):
        samples[1]
    assert samples[0].name == "000"


def test_a_picture_that_changed_its_size_is_still_right(dataset):
    samples = opened(dataset, "ram")
    for kind, mode in (("Images/000.jpg", "RGB"), ("Labels/000.png", "L")):
        Image.new(mode, (32, 16)).save(dataset / "train" / kind)
    assert samples[0].image.shape == (16, 32, 3)
    assert same(samples[1], opened(dataset, "none")[1])
