"""Everything that is wrong with a dataset, found at once."""

import shutil

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.check import check_dataset
from segtune.annotations.dataset_folder import dataset_classes
from segtune.classes import numbered_classes
from segtune.errors import DataError


def labels(path, values):
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def rgb_labels(path):
    Image.new("RGB", (96, 72), (255, 0, 0)).save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-300])


def filled(value):
    area = np.zeros((72, 96), np.uint8)
    area[:2, :3] = value
    return area


SPOILT = {
    "value outside": (
        "Labels/000.png",
        lambda path: labels(path, filled(7)),
        r"value 7 \(6 pixels\).*--ignore-value 7",
    ),
    "grey levels": (
        "Labels/000.png",
        lambda path: labels(path, np.arange(72 * 96).reshape(72, 96) % 250),
        "look like grey levels",
    ),
    "other size": (
        "Labels/000.png",
        lambda path: labels(path, np.zeros((72, 95))),
        "95 x 72 pixels, its picture 96 x 72",
    ),
    "turned": ("Labels/000.png", lambda path: labels(path, np.zeros((96, 72))), "EXIF orientation"),
    "colours": ("Labels/000.png", rgb_labels, r"3 channels with the colours \(255, 0, 0\)"),
    "truncated picture": ("Images/000.jpg", cut, "truncated"),
    "empty picture": ("Images/000.jpg", lambda path: path.write_bytes(b""), "not a picture"),
    "broken labels": ("Labels/000.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "can't be|not a picture"),
    "no labels": ("Labels/000.png", lambda path: path.unlink(), "has no label image"),
}


def test_sound_dataset_has_no_errors_and_right_facts(dataset):
    report = check_dataset(dataset, dataset_classes(dataset))
    assert not report.errors
    assert not report.warnings
    assert report.splits["train"].num_pictures == 6
    assert report.splits["train"].pixels.sum() == 6 * 72 * 96
    assert report.splits["val"].sizes == {(72, 96): 3}


@pytest.mark.parametrize("name", SPOILT)
def test_error_is_told_with_its_file(dataset, name):
    file, spoil, message = SPOILT[name]
    spoil(dataset / "train" / file)
    with pytest.raises(DataError, match=message):
        check_dataset(dataset, dataset_classes(dataset)).raise_for_errors()


def test_errors_of_all_files_are_told_together(dataset):
    for file, spoil, _ in list(SPOILT.values())[:2]:
        spoil(dataset / "train" / file)
        spoil(dataset / "val" / file.replace("000", "100"))
    assert len(check_dataset(dataset, dataset_classes(dataset)).errors) == 2


def test_0_and_255_masks_are_recognised(dataset):
    for path in dataset.glob("*/Labels/*.png"):
        labels(path, filled(255))
    report = check_dataset(dataset, dataset_classes(dataset))
    assert [error for error in report.errors if "save it as 1" in error]


def test_split_without_labels_is_an_error(dataset):
    for path in dataset.glob("val/Labels/*.png"):
        labels(path, np.full((72, 96), 255))
    assert check_dataset(dataset, dataset_classes(dataset)).errors == ["no pixel of val carries a label"]


def test_picture_in_both_splits_is_a_warning(dataset):
    shutil.copy(dataset / "train" / "Images" / "000.jpg", dataset / "val" / "Images" / "100.jpg")
    assert "same picture is in train and val" in check_dataset(dataset, dataset_classes(dataset)).warnings[0]


def test_ignored_values_are_no_error(dataset):
    labels(dataset / "train" / "Labels" / "000.png", filled(7))
    assert not check_dataset(dataset, dataset_classes(dataset, None, 7)).errors


def test_absent_class_is_a_warning(dataset):
    assert check_dataset(dataset, numbered_classes(4)).warnings == [
        "no pixel of train has the class class_3",
        "no pixel of val has the class class_3",
    ]


def test_exif_orientation_is_taken_into_account(dataset):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (72, 96)).save(dataset / "train" / "Images" / "000.jpg", exif=exif)
    assert not check_dataset(dataset, dataset_classes(dataset)).errors


def test_fingerprint_follows_the_content(dataset):
    table = dataset_classes(dataset)
    before = check_dataset(dataset, table).fingerprint
    assert check_dataset(dataset, table).fingerprint == before
    labels(dataset / "train" / "Labels" / "000.png", filled(1))
    assert check_dataset(dataset, table).fingerprint != before
