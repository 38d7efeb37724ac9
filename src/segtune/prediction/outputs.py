"""What predict writes: which files for which input, that none is overwritten, and their content."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segtune.classes import ClassTable
from segtune.config import names_in
from segtune.errors import UserError, listed, nearest
from segtune.files import write_bytes
from segtune.pictures import gray_png, labels_png, rgb_png
from segtune.prediction.draw import overlay
from segtune.prediction.inputs import Input
from segtune.prediction.polygons import CocoFile, find_polygons, write_geojson
from segtune.prediction.predictor import Prediction

Array = npt.NDArray[np.uint8]

LABELS, SEGMENTATION, OVERLAYS = "labels", "segmentation", "overlays"
CONFIDENCE, POLYGONS = "confidence", "polygons"
KINDS = (LABELS, SEGMENTATION, OVERLAYS, CONFIDENCE, POLYGONS)
VIDEO_KINDS = (OVERLAYS, LABELS)
COCO_FILE = "polygons.json"


def kinds_to_save(text: str) -> tuple[str, ...]:
    """The kinds in a list separated by commas.

    Raises:
        UserError: An unknown one, or none.
    """
    kinds = names_in(text)
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(
                f"--save {kind}: there is no such result.", nearest(kind, KINDS) or f"Known: {listed(KINDS)}."
            )
    if not kinds:
        raise UserError("--save names nothing.", f"Known: {listed(KINDS)}.")
    return kinds


class Outputs:
    """The files of a prediction.

    Args:
        folder: OUTPUT.
        save: The option; where it is empty, pictures get labels, segmentation and overlays, and videos overlays.

    Raises:
        UserError: ``save`` names what there is not.
    """

    def __init__(self, folder: Path, save: str = "") -> None:
        self.folder = folder
        self.kinds = kinds_to_save(save) if save else (LABELS, SEGMENTATION, OVERLAYS)
        self.video_kinds = tuple(kind for kind in VIDEO_KINDS if kind in self.kinds) if save else (OVERLAYS,)
        self.coco = CocoFile()

    def path(self, entry: Input, kind: str) -> Path:
        """Where a kind of an input goes: a file, or for the labels of a video a folder."""
        suffix = ".tif" if entry.is_geotiff else ".png"
        if kind == POLYGONS:
            suffix = ".geojson"
        elif entry.is_video:
            suffix = ".mp4" if kind == OVERLAYS else ""
        return self.folder / kind / f"{entry.name}{suffix}"

    def kinds_of(self, entry: Input) -> tuple[str, ...]:
        """What an input will give."""
        return self.video_kinds if entry.is_video else self.kinds

    def check(self, inputs: Sequence[Input], overwrite: bool) -> None:
        """Refuse what can't be written, before anything is.

        Raises:
            UserError: Results exist and may not be overwritten, would overwrite the inputs, or a video would give none.
        """
        paths = [self.path(entry, kind) for entry in inputs for kind in self.kinds_of(entry)]
        if POLYGONS in self.kinds:
            paths.append(self.folder / COCO_FILE)
        existing = [path.relative_to(self.folder) for path in paths if path.exists()]
        if existing and not overwrite:
            raise UserError(
                f"{self.folder} already holds {listed(existing, 3)}.", "Name another folder, or add --overwrite."
            )
        sources = {entry.path.resolve() for entry in inputs}
        if any(path.resolve() in sources for path in paths):
            raise UserError(f"{self.folder} would overwrite the pictures themselves.", "Name another folder.")
        if not self.video_kinds and any(entry.is_video for entry in inputs):
            raise UserError("Of a video only overlays and labels can be saved.", "Add one of them to --save.")

    def write(self, entry: Input, picture: Array, prediction: Prediction) -> None:
        """Write all kinds of a picture, uint8 (H, W, 3)."""
        for kind in self.kinds:
            path = self.path(entry, kind)
            if kind == POLYGONS:
                polygons = find_polygons(prediction.class_ids, prediction.classes.num_classes)
                write_geojson(path, polygons, prediction.classes)
                self.coco.add(f"{entry.name}{entry.path.suffix}", prediction.class_ids.shape, polygons)
            else:
                pixels = pixels_of(kind, picture, prediction.class_ids, prediction.confidence, prediction.classes)
                write_bytes(path, _encoded(kind, pixels, prediction.classes))

    def finish(self, table: ClassTable) -> None:
        """Write what is about all pictures."""
        if POLYGONS in self.kinds and self.coco.images:
            self.coco.write(self.folder / COCO_FILE, table)


def pixels_of(
    kind: str, picture: Array | None, class_ids: Array, confidence: npt.NDArray[np.float32], table: ClassTable
) -> Array:
    """What the file of a kind shows: uint8 (H, W), or (H, W, 3) RGB.

    Args:
        kind: Any but polygons.
        picture: uint8 (H, W, 3); needed for overlays.
        class_ids: uint8 (H, W).
        confidence: float32 (H, W), 0..1.
        table: Gives the colours.
    """
    if kind == LABELS:
        return class_ids
    if kind == CONFIDENCE:
        return (confidence * 255 + 0.5).astype(np.uint8)
    if kind == SEGMENTATION:
        return table.palette[class_ids]
    assert picture is not None
    return overlay(picture, class_ids, table)


def _encoded(kind: str, pixels: Array, table: ClassTable) -> bytes:
    if kind == LABELS:
        return labels_png(pixels, table)
    return gray_png(pixels) if pixels.ndim == 2 else rgb_png(pixels)
