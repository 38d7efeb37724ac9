"""Values are counted as by numpy, whatever the label image is like."""

import io

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.label_values import count_png_values, count_values
from segtune.classes import numbered_classes
from segtune.pictures import labels_png


def plain(values):
    return np.bincount(np.ravel(values), minlength=256)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 64, 1000, 4097])
@pytest.mark.parametrize("num_values", [1, 2, 5, 256])
def test_values_are_counted(length, num_values):
    random = np.random.default_rng(0).integers(0, num_values, length).astype(np.uint8)
    for values in (
        random,
        np.repeat(random, 37)[:length],
        np.resize(random[:3], length),
        np.resize(random[:8], length),
    ):
        assert (count_values(np.ascontiguousarray(values)) == plain(values)).all()


def label_image(height, width):
    values = np.random.default_rng(1).integers(0, 9, (height, width // 5 + 1)).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(values, 5, axis=1)[:, :width])


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (700, 900), (2, 600_000)])
def test_png_values_are_counted(size):
    values = label_image(*size)
    assert (count_png_values(labels_png(values, numbered_classes(9))) == plain(values)).all()


@pytest.mark.parametrize("mode", ["RGB", "1", "I;16", "LA"])
def test_other_kinds_are_left_to_pillow(mode):
    content = io.BytesIO()
    Image.new(mode, (30, 20)).save(content, "PNG")
    assert count_png_values(content.getvalue()) is None


def test_filters_are_left_to_pillow():
    content = io.BytesIO()
    Image.linear_gradient("L").save(content, "PNG")
    assert count_png_values(content.getvalue()) is None


def test_spoilt_files_are_left_to_pillow():
    content = labels_png(label_image(60, 80), numbered_classes(9))
    for end in range(len(content)):
        assert count_png_values(content[:end]) is None
    generator = np.random.default_rng(2)
    for _ in range(500):
        spoilt = bytearray(content)
        spoilt[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
        counts = count_png_values(bytes(spoilt))
        if counts is not None:  # in a part that nothing is read from
            assert (counts == plain(np.asarray(Image.open(io.BytesIO(spoilt))))).all()
