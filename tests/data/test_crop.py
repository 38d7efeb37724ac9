"""Crops: where they lie, how they are stretched and turned."""

import math

import cv2
import numpy as np
import pytest

from segtune.classes import IGNORE
from segtune.data.crop import ScaledCrop, pixel_of_class
from segtune.data.rotation import Window, rotated
from segtune.data.sample import Sample

FILL = (0.5, 0.5, 0.5)


def smooth(height: int = 90, width: int = 120) -> Sample:
    """Grey values that rise evenly to the right and downwards; labels are steps of them."""
    rows, columns = np.mgrid[:height, :width]
    values = (rows + columns).astype(np.uint8)
    return Sample(np.repeat(values[:, :, None], 3, axis=2), values // 10, "x")


def disk(size: int = 101, radius: int = 30) -> Sample:
    rows, columns = np.mgrid[:size, :size] - size // 2
    labels = (np.hypot(rows, columns) <= radius).astype(np.uint8)
    return Sample(np.repeat((labels * 200)[:, :, None], 3, axis=2), labels, "x")


def dot(row: int, column: int, height: int = 200, width: int = 300) -> Sample:
    """One pixel of class 2 in class 0, and one of class 7."""
    labels = np.zeros((height, width), np.uint8)
    labels[row, column] = 2
    labels[0, 0] = 7
    return Sample(np.zeros((height, width, 3), np.uint8), labels, "x")


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_are_exact(turns):
    square = Sample(smooth().image[:80, :80], smooth().labels[:80, :80], "x")
    turned = rotated(square, Window(40, 40, 1, 1, turns * math.pi / 2, 80), FILL)
    assert (turned.labels == np.rot90(square.labels, turns)).all()
    assert (turned.image == np.rot90(square.image, turns)).all()


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_picture_and_labels_are_turned_and_stretched_together(scale, seed):
    turned = ScaledCrop(48, scale, scale, FILL, aspect_jitter=0.5, rotation=180)(smooth(), generator(seed))
    assert turned.image.shape == (48, 48, 3)
    assert turned.labels.shape == (48, 48)
    # Next to what is outside of the picture the mean colour is mixed in.
    inside = cv2.erode((turned.labels != IGNORE).astype(np.uint8), np.ones((5, 5)), borderValue=0) > 0
    difference = turned.image[:, :, 0].astype(int) - (turned.labels.astype(int) * 10 + 5)
    assert np.abs(difference[inside]).max(initial=0) <= 5 + 2 / scale
    far_outside = cv2.erode((turned.labels == IGNORE).astype(np.uint8), np.ones((7, 7)), borderValue=0) > 0
    assert (turned.image[far_outside] == 128).all()


@pytest.mark.parametrize("angle", [0.0, 0.3, 2.0])
@pytest.mark.parametrize(("row_scale", "column_scale"), [(1, 1), (0.5, 0.5), (1.5, 0.75), (0.6, 1.2)])
def test_shapes_keep_their_place_and_get_their_size(angle, row_scale, column_scale):
    turned = rotated(disk(), Window(50.5, 50.5, row_scale, column_scale, angle, 120), FILL).labels == 1
    rows, columns = np.nonzero(turned)
    assert (rows.mean(), columns.mean()) == pytest.approx((59.5, 59.5), abs=0.6)
    assert turned.sum() == pytest.approx(math.pi * 30**2 * row_scale * column_scale, rel=0.04)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(row_scale / column_scale, rel=0.06)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (200, 3), (500, 400)])
@pytest.mark.parametrize("seed", range(5))
def test_any_picture_can_be_turned(height, width, seed):
    labels = np.zeros((height, width), np.uint8)
    sample = Sample(np.zeros((height, width, 3), np.uint8), labels, "x")
    turned = ScaledCrop(64, 0.5, 2.0, FILL, 1.0, 180.0)(sample, generator(seed))
    assert turned.image.shape == (64, 64, 3)
    assert set(np.unique(turned.labels)) <= {0, IGNORE}


def test_aspects_are_even_in_their_logarithm():
    logs = []
    for seed in range(200):
        crop = ScaledCrop(100, 0.7, 0.7, FILL, aspect_jitter=1.0)(disk(), generator(seed))
        rows, columns = np.nonzero(crop.labels == 1)
        logs.append(math.log(np.ptp(columns) / np.ptp(rows), 2))
    assert min(logs) < -0.8
    assert max(logs) > 0.8
    assert np.mean(logs) == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize("rotation", [0.0, 45.0])
@pytest.mark.parametrize("row", [60, 100, 140])
def test_rare_crops_hold_the_class_they_are_placed_on(row, rotation):
    crop = ScaledCrop(64, 1.0, 1.0, FILL, rotation=rotation, rare_crop=1.0, class_weights=(0.0, 1.0, 1.0))
    places = [np.argwhere(crop(dot(row, 200), generator(seed)).labels == 2) for seed in range(60)]
    # A turned pixel may fall between the crop's.
    assert np.mean([len(place) > 0 for place in places]) >= (0.8 if rotation else 1)
    assert np.ptp([place[0] for place in places if len(place)], axis=0).min() > (20 if rotation else 50)


def test_rare_crops_hold_their_class_however_stretched_and_turned():
    """A window that is higher than wide, turned by a right angle, is wider than high."""
    crop = ScaledCrop(64, 1.0, 1.0, FILL, aspect_jitter=3.0, rotation=180.0, rare_crop=1.0, class_weights=(0, 1, 1))
    labels = np.zeros((400, 400), np.uint8)
    labels[190:210, 190:210] = 2
    sample = Sample(np.zeros((400, 400, 3), np.uint8), labels, "x")
    assert all((crop(sample, generator(seed)).labels == 2).any() for seed in range(200))


@pytest.mark.parametrize(
    ("weights", "classes"),
    [((), {0, 2, 7}), ((1.0, 1.0, 1.0), {0, 2}), ((0.0, 1.0, 1.0), {2}), ((0.0, 1.0, 0.0), set())],
)
def test_classes_are_drawn_by_their_weights_among_those_there_are(weights, classes):
    labels = dot(5, 6).labels
    labels[100:] = IGNORE
    drawn = [pixel_of_class(labels, weights, generator(seed)) for seed in range(40)]
    assert {int(labels[place]) for place in drawn if place is not None} == classes
    assert all(place is None for place in drawn) == (not classes)


def test_without_anything_labelled_a_rare_crop_is_any_crop():
    empty = Sample(np.zeros((90, 90, 3), np.uint8), np.full((90, 90), IGNORE, np.uint8), "x")
    assert (ScaledCrop(32, 1, 1, FILL, rare_crop=1.0)(empty, generator()).labels == IGNORE).all()


def test_crops_hold_labelled_pixels_where_there_are_some():
    """A crop that takes any place would hold some of them in few cases."""
    sample = smooth(100, 800)
    labels = np.full_like(sample.labels, IGNORE)
    labels[50:60, 350:360] = 1
    partly = Sample(sample.image, labels, "x")
    crops = [ScaledCrop(64, 1.0, 1.0, FILL)(partly, generator(seed)) for seed in range(60)]
    assert all((crop.labels == 1).any() for crop in crops)
    turned = [ScaledCrop(64, 1.0, 1.0, FILL, rotation=45.0)(partly, generator(seed)) for seed in range(200)]
    assert all((crop.labels == 1).any() for crop in turned)
    anywhere = [ScaledCrop(64, 1.0, 1.0, FILL, needs_labels=False)(partly, generator(seed)) for seed in range(60)]
    assert sum((crop.labels == 1).any() for crop in anywhere) < 20
    nothing = Sample(sample.image, np.full_like(labels, IGNORE), "x")
    assert ScaledCrop(64, 1.0, 1.0, FILL)(nothing, generator()).labels.shape == (64, 64)
