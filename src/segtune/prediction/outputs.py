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
        suffix = ".geojson" if kind == POLYGONS else ".png"
        if entry.is_video:
            suffix = ".mp4" if kind == OVERLAYS else ""
        return self.folder / kind / f"{entry.name}{suffix}"

    def paths(self, entry: Input) -> list[Path]:
        """All that an input will give."""
        return [self.path(entry, kind) for kind in (self.video_kinds if entry.is_video else self.kinds)]

    def check(self, inputs: Sequence[Input], overwrite: bool) -> None:
        """Refuse what can't be written, before anything is.

        Raises:
            UserError: Results exist and may not be overwritten, or would overwrite the inputs, or a video would give none.
        """
        paths = [path for entry in inputs for path in self.paths(entry)]
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
                write_bytes(path, _encoded(kind, picture, prediction))

    def finish(self, table: ClassTable) -> None:
        """Write what is about all pictures."""
        if POLYGONS in self.kinds and self.coco.images:
            self.coco.write(self.folder / COCO_FILE, table)


def _encoded(kind: str, picture: Array, prediction: Prediction) -> bytes:
    if kind == LABELS:
        return labels_png(prediction.class_ids, prediction.classes)
    if kind == SEGMENTATION:
        return rgb_png(prediction.colors)
    if kind == OVERLAYS:
        return rgb_png(overlay(picture, prediction.class_ids, prediction.classes))
    return gray_png((prediction.confidence * 255 + 0.5).astype(np.uint8))
