"""The plan's augmentation: what is off changes nothing, what is on is done; the sheet shows it."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from segtune.annotations.dataset_folder import dataset_classes, find_pairs
from segtune.classes import IGNORE
from segtune.config import TrainConfig
from segtune.data.augment import Chain, ColorJitter, Flip
from segtune.data.cache import open_samples
from segtune.data.crop import ScaledCrop
from segtune.data.loader import AugmentedPictures
from segtune.preprocessing import IMAGENET_MEAN, Preprocessing
from segtune.training.augmentation import plan_augmentation, plan_mixing
from segtune.training.augmented_sheet import augmented_sheet
from segtune.training.plan import Facts, make_plan

OPTIONS = ["aspect_jitter", "rotation", "rare_crop", "hue_jitter", "blur", "cutout", "cutmix", "copy_paste"]


def plan(recipe="default", **values):
    off = dict.fromkeys(OPTIONS, 0.0)
    made = make_plan(TrainConfig(Path("d"), Path("r"), recipe=recipe), Facts(3, 6, (9, 9, 9), "cpu", 2))
    return replace(made, **(off | {"crop": 48} | values))


def pictures(dataset, plan):
    samples = open_samples(find_pairs(dataset, "train"), dataset_classes(dataset), Preprocessing(), "ram", 0)
    return AugmentedPictures(samples, plan_augmentation(plan, IMAGENET_MEAN), plan.seed, plan_mixing(plan))


def same(one, other) -> bool:
    return bool((one.image == other.image).all() and (one.labels == other.labels).all())


def test_default_recipe_is_flip_crop_and_light(dataset):
    jitter = ColorJitter(0.15, 0.15, 0.15)
    expected = Chain((Flip(0.5, 0.0), ScaledCrop(48, 0.75, 1.5, IMAGENET_MEAN), jitter))
    found = pictures(dataset, plan())
    for index in range(6):
        generator = np.random.default_rng([0, 1, 3, index])
        assert same(found[3, index], expected(found.samples[index], generator))
    assert not found.mixing


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_does_something_and_depends_on_seed_epoch_and_index_alone(dataset, option):
    amount = 20.0 if option == "rotation" else 1.0
    without, first, again = (pictures(dataset, plan(**values)) for values in ({}, {option: amount}, {option: amount}))
    places = [(epoch, index) for epoch in (1, 2) for index in range(6)]
    seen = {place: first[place] for place in reversed(places)}
    assert all(same(seen[place], again[place]) for place in places)
    assert not all(same(seen[place], without[place]) for place in places)
    assert {sample.image.shape for sample in seen.values()} == {(48, 48, 3)}
    assert {int(value) for sample in seen.values() for value in np.unique(sample.labels)} <= {0, 1, 2, IGNORE}


def test_all_options_together_keep_picture_and_labels_together(dataset):
    colors = {0: 0, 1: 1, 2: 2}  # of the test pictures: class i is brightest in channel i
    augmented = pictures(dataset, plan(**dict.fromkeys(OPTIONS, 0.5) | {"rotation": 30.0, "hue_jitter": 0.0}))
    agree = []
    for index in range(6):
        sample = augmented[1, index]
        counted = sample.labels != IGNORE
        brightest = sample.image.argmax(axis=2)
        agree += [brightest[counted & (sample.labels == index)] == channel for index, channel in colors.items()]
    assert np.concatenate(agree).mean() > 0.9


@pytest.mark.parametrize(("count", "height", "width"), [(24, 4, 6), (6, 1, 6), (7, 2, 6), (2, 1, 2)])
def test_the_sheet_has_rows_of_six(dataset, count, height, width):
    sheet = augmented_sheet(pictures(dataset, plan()), dataset_classes(dataset), count)
    assert sheet.shape == (height * 228 + 4, width * 228 + 4, 3)
    assert sheet.dtype == np.uint8
    tiles = [sheet[4:228, left + 4 : left + 228] for left in range(0, width * 228, 228)]
    assert all(tile.std() > 5 for tile in tiles)
    assert not any((one == other).all() for one, other in pairwise(tiles))


def test_the_sheet_stripes_what_is_ignored(dataset):
    sheet = augmented_sheet(
        pictures(dataset, plan(crop=224, min_scale=0.5, max_scale=0.5)), dataset_classes(dataset), 1
    )
    mean = np.round(np.array(IMAGENET_MEAN) * 255)
    # The padding around pictures of 72 x 96 at half their size: half stripes, half the mean colour that training sees.
    assert 0.3 < (sheet == 255).all(axis=2).mean() < 0.6
    assert 0.3 < (np.abs(sheet - mean) <= 12).all(axis=2).mean() < 0.6
