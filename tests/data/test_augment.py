"""Augmentation: picture and labels move together, sizes and values stay right."""

import numpy as np
import pytest

from segtune.classes import IGNORE
from segtune.data.augment import Chain, ColorJitter, Flip
from segtune.data.crop import CenterCrop, ScaledCrop
from segtune.data.sample import Sample

FILL = (0.5, 0.5, 0.5)


def sample(height: int = 60, width: int = 80) -> Sample:
    """Blocks of 10 pixels whose grey value is ten times their label."""
    rows, columns = np.mgrid[:height, :width] // 10
    labels = ((rows + columns) % 20).astype(np.uint8)
    return Sample(np.repeat((labels * 10)[:, :, None], 3, axis=2), labels, "x")


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "augmentation",
    [Flip(0.5, 0.5), ScaledCrop(48, 0.5, 2.0, FILL), ScaledCrop(128, 0.5, 1.0, FILL), CenterCrop(48, FILL)],
)
def test_picture_and_labels_move_together(augmentation, seed):
    moved = augmentation(sample(), generator(seed))
    inner = (moved.labels != IGNORE) & (np.abs(moved.image[:, :, 0].astype(int) - 128) > 0)
    agree = np.abs(moved.image[:, :, 0].astype(int) - moved.labels.astype(int) * 10)[inner] <= 5
    assert agree.mean() > 0.75


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 300), (60, 80), (224, 224), (300, 5)])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_crops_have_their_size_whatever_the_pictures(height, width, scale):
    cropped = ScaledCrop(64, scale, scale, FILL)(sample(height, width), generator())
    assert cropped.image.shape == (64, 64, 3)
    assert cropped.labels.shape == (64, 64)
    assert cropped.image.dtype == cropped.labels.dtype == np.uint8


def test_padding_is_ignored_and_of_the_mean_color():
    cropped = ScaledCrop(64, 1.0, 1.0, FILL)(sample(10, 20), generator())
    padding = cropped.labels == IGNORE
    assert padding.sum() == 64 * 64 - 10 * 20
    assert (cropped.image[padding] == 128).all()


def test_center_crop_is_torchvisions():
    from torchvision.transforms.functional import center_crop, to_pil_image

    for height, width in ((60, 81), (61, 80), (49, 48)):
        expected = np.array(center_crop(to_pil_image(sample(height, width).image), [48, 48]))
        assert (CenterCrop(48, FILL)(sample(height, width), generator()).image == expected).all()


def test_flips_happen_with_their_probability():
    flips = [Flip(0.5, 0.0)(sample(), generator(seed)).labels[0, 0] != 0 for seed in range(200)]
    assert 70 < sum(flips) < 130
    assert (Flip(0, 1)(sample(), generator()).labels == sample().labels[::-1]).all()


def test_color_jitter_changes_colors_alone():
    changed = ColorJitter(0.3, 0.3, 0.3)(sample(), generator())
    assert (changed.labels == sample().labels).all()
    assert (changed.image != sample().image).any()
    assert (ColorJitter(0, 0, 0)(sample(), generator()).image == sample().image).mean() > 0.99


def test_same_generator_gives_the_same_sample():
    chain = Chain((Flip(0.5, 0.5), ScaledCrop(48, 0.5, 2.0, FILL), ColorJitter(0.3, 0.3, 0.3)))
    first, second, third = (chain(sample(), generator(seed)) for seed in (3, 3, 4))
    assert (first.image == second.image).all()
    assert (first.image != third.image).any()
