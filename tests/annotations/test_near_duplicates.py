"""Copies are found, other pictures are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from segtune.annotations.near_duplicates import Copies, find_pairs_alike, thumbnail


def saved_again(picture, quality=60):
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return Image.open(content)


COPIES = {
    "compressed": lambda picture: picture,
    "half as large": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.2),
    "more contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(1.3),
}


@pytest.fixture(scope="module")
def photographs(shared_data):
    paths = sorted((shared_data / "camvid").glob("*/Images/*"))[::12]
    return [Image.open(path).convert("RGB") for path in paths]


@pytest.mark.parametrize("copy", COPIES)
def test_copies_are_found(photographs, copy):
    found = 0
    for picture in photographs:
        pair = [thumbnail(picture), thumbnail(saved_again(COPIES[copy](picture)))]
        found += find_pairs_alike(pair, ["train", "val"]) == [(0, 1)]
    assert found >= 0.95 * len(photographs)


def test_copies_of_16_bits_are_found(photographs):
    grey = photographs[0].convert("L")
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    assert find_pairs_alike([thumbnail(deep), thumbnail(grey)], ["train", "val"]) == [(0, 1)]


def test_other_pictures_are_not_found(shared_data):
    paths = sorted((shared_data / "camvid").glob("*/Images/*")) + sorted((shared_data / "skydiving").glob("*/Images/*"))
    thumbnails = [thumbnail(Image.open(path)) for path in paths]
    assert find_pairs_alike(thumbnails, [path.parts[-3:-2] + path.parts[-4:-3] for path in paths]) == []


def test_pairs_of_one_group_and_flat_pictures_are_not_told():
    generator = np.random.default_rng(0)
    scene = generator.uniform(0, 255, (32, 32)).astype(np.float32)
    flat = np.full((32, 32), 90, np.float32)
    assert find_pairs_alike([scene, scene, flat, flat], ["train", "train", "train", "val"]) == []
    assert find_pairs_alike([scene, flat, scene], ["train", "val", "val"]) == [(0, 2)]


def test_thousands_of_copies_are_told_in_bounded_time():
    scene = np.random.default_rng(0).uniform(0, 255, (32, 32)).astype(np.float32)
    assert len(find_pairs_alike([scene] * 3000, ["train", "val"] * 1500)) == 1000


def test_copies_of_one_picture_are_found_however_many():
    generator = np.random.default_rng(0)
    scene, other = generator.uniform(0, 255, (2, 32, 32)).astype(np.float32)
    flat = np.full((32, 32), 90, np.float32)
    copies = Copies([scene, other, flat, flat, *[scene] * 3000])
    assert copies.like(0) == list(range(4, 3004))
    assert copies.like(4, known=range(10, 3004)) == [0, *range(5, 10)]
    assert copies.like(1) == copies.like(2) == []


def test_copies_and_pairs_agree(photographs):
    seen = [thumbnail(picture) for picture in photographs[:20]]
    seen += [thumbnail(saved_again(picture)) for picture in photographs[:20]]
    copies = Copies(seen)
    pairs = {(one, other) for one in range(len(seen)) for other in copies.like(one) if one < other}
    assert pairs == set(find_pairs_alike(seen, range(len(seen))))
    assert len(pairs) >= 19
