"""Run lengths of all kinds come back as the pixels that they were made of."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pycocotools import mask as coco_mask

from segtune.annotations.annotated_image import Mask
from segtune.annotations.convert import convert
from segtune.annotations.image_builder import BadAnnotation, runs
from segtune.annotations.rle import run_ends, unpack
from segtune.config import ConvertConfig

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


def lengths_of(flat: np.ndarray) -> list[int]:
    """Run lengths, the first of pixels that are not covered."""
    ends = np.flatnonzero(np.diff(flat, prepend=False))
    return np.diff([0, *ends, flat.size]).tolist()


def placed(mask: Mask, shape: tuple[int, int]) -> np.ndarray:
    whole = np.zeros(shape, np.bool_)
    whole[mask.top : mask.top + mask.pixels.shape[0], mask.left : mask.left + mask.pixels.shape[1]] = mask.pixels
    return whole


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_runs_along_rows_as_cvat_writes_them(mask):
    text = ", ".join(map(str, lengths_of(mask.ravel())))
    assert (placed(unpack(runs(text, *mask.shape), mask.shape), mask.shape) == mask).all()


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_runs_down_columns_as_coco_writes_them(mask):
    lengths = lengths_of(mask.T.ravel())
    assert (placed(unpack(runs(lengths, *mask.shape, column_major=True), mask.shape), mask.shape) == mask).all()


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_compressed_runs_of_coco(mask):
    counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    lengths = np.diff(run_ends(counts), prepend=0)
    assert (placed(unpack(runs(lengths, *mask.shape, column_major=True), mask.shape), mask.shape) == mask).all()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_characters_are_runs_or_refused(counts):
    try:
        ends = run_ends(counts)
    except ValueError:
        return
    assert len(ends)


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789,. -+einfa", max_size=40))
def test_any_text_is_runs_or_refused(text):
    try:
        found = runs(text, 3, 4)
    except BadAnnotation:
        return
    assert found.lengths.sum() == 12


@pytest.mark.parametrize("kind", ["list", "text", "polygon"])
def test_label_images_of_coco_are_the_masks(tmp_path, kind):
    generator = np.random.default_rng(0)
    images, annotations, expected = [], [], {}
    for index in range(4):
        mask = np.zeros((20, 30), np.uint8)
        if kind == "polygon":
            points = generator.uniform(0, [30, 20], (5, 2)).round(2).ravel().tolist()
            mask = coco_mask.decode(coco_mask.frPyObjects([points], 20, 30))[:, :, 0]
            segmentation = [points]
        else:
            mask[generator.random((20, 30)) < 0.3] = 1
            encoded = coco_mask.encode(np.asfortranarray(mask))
            counts = lengths_of(mask.T.ravel().astype(np.bool_)) if kind == "list" else encoded["counts"].decode()
            segmentation = {"size": [20, 30], "counts": counts}
        Image.new("RGB", (30, 20), (index, 0, 0)).save(tmp_path / f"{index}.jpg")
        images.append({"id": index, "file_name": f"{index}.jpg", "height": 20, "width": 30})
        annotations.append(
            {"id": index, "image_id": index, "category_id": 3, "iscrowd": 1, "segmentation": segmentation}
        )
        expected[str(index)] = mask
    content = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "car"}]}
    (tmp_path / "instances_default.json").write_text(json.dumps(content))
    convert(ConvertConfig(tmp_path, tmp_path / "d"))
    found = {path.stem: np.array(Image.open(path)) for path in (tmp_path / "d").glob("*/Labels/*.png")}
    assert found.keys() == expected.keys()
    assert all((found[name] == expected[name]).all() for name in expected)
