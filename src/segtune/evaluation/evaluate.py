"""Scoring: exactly what prediction gives, against the label files, at the pictures' own size."""

import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segtune.annotations.check import check_to_score
from segtune.annotations.dataset_folder import Pair, dataset_classes, find_pairs
from segtune.arrays import Array
from segtune.classes import CLASSES_FILE, IGNORE, ClassTable
from segtune.config import EvaluateConfig
from segtune.console import track
from segtune.errors import UserError, listed
from segtune.evaluation.compare import Comparison
from segtune.evaluation.confusion_picture import confusion_picture
from segtune.evaluation.per_image import per_image_file
from segtune.evaluation.scores import Scores
from segtune.evaluation.tally import Tally
from segtune.files import MAX_NAME_BYTES, refuse_existing_in, write_json
from segtune.pictures import read_labels, read_picture, write_picture
from segtune.prediction.draw import panel
from segtune.prediction.pipeline import PixelBudget, overlapped
from segtune.prediction.predictor import Predictor, load
from segtune.run_folder import CONFUSION_FILE, PER_IMAGE_FILE, SCORES_FILE

TellPicture = Callable[[Pair, tuple[int, int], Scores], None]

WORST, BEST = "worst", "best"
PANEL_NAME = re.compile(r"\d{2,}-[01]\.\d{3}-.*\.png")
MAX_STEM_BYTES = MAX_NAME_BYTES - 20
"""Of a picture's name in that of its panel, beside rank and mean IoU."""


def evaluate_pairs(
    predictor: Predictor, pairs: Sequence[Pair], tally: Tally, description: str, tell: TellPicture | None = None
) -> Scores:
    """Predict and score pictures in their order, while the next ones are read.

    Args:
        predictor: The model.
        pairs: Pictures and label images.
        tally: Counts; its classes say which label values are ignored.
        description: What the progress bar says.
        tell: Is told each picture, its height and width, and its scores.
    """
    budget = PixelBudget()

    def read() -> Iterator[tuple[int, Pair, Array, Array]]:
        for index, pair in enumerate(pairs):
            labels = read_labels(pair.labels, tally.classes)
            budget.take(labels.size)
            yield index, pair, labels, read_picture(pair.picture)

    def compute(item: tuple[int, Pair, Array, Array]) -> tuple[int, Pair, Array, Array]:
        index, pair, labels, picture = item
        return index, pair, labels, predictor.predict(picture).class_ids

    def count(item: tuple[int, Pair, Array, Array]) -> None:
        index, pair, labels, class_ids = item
        scores = tally.add(index, labels, class_ids)
        if tell is not None:
            tell(pair, (labels.shape[0], labels.shape[1]), scores)
        budget.give_back(labels.size)

    for _ in track(overlapped(read(), compute, count, budget, predictor.backend.workers), description, len(pairs)):
        pass
    return tally.scores


class Extremes:
    """Keeps the pictures of the lowest and of the highest mean IoU.

    Args:
        count: How many of each.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._worst: list[tuple[float, str, Pair]] = []
        self._best: list[tuple[float, str, Pair]] = []

    def __call__(self, pair: Pair, _: tuple[int, int], scores: Scores) -> None:
        """Take a picture into account; those without a pixel that counts have no score."""
        if scores.has_mean_iou:
            mean = scores.mean_iou
            for heap, key in ((self._worst, -mean), (self._best, mean)):
                heapq.heappush(heap, (key, pair.stem, pair))
                if len(heap) > self.count:
                    heapq.heappop(heap)

    def found(self) -> dict[str, list[tuple[float, Pair]]]:
        """Mean IoU and picture, the most extreme first."""
        worst = [(-key, pair) for key, _, pair in sorted(self._worst, reverse=True)]
        best = [(key, pair) for key, _, pair in sorted(self._best, reverse=True)]
        return {WORST: worst, BEST: best}


def score_into(
    folder: Path,
    predictor: Predictor,
    pairs: Sequence[Pair],
    tally: Tally,
    about: dict[str, Any] | None = None,
    extremes: Extremes | None = None,
) -> Scores:
    """Score pictures, and write scores.json, per_image.csv and confusion.png to a folder.

    Args:
        folder: Where to.
        predictor: The model.
        pairs: Pictures and label images.
        tally: Counts.
        about: What else scores.json says.
        extremes: Is told of all pictures, too.
    """
    with per_image_file(folder / PER_IMAGE_FILE, tally.classes.names) as write_line:

        def tell(pair: Pair, size: tuple[int, int], one: Scores) -> None:
            write_line(pair.picture.name, size, one)
            if extremes is not None:
                extremes(pair, size, one)

        scores = evaluate_pairs(predictor, pairs, tally, "Evaluating", tell)
    write_json(folder / SCORES_FILE, {**(about or {}), **scores.to_dict()})
    write_picture(folder / CONFUSION_FILE, confusion_picture(scores))
    return scores


def evaluate(config: EvaluateConfig) -> Scores:
    """Score a model file on a split of a dataset folder; where an output folder is given, write what was found there.

    Raises:
        UserError: The model or the dataset can't be used, or their classes differ.
    """
    return evaluate_and_compare(config)[0]


def evaluate_and_compare(config: EvaluateConfig) -> tuple[Scores, Comparison | None]:
    """Like ``evaluate``, and beside the other model where one is named.

    Raises:
        UserError: As there; or the two models know other classes.
    """
    if config.output is not None and not config.overwrite:
        refuse_existing_in(config.output, (SCORES_FILE, PER_IMAGE_FILE, CONFUSION_FILE, WORST, BEST))
    predictor = load(config.model, config.device, backend=config.backend)
    table = _table(config, config.model, predictor.model.classes)
    other = None
    if config.compare is not None:
        other = load(config.compare, config.device, backend=config.backend)
        others = _table(config, config.compare, other.model.classes)
        if others.names != table.names:
            raise UserError(
                f"{config.model} knows the classes {listed(table.names)};"
                f" {config.compare} knows {listed(others.names)}.",
                "Compare models of the same classes, in the same order.",
            )
    check_to_score(config.dataset, table, config.split)
    pairs = find_pairs(config.dataset, config.split)
    extremes = Extremes(config.panels)
    if config.output is None:
        scores = evaluate_pairs(predictor, pairs, _tally(config, table), "Evaluating")
    else:
        about = {"model": str(config.model), "dataset": str(config.dataset), "split": config.split}
        scores = score_into(config.output, predictor, pairs, _tally(config, table), about, extremes)
        _draw(config.output, predictor, extremes, table)
    if other is None:
        return scores, None
    compared = Comparison(scores, evaluate_pairs(other, pairs, _tally(config, table), "Evaluating the other"))
    if config.output is not None:
        found = {**about, **scores.to_dict(), "compared": {"model": str(config.compare), **compared.to_dict()}}
        write_json(config.output / SCORES_FILE, found)
    return scores, compared


def _tally(config: EvaluateConfig, table: ClassTable) -> Tally:
    return Tally(table, with_boundary=config.boundary_iou, exclude_background=config.exclude_background)


def _draw(output: Path, predictor: Predictor, extremes: Extremes, table: ClassTable) -> None:
    """Panels of the worst and the best pictures, named by rank and mean IoU."""
    for kind, found in extremes.found().items():
        for path in (output / kind).glob("*.png"):
            if PANEL_NAME.fullmatch(path.name):
                path.unlink()  # of an earlier evaluation; --overwrite has allowed it
        for rank, (mean_iou, pair) in enumerate(found, 1):
            picture, labels = read_picture(pair.picture), read_labels(pair.labels, table)
            drawn = panel(picture, labels, predictor.predict(picture).class_ids, table)
            stem = pair.stem.encode()[:MAX_STEM_BYTES].decode(errors="ignore")
            write_picture(output / kind / f"{rank:02}-{mean_iou:.3f}-{stem}.png", drawn)


def _table(config: EvaluateConfig, model: Path, model_table: ClassTable) -> ClassTable:
    """A model's classes, with the ignore value that the command, the dataset or else the model names."""
    ignore_value = config.ignore_value
    if (config.dataset / CLASSES_FILE).exists():
        dataset_table = dataset_classes(config.dataset)
        _refuse_other_classes(model_table, dataset_table, config, model)
        if ignore_value is None and dataset_table.ignore_value != IGNORE:
            ignore_value = dataset_table.ignore_value
    return model_table if ignore_value is None else replace(model_table, ignore_value=ignore_value)


def _refuse_other_classes(model: ClassTable, dataset: ClassTable, config: EvaluateConfig, path: Path) -> None:
    named = any(name != f"class_{index}" for index, name in enumerate(model.names))
    if model.num_classes != dataset.num_classes or (named and model.names != dataset.names):
        raise UserError(
            f"{path} knows the classes {listed(model.names)}; {config.dataset / CLASSES_FILE} has"
            f" {listed(dataset.names)}.",
            "Score a model on a dataset with its own classes, in the same order.",
        )
