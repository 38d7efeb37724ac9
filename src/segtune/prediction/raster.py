"""GeoTIFF -> pictures by window, with their place on the earth. Needs the extra ``geo`` (rasterio)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segtune.arrays import Array
from segtune.errors import UserError, listed
from segtune.pictures import DECODE_ERRORS

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})

PLACE_TAGS = (33550, 33922, 34264, 34735)
"""Pixel scale, tie points, transformation and keys.

Source: OGC GeoTIFF standard 1.1, https://docs.ogc.org/is/19-008r4/19-008r4.html.
"""


def has_rasterio() -> bool:
    """Whether the extra ``geo`` is installed."""
    return find_spec("rasterio") is not None


def is_georeferenced(path: Path) -> bool:
    """Whether a file is a TIFF that says where on the earth it is. Nothing is decoded; what can't be read is none."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return False
    if not has_rasterio():
        return _has_place_tags(path)
    try:
        with open_raster(path) as raster:
            return raster.has_place
    except UserError:
        return False


def _has_place_tags(path: Path) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("TIFF",)) as picture:
            return any(tag in getattr(picture, "tag_v2", ()) for tag in PLACE_TAGS)
    except DECODE_ERRORS:
        return False


class Raster:
    """An opened GeoTIFF as a picture: ``raster[10:20, 30:40]`` is uint8 (10, 10, 3) RGB, and is all that is read.

    Of three bands and more those that are named red, green and blue are taken, or the first three where none are; of
    one or two the first as grey, or as its colour map says.

    Args:
        source: The opened ``rasterio`` dataset.
        name: What to call it in errors.

    Attributes:
        shape: Height, width, 3.
        tie_points: Ground control points and their reference system; none where a transformation says the place.
    """

    def __init__(self, source: Any, name: str) -> None:
        self.source = source
        self.name = name
        self.shape = (int(source.height), int(source.width), 3)
        self._bands = _color_bands(source)
        self._types = {source.dtypes[band - 1] for band in self._bands}
        self.tie_points = source.gcps
        self._colors = _color_map(source)

    @property
    def has_place(self) -> bool:
        """Whether it says where on the earth it is."""
        return self.source.crs is not None or not self.source.transform.is_identity or bool(self.tie_points[0])

    def refuse_no_colors(self) -> None:
        """Raise UserError where its values are neither 8 nor 16 bits."""
        if not self._types <= {"uint8", "uint16"}:
            raise UserError(
                f"{self.name} has values of type {listed(sorted(self._types))}; expected: 8 or 16 bits without sign.",
                "Scale it with 'gdal_translate -scale -ot Byte'.",
            )

    def __getitem__(self, place: tuple[slice, slice]) -> Array:
        """The pixels of a window; what is outside of the picture is left out."""
        window = self._window(place)
        return self._as_rgb(self._read(window=window))

    def shrunk(self, height: int, width: int) -> Array:
        """The whole at another size, uint8 (height, width, 3): the mean of the pixels in each."""
        from rasterio.enums import Resampling

        # The mean of class numbers in a colour map would be another colour.
        method = Resampling.nearest if self._colors is not None else Resampling.average
        return self._as_rgb(self._read(out_shape=(len(self._bands), height, width), resampling=method))

    def is_valid(self, place: tuple[slice, slice]) -> npt.NDArray[np.bool_]:
        """Where a window holds a picture: False where the file says 'no data', or is transparent."""
        with self._errors_told():
            mask: npt.NDArray[np.bool_] = self.source.dataset_mask(window=self._window(place)) > 0
        return mask

    def _window(self, place: tuple[slice, slice]) -> Any:
        from rasterio.windows import Window

        (top, bottom, _), (left, right, _) = (
            part.indices(side) for part, side in zip(place, self.shape[:2], strict=True)
        )
        return Window(left, top, right - left, bottom - top)

    def _read(self, **options: Any) -> npt.NDArray[Any]:
        with self._errors_told():
            values: npt.NDArray[Any] = self.source.read(self._bands, **options)
        return values

    def placed(self, points: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Places of x, y in pixels, int64 (N, 2) -> degrees of longitude and latitude, float64 (N, 2).

        Where the file names no reference system, in its own coordinates.

        Raises:
            UserError: Its place has no degrees.
        """
        from rasterio.transform import from_gcps
        from rasterio.warp import transform

        system, transformation = self.source.crs, self.source.transform
        if self.tie_points[0]:
            system, transformation = self.tie_points[1], from_gcps(self.tie_points[0])
        x, y = points.T.astype(np.float64)
        # The written-out product: an Affine times arrays differs between releases of affine.
        a, b, c, d, e, f = transformation[:6]
        along, up = a * x + b * y + c, d * x + e * y + f
        if system is not None:
            try:
                along, up = (np.asarray(values) for values in transform(system, "EPSG:4326", along, up))
            except Exception as error:  # GDAL's own errors are of no public class
                raise self._no_degrees() from error
        if not (np.isfinite(along).all() and np.isfinite(up).all()):
            raise self._no_degrees()
        # The seventh digit of a degree is a centimetre.
        return np.stack([along, up], axis=1).round(7)

    def _no_degrees(self) -> UserError:
        return UserError(f"{self.name} has a place that can't be turned into degrees.", "Leave polygons out of --save.")

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        import rasterio

        try:
            yield
        except rasterio.RasterioIOError as error:
            raise UserError(f"{self.name} can't be decoded: {error}.", "Replace or remove it.") from error

    def _as_rgb(self, values: npt.NDArray[Any]) -> Array:
        """Values (bands, h, w) -> uint8 (h, w, 3); 16 bits by their range, as in other pictures."""
        if self._colors is not None:
            colors: Array = self._colors[values[0]]
            return colors
        if "uint16" in self._types:
            values = (values.astype(np.float32) / 257).round()
        rgb = np.broadcast_to(values.astype(np.uint8), (3, *values.shape[1:]))
        return np.ascontiguousarray(rgb.transpose(1, 2, 0))


@contextmanager
def open_raster(path: Path) -> Iterator[Raster]:
    """Open a GeoTIFF.

    Raises:
        UserError: It can't be opened.
    """
    import rasterio

    try:
        with warnings.catch_warnings():
            # Whether it has a place is what callers ask.
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            # Any other driver of GDAL's could read further files, or ask servers.
            source = rasterio.open(path, driver="GTiff")
    except rasterio.RasterioIOError as error:
        raise UserError(f"{path} can't be opened: {error}.", "Replace or remove it.") from error
    with source:
        yield Raster(source, str(path))


def _color_bands(source: Any) -> list[int]:
    """The bands of a picture, from 1: red, green and blue, or one."""
    from rasterio.enums import ColorInterp

    named = {source.colorinterp[band - 1]: band for band in range(source.count, 0, -1)}  # the first of a name
    colors = [named.get(color, 0) for color in (ColorInterp.red, ColorInterp.green, ColorInterp.blue)]
    if all(colors):
        return colors
    return [1, 2, 3] if source.count >= 3 else [1]


def _color_map(source: Any) -> Array | None:
    """The colours of a palette picture, uint8 (256, 3)."""
    from rasterio.enums import ColorInterp

    if source.colorinterp[0] != ColorInterp.palette or source.dtypes[0] != "uint8":
        return None
    colors = np.zeros((256, 3), np.uint8)
    for value, color in source.colormap(1).items():
        colors[value] = color[:3]
    return colors
