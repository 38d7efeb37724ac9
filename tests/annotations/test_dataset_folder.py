"""Pairs and classes of a dataset folder."""

import os
import shutil

import pytest

from segtune.annotations.check import check_dataset
from segtune.annotations.dataset_folder import dataset_classes, find_pairs, scan_split
from segtune.errors import DataError, UserError


def test_pairs_are_found_by_stem(dataset):
    (dataset / "val" / "Images" / "Thumbs.db").touch()
    (dataset / "val" / "Images" / ".hidden.jpg").touch()
    assert [pair.stem for pair in find_pairs(dataset, "val")] == ["100", "101", "102"]


@pytest.mark.parametrize(
    ("removed", "named"),
    [
        ("", [""]),
        ("train", ["train/Images", "train/Labels"]),
        ("train/Images", ["train/Images"]),
        ("train/Labels", ["train/Labels"]),
    ],
)
def test_missing_folders_are_named(dataset, removed, named):
    shutil.rmtree(dataset / removed)
    with pytest.raises(DataError) as error:
        find_pairs(dataset, "train")
    assert error.value.problems == [f"{dataset / folder} is missing" for folder in named]


def test_all_that_does_not_pair_up_is_named_together(dataset):
    folder = dataset / "train"
    (folder / "Labels" / "000.png").unlink()
    (folder / "Images" / "001.jpg").unlink()
    shutil.copy(folder / "Images" / "002.jpg", folder / "Images" / "002.webp")
    with pytest.raises(DataError) as error:
        find_pairs(dataset, "train")
    named = zip(["002.webp", "000.jpg", "001.png"], error.value.problems, strict=True)
    assert all(part in problem for part, problem in named)


@pytest.mark.parametrize(("picture", "labels"), [("MU\u0308LLER", "M\u00fcller"), ("A", "a")])
def test_names_that_only_look_different_are_told_and_not_dropped(dataset, picture, labels):
    folder = dataset / "train"
    (folder / "Images" / "000.jpg").rename(folder / "Images" / f"{picture}.jpg")
    (folder / "Labels" / "000.png").rename(folder / "Labels" / f"{labels}.png")
    pairs, (finding,) = scan_split(dataset, "train")
    assert "differ in capitals, or in how accents are stored" in finding.message
    assert (finding.repair, len(finding.files)) == ("", 2)
    assert all(pair.stem != picture for pair in pairs)


def test_number_of_classes_must_agree_with_the_names(dataset):
    assert dataset_classes(dataset, 3).names == ("floor", "wall", "box")
    with pytest.raises(UserError, match=r"--num-classes is 4, .* names 3 classes"):
        dataset_classes(dataset, 4)


def test_without_names_the_number_is_needed_and_suggested(dataset):
    (dataset / "classes.yaml").unlink()
    assert dataset_classes(dataset, 5, 200).names[-1] == "class_4"
    with pytest.raises(UserError, match="probably --num-classes 3"):
        dataset_classes(dataset)


def test_names_that_are_no_text_are_told(dataset):
    place = dataset / "train" / "Images"
    try:
        (place / "000.jpg").rename(place / os.fsdecode(b"gr\xfc.jpg"))
    except OSError:
        pytest.skip("the file system takes names in UTF-8 only")
    with pytest.raises(DataError, match=r"not UTF-8 \(gr\\xfc\.jpg\)"):
        find_pairs(dataset, "train")
    assert any("not UTF-8" in error for error in check_dataset(dataset, dataset_classes(dataset)).errors)
