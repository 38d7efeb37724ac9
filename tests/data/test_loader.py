"""Batches: every picture once an epoch; the same whatever the workers."""

import pytest
import torch

from segtune.annotations.dataset_folder import dataset_classes, find_pairs
from segtune.data.augment import Chain, Flip
from segtune.data.cache import open_samples
from segtune.data.crop import ScaledCrop
from segtune.data.loader import AugmentedPictures, Loader
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


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_change_nothing(dataset):
    alone, with_workers = loader(dataset), loader(dataset, num_workers=2)
    for epoch in (1, 2):
        for one, other in zip(alone.epoch(epoch), with_workers.epoch(epoch), strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)
            assert one.names == other.names
