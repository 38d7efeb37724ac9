"""Scoring a model file on a dataset folder."""

import json

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.dataset_folder import find_pairs
from segtune.classes import class_table, write_classes
from segtune.config import EvaluateConfig
from segtune.errors import UserError
from segtune.evaluation.evaluate import evaluate
from segtune.evaluation.scores import confusion_matrix
from segtune.model_file import load_model
from segtune.pictures import read_labels
from segtune.prediction.predictor import load


def test_scores_are_those_of_predictions_at_the_pictures_own_size(trained_run, dataset):
    Image.new("RGB", (33, 57)).save(dataset / "val" / "Images" / "100.jpg")
    Image.new("L", (33, 57)).save(dataset / "val" / "Labels" / "100.png")
    scores = evaluate(EvaluateConfig(trained_run / "model.safetensors", dataset))
    predictor = load(trained_run / "model.safetensors")
    confusion = sum(
        confusion_matrix(read_labels(pair.labels), predictor.predict(pair.picture).class_ids, 3)
        for pair in find_pairs(dataset, "val")
    )
    assert (scores.confusion == confusion).all()
    assert scores.confusion.sum() == 33 * 57 + 2 * 72 * 96


def test_scores_are_the_ones_that_training_reported(trained_run):
    path = trained_run / "model.safetensors"
    scores = evaluate(EvaluateConfig(path, trained_run.parent / "dataset"))
    assert load_model(path).scores["mean_iou"] == scores.mean_iou
    assert scores.mean_iou > 0.5


def test_scores_are_written(trained_run, dataset, tmp_path):
    scores = evaluate(EvaluateConfig(trained_run / "model.safetensors", dataset, split="train", output=tmp_path / "o"))
    written = json.loads((tmp_path / "o" / "scores.json").read_text())
    assert written["mean_iou"] == scores.mean_iou
    assert [entry["name"] for entry in written["classes"]] == ["floor", "wall", "box"]


def test_ignored_value_does_not_count(trained_run, dataset):
    for path in dataset.glob("val/Labels/*.png"):
        labels = np.array(Image.open(path))
        labels[:10] = 7
        Image.fromarray(labels).save(path)
    config = EvaluateConfig(trained_run / "model.safetensors", dataset, ignore_value=7)
    assert evaluate(config).confusion.sum() == 3 * 62 * 96


@pytest.mark.parametrize("names", [["floor", "wall"], ["wall", "floor", "box"]])
def test_other_classes_are_refused(trained_run, dataset, names):
    write_classes(dataset / "classes.yaml", class_table(names))
    with pytest.raises(UserError, match="knows the classes floor, wall, box"):
        evaluate(EvaluateConfig(trained_run / "model.safetensors", dataset))
