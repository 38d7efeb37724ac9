"""Painting: which pixels, which order, what is hidden."""

import tracemalloc

import numpy as np
import pytest

from segtune.annotations.annotated_image import Mask, Polygon, Region, Runs, Shape
from segtune.annotations.painter import Painted, clip, paint
from segtune.errors import UserError

IDS = {"sky": 1, "person": 2}
SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]
INNER = [(2, 2), (6, 2), (6, 6), (2, 6)]


def painted(*shapes: Shape, height: int = 10, width: int = 10, **options) -> Painted:
    return paint(shapes, (height, width), IDS, **options)


def polygon(label: str, points, z_order: int = 0) -> Shape:
    return Shape(label, Polygon((np.array(points, np.float64),)), "polygon", z_order)


@pytest.mark.parametrize(
    ("shapes", "ranks", "middle"),
    [
        ([polygon("sky", SQUARE), polygon("person", INNER)], None, 2),
        ([polygon("person", INNER), polygon("sky", SQUARE)], None, 1),
        ([polygon("person", INNER), polygon("sky", SQUARE)], {"sky": 0, "person": 1}, 2),
        ([polygon("person", INNER, 1), polygon("sky", SQUARE, -3)], None, 2),
        ([polygon("person", INNER, -1), polygon("sky", SQUARE, -3)], {"sky": 1, "person": 0}, 1),
    ],
    ids=["document order", "later on top", "paint order", "z order", "paint order before z order"],
)
def test_overlap_is_decided_by(shapes, ranks, middle):
    assert painted(*shapes, ranks=ranks).labels[4, 4] == middle


def test_hidden_objects_are_counted():
    result = painted(polygon("person", INNER), polygon("sky", SQUARE))
    assert result.areas.tolist() == [16, 100]
    assert result.visible.tolist() == [0, 100]


def test_center_fills_pixels_whose_centre_is_inside():
    labels = painted(polygon("sky", [(2.4, 2.4), (6.6, 2.4), (6.6, 5.6), (2.4, 5.6)])).labels
    assert np.argwhere(labels).min(axis=0).tolist() == [2, 2]
    assert labels.sum() == 5 * 4


def test_truncate_fills_with_the_edge():
    labels = painted(polygon("sky", [(2.9, 2.9), (6.9, 2.9), (6.9, 5.9), (2.9, 5.9)]), fill="truncate").labels
    assert labels.sum() == 5 * 4
    assert labels[2:6, 2:7].all()


@pytest.mark.parametrize("fill", ["center", "truncate"])
@pytest.mark.parametrize("far", [12.5, 1e3, 9e5])
def test_polygons_beyond_the_picture_are_cut(fill, far):
    labels = painted(polygon("sky", [(5, -far), (far, -far), (far, far), (5, far)]), fill=fill).labels
    assert not labels[:, :5].any()
    assert labels[:, 5:].all()


@pytest.mark.parametrize(
    "points", [[(-9, -9), (-1, -9), (-1, -1)], [(11, 0), (20, 0), (20, 9)], [(3, 3), (3, 3), (3, 3)]]
)
def test_polygons_without_area_in_the_picture_paint_nothing(points):
    assert painted(polygon("sky", points)).areas.tolist() == [0]


def test_masks_are_painted_where_they_lie():
    shape = Shape("person", Mask(np.array([[True, False], [True, True]]), top=3, left=4), "mask")
    labels = painted(shape).labels
    assert np.argwhere(labels).tolist() == [[3, 4], [4, 4], [4, 5]]


@pytest.mark.parametrize(
    ("top", "left", "pixels"),
    [(-1, -1, [[1]]), (9, 9, [[1]]), (-2, 3, []), (10, 0, []), (3, 9, [[0], [1]])],
    ids=["corner", "other corner", "above", "below", "right edge"],
)
def test_masks_that_stick_out_are_cut(top, left, pixels):
    shape = Shape(
        "sky", Mask(np.array([[1, 0], [1, 1]] if top >= 0 else [[0, 0], [0, 1]], np.bool_), top, left), "mask"
    )
    if pixels == [[0], [1]]:
        shape = Shape("sky", Mask(np.array([[0, 1], [1, 1]], np.bool_), top, left), "mask")
    labels = painted(shape).labels
    assert labels.sum() == np.sum(pixels)


@pytest.mark.parametrize("column_major", [False, True])
def test_runs_are_painted_like_the_mask_that_they_stand_for(column_major):
    pixels = np.random.default_rng(0).random((5, 7)) < 0.4
    flat = pixels.T.ravel() if column_major else pixels.ravel()
    ends = np.flatnonzero(np.diff(flat, prepend=False, append=~flat[-1]))
    lengths = np.diff(ends, prepend=0)
    runs = Runs(lengths.astype(np.int64), 5, 7, top=2, left=1, column_major=column_major)
    mask = Mask(pixels, top=2, left=1)
    assert (painted(Shape("sky", runs, "mask")).labels == painted(Shape("sky", mask, "mask")).labels).all()


def test_outlines_are_united_and_holes_cut():
    parts = tuple(np.array(points, np.float64) for points in (INNER, [(6, 6), (9, 6), (9, 9), (6, 9)]))
    hole = np.array([(3, 3), (5, 3), (5, 5), (3, 5)], np.float64)
    far_hole = hole + 100
    result = painted(Shape("sky", Polygon(parts, (hole, far_hole)), "polygon"))
    assert result.areas.tolist() == [16 + 9 - 4]
    assert result.labels[3:5, 3:5].sum() == 0
    assert result.labels[8, 8] == 1


def test_pixels_outside_all_shapes_get_the_value_for_that():
    labels = painted(polygon("person", INNER), outside=255).labels
    assert labels[0, 0] == 255
    assert labels[4, 4] == 2


def test_clip_keeps_what_is_inside():
    points = np.array([(1.0, 1.0), (3.0, 1.0), (2.0, 2.0)])
    assert (clip(points, 10, 10) == points).all()
    assert (clip(points - [4, 0], 10, 10) == points - [4, 0]).all()
    assert clip(points * [10, 1] - [5, 0], 10, 10).max(axis=0).tolist() == [20.0, 2.0]


FULL = np.array([(0, 0), (1920, 0), (1920, 1080), (0, 1080)], np.float64)
LARGE = {
    "masks": [Runs(np.array([0, 1080 * 1920]), 1080, 1920)] * 150,
    "masks by columns": [Runs(np.array([0, 1080 * 1920]), 1080, 1920, column_major=True)] * 150,
    "polygons": [Polygon((FULL,))] * 150,
    "parts of a polygon": [Polygon((FULL,) * 150, (FULL,) * 150)],
    "values of a label image": [Region(np.zeros((1080, 1920), np.uint8), value) for value in range(150)],
    "a mask far beyond the picture": [Runs(np.array([0, 13_000**2]), 13_000, 13_000, top=-100, left=-11_000)],
    "a mask far to the right": [Runs(np.array([0, 180 * 900_000]), 180, 900_000, left=-11_000)],
    "a mask far down": [Runs(np.array([0, 180 * 900_000]), 900_000, 180, top=-100, column_major=True)],
}


@pytest.mark.parametrize("case", LARGE)
def test_memory_is_bounded(case):
    shapes = [Shape("sky", geometry, "mask") for geometry in LARGE[case]]
    tracemalloc.start()
    try:
        result = paint(shapes, (1080, 1920), IDS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150 * 2**20
    assert result.areas.any() == (case != "parts of a polygon")


@pytest.mark.parametrize("column_major", [False, True])
@pytest.mark.parametrize("at_once", [1, 20, 2**24])
def test_runs_are_cut_to_the_picture(monkeypatch, column_major, at_once):
    monkeypatch.setattr("segtune.annotations.rle.MAX_AT_ONCE", at_once)
    generator = np.random.default_rng(0)
    for _ in range(200):
        height, width, top, left = generator.integers([1, 1, -12, -12], [25, 25, 12, 12]).tolist()
        pixels = generator.random((height, width)) < generator.choice([0, 0.02, 0.5, 1])
        flat = pixels.ravel(order="F" if column_major else "C")
        lengths = np.diff([0, *np.flatnonzero(np.diff(flat, prepend=False)), flat.size])
        runs = Runs(lengths, height, width, top, left, column_major)
        expected = painted(Shape("sky", Mask(pixels, top, left), "mask"))
        assert (painted(Shape("sky", runs, "mask")).labels == expected.labels).all()


def test_an_outline_without_end_is_named():
    zigzag = np.array([(0, 0), (2000, 1)] * 1000, np.float64)
    with pytest.raises(UserError, match=r"object 2 \(person\): its outline crosses the picture without end"):
        painted(polygon("sky", SQUARE), polygon("person", zigzag), height=20, width=2000)
