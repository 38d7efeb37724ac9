"""Which pictures are for training and which for validation."""

import pytest

from segtune.annotations.annotated_image import AnnotatedImage
from segtune.annotations.split import assign_splits


def images(count, subset=""):
    return [AnnotatedImage(f"{index}.jpg", 1, 1, f"{index}.jpg", (), subset) for index in range(count)]


@pytest.mark.parametrize(("count", "fraction", "num_val"), [(2, 0.2, 1), (2, 0.9, 1), (10, 0.2, 2), (100, 0.01, 1)])
def test_both_splits_get_pictures(count, fraction, num_val):
    assert assign_splits(images(count), fraction).count("val") == num_val


def test_split_does_not_depend_on_the_order():
    forward = dict(zip([image.name for image in images(50)], assign_splits(images(50), 0.3), strict=True))
    backward = assign_splits(images(50)[::-1], 0.3)
    assert [forward[image.name] for image in images(50)[::-1]] == backward


def test_subsets_of_the_export_are_kept():
    assert assign_splits([*images(2, "train"), *images(1, "val"), *images(1, "test")], 0.5) == [
        "train", "train", "val", "test",
    ]  # fmt: skip


def test_test_pictures_stay_out_of_both():
    splits = assign_splits([*images(4, "train"), *images(3, "test")], 0.5)
    assert splits[4:] == ["test"] * 3
    assert set(splits[:4]) == {"train", "val"}


def test_a_single_subset_is_split():
    assert set(assign_splits(images(10, "train"), 0.2)) == {"train", "val"}
