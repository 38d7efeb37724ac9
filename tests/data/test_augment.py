"""Augmentation: picture and labels move together, sizes and values stay right."""

import numpy as np
import pytest

from segtune.classes import IGNORE
from segtune.data.augment import GREY_WEIGHTS, Blur, Chain, ColorJitter, Cutout, Flip, hue_turn
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


def test_small_pictures_are_enlarged():
    picture = Sample(np.full((8, 10, 3), 7, np.uint8), np.full((8, 10), 2, np.uint8), "x")
    cropped = ScaledCrop(64, 1.0, 1.0, FILL, enlarge=3)(picture, generator())
    rows, columns = np.nonzero(cropped.labels == 2)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (24, 30)
    assert (cropped.image[cropped.labels == 2] == 7).all()


@pytest.mark.parametrize("enlarge", [1, 3, 4])
def test_crops_inside_a_picture_have_no_padding(enlarge):
    crop = ScaledCrop(64, 0.75, 1.5, FILL, enlarge=enlarge)
    assert all((crop(sample(200, 200), generator(seed)).labels != IGNORE).all() for seed in range(50))


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
    assert (ColorJitter(0, 0, 0)(sample(), generator()).image == sample().image).all()


@pytest.mark.parametrize("seed", range(10))
def test_color_jitter_is_its_changes_one_after_the_other(seed):
    picture = generator(seed).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    brightness, contrast, saturation = generator(seed).uniform(0.6, 1.4, 3)
    expected = picture.astype(np.float32) * brightness
    grey = expected @ GREY_WEIGHTS
    expected = grey[:, :, None] * (1 - saturation) + expected * saturation
    expected = np.clip(grey.mean() * (1 - contrast) + expected * contrast, 0, 255)
    found = ColorJitter(0.4, 0.4, 0.4)(Sample(picture, picture[:, :, 0], "x"), generator(seed)).image
    assert np.abs(found - expected).max() < 1


def test_hue_turns_colors_and_leaves_greys_and_luma():
    assert hue_turn(0.3) @ np.ones(3) == pytest.approx(np.ones(3), abs=0.01)
    assert GREY_WEIGHTS @ hue_turn(0.3) == pytest.approx(GREY_WEIGHTS)
    assert hue_turn(0.2) @ hue_turn(0.1) == pytest.approx(hue_turn(0.3))
    assert hue_turn(1.0) == pytest.approx(np.eye(3), abs=1e-6)
    green_or_blue = hue_turn(1 / 3) @ [1, 0, 0]
    assert green_or_blue[0] < max(green_or_blue[1:])


def test_blur_smooths_the_picture_alone():
    blurred = [Blur(1)(sample(), generator(seed)) for seed in range(10)]
    assert all((one.labels == sample().labels).all() for one in blurred)
    assert min(one.image.std() for one in blurred) < sample().image.std()


def test_cutout_paints_a_rectangle_that_does_not_count():
    shares = []
    for seed in range(100):
        cut = Cutout(1, FILL)(sample(), generator(seed))
        painted = cut.labels == IGNORE
        rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
        assert painted.sum() == len(rows) * len(columns)
        assert (cut.image[painted] == 128).all()
        assert (cut.image[~painted] == sample().image[~painted]).all()
        shares.append(painted.mean())
    assert 0.01 < min(shares) < 0.05
    assert 0.15 < max(shares) < 0.22


@pytest.mark.parametrize(("step", "changed"), [(Blur(0.25), "image"), (Cutout(0.25, FILL), "labels")])
def test_steps_happen_with_their_probability(step, changed):
    changes = [(getattr(step(sample(), generator(seed)), changed) != getattr(sample(), changed)).any()
               for seed in range(400)]  # fmt: skip
    assert 60 < sum(changes) < 140


@pytest.mark.parametrize(
    "augmentation",
    [
        Flip(1, 1), ScaledCrop(48, 0.5, 2.0, FILL), ScaledCrop(48, 0.5, 2.0, FILL, 0.5, 30, 1.0), CenterCrop(48, FILL),
        ColorJitter(0.4, 0.4, 0.4, 0.5), Blur(1), Cutout(1, FILL),
    ],
)  # fmt: skip
def test_a_caches_arrays_are_not_written_into(augmentation):
    cached = sample()
    cached.image.flags.writeable = cached.labels.flags.writeable = False
    for seed in range(5):
        augmentation(cached, generator(seed))


def test_same_generator_gives_the_same_sample():
    chain = Chain((Flip(0.5, 0.5), ScaledCrop(48, 0.5, 2.0, FILL), ColorJitter(0.3, 0.3, 0.3)))
    first, second, third = (chain(sample(), generator(seed)) for seed in (3, 3, 4))
    assert (first.image == second.image).all()
    assert (first.image != third.image).any()
