"""What predict writes: which files for which input, that none is overwritten, and their content."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segtune.annotations.write_cvat import Add, cvat_file, cvat_labels, refuse_not_xml
from segtune.annotations.write_labelme_xml import labelme_file
from segtune.arrays import Array
from segtune.classes import ClassTable
from segtune.config import PreannotationOptions, changed_options, names_in
from segtune.errors import UserError, listed, nearest
from segtune.files import MAX_NAME_BYTES, refuse_existing_in, write_bytes, write_json
from segtune.pictures import gray_png, labels_png, rgb_png
from segtune.prediction.draw import overlay
from segtune.prediction.inputs import Input
from segtune.prediction.polygons import CocoFile, find_polygons, write_geojson
from segtune.prediction.preannotation import check_preannotation, label_colors, preannotate
from segtune.prediction.predictor import Prediction

LABELS, SEGMENTATION, OVERLAYS = "labels", "segmentation", "overlays"
CONFIDENCE, POLYGONS = "confidence", "polygons"
CVAT, LABELME = "cvat", "labelme"
KINDS = (LABELS, SEGMENTATION, OVERLAYS, CONFIDENCE, POLYGONS, CVAT, LABELME)
VIDEO_KINDS = (OVERLAYS, LABELS)
ONE_FILE = {CVAT: "cvat.zip", LABELME: "labelme.zip"}
"""Kinds of which all pictures are in one file."""
COCO_FILE = "polygons.json"
CVAT_LABELS = "cvat_labels.json"


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


def place_of(kind: str) -> str:
    """What a kind is called in the output folder: a folder's name or a file's."""
    return ONE_FILE.get(kind, f"{kind}/")


class Outputs(AbstractContextManager["Outputs"]):
    """The files of a prediction. Those of all pictures are begun with the first, and get their names at the end.

    Args:
        folder: OUTPUT.
        save: The option; where it is empty, pictures get labels, segmentation and overlays, and videos overlays.
        options: For ``ONE_FILE``.

    Raises:
        UserError: ``save`` names what there is not, or the options are impossible or without effect.
    """

    def __init__(self, folder: Path, save: str = "", options: PreannotationOptions | None = None) -> None:
        self.folder = folder
        self.kinds = kinds_to_save(save) if save else (LABELS, SEGMENTATION, OVERLAYS)
        self.options = options or PreannotationOptions()
        self.video_kinds = tuple(kind for kind in VIDEO_KINDS if kind in self.kinds) if save else (OVERLAYS,)
        self.geotiff_kinds = tuple(kind for kind in self.kinds if kind not in ONE_FILE)
        self.coco = CocoFile()
        self._stack = ExitStack()
        self._add: dict[str, Add] = {}
        check_preannotation(self.options)
        changed = changed_options(self.options, PreannotationOptions)
        if changed and not set(self.kinds) & set(ONE_FILE):
            raise UserError(f"{listed(changed)} would have no effect.", "Add cvat or labelme to --save.")

    def __enter__(self) -> "Outputs":
        self._stack.enter_context(self.coco)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def path(self, entry: Input, kind: str) -> Path:
        """Where a kind of an input goes: a file, or for the labels of a video a folder."""
        if kind in ONE_FILE:
            return self.folder / ONE_FILE[kind]
        suffix = ".tif" if entry.is_geotiff else ".png"
        if kind == POLYGONS:
            suffix = ".geojson"
        elif entry.is_video:
            suffix = ".mp4" if kind == OVERLAYS else ""
        return self.folder / kind / f"{entry.name}{suffix}"

    def kinds_of(self, entry: Input) -> tuple[str, ...]:
        """What an input will give."""
        if entry.is_geotiff:
            return self.geotiff_kinds
        return self.video_kinds if entry.is_video else self.kinds

    def check(self, inputs: Sequence[Input], overwrite: bool) -> None:
        """Refuse what can't be written, before anything is.

        Raises:
            UserError: Results exist and may not be overwritten, would overwrite the inputs, an input would give none,
                or its name can't stand in a file that is asked for.
        """
        paths = list(dict.fromkeys(self.path(entry, kind) for entry in inputs for kind in self.kinds_of(entry)))
        if POLYGONS in self.kinds:
            paths.append(self.folder / COCO_FILE)
        if CVAT in self.kinds:
            paths.append(self.folder / CVAT_LABELS)
        if not overwrite:
            refuse_existing_in(self.folder, (str(path.relative_to(self.folder)) for path in paths))
        too_long = [path.name for path in paths if len(os.fsencode(path.name)) > MAX_NAME_BYTES]
        if too_long:
            raise UserError(
                f"{too_long[0]} is a longer name than file systems take ({MAX_NAME_BYTES} bytes).",
                "Rename the picture.",
            )
        sources = {entry.path.resolve() for entry in inputs}
        if any(path.resolve() in sources for path in paths):
            raise UserError(f"{self.folder} would overwrite the pictures themselves.", "Name another folder.")
        if not self.video_kinds and any(entry.is_video for entry in inputs):
            raise UserError("Of a video only overlays and labels can be saved.", "Add one of them to --save.")
        if not self.geotiff_kinds and any(entry.is_geotiff for entry in inputs):
            raise UserError(
                f"Of a GeoTIFF no {listed(self.kinds)} can be saved: annotation tools know no places on the earth.",
                "Add another kind to --save, or cut it into ordinary pictures.",
            )
        if set(self.kinds) & set(ONE_FILE):
            refuse_not_xml([entry.picture_name for entry in inputs], "pictures")

    def write(self, entry: Input, picture: Array, prediction: Prediction) -> None:
        """Write all kinds of a picture, uint8 (H, W, 3)."""
        for kind in self.kinds:
            path = self.path(entry, kind)
            if kind in ONE_FILE:
                shapes = "polygon" if kind == LABELME else self.options.shapes
                add = self._add.get(kind) or self._begin(kind, prediction.classes)
                add(preannotate(entry.picture_name, prediction, self.options, shapes))
            elif kind == POLYGONS:
                polygons = find_polygons(prediction.class_ids, prediction.classes.num_classes)
                write_geojson(path, polygons, prediction.classes)
                self.coco.add(entry.picture_name, prediction.class_ids.shape, polygons)
            else:
                pixels = pixels_of(kind, picture, prediction.class_ids, prediction.confidence, prediction.classes)
                write_bytes(path, _encoded(kind, pixels, prediction.classes))

    def _begin(self, kind: str, table: ClassTable) -> Add:
        """Begin a file of all pictures."""
        colors = label_colors(table, self.options)
        refuse_not_xml(list(colors), "classes")
        path = self.folder / ONE_FILE[kind]
        file = cvat_file(path, colors) if kind == CVAT else labelme_file(path)
        self._add[kind] = self._stack.enter_context(file)
        return self._add[kind]

    def finish(self, table: ClassTable) -> None:
        """Write what is about all pictures."""
        if POLYGONS in self.kinds and self.coco.num_images:
            self.coco.write(self.folder / COCO_FILE, table)
        if CVAT in self._add:
            write_json(self.folder / CVAT_LABELS, cvat_labels(label_colors(table, self.options)))


def pixels_of(
    kind: str, picture: Array | None, class_ids: Array, confidence: npt.NDArray[np.float32], table: ClassTable
) -> Array:
    """What the file of a kind shows: uint8 (H, W), or (H, W, 3) RGB.

    Args:
        kind: labels, segmentation, overlays or confidence.
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
        return table.colored(class_ids)
    assert picture is not None
    return overlay(picture, class_ids, table)


def _encoded(kind: str, pixels: Array, table: ClassTable) -> bytes:
    if kind == LABELS:
        return labels_png(pixels, table)
    return gray_png(pixels) if pixels.ndim == 2 else rgb_png(pixels)
