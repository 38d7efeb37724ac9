"""Scoring a model file on a dataset folder."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.dataset_folder import find_pairs
from segtune.classes import class_table, write_classes
from segtune.config import EvaluateConfig
from segtune.errors import UserError
from segtune.evaluation.confusion_picture import confusion_picture
from segtune.evaluation.evaluate import evaluate, evaluate_and_compare
from segtune.evaluation.scores import Scores, confusion_matrix
from segtune.model_file import load_model, save_model
from segtune.pictures import read_labels, read_picture
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
    assert scores.summary().splitlines()[1] == "With 3 pictures the intervals are rough, and rather too narrow."


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


def test_pictures_without_pixels_that_count_have_no_score(trained_run, dataset, tmp_path):
    Image.new("L", (96, 72), 255).save(dataset / "val" / "Labels" / "100.png")
    evaluate(EvaluateConfig(trained_run / "model.safetensors", dataset, output=tmp_path / "o", panels=3))
    with (tmp_path / "o" / "per_image.csv").open() as file:
        rows = {row["picture"]: row for row in csv.DictReader(file)}
    assert rows["100.jpg"]["mean_iou"] == rows["100.jpg"]["pixel_accuracy"] == ""
    assert float(rows["101.jpg"]["mean_iou"]) > 0
    assert len(list((tmp_path / "o" / "worst").iterdir())) == 2


def test_what_may_be_a_class_saved_as_255_is_told(trained_run, dataset, capsys):
    for path in dataset.glob("val/Labels/*.png"):
        Image.fromarray(np.where(read_labels(path) == 0, 0, 255).astype(np.uint8)).save(path)
    config = EvaluateConfig(trained_run / "model.safetensors", dataset)
    assert evaluate(config).confusion.sum() > 0
    assert "if it stands for class 1, save it as 1" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("names", [["floor", "wall"], ["wall", "floor", "box"]])
def test_other_classes_are_refused(trained_run, dataset, names):
    write_classes(dataset / "classes.yaml", class_table(names))
    with pytest.raises(UserError, match="knows the classes floor, wall, box"):
        evaluate(EvaluateConfig(trained_run / "model.safetensors", dataset))


def test_files_are_written_and_agree(trained_run, dataset, tmp_path):
    out = tmp_path / "o"
    config = EvaluateConfig(trained_run / "model.safetensors", dataset, output=out, boundary_iou=True, panels=2)
    scores = evaluate(config)
    written = json.loads((out / "scores.json").read_text())
    low, high = written["mean_iou_interval"]
    assert low <= written["mean_iou"] <= high
    assert all(entry["boundary_iou"] < entry["iou"] for entry in written["classes"])
    rows = list(csv.DictReader((out / "per_image.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["picture"] for row in rows] == ["100.jpg", "101.jpg", "102.jpg"]
    assert {(row["width"], row["height"]) for row in rows} == {("96", "72")}
    assert np.mean([float(row["pixel_accuracy"]) for row in rows]) == pytest.approx(scores.pixel_accuracy, abs=1e-5)
    assert set(rows[0]) >= {"iou:floor", "iou:wall", "iou:box"}
    ranked = sorted(rows, key=lambda row: float(row["mean_iou"]))
    worst = sorted(path.name for path in (out / "worst").iterdir())
    assert worst == [
        f"{rank:02}-{float(row['mean_iou']):.3f}-{row['picture'][:3]}.png" for rank, row in enumerate(ranked[:2], 1)
    ]
    assert len(list((out / "best").iterdir())) == 2
    assert read_picture(out / "confusion.png").shape[1] >= 360
    with pytest.raises(UserError, match=r"already holds scores\.json, per_image\.csv"):
        evaluate(config)
    evaluate(replace(config, overwrite=True, panels=1))
    assert len(list((out / "worst").iterdir())) == 1


def test_background_is_left_out_of_the_means_alone(trained_run, dataset):
    config = EvaluateConfig(trained_run / "model.safetensors", dataset)
    whole, without = evaluate(config), evaluate(replace(config, exclude_background=True))
    assert without.mean_iou == pytest.approx(np.mean(whole.iou[1:]))
    assert without.mean_accuracy == pytest.approx(np.mean(whole.recall[1:]))
    assert without.pixel_accuracy == whole.pixel_accuracy
    low, high = without.mean_iou_interval
    assert low <= without.mean_iou <= high
    assert "class 0 left out" in without.summary()


def test_training_leaves_the_same_scores(trained_run):
    written = json.loads((trained_run / "scores.json").read_text())
    scores = evaluate(EvaluateConfig(trained_run / "model.safetensors", trained_run.parent / "dataset"))
    assert written == {"split": "val", **json.loads(json.dumps(scores.to_dict()))}
    assert load_model(trained_run / "model.safetensors").scores["mean_iou"] == scores.mean_iou > 0.5
    assert (trained_run / "per_image.csv").exists()
    assert (trained_run / "confusion.png").exists()


def test_models_are_compared_on_the_same_pictures(trained_run, dataset, tmp_path):
    model, out = trained_run / "model.safetensors", tmp_path / "o"
    config = EvaluateConfig(model, dataset, compare=trained_run / "last.safetensors", output=out)
    scores, comparison = evaluate_and_compare(config)
    same = evaluate_and_compare(replace(config, compare=model, output=None))[1]
    assert (same.difference, same.difference_interval) == (0, (0, 0))
    compared = json.loads((out / "scores.json").read_text())["compared"]
    assert compared["difference"] == pytest.approx(scores.mean_iou - comparison.other.mean_iou)


def test_models_of_other_classes_are_not_compared(trained_run, tmp_path, dataset):
    model = load_model(trained_run / "model.safetensors")
    save_model(tmp_path / "other.safetensors", replace(model, classes=class_table(["floor", "box", "wall"])))
    config = EvaluateConfig(trained_run / "model.safetensors", dataset, compare=tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="knows the classes floor, box, wall"):
        evaluate(config)
    (dataset / "classes.yaml").unlink()
    with pytest.raises(UserError, match=r"classes floor, wall, box; .* knows floor, box, wall"):
        evaluate(config)


@pytest.mark.parametrize("count", [2, 11, 45])
def test_confusion_is_drawn_for_few_and_many_classes(count):
    table = class_table([f"a rather long name of class {index}" for index in range(count)])
    confusion = np.random.default_rng(0).integers(0, 90, (count, count))
    confusion[1] = 0
    picture = confusion_picture(Scores(confusion, table, 1, np.ones(count, np.int64)))
    assert picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
