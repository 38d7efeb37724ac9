"""Polygons: areas to the pixel, holes, COCO and GeoJSON."""

import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from segtune.annotations.polygon_fill import fill_outlines
from segtune.classes import class_table
from segtune.prediction.polygons import MIN_IOU, CocoFile, find_polygons, keyhole, write_geojson

SHAPES = {
    "pixel": ["1"],
    "corner": ["10", "11"],
    "ring": ["111", "101", "111"],
    "staircase": ["1000", "1100", "0110", "0011"],
    "touching at a corner": ["10", "01"],
    "pinched hole": ["1111", "1011", "1101", "1111"],
    "pinched outline": ["110", "101", "111"],
    "island in a hole": ["11111", "10001", "10101", "10001", "11111"],
    "comb": ["10101", "11111", "10101"],
}


def pixels(rows: list[str]) -> np.ndarray:
    return np.array([[int(value) for value in row] for row in rows], np.uint8)


@pytest.mark.parametrize("name", SHAPES)
def test_unsimplified_areas_are_pixel_counts(name):
    ids = pixels(SHAPES[name])
    for polygon in find_polygons(ids, 2, tolerances=()):
        assert polygon.area == polygon.num_pixels
    assert sum(polygon.num_pixels for polygon in find_polygons(ids, 2)) == ids.size


@pytest.mark.parametrize("density", [0.3, 0.5, 0.7, 0.9])
def test_noise_is_outlined_to_the_pixel(density):
    ids = (np.random.default_rng(1).random((40, 50)) < density).astype(np.uint8)
    polygons = find_polygons(ids, 2, tolerances=())
    assert all(polygon.area == polygon.num_pixels for polygon in polygons)
    assert any(len(polygon.rings) > 1 for polygon in polygons)


@pytest.mark.parametrize("density", [0.5, 0.7, 0.9])
def test_keyholes_fill_the_area_without_its_holes(density):
    ids = (np.random.default_rng(1).random((40, 50)) < density).astype(np.uint8)
    polygons = find_polygons(ids, 2, tolerances=())
    outlines = [np.array(keyhole(polygon.rings), np.float64).reshape(-1, 2) for polygon in polygons]
    labels = np.full(ids.shape, 9, np.uint8)
    for polygon, mask in zip(polygons, fill_outlines(outlines, ids.shape), strict=True):
        assert mask.pixels.sum() == polygon.num_pixels
        labels[mask.top :, mask.left :][: mask.pixels.shape[0], : mask.pixels.shape[1]][mask.pixels] = polygon.class_id
    assert (labels == ids).all()


def test_outline_runs_along_the_edges_of_pixels():
    (square,) = find_polygons(pixels(["222", "212", "222"]), 2, tolerances=())[:1]
    assert sorted(map(tuple, square.rings[0].tolist())) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def disc() -> np.ndarray:
    ids = np.zeros((200, 300), np.uint8)
    cv2.circle(ids, (140, 100), 80, 1, -1)
    cv2.circle(ids, (120, 90), 30, 0, -1)
    return ids


def test_simplified_outlines_stay_within_the_tolerance_and_are_short():
    ring = next(polygon for polygon in find_polygons(disc(), 2) if polygon.class_id == 1)
    assert len(ring.rings) == 2
    exact = next(polygon for polygon in find_polygons(disc(), 2, tolerances=()) if polygon.class_id == 1)
    assert sum(map(len, ring.rings)) < 0.5 * sum(map(len, exact.rings))
    assert abs(ring.area - ring.num_pixels) < 0.01 * ring.num_pixels


@pytest.mark.parametrize("slope", [0, 1, 3, 10, 50])
def test_ribbons_outlive_the_simplification(slope):
    ids = np.zeros((100, 120), np.uint8)
    cv2.line(ids, (5, 20), (115, 20 + slope), 1, 2)
    (ribbon,) = [polygon for polygon in find_polygons(ids, 2) if polygon.class_id == 1]
    assert abs(ribbon.area - ribbon.num_pixels) <= 0.1 * ribbon.num_pixels
    assert len(ribbon.rings[0]) < ribbon.num_pixels


def test_coco_masks_are_the_areas_with_their_holes(tmp_path):
    ids, table = disc(), class_table(["ground", "disc"])
    with CocoFile() as coco:
        coco.add("a/x.jpg", ids.shape, find_polygons(ids, 2))
        coco.write(tmp_path / "polygons.json", table)
    read = COCO(tmp_path / "polygons.json")
    assert read.imgs[1] == {"id": 1, "file_name": "a/x.jpg", "height": 200, "width": 300}
    masks = [(read.annToMask(entry), entry["category_id"]) for entry in read.loadAnns(read.getAnnIds(imgIds=[1]))]
    for class_id in range(2):
        mask = sum(mask for mask, found in masks if found == class_id)
        assert ((mask > 0) & (ids == class_id)).sum() >= MIN_IOU * ((mask > 0) | (ids == class_id)).sum()


def test_geojson_holds_closed_rings_with_classes(tmp_path):
    write_geojson(tmp_path / "x.geojson", find_polygons(disc(), 2), class_table(["ground", "disc"]))
    features = json.loads((tmp_path / "x.geojson").read_text())["features"]
    assert {feature["properties"]["class"] for feature in features} == {"ground", "disc"}
    assert all(ring[0] == ring[-1] for feature in features for ring in feature["geometry"]["coordinates"])
