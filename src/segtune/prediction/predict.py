"""The command 'segtune predict': pictures -> labels/, segmentation/ and overlays/."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segtune.config import PredictConfig
from segtune.console import track
from segtune.errors import DataError, UserError, listed
from segtune.pictures import read_picture, write_labels, write_picture
from segtune.prediction.draw import overlay
from segtune.prediction.inputs import Input, find_inputs
from segtune.prediction.predictor import PredictOptions, load

LABELS, SEGMENTATION, OVERLAYS = "labels", "segmentation", "overlays"


@dataclass(frozen=True)
class PredictReport:
    """What was done.

    Attributes:
        output: The folder that holds the results.
        num_pictures: How many were predicted.
        unreadable: What is wrong with each picture that could not be.
    """

    output: Path
    num_pictures: int
    unreadable: Sequence[str]


def predict(config: PredictConfig) -> PredictReport:
    """Predict all pictures that INPUT means; those that can't be read are told at the end, the others are done.

    Raises:
        UserError: No pictures, not a model, or predictions that exist and may not be overwritten.
    """
    inputs = find_inputs(config.input, config.output)
    existing = [path for entry in inputs for path in _outputs(config.output, entry) if path.exists()]
    if existing and not config.overwrite:
        raise UserError(
            f"{config.output} already holds {listed((path.relative_to(config.output) for path in existing), 3)}.",
            "Name another folder, or add --overwrite.",
        )
    sources = {entry.path.resolve() for entry in inputs}
    if any(path.resolve() in sources for entry in inputs for path in _outputs(config.output, entry)):
        raise UserError(f"{config.output} would overwrite the pictures themselves.", "Name another folder.")
    predictor = load(config.model, config.device, PredictOptions(config.tile, config.overlap, config.tta))
    table = predictor.model.classes
    unreadable = []
    for entry in track(inputs, "Predicting"):
        try:
            picture = read_picture(entry.path)
        except UserError as error:
            unreadable.append(error.message)
            continue
        prediction = predictor.predict(picture)
        labels, segmentation, overlays = _outputs(config.output, entry)
        write_labels(labels, prediction.class_ids, table)
        write_picture(segmentation, prediction.colors)
        write_picture(overlays, overlay(picture, prediction.class_ids, table))
    if len(unreadable) == len(inputs):
        raise DataError("No picture could be read:", unreadable)
    return PredictReport(config.output, len(inputs) - len(unreadable), unreadable)


def _outputs(output: Path, entry: Input) -> list[Path]:
    return [output / kind / f"{entry.name}.png" for kind in (LABELS, SEGMENTATION, OVERLAYS)]
