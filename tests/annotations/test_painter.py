"""Painting: which pixels, which order, what is hidden."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segtune.annotations.annotated_image import AnnotatedImage, Mask, Polygon, Shape
from segtune.annotations.painter import clip, paint

IDS = {"sky": 1, "person": 2}
SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]
INNER = [(2, 2), (6, 2), (6, 6), (2, 6)]


def image(*shapes: Shape, height: int = 10, width: int = 10) -> AnnotatedImage:
    return AnnotatedImage("x.jpg", height, width, "x.jpg", shapes)


def polygon(label: str, points, z_order: int = 0) -> Shape:
    return Shape(label, Polygon(np.array(points, np.float64)), "polygon", z_order)


@pytest.mark.parametrize(
    ("shapes", "paint_order", "middle"),
    [
        ([polygon("sky", SQUARE), polygon("person", INNER)], (), 2),
        ([polygon("person", INNER), polygon("sky", SQUARE)], (), 1),
        ([polygon("person", INNER), polygon("sky", SQUARE)], ("sky", "person"), 2),
        ([polygon("person", INNER, 1), polygon("sky", SQUARE, -3)], (), 2),
        ([polygon("person", INNER, -1), polygon("sky", SQUARE, -3)], ("person", "sky"), 1),
    ],
    ids=["document order", "later on top", "paint order", "z order", "paint order before z order"],
)
def test_overlap_is_decided_by(shapes, paint_order, middle):
    assert paint(image(*shapes), IDS, paint_order).labels[4, 4] == middle


def test_hidden_objects_are_counted():
    painted = paint(image(polygon("person", INNER), polygon("sky", SQUARE)), IDS)
    assert painted.areas.tolist() == [16, 100]
    assert painted.visible.tolist() == [0, 100]


def test_center_fills_pixels_whose_centre_is_inside():
    labels = paint(image(polygon("sky", [(2.4, 2.4), (6.6, 2.4), (6.6, 5.6), (2.4, 5.6)])), IDS).labels
    assert np.argwhere(labels).min(axis=0).tolist() == [2, 2]
    assert labels.sum() == 5 * 4


def test_truncate_fills_with_the_edge():
    labels = paint(image(polygon("sky", [(2.9, 2.9), (6.9, 2.9), (6.9, 5.9), (2.9, 5.9)])), IDS, fill="truncate").labels
    assert labels.sum() == 5 * 4
    assert labels[2:6, 2:7].all()


@pytest.mark.parametrize("seed", range(60))
def test_painting_the_bounding_box_equals_painting_the_picture(seed):
    # Two decimals, as exports have them: they meet the ties of pycocotools' rounding.
    points = np.random.default_rng(seed).uniform(-3, [53, 43], (7, 2)).round(seed % 3)
    whole = coco_mask.decode(coco_mask.frPyObjects([points.ravel().tolist()], 40, 50))[:, :, 0]
    assert (paint(image(polygon("sky", points), height=40, width=50), IDS).labels == whole).all()


@pytest.mark.parametrize("fill", ["center", "truncate"])
@pytest.mark.parametrize("far", [12.5, 1e3, 9e5])
def test_polygons_beyond_the_picture_are_cut(fill, far):
    labels = paint(image(polygon("sky", [(5, -far), (far, -far), (far, far), (5, far)])), IDS, fill=fill).labels
    assert not labels[:, :5].any()
    assert labels[:, 5:].all()


@pytest.mark.parametrize(
    "points", [[(-9, -9), (-1, -9), (-1, -1)], [(11, 0), (20, 0), (20, 9)], [(3, 3), (3, 3), (3, 3)]]
)
def test_polygons_without_area_in_the_picture_paint_nothing(points):
    assert paint(image(polygon("sky", points)), IDS).areas.tolist() == [0]


def test_masks_are_painted_where_they_lie():
    shape = Shape("person", Mask(np.array([[True, False], [True, True]]), top=3, left=4), "mask")
    labels = paint(image(shape), IDS).labels
    assert np.argwhere(labels).tolist() == [[3, 4], [4, 4], [4, 5]]


def test_clip_keeps_what_is_inside():
    points = np.array([(1.0, 1.0), (3.0, 1.0), (2.0, 2.0)])
    assert (clip(points, 10, 10) == points).all()
    assert (clip(points - [4, 0], 10, 10) == points - [4, 0]).all()
    assert clip(points * [10, 1] - [5, 0], 10, 10).max(axis=0).tolist() == [20.0, 2.0]
