"""GeoTIFF in, GeoTIFF out: the same place on the earth, a row of tiles at a time."""

from contextlib import ExitStack
from typing import Any

import numpy as np

from segtune.arrays import Array
from segtune.classes import IGNORE, ClassTable
from segtune.console import track
from segtune.files import atomic_path
from segtune.prediction.inputs import Input
from segtune.prediction.outputs import CONFIDENCE, LABELS, OVERLAYS, POLYGONS, SEGMENTATION, Outputs, pixels_of
from segtune.prediction.polygons import find_polygons, write_geojson
from segtune.prediction.predictor import Predictor
from segtune.prediction.raster import Raster, open_raster

BANDS = {LABELS: 1, SEGMENTATION: 3, OVERLAYS: 3, CONFIDENCE: 1}


def predict_geotiff(predictor: Predictor, entry: Input, outputs: Outputs) -> str:
    """Predict a GeoTIFF; pixels that it says are no data get the ignore value.

    In memory is a row of tiles; where polygons are asked for the class of each pixel is as well, and what looks for
    areas, which takes several times as much.

    Returns:
        What there is to say of it, or an empty string.

    Raises:
        UserError: It can't be read, or the results can't be written.
    """
    table = predictor.model.classes
    kinds = [kind for kind in outputs.kinds_of(entry) if kind != POLYGONS]
    with open_raster(entry.path) as raster:
        raster.refuse_no_colors()
        if POLYGONS in outputs.kinds:
            raster.placed(np.zeros((1, 2), np.int64))  # better told before the work than after it
        height, width, _ = raster.shape
        everything = np.full((height, width), IGNORE, np.uint8) if POLYGONS in outputs.kinds else None
        strips = track(predictor.predict_rows(raster), entry.path.name, height, lambda strip: len(strip[1]))
        with ExitStack() as stack:
            files = {
                kind: stack.enter_context(
                    _created(stack.enter_context(atomic_path(outputs.path(entry, kind))), kind, raster, table)
                )
                for kind in kinds
            }
            for rows, class_ids, confidence in strips:
                place = rows, slice(0, width)
                is_valid = raster.is_valid(place)
                class_ids[~is_valid] = IGNORE
                confidence[~is_valid] = 0
                if everything is not None:
                    everything[rows] = class_ids
                picture = raster[place] if OVERLAYS in kinds else None
                for kind, file in files.items():
                    _write_rows(file, rows, pixels_of(kind, picture, class_ids, confidence, table))
        if everything is not None:  # what is written by now stays, if memory does not suffice for these
            polygons = find_polygons(everything, table.num_classes)
            write_geojson(outputs.path(entry, POLYGONS), polygons, table, raster.placed)
            outputs.coco.add(entry.picture_name, everything.shape, polygons)
    seen_height, seen_width = predictor.preprocessing.working_size(height, width)
    if (seen_height, seen_width) == (height, width):
        return ""
    if predictor.preprocessing.enlarge > 1:
        return (
            f"{entry.path} was enlarged from {width} x {height} to {seen_width} x {seen_height} pixels, as the small"
            " pictures were that the model was trained on"
        )
    return (
        f"{entry.path} was shrunk from {width} x {height} to {seen_width} x {seen_height} pixels, the size that the"
        " model was trained for; --tile 1024 predicts it at its own size"
    )


def _created(path: Any, kind: str, raster: Raster, table: ClassTable) -> Any:
    """A GeoTIFF to write to, with the place of another."""
    import rasterio

    height, width, _ = raster.shape
    # With control points in its place, the identity is what it should be.
    transformation = None if raster.tie_points[0] else raster.source.transform
    file = rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=BANDS[kind], dtype="uint8",
        crs=raster.source.crs, transform=transformation, nodata=IGNORE if kind == LABELS else None,
        compress="deflate", tiled=True, blockxsize=256, blockysize=256, bigtiff="IF_SAFER",
    )  # fmt: skip
    if raster.tie_points[0]:
        points, system = raster.tie_points
        file.gcps = points, system or rasterio.crs.CRS()
    if kind == LABELS:
        file.write_colormap(1, {index: (*map(int, color), 255) for index, color in enumerate(table.palette)})
    return file


def _write_rows(file: Any, rows: slice, pixels: Array) -> None:
    from rasterio.windows import Window

    height, width = pixels.shape[:2]
    bands = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    file.write(bands, window=Window(0, rows.start, width, height))
