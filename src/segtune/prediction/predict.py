"""The command 'segtune predict': pictures, videos and GeoTIFFs -> labels/, overlays/ and the like."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segtune.config import PredictConfig
from segtune.console import track
from segtune.errors import DataError, UserError, WriteError
from segtune.out_of_memory import shortage_told
from segtune.pictures import num_frames, open_picture, read_picture, shown_size
from segtune.prediction.geotiff import predict_geotiff
from segtune.prediction.inputs import Input, find_inputs
from segtune.prediction.outputs import CONFIDENCE, Outputs
from segtune.prediction.pipeline import PixelBudget, overlapped
from segtune.prediction.preannotation import notes_for_correction
from segtune.prediction.predictor import Prediction, PredictOptions, Predictor, load
from segtune.prediction.video import predict_video


@dataclass(frozen=True)
class PredictReport:
    """What was done.

    Attributes:
        output: The folder that holds the results.
        num_pictures: How many were predicted; a video is one.
        unreadable: What is wrong with each picture that could not be.
        incomplete: What is missing of videos that could be decoded in part.
        notes: Which files hold several pictures, of which the first was predicted; which GeoTIFFs were shrunk; what to
            know when correcting.
        kinds: What was written, as in ``--save``.
    """

    output: Path
    num_pictures: int
    unreadable: Sequence[str]
    kinds: Sequence[str]
    incomplete: Sequence[str] = ()
    notes: Sequence[str] = ()


def predict(config: PredictConfig) -> PredictReport:
    """Predict all pictures that INPUT means; those that can't be read are told at the end, the others are done.

    Raises:
        UserError: No pictures, not a model, or predictions that exist and may not be overwritten.
    """
    inputs = find_inputs(config.input, config.output)
    outputs = Outputs(config.output, config.save, config)
    outputs.check(inputs, config.overwrite)
    options = PredictOptions(config.tile, config.overlap, config.tta)
    predictor = load(config.model, config.device, options, config.backend)
    if (CONFIDENCE in outputs.kinds or config.min_confidence) and not predictor.has_confidence:
        raise UserError(f"{config.model} puts out class ids, without a confidence.", "Export it without --argmax.")
    unreadable: list[str] = []
    incomplete: list[str] = []
    with outputs:
        notes = predict_pictures(predictor, [entry for entry in inputs if entry.is_picture], outputs, unreadable)
        for entry in inputs:
            try:
                with shortage_told(partial(_too_large, entry)):
                    if entry.is_video:
                        if problem := predict_video(predictor, entry, outputs):
                            incomplete.append(problem)
                    elif entry.is_geotiff and (note := predict_geotiff(predictor, entry, outputs)):
                        notes.append(note)
            except WriteError:  # nor could what comes next be written
                raise
            except UserError as error:
                unreadable.append(error.in_one_line)
        outputs.finish(predictor.model.classes)
        notes += notes_for_correction(predictor.model.classes, config)
    if len(unreadable) == len(inputs):
        raise DataError("No picture could be predicted:", unreadable)
    used = {kind for entry in inputs for kind in outputs.kinds_of(entry)}
    kinds = [kind for kind in outputs.kinds if kind in used]
    return PredictReport(config.output, len(inputs) - len(unreadable), unreadable, kinds, incomplete, notes)


def predict_pictures(
    predictor: Predictor, inputs: Sequence[Input], outputs: Outputs, unreadable: list[str]
) -> list[str]:
    """Predict and write pictures, while the next ones are read; what is wrong with some is added to ``unreadable``.

    Returns:
        What else there is to say of some.
    """
    budget = PixelBudget()
    notes: list[str] = []

    def compute(picture: "Picture") -> "tuple[Picture, Prediction | None]":
        if picture.pixels is None:
            return picture, None
        try:
            return picture, _predicted(predictor, picture.entry, picture.pixels)
        except UserError as error:
            budget.give_back(picture.pixels.shape[0] * picture.pixels.shape[1])
            return Picture(picture.entry, None, error.in_one_line), None

    def write(done: "tuple[Picture, Prediction | None]") -> None:
        picture, prediction = done
        if picture.pixels is None or prediction is None:
            unreadable.append(picture.problem)
        else:
            outputs.write(picture.entry, picture.pixels, prediction)
            if picture.problem:
                notes.append(picture.problem)
            budget.give_back(prediction.class_ids.size)

    written = overlapped(_read(inputs, budget), compute, write, budget, predictor.backend.workers)
    for _ in track(written, "Predicting", len(inputs)):
        pass
    return notes


@dataclass(frozen=True)
class Picture:
    """A picture, uint8 (H, W, 3), and what is wrong with it, or left out."""

    entry: Input
    pixels: npt.NDArray[np.uint8] | None
    problem: str = ""


def _read(inputs: Sequence[Input], budget: PixelBudget) -> Iterator[Picture]:
    for entry in inputs:
        taken = 0
        try:
            with shortage_told(partial(_too_large, entry)):
                num_pixels, note = _look_at(entry.path)
                budget.take(num_pixels)
                taken = num_pixels
                pixels = read_picture(entry.path)
            yield Picture(entry, pixels, note)
        except UserError as error:
            budget.give_back(taken)
            yield Picture(entry, None, error.in_one_line)


def _predicted(predictor: Predictor, entry: Input, pixels: npt.NDArray[np.uint8]) -> Prediction:
    """The prediction of a picture; what is wrong is told with its name."""
    with shortage_told(partial(_too_large, entry)):
        try:
            return predictor.predict(pixels)
        except UserError as error:
            raise UserError(f"{entry.path}: {error.message}", error.hint) from error


def _too_large(entry: Input) -> UserError:
    how = "leave polygons out of --save" if entry.is_geotiff else "compute it in parts, with --tile 512"
    return UserError(f"{entry.path} needs more memory than is free.", f"Close other programs, or {how}.")


def _look_at(path: Path) -> tuple[int, str]:
    """The number of pixels of a picture, and what to say of it; nothing of it stays in memory."""
    opened = open_picture(path)
    height, width = shown_size(opened, str(path))
    frames = num_frames(opened)
    return height * width, f"{path} holds {frames} pictures: the first was predicted" if frames > 1 else ""
