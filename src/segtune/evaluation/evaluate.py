"""Scoring: exactly what prediction gives, against the label files, at the pictures' own size."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from segtune.annotations.check import check_dataset
from segtune.annotations.dataset_folder import Pair, dataset_classes, find_pairs
from segtune.classes import CLASSES_FILE, IGNORE, ClassTable
from segtune.config import EvaluateConfig
from segtune.console import track
from segtune.errors import UserError, listed
from segtune.evaluation.scores import Scores, confusion_matrix
from segtune.files import write_json
from segtune.pictures import read_labels
from segtune.prediction.predictor import Predictor, load

SCORES_FILE = "scores.json"


def evaluate_pairs(predictor: Predictor, pairs: Sequence[Pair], table: ClassTable, description: str) -> Scores:
    """Predict and score pictures, one at a time.

    Args:
        predictor: The model.
        pairs: Pictures and label images.
        table: The dataset's classes; says which label values are ignored.
        description: What the progress bar says.
    """
    num_classes = table.num_classes
    confusion = np.zeros((num_classes, num_classes), np.int64)
    pictures_with_class = np.zeros(num_classes, np.int64)
    for pair in track(pairs, description):
        labels = read_labels(pair.labels, table)
        counts = confusion_matrix(labels, predictor.predict(pair.picture).class_ids, num_classes)
        confusion += counts
        pictures_with_class += counts.sum(axis=1) > 0
    return Scores(confusion, table, len(pairs), pictures_with_class)


def evaluate(config: EvaluateConfig) -> Scores:
    """Score a model file on a split of a dataset folder, and write scores.json where an output folder is given.

    Raises:
        UserError: The model or the dataset can't be used, or their classes differ.
    """
    if config.output is not None and (config.output / SCORES_FILE).exists() and not config.overwrite:
        raise UserError(f"{config.output / SCORES_FILE} exists.", "Name another folder, or add --overwrite.")
    predictor = load(config.model, config.device, backend=config.backend)
    table = _table(config, predictor.model.classes)
    check_dataset(config.dataset, table, splits=(config.split,)).raise_for_errors()
    scores = evaluate_pairs(predictor, find_pairs(config.dataset, config.split), table, "Evaluating")
    if config.output is not None:
        write_json(config.output / SCORES_FILE, scores.to_dict())
    return scores


def _table(config: EvaluateConfig, model_table: ClassTable) -> ClassTable:
    """The model's classes, with the ignore value that the command, the dataset or else the model names."""
    ignore_value = config.ignore_value
    if (config.dataset / CLASSES_FILE).exists():
        dataset_table = dataset_classes(config.dataset)
        _refuse_other_classes(model_table, dataset_table, config)
        if ignore_value is None and dataset_table.ignore_value != IGNORE:
            ignore_value = dataset_table.ignore_value
    return model_table if ignore_value is None else replace(model_table, ignore_value=ignore_value)


def _refuse_other_classes(model: ClassTable, dataset: ClassTable, config: EvaluateConfig) -> None:
    named = any(name != f"class_{index}" for index, name in enumerate(model.names))
    if model.num_classes != dataset.num_classes or (named and model.names != dataset.names):
        raise UserError(
            f"{config.model} knows the classes {listed(model.names)}; {config.dataset / CLASSES_FILE} has"
            f" {listed(dataset.names)}.",
            "Score a model on a dataset with its own classes, in the same order.",
        )
