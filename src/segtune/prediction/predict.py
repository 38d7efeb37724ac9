"""The command 'segtune predict': pictures -> labels/, segmentation/ and overlays/."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segtune.config import PredictConfig
from segtune.console import track
from segtune.errors import DataError, UserError, listed
from segtune.pictures import PICTURE_SUFFIXES, read_picture, write_labels, write_picture
from segtune.prediction.draw import overlay
from segtune.prediction.predictor import load

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
    """Predict a picture or a folder of pictures; those that can't be read are told at the end, the others are done.

    Raises:
        UserError: No pictures, not a model, or predictions that exist and may not be overwritten.
    """
    pictures = find_pictures(config.input)
    _refuse_same_names(pictures)
    existing = [path for picture in pictures for path in _outputs(config.output, picture) if path.exists()]
    if existing and not config.overwrite:
        raise UserError(
            f"{config.output} already holds {listed((path.relative_to(config.output) for path in existing), 3)}.",
            "Name another folder, or add --overwrite.",
        )
    inputs = {picture.resolve() for picture in pictures}
    if any(path.resolve() in inputs for picture in pictures for path in _outputs(config.output, picture)):
        raise UserError(f"{config.output} would overwrite the pictures themselves.", "Name another folder.")
    predictor = load(config.model, config.device)
    table = predictor.model.classes
    unreadable = []
    for path in track(pictures, "Predicting"):
        try:
            picture = read_picture(path)
        except UserError as error:
            unreadable.append(error.message)
            continue
        prediction = predictor.predict(picture)
        labels, segmentation, overlays = _outputs(config.output, path)
        write_labels(labels, prediction.class_ids, table)
        write_picture(segmentation, prediction.colors)
        write_picture(overlays, overlay(picture, prediction.class_ids, table))
    if len(unreadable) == len(pictures):
        raise DataError("No picture could be read:", unreadable)
    return PredictReport(config.output, len(pictures) - len(unreadable), unreadable)


def find_pictures(source: Path) -> list[Path]:
    """The picture itself, or all pictures right in a folder, by name.

    Raises:
        UserError: No such path, or no picture there.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"There is no picture or folder {source}.", "Check the path.")
    pictures = sorted(
        path for path in source.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )
    if not pictures:
        raise UserError(f"{source} holds no pictures.", f"Expected files ending in {listed(sorted(PICTURE_SUFFIXES))}.")
    return pictures


def _outputs(output: Path, picture: Path) -> list[Path]:
    return [output / kind / f"{picture.stem}.png" for kind in (LABELS, SEGMENTATION, OVERLAYS)]


def _refuse_same_names(pictures: Sequence[Path]) -> None:
    """Two pictures that differ only in their suffix would overwrite each other's results."""
    first: dict[str, Path] = {}
    for picture in pictures:
        if picture.stem in first:
            raise UserError(
                f"{first[picture.stem].name} and {picture.name} would both become {picture.stem}.png.", "Rename one."
            )
        first[picture.stem] = picture
