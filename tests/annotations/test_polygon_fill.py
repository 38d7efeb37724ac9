"""Filling outlines: to the pixel as pycocotools does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segtune.annotations.polygon_fill import MAX_AT_ONCE, fill_outlines
from segtune.errors import UserError

HEIGHT, WIDTH = 40, 50


def filled(*outlines, size=(HEIGHT, WIDTH)):
    """Whole pictures, uint8."""
    pictures = []
    for mask in fill_outlines([np.array(points, np.float64) for points in outlines], size):
        picture = np.zeros(size, np.uint8)
        picture[mask.top : mask.top + mask.pixels.shape[0], mask.left : mask.left + mask.pixels.shape[1]] = mask.pixels
        pictures.append(picture)
    return pictures


def expected(points):
    flat = np.array(points, np.float64).ravel().tolist()
    return coco_mask.decode(coco_mask.frPyObjects([flat], HEIGHT, WIDTH))[:, :, 0]


@pytest.mark.parametrize("decimals", range(4))
def test_random_outlines_equal_pycocotools(decimals):
    generator = np.random.default_rng(decimals)
    outlines = []
    for _ in range(300):
        low, high = generator.uniform(-80, 30), generator.uniform(35, 150)
        # Few decimals, as exports have them, meet the ties of the rounding.
        outlines.append(generator.uniform(low, high, (generator.integers(3, 12), 2)).round(decimals))
    for points, picture in zip(outlines, filled(*outlines), strict=True):
        assert (picture == expected(points)).all(), points.tolist()


COORDINATES = st.integers(-300, 900).map(lambda tenth: tenth / 10)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9))
def test_any_outline_equals_pycocotools(points):
    assert (filled(points)[0] == expected(points)).all()


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0), (50, 0), (50, 40), (0, 40)],
        [(-900, -900), (900, -900), (900, 900), (-900, 900)],
        [(3, 3), (3, 3), (3, 3)],
        [(3, 3), (9, 9), (3, 3)],
        [(5, 5), (5, 5), (9, 5), (9, 5), (9, 9), (5, 9), (5, 5)],
        [(60, 0), (70, 0), (70, 40)],
        [(0, 50), (40, 50), (40, 60)],
        [(10, 10), (30, 30), (30, 10), (10, 30)],
        [(49.5, 39.5), (50, 39.5), (50, 40), (49.5, 40)],
    ],
    ids=["whole", "beyond", "point", "line", "repeated", "right of it", "below it", "crossing itself", "corner"],
)
def test_odd_outlines_equal_pycocotools(points):
    assert (filled(points)[0] == expected(points)).all()


def test_large_pictures_are_filled_in_parts():
    size = (300, 3000)
    outlines = [[(0, 0), (3000, 0), (3000, 300), (0, 300)]] * (2 * MAX_AT_ONCE // 6000 + 2)
    assert all(picture.all() for picture in filled(*outlines, size=size))


def test_outlines_far_outside_cost_nothing():
    assert filled([(-1e6, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6)])[0].all()


def test_endless_zigzags_are_refused():
    zigzag = np.zeros((200_000, 2))
    zigzag[::2, 0] = 3000
    zigzag[:, 1] = np.arange(200_000) % 7
    with pytest.raises(UserError, match="without end"):
        list(fill_outlines([zigzag], (300, 3000)))


def test_nothing_to_fill():
    assert list(fill_outlines([], (3, 4))) == []
