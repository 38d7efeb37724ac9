"""Batches: every picture once an epoch; the same whatever the workers, the processes, the cache and the start."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from segtune.annotations.dataset_folder import dataset_classes, find_pairs
from segtune.data.augment import Chain, Flip
from segtune.data.cache import open_samples
from segtune.data.crop import ScaledCrop
from segtune.data.loader import AugmentedPictures, Loader, WorkerDied, worker_deaths_told
from segtune.data.mix import CopyPaste, CutMix
from segtune.errors import UserError
from segtune.preprocessing import Preprocessing


def loader(dataset, batch_size=4, num_workers=0, seed=0, cache="none", mixing=(), **options):
    augmentation = Chain((Flip(0.5, 0.5), ScaledCrop(32, 0.5, 1.5, (0.5, 0.5, 0.5))))
    pairs, preprocessing = find_pairs(dataset, "train"), Preprocessing(longest_side=64)
    samples = open_samples(pairs, dataset_classes(dataset), preprocessing, cache, num_workers)
    return Loader(AugmentedPictures(samples, augmentation, seed, mixing), batch_size, num_workers, **options)


def test_every_picture_comes_once_an_epoch_and_the_last_batch_is_short(dataset):
    batches = list(loader(dataset).epoch(1))
    assert [len(batch) for batch in batches] == [4, 2]
    assert sorted(name for batch in batches for name in batch.names) == [f"{index:03}" for index in range(6)]


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [3, 3]), (5, [3, 3]), (6, [6]), (1, [1] * 6), (9, [6])])
def test_even_batches_are_of_about_one_size(dataset, batch_size, sizes):
    batches = loader(dataset, batch_size, even=True)
    found = list(batches.epoch(1))
    assert [len(batch) for batch in found] == [batches.num_pictures(index) for index in range(len(batches))] == sizes
    assert sorted(name for batch in found for name in batch.names) == [f"{index:03}" for index in range(6)]


def test_batches_have_documented_shapes(dataset):
    batch = next(loader(dataset).epoch(1))
    assert batch.images.shape == (4, 3, 32, 32)
    assert batch.labels.shape == (4, 32, 32)
    assert batch.images.dtype == batch.labels.dtype == torch.uint8


def test_epochs_and_seeds_differ(dataset):
    first, again, later, other = (
        torch.cat([batch.images for batch in loader(dataset, seed=seed).epoch(epoch)])
        for seed, epoch in [(0, 1), (0, 1), (0, 2), (1, 1)]
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, other)


def equal(one, other) -> bool:
    return one.names == other.names and torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("cache", ["none", "ram", "disk"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_and_cache_change_nothing(dataset, cache, num_workers):
    mixing = (CopyPaste(0.5), CutMix(0.5))
    alone, other = loader(dataset, mixing=mixing), loader(dataset, num_workers=num_workers, cache=cache, mixing=mixing)
    for epoch in (1, 2):
        assert all(equal(*batches) for batches in zip(alone.epoch(epoch), other.epoch(epoch), strict=True))


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_a_later_start_gives_the_same_batches(dataset, start, num_workers):
    batches = loader(dataset, batch_size=2, num_workers=num_workers)
    whole = list(batches.epoch(2))
    rest = list(batches.epoch(2, start_batch=start))
    assert all(equal(*both) for both in zip(rest, whole[start:], strict=True))
    assert len(list(batches.epoch(3))) == len(batches) == 3


def test_what_is_before_the_start_is_not_read(dataset):
    batches = loader(dataset, batch_size=2)
    for name in next(batches.epoch(1)).names:
        (dataset / "train" / "Images" / f"{name}.jpg").unlink()
    assert len(list(batches.epoch(1, start_batch=1))) == 2


@pytest.mark.parametrize(("batch_size", "world_size"), [(4, 2), (4, 3), (5, 2), (6, 6)])
def test_processes_share_the_batches_of_one(dataset, batch_size, world_size):
    alone = list(loader(dataset, batch_size).epoch(1))
    shares = [
        list(loader(dataset, batch_size, rank=rank, world_size=world_size).epoch(1)) for rank in range(world_size)
    ]
    for place, whole in enumerate(alone):
        for rank, share in enumerate(shares):
            assert share[place].names == whole.names[rank::world_size]
            assert torch.equal(share[place].images, whole.images[rank::world_size])
            assert torch.equal(share[place].labels, whole.labels[rank::world_size])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_errors_keep_their_words(dataset, num_workers):
    broken = dataset / "train" / "Images" / "003.jpg"
    broken.write_text("no picture")
    with pytest.raises(UserError) as error:
        list(loader(dataset, num_workers=num_workers).epoch(1))
    assert error.value.message == f"{broken} is not a picture that can be decoded."
    assert error.value.hint == "Replace or remove it."


def test_a_worker_that_was_killed_is_told(dataset):
    before = set(multiprocessing.active_children())
    batches = loader(dataset, batch_size=1, num_workers=1)
    list(batches.epoch(1))
    (worker,) = set(multiprocessing.active_children()) - before

    def kill_and_go_on():
        os.kill(worker.pid, signal.SIGKILL)
        with worker_deaths_told():
            list(batches.epoch(2))

    with pytest.raises(WorkerDied, match=rf"{worker.pid}.*\n.*--num-workers"):
        kill_and_go_on()


ENDING = """
import multiprocessing, os, signal, sys
from pathlib import Path
from segtune.annotations.dataset_folder import dataset_classes, find_pairs
from segtune.data.cache import open_samples
from segtune.data.crop import CenterCrop
from segtune.data.loader import AugmentedPictures, Loader
from segtune.preprocessing import Preprocessing
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    dataset = Path("dataset")
    samples = open_samples(find_pairs(dataset, "train"), dataset_classes(dataset), Preprocessing(), "ram", 1)
    loader = Loader(AugmentedPictures(samples, CenterCrop(32, (0, 0, 0)), 0), 1, 1)
    batches = loader.epoch(1)
    next(batches)
    print(*[process.pid for process in multiprocessing.active_children()], flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("not expected")
"""


@pytest.mark.parametrize(
    ("method", "ending", "code"),
    [("forkserver", "killed", -signal.SIGKILL), ("forkserver", "error", 1), ("fork", "error", 1)],
)
def test_workers_end_with_their_training(dataset, method, ending, code):
    script = dataset.parent / "ending.py"
    script.write_text(ENDING)
    words = [sys.executable, script, method, ending]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=dataset.parent, timeout=100)
    assert ended.returncode == code
    (worker,) = map(int, ended.stdout.split())
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker lives on, and with it the memory of the cache")


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), worker_deaths_told():
        raise RuntimeError("shapes")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs a CUDA device")
def test_batches_can_be_pinned(dataset):
    assert all(batch.images.is_pinned() for batch in loader(dataset, pin_memory=True).epoch(1))
