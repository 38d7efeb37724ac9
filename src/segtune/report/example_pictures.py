"""Validation pictures for the report: the best and the worst, predicted again, small, and each in four views."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from segtune.annotations.dataset_folder import IMAGES, Pair, scan_split
from segtune.arrays import Array
from segtune.classes import IGNORE, ClassTable
from segtune.errors import UserError
from segtune.evaluation.scores import Scores, confusion_matrix
from segtune.pictures import read_labels, read_picture
from segtune.prediction.predictor import Predictor
from segtune.spread import spread
from segtune.web_page import data_uri

Kind = Literal["worst", "best", "spread"]

LONGEST_SIDE = 640
"""Pixels of a shown picture's longer side."""
MAX_CHARACTERS = 6_000_000
"""What all shown pictures together may add to the page."""
QUALITY = 80

WRONG = (226, 38, 54)
STRIPES = (150, 155, 165), (185, 190, 200)
"""Colours of pixels that never count."""
STRIPE_WIDTH = 5
DIMMED, PAPER = 0.35, 235
"""How much of the picture shows through where the prediction is right, and the grey over it."""


@dataclass(frozen=True)
class ExamplePicture:
    """A validation picture, small.

    Attributes:
        name: Its path below Images.
        kind: Why it is shown: among the best, among the worst, or evenly spread over all.
        mean_iou: Its score, over the classes that it has or is predicted to have; None without any labelled pixel.
        wrong: Share of its labelled pixels that are predicted wrong.
        width: Of the views, in pixels.
        height: Of the views, in pixels.
        views: Address of each view's content by its name: picture, labels, prediction, difference.
    """

    name: str
    kind: Kind
    mean_iou: float | None
    wrong: float
    width: int
    height: int
    views: dict[str, str]


def choose_pictures(dataset: Path, scores: dict[str, float], count: int) -> list[tuple[Pair, Kind]]:
    """The worst and the best validation pictures, by turns; without scores, pictures evenly spread over all.

    Args:
        dataset: The dataset folder.
        scores: Mean IoU by the path below Images.
        count: How many of either.

    Raises:
        UserError: They are not there.
    """
    pairs, findings = scan_split(dataset, "val")
    if not pairs:
        told = findings[0].message if findings else "it holds no validation pictures"
        raise UserError(f"{dataset} is not the dataset: {told}.")
    by_name = {picture_name(dataset, pair): pair for pair in pairs}
    if not scores:
        return [(pair, "spread") for pair in spread(pairs, 2 * count)]
    absent = [name for name in scores if name not in by_name]
    if absent:
        raise UserError(f"{dataset} is not the dataset: {absent[0]} is not in val/{IMAGES}.")
    ranked = sorted(scores, key=lambda name: (scores[name], name))
    # Of few pictures none is shown twice.
    worst = ranked[: min(count, math.ceil(len(ranked) / 2))]
    best = ranked[len(worst) :][::-1][:count]
    kinds: Sequence[tuple[Sequence[str], Kind]] = ((worst, "worst"), (best, "best"))
    chosen = [(place, by_name[name], kind) for names, kind in kinds for place, name in enumerate(names)]
    return [(pair, kind) for _, pair, kind in sorted(chosen, key=lambda entry: entry[0])]


def picture_name(dataset: Path, pair: Pair) -> str:
    """A validation picture's path below Images."""
    return pair.picture.relative_to(dataset / "val" / IMAGES).as_posix()


def draw_pictures(
    predictor: Predictor, dataset: Path, chosen: Sequence[tuple[Pair, Kind]], scores: dict[str, float]
) -> Iterator[ExamplePicture]:
    """Predict pictures and draw their views, as many as a page can hold.

    Args:
        predictor: The run's model.
        dataset: The dataset folder.
        chosen: From ``choose_pictures``.
        scores: Mean IoU by the path below Images; where it says nothing, it is counted here.

    Raises:
        UserError: A file can't be decoded, or labels are not of the model's classes.
    """
    used = 0
    for pair, kind in chosen:
        picture = draw_picture(predictor, pair, picture_name(dataset, pair), kind, scores)
        used += sum(map(len, picture.views.values()))
        if used > MAX_CHARACTERS:
            return
        yield picture


def draw_picture(predictor: Predictor, pair: Pair, name: str, kind: Kind, scores: dict[str, float]) -> ExamplePicture:
    """Predict a picture and draw its views.

    Raises:
        UserError: A file can't be decoded, or the labels are not of the model's classes.
    """
    table = predictor.model.classes
    pixels, labels = read_picture(pair.picture), read_labels(pair.labels, table)
    counted = labels[labels != IGNORE]
    if labels.shape != pixels.shape[:2] or counted.max(initial=0) >= table.num_classes:
        raise UserError(f"{pair.labels} does not fit {pair.picture} and the model's {table.num_classes} classes.")
    class_ids = predictor.predict(pixels).class_ids
    confusion = confusion_matrix(labels, class_ids, table.num_classes)
    found = Scores(confusion, table, 1, (confusion.sum(axis=1) > 0).astype(np.int64))
    height, width = small_size(*labels.shape)
    picture = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    small_labels, small_ids = _small(labels, (width, height)), _small(class_ids, (width, height))
    wrong = Image.fromarray(difference(picture, small_labels, small_ids))
    views = {
        "picture": data_uri(Image.fromarray(picture), "jpeg", quality=QUALITY),
        "labels": _palette_uri(small_labels, table),
        "prediction": _palette_uri(small_ids, table),
        "difference": data_uri(wrong, "jpeg", quality=QUALITY, subsampling=0),
    }
    score = scores.get(name, found.mean_iou if confusion.any() else None)
    return ExamplePicture(name, kind, score, 1 - found.pixel_accuracy, width, height, views)


def small_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the views of a picture."""
    factor = min(1.0, LONGEST_SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def difference(picture: Array, labels: Array, class_ids: Array) -> Array:
    """Where a prediction is wrong: red; right pixels are pale and grey, those that never count are striped.

    Args:
        picture: uint8 (H, W, 3) RGB.
        labels: uint8 (H, W); ``IGNORE`` never counts.
        class_ids: uint8 (H, W), the prediction.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    drawn = np.repeat((DIMMED * grey + (1 - DIMMED) * PAPER).astype(np.uint8)[:, :, None], 3, axis=2)
    drawn[labels != class_ids] = WRONG
    rows, columns = np.indices(labels.shape)
    stripes = np.array(STRIPES, np.uint8)[(rows + columns) // STRIPE_WIDTH % 2]
    return np.where((labels == IGNORE)[:, :, None], stripes, drawn)


def _small(class_ids: Array, size: tuple[int, int]) -> Array:
    """Class ids at another (width, height): nearest pixels keep them what they are."""
    return np.asarray(cv2.resize(class_ids, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _palette_uri(class_ids: Array, table: ClassTable) -> str:
    picture = Image.fromarray(class_ids)
    picture.putpalette(table.palette.tobytes())
    return data_uri(picture, "png", optimize=True)
