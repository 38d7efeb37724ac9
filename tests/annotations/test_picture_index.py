"""Which picture an annotation names, and what is said where there is none."""

import json
import re
import zipfile

import pytest
from PIL import Image

from segtune.annotations.convert import convert
from segtune.annotations.mask_pairs import pair_masks
from segtune.annotations.picture_index import PictureIndex
from segtune.annotations.source import FolderSource, ZipSource
from segtune.config import ConvertConfig
from segtune.errors import UserError


def index(folder, *names, images=None):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return PictureIndex(FolderSource(folder), images)


@pytest.mark.parametrize(
    ("name", "near", "pictures", "expected"),
    [
        # A bare name is found wherever there is one picture of it.
        ("a.png", "x.json", ["a.png"], "a.png"),
        ("a.png", "x.json", ["cam1/a.png"], "cam1/a.png"),
        ("a.png", "x.json", ["cam1/a.png", "cam2/a.png"], None),
        ("a.png", "cam2/x.json", ["cam1/a.png", "cam2/a.png"], "cam2/a.png"),
        ("a.png", "x.json", ["cam1/a.png", "a.png"], "a.png"),
        ("a.png", "x.json", ["images/a.png", "old/a.png"], "images/a.png"),
        ("a.png", "x.json", ["images/a.png", "photos/a.png"], "images/a.png"),
        # A name with folders is not found in others.
        ("cam1/a.png", "x.json", ["cam2/a.png"], None),
        ("cam1/a.png", "x.json", ["cam1/a.png", "cam2/a.png"], "cam1/a.png"),
        ("cam1/a.png", "x.json", ["images/cam1/a.png"], "images/cam1/a.png"),
        ("cam1/a.png", "x.json", ["day 2/cam1/a.png"], "day 2/cam1/a.png"),
        ("cam1/day1/a.png", "x.json", ["cam2/day1/a.png"], None),
        ("cam1/a.png", "cam2/x.json", ["cam2/a.png"], None),
        ("cam1/a.png", "cam1/x.json", ["cam2/a.png"], None),
        ("CAM1\\A.png", "x.json", ["cam1/a.png"], "cam1/a.png"),
        # Pictures that were taken out of their folders.
        ("cam1/a.png", "x.json", ["a.png"], "a.png"),
        ("images/a.png", "x.json", ["cam1/a.png"], "cam1/a.png"),
        ("images/cam1/a.png", "x.json", ["data/cam1/a.png"], "data/cam1/a.png"),
        ("set/images/a.png", "set/labels/a.txt", ["set/photos 2020/a.png"], "set/photos 2020/a.png"),
        # Paths of another machine.
        ("/home/me/mine/a.png", "set/x.json", ["set/images/a.png"], "set/images/a.png"),
        ("/home/me/cam1/a.png", "x.json", ["set/cam1/a.png"], "set/cam1/a.png"),
        ("/home/me/cam1/a.png", "x.json", ["set/cam2/a.png"], None),
        ("C:\\work\\cam1\\a.png", "x.json", ["cam1/a.png"], "cam1/a.png"),
        ("http://host/train2017/a.jpg", "x.json", ["train2017/a.jpg"], "train2017/a.jpg"),
        # Subsets.
        ("train/a.png", "x.json", ["val/a.png"], None),
        ("train2017/a.png", "x.json", ["images/training/a.png"], "images/training/a.png"),
        ("train/images/a.png", "x.json", ["val/images/a.png"], None),
        ("test/images/train/a", "test/labels/train/a.txt", ["test/images/train/a.jpg"], "test/images/train/a.jpg"),
        ("test/images/train/a", "test/labels/train/a.txt", ["test/images/val/a.jpg"], None),
        # Suffixes: another one only where the name has a picture's.
        ("a.jpg", "x.json", ["a.png"], "a.png"),
        ("a.jpg", "x.json", ["a.png", "a.jpg"], "a.jpg"),
        ("a", "x.json", ["a.png"], "a.png"),
        ("a", "x.json", ["a.png", "a.jpg"], None),
        ("a", "x.json", ["a.png", "images/a.jpg"], "a.png"),
        ("v.1", "x.json", ["v.1.png", "v.png"], "v.1.png"),
        ("v.1", "x.json", ["v.png"], None),
        ("a" * 5000 + ".png", "x.json", ["a.png"], None),
    ],
)
def test_pictures_are_found_by(tmp_path, name, near, pictures, expected):
    assert index(tmp_path, *pictures).find(name, near=near) == expected


@pytest.mark.parametrize(
    ("subset", "own_subset", "pictures", "expected"),
    [
        ("train", "", ["images/test1/a.png"], "images/test1/a.png"),  # the name's own folder is no subset
        ("train", "", ["images/val/test1/a.png"], None),
        ("", "night", ["images/day/a.png", "images/night/a.png"], "images/night/a.png"),
        ("", "Day", ["images/day/a.png", "images/night/a.png"], "images/day/a.png"),
        ("", "dusk", ["images/day/a.png", "images/night/a.png"], None),
        ("", "dusk", ["images/a.png"], "images/a.png"),
    ],
)
def test_subsets_tell_pictures_apart(tmp_path, subset, own_subset, pictures, expected):
    name = "a.png" if own_subset else "test1/a.png"
    assert index(tmp_path, *pictures).find(name, subset, "annotations.xml", own_subset) == expected


def test_a_folder_of_a_zip_is_not_proposed(tmp_path):
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as file:
        file.writestr("cam2/a.png", "")
    told = PictureIndex(ZipSource(tmp_path / "e.zip")).why_missing("cam1/a.png")
    assert told.endswith("cam2/a.png has its name, but lies in another folder")


def test_a_picture_seen_twice_is_no_question(tmp_path):
    index(tmp_path, "cam1/a.png", "images/b.png")
    assert PictureIndex(FolderSource(tmp_path), tmp_path / "cam1").find("a.png") == "a.png"
    assert PictureIndex(FolderSource(tmp_path), tmp_path / "images").find("b.png") == "b.png"


@pytest.mark.parametrize(
    ("name", "pictures", "message"),
    [
        ("a.png", [], "its picture is not there$"),
        ("a.png", ["cam1/a.png", "cam2/a.png"], "could be any of cam1/a.png, cam2/a.png"),
        ("cam1/a.png", ["cam2/a.png"], r"cam2/a.png has its name, but lies in another folder .*--images .*/cam2"),
        ("masks/a.png", ["masks/a.png"], r"masks/a\.png has its name, but lies among label images .*--images .*/masks"),
        ("a.gif", ["a.gif"], r"a\.gif is there, but \.gif files are not read; convert it to PNG or JPEG"),
        ("a.jpg", ["images/a.HEIC"], r"images/a\.HEIC is there, but \.HEIC files are not read"),
        ("a", ["a.heic"], r"a\.heic is there"),
    ],
)
def test_why_a_picture_is_missing(tmp_path, name, pictures, message):
    found = index(tmp_path, *pictures)
    assert found.find(name) is None
    assert re.search(message, found.why_missing(name))


@pytest.mark.parametrize(
    ("mask", "picture", "expected"),
    [
        ("masks/cam1/a.png", "images/cam2/a.jpg", ""),
        ("masks/cam1/a.png", "images/cam1/a.jpg", "images/cam1/a.jpg"),
        ("masks/cam1/a.png", "images/a.jpg", "images/a.jpg"),
        ("set/labels_v2/a.png", "set/photos/raw/a.jpg", "set/photos/raw/a.jpg"),
    ],
)
def test_masks_are_not_given_pictures_of_other_folders(mask, picture, expected):
    assert [file.picture for file in pair_masks([mask, picture])] == [expected]


@pytest.mark.parametrize(
    ("mask", "pictures", "expected"),
    [
        ("masks/1.png", ["images/1.jpg", "images/img1.jpg"], "images/1.jpg"),
        ("masks/img1.png", ["images/1.jpg", "images/img1.jpg"], "images/img1.jpg"),
        ("masks/1.png", ["images/img1.jpg"], "images/img1.jpg"),
        ("masks/0001.png", ["images/0001.png", "images/0001_rgb.png"], "images/0001.png"),
        ("masks/a_mask.png", ["images/a.jpg", "images/img_a.jpg"], "images/a.jpg"),
        ("z_mask.png", ["img_z.jpg", "z.jpg"], "z.jpg"),
        # Folders say more than names: a depth map is not what was labelled.
        ("masks/0001.png", ["rgb/0001_rgb.png", "depth/0001.png"], "rgb/0001_rgb.png"),
        ("masks/1.png", ["images/img_1.jpg", "thumbs/1.jpg"], "images/img_1.jpg"),
        ("masks/a.png", ["images/a.jpg", "images/a.png"], ""),
        ("z_mask.png", ["z.jpg", "z.png"], ""),
    ],
)
def test_a_mask_belongs_to_the_picture_of_its_own_name(mask, pictures, expected):
    (file,) = pair_masks([mask, *pictures])
    assert file.picture == expected
    assert set(file.candidates) == (set() if expected else set(pictures))


def coco(folder, *names, pictures):
    for name in pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20)).save(folder / name)
    content = {
        "images": [{"id": number, "file_name": name, "width": 30, "height": 20} for number, name in enumerate(names)],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "segmentation": [[2, 2, 12, 2, 12, 8]]}
            for number in range(len(names))
        ],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("names", "pictures", "message"),
    [
        (["a.jpg", "a.png", "b.jpg"], ["a.png", "b.jpg"], r"a\.png is annotated 2 times: .*a\.jpg, .*a\.png"),
        (["cam1/a.jpg", "cam2/a.jpg", "b.jpg"], ["a.jpg", "b.jpg"], r"a\.jpg is annotated 2 times"),
        (["cam1/a.jpg", "cam2/a.jpg", "b.jpg"], ["cam2/a.jpg", "b.jpg"], r"cam1/a\.jpg: its picture is not there"),
    ],
)
def test_two_entries_of_one_picture_are_told(tmp_path, names, pictures, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(coco(tmp_path / "e", *names, pictures=pictures), tmp_path / "d"))
