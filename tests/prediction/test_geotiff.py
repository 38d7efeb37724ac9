"""GeoTIFFs: results lie where the picture lies, and are those of the same pixels in any other file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from segtune.config import PredictConfig
from segtune.errors import UserError
from segtune.model_file import load_model, save_model
from segtune.pictures import read_labels, read_picture
from segtune.prediction.predict import predict
from segtune.prediction.predictor import PredictOptions, load
from segtune.prediction.raster import is_georeferenced, open_raster

KINDS = "labels,segmentation,overlays,confidence,polygons"
PLACE = Affine(0.5, 0, 448_000, 0, -0.5, 5_412_000)
ZONE = "EPSG:32633"


@pytest.fixture
def picture(trained_run):
    pictures = [
        read_picture(path) for path in sorted((trained_run.parent / "dataset" / "train" / "Images").iterdir())[:4]
    ]
    return np.concatenate([np.concatenate(pictures[:2], axis=1), np.concatenate(pictures[2:], axis=1)])


def write_geotiff(path, picture, **options):
    """uint8 or uint16 (H, W, bands) with a place in UTM zone 33, unless told otherwise."""
    height, width, count = picture.shape
    profile = {"crs": ZONE, "transform": PLACE, **options}
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=picture.dtype, **profile
    ) as file:
        file.write(picture.transpose(2, 0, 1))
    return path


LOCAL = 'LOCAL_CS["Local Coordinates (m)",LOCAL_DATUM["Local",0],UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'


def test_places_without_degrees_are_told_and_other_kinds_are_written(trained_run, picture, tmp_path):
    write_geotiff(tmp_path / "a.tif", picture, crs=LOCAL)
    config = PredictConfig(trained_run / "model.safetensors", tmp_path / "a.tif", tmp_path / "o", save="labels")
    predict(config)
    assert (tmp_path / "o" / "labels" / "a.tif").exists()
    with pytest.raises(UserError, match="can't be turned into degrees"):
        predict(replace(config, save="polygons"))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_control_points_without_a_reference_system_are_kept(trained_run, picture, tmp_path):
    points = [GroundControlPoint(row, column, column, -row) for row in (0, 90) for column in (0, 90)]
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=picture.shape[0], width=picture.shape[1], count=3, dtype="uint8"
    ) as file:
        file.write(picture.transpose(2, 0, 1))
        file.gcps = points, rasterio.crs.CRS()
    predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "a.tif", tmp_path / "o", save="labels"))
    with rasterio.open(tmp_path / "o" / "labels" / "a.tif") as file:
        assert len(file.gcps[0]) == 4


@pytest.mark.parametrize("options", [{}, {"tile": 96, "overlap": 32}, {"tta": "flip"}])
def test_results_have_the_same_place_and_the_pixels_of_a_png(trained_run, picture, tmp_path, options):
    write_geotiff(tmp_path / "a.tif", picture)
    Image.fromarray(picture).save(tmp_path / "b.png")
    config = PredictConfig(trained_run / "model.safetensors", tmp_path / "a.tif", tmp_path / "o", save=KINDS, **options)
    predict(config)
    predict(replace(config, input=tmp_path / "b.png", output=tmp_path / "p"))
    for kind in ("labels", "segmentation", "overlays", "confidence"):
        with rasterio.open(tmp_path / "o" / kind / "a.tif") as file:
            assert (file.crs, file.transform) == (rasterio.CRS.from_string(ZONE), PLACE)
            values = file.read()
        png = np.asarray(Image.open(tmp_path / "p" / kind / "b.png"))
        expected = png[None] if png.ndim == 2 else png.transpose(2, 0, 1)
        equal = values == expected
        assert equal.mean() > 0.99 if kind == "overlays" else equal.all(), kind  # no borders across rows written apart
    with rasterio.open(tmp_path / "o" / "labels" / "a.tif") as file:
        assert file.nodata == 255
        assert file.colormap(1)[1][:3] == (230, 25, 75)


def test_polygons_are_in_degrees_around_where_the_picture_is(trained_run, picture, tmp_path):
    write_geotiff(tmp_path / "a.tif", picture)
    predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "a.tif", tmp_path / "o", save="polygons"))
    features = json.loads((tmp_path / "o" / "polygons" / "a.geojson").read_text())["features"]
    points = np.concatenate([ring for feature in features for ring in feature["geometry"]["coordinates"]])
    with rasterio.open(tmp_path / "a.tif") as file:
        west, south, east, north = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    assert np.allclose([points.min(axis=0), points.max(axis=0)], [(west, south), (east, north)], atol=1e-5)
    outline = np.array(features[0]["geometry"]["coordinates"][0])
    area = (outline[:-1, 0] * outline[1:, 1] - outline[1:, 0] * outline[:-1, 1]).sum() / 2
    assert area > 0  # counter-clockwise on a map, as RFC 7946 asks


def test_no_data_becomes_the_ignored_value(trained_run, picture, tmp_path):
    picture[:50, :60] = 0
    picture[50:, :] = np.maximum(picture[50:, :], 1)
    write_geotiff(tmp_path / "a.tif", picture, nodata=0)
    predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "a.tif", tmp_path / "o", save=KINDS))
    labels = read_labels(tmp_path / "o" / "labels" / "a.tif")
    assert (labels[:50, :60] == 255).all()
    assert (labels[50:] < 3).all()
    assert (read_picture(tmp_path / "o" / "confidence" / "a.tif")[:50, :60] == 0).all()


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("16 bits", lambda rgb: rgb.astype(np.uint16) * 257),
        ("more bands", lambda rgb: np.concatenate([rgb, rgb[..., :1], rgb[..., :1]], axis=2)),
        ("grey", lambda rgb: rgb[..., :1]),
    ],
)
def test_bands_are_read_as_colors(picture, tmp_path, kind, make):
    write_geotiff(tmp_path / "a.tif", make(picture))
    with open_raster(tmp_path / "a.tif") as raster:
        read = raster[10:40, 20:500]
        assert raster.shape == picture.shape
        assert raster.shrunk(30, 40).shape == (30, 40, 3)
    expected = picture[10:40, 20:500]
    assert (read == (expected[..., :1] if kind == "grey" else expected)).all()


def test_bands_are_taken_by_their_colors(picture, tmp_path):
    write_geotiff(tmp_path / "a.tif", np.concatenate([picture[..., ::-1], picture[..., :1]], axis=2))
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
    with open_raster(tmp_path / "a.tif") as raster:
        assert (raster[10:40, 20:50] == picture[10:40, 20:50]).all()


def test_shrinking_is_told_with_what_avoids_it(trained_run, picture, tmp_path):
    model = load_model(trained_run / "model.safetensors")
    save_model(tmp_path / "m.safetensors", replace(model, preprocessing=replace(model.preprocessing, longest_side=96)))
    write_geotiff(tmp_path / "a.tif", picture)
    config = PredictConfig(tmp_path / "m.safetensors", tmp_path / "a.tif", tmp_path / "o", save="labels")
    (note,) = predict(config).notes
    assert "was shrunk from 192 x 144 to 96 x 72 pixels" in note
    assert not predict(replace(config, overwrite=True, tile=256)).notes


def test_a_model_of_enlarged_pictures_predicts_a_raster_in_parts_as_a_picture(trained_run, picture, tmp_path):
    model = load_model(trained_run / "model.safetensors")
    save_model(tmp_path / "m.safetensors", replace(model, preprocessing=replace(model.preprocessing, enlarge=3)))
    write_geotiff(tmp_path / "a.tif", picture)
    for tile in ("auto", 256):
        options = {"save": "labels", "tile": tile, "overwrite": True}
        (note,) = predict(PredictConfig(tmp_path / "m.safetensors", tmp_path / "a.tif", tmp_path, **options)).notes
        assert "was enlarged from 192 x 144 to 576 x 432 pixels" in note
        with rasterio.open(tmp_path / "labels" / "a.tif") as file:
            found = file.read(1)
        predictor = load(tmp_path / "m.safetensors", options=PredictOptions(tile=tile))
        assert np.array_equal(found, predictor.predict(picture).class_ids)


def test_color_map_is_applied(tmp_path):
    indices = np.random.default_rng(0).integers(0, 3, (20, 30, 1)).astype(np.uint8)
    write_geotiff(tmp_path / "a.tif", indices)
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.write_colormap(1, {0: (9, 8, 7), 1: (1, 2, 3), 2: (200, 100, 50)})
    with open_raster(tmp_path / "a.tif") as raster:
        assert (raster[0:20, 0:30] == np.array([(9, 8, 7), (1, 2, 3), (200, 100, 50)])[indices[..., 0]]).all()


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_control_points_are_kept(trained_run, picture, tmp_path):
    corners = [(0, 0), (0, 191), (143, 0), (143, 191)]
    points = [GroundControlPoint(row, column, 10 + column / 1000, 50 - row / 1000) for row, column in corners]
    path = write_geotiff(tmp_path / "a.tif", picture, crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        file.gcps = points, rasterio.CRS.from_epsg(4326)
    config = PredictConfig(trained_run / "model.safetensors", path, tmp_path / "o", save="labels,polygons")
    predict(config)
    with rasterio.open(tmp_path / "o" / "labels" / "a.tif") as file:
        assert [(point.row, point.col, point.x) for point in file.gcps[0]] == [(p.row, p.col, p.x) for p in points]
    features = json.loads((tmp_path / "o" / "polygons" / "a.geojson").read_text())["features"]
    ring = np.concatenate([feature["geometry"]["coordinates"][0] for feature in features])
    assert np.allclose([ring.min(axis=0), ring.max(axis=0)], [(10, 49.856), (10.192, 50)], atol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path, rgb: write_geotiff(path, rgb.astype(np.float32)), "values of type float32"),
        (
            lambda path, rgb: path.write_bytes(write_geotiff(path, rgb).read_bytes()[:-5000]),
            "can't be (decoded|opened)",
        ),
    ],
)
def test_unusable_files_are_told_and_leave_nothing(trained_run, picture, tmp_path, spoil, message):
    spoil(tmp_path / "a.tif", picture)
    Image.fromarray(picture).save(tmp_path / "b.png")
    report = predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "*.*", tmp_path / "o"))
    assert report.num_pictures == 1
    with pytest.raises(UserError, match=message):
        raise UserError(report.unreadable[0])
    assert sorted(path.name for path in (tmp_path / "o" / "labels").iterdir()) == ["b.png"]


def test_tiff_without_a_place_is_a_picture(picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_bytes(b"no picture")
    write_geotiff(tmp_path / "c.TIF", picture)
    assert [is_georeferenced(tmp_path / name) for name in ("a.tif", "b.tif", "c.TIF")] == [False, False, True]


@pytest.mark.parametrize("kind", ["cvat", "labelme"])
def test_annotation_tools_know_no_places(trained_run, picture, tmp_path, kind):
    write_geotiff(tmp_path / "a.tif", picture)
    with pytest.raises(UserError, match="annotation tools know no places"):
        predict(PredictConfig(trained_run / "model.safetensors", tmp_path / "a.tif", tmp_path / "o", save=kind))
    assert not (tmp_path / "o").exists()
