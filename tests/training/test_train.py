"""The whole training: what it writes, how it repeats, what it refuses."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from segtune.classes import IGNORE
from segtune.cli import parse
from segtune.config import EvaluateConfig, ResumeConfig, TrainConfig
from segtune.errors import UserError
from segtune.evaluation.evaluate import evaluate
from segtune.model_file import read_header
from segtune.pictures import read_picture
from segtune.training.events import EpochDone, RunDone, RunStarted, StepDone
from segtune.training.recipes import ORIGINAL_RECIPE
from segtune.training.train import TrainingInterrupted, resume, train

MODEL = "deeplabv3plus:efficientnet_lite0"


def config(dataset, **options) -> TrainConfig:
    defaults = {"model": MODEL, "epochs": 1, "batch_size": 4, "crop": 64}
    return TrainConfig(dataset, dataset.parent / "run", **{**defaults, **options})


def metrics(run) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_run_folder_holds_what_is_promised(trained_run):
    names = {path.name for path in trained_run.iterdir()}
    weights = {"model.safetensors", "last.safetensors", "resume.safetensors"}
    scores = {"scores.json", "per_image.csv", "confusion.png", "report.html"}
    assert names == weights | scores | {"run.json", "metrics.jsonl", "samples", "tensorboard", ".lock"}
    record = json.loads((trained_run / "run.json").read_text())
    assert record["plan"]["total_steps"] == 24
    assert len(record["data"]["fingerprint"]) == 64
    assert {"torch", "segtune", "python"} <= record["versions"].keys()
    assert [line["epoch"] for line in metrics(trained_run)] == list(range(1, 13))
    assert len(list((trained_run / "samples").iterdir())) == 4


def test_model_is_the_best_epoch_and_describes_itself(trained_run):
    epochs = [line["mean_iou"] for line in metrics(trained_run)]
    header = read_header(trained_run / "model.safetensors")
    assert header["scores"]["mean_iou"] == max(epochs)
    assert header["scores"]["epoch"] == epochs.index(max(epochs)) + 1
    assert header["architecture"] == {"name": MODEL, "num_classes": 3}
    assert header["weights"]["licence"] == "Apache-2.0"
    assert [entry["name"] for entry in header["classes"]["classes"]] == ["floor", "wall", "box"]


def test_samples_are_pictures(trained_run):
    assert read_picture(trained_run / "samples" / "100.png").std() > 10
    assert read_picture(trained_run / "samples" / "augmented.jpg").std() > 10


def test_same_seed_gives_the_same_bytes(dataset):
    first = train(config(dataset), listeners=[])
    second = train(replace(config(dataset), run=dataset.parent / "again"), listeners=[])
    other = train(replace(config(dataset), run=dataset.parent / "other", seed=1), listeners=[])
    assert first.model.read_bytes() == second.model.read_bytes()
    assert first.model.read_bytes() != other.model.read_bytes()


def test_frozen_extractor_keeps_its_weights_and_statistics(dataset):
    result = train(config(dataset, keep_feature_extract=True), listeners=[])
    trained = load_file(result.model)
    start = load_file(train(config(dataset, keep_feature_extract=True, seed=5, overwrite=True), listeners=[]).model)
    assert all(torch.equal(trained[name], start[name]) for name in trained if name.startswith("encoder."))
    assert any(not torch.equal(trained[name], start[name]) for name in trained if name.startswith("decoder."))


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("crop", [64, 50])
def test_single_short_and_odd_batches_train(dataset, batch_size, crop):
    assert train(config(dataset, batch_size=batch_size, crop=crop), listeners=[]).best_epoch == 1


def test_deeplab_trains_on_single_pictures_smaller_than_the_crop(dataset):
    options = {"model": "deeplabv3_mobilenet_v3_large", "weights": "none", "batch_size": 1, "crop": 128}
    assert train(config(dataset, **options), listeners=[]).model.exists()


def test_original_recipe_runs_to_the_end(dataset, monkeypatch):
    monkeypatch.setitem(ORIGINAL_RECIPE, "checkpoint_every", 2)  # 25: test_plan.py
    options = {"model": "lraspp_mobilenet_v3_large", "weights": "none", "recipe": "original", "epochs": 2}
    result = train(config(dataset, **options), listeners=[])
    assert (result.run / "checkpoint_0002.safetensors").exists()
    assert read_header(result.model)["scores"]["mean_iou"] == result.scores.mean_iou


def test_ignored_value_never_counts_and_is_remembered(dataset):
    for path in dataset.glob("*/Labels/*.png"):
        labels = np.array(Image.open(path))
        labels[:20] = 9
        Image.fromarray(labels).save(path)
    result = train(config(dataset, ignore_value=9), listeners=[])
    assert result.scores.confusion.sum() == 3 * 52 * 96
    assert read_header(result.model)["classes"]["ignore_value"] == 9
    # classes.yaml says 255; the model remembers what the command said.
    assert evaluate(EvaluateConfig(result.model, dataset)).confusion.sum() == 3 * 52 * 96


def test_events_are_told_in_order(dataset):
    events = []
    train(config(dataset, epochs=2), listeners=[events.append])
    kinds = [type(event) for event in events]
    assert kinds == [RunStarted, StepDone, StepDone, EpochDone, StepDone, StepDone, EpochDone, RunDone]


def test_weights_of_an_earlier_run_are_taken(dataset, trained_run):
    result = train(config(dataset, weights=str(trained_run / "last.safetensors"), learning_rate=1e-9), listeners=[])
    assert result.scores.mean_iou > 0.5


def test_run_is_not_replaced_unless_told(dataset):
    train(config(dataset), listeners=[])
    (dataset.parent / "run" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds a run"):
        train(config(dataset), listeners=[])
    train(config(dataset, overwrite=True), listeners=[])
    assert (dataset.parent / "run" / "notes.txt").read_text() == "mine"
    assert len((dataset.parent / "run" / "metrics.jsonl").read_text().splitlines()) == 1


def test_folder_with_files_of_ones_own_is_left_alone(dataset):
    mine = dataset.parent / "run" / "samples" / "mine.png"
    mine.parent.mkdir(parents=True)
    mine.touch()
    for overwrite in (False, True):
        with pytest.raises(UserError, match="samples"):
            train(config(dataset, overwrite=overwrite), listeners=[])
    assert mine.exists()


def test_without_any_score_the_newest_epoch_is_kept(dataset):
    for name in ("101", "102"):
        (dataset / "val" / "Images" / f"{name}.jpg").unlink()
        (dataset / "val" / "Labels" / f"{name}.png").unlink()
    options = {"model": "lraspp_mobilenet_v3_large", "weights": "none", "recipe": "original", "epochs": 2}
    assert train(config(dataset, **options), listeners=[]).best_epoch == 2


def test_original_recipe_moves_the_statistics_of_the_frozen_backbone_and_the_default_does_not(dataset):
    options = {"model": "lraspp_mobilenet_v3_large", "weights": "none", "keep_feature_extract": True}
    for recipe, moves in (("original", True), ("default", False)):
        result = train(config(dataset, recipe=recipe, overwrite=True, **options), listeners=[])
        assert bool(load_file(result.model)["backbone.0.1.running_mean"].any()) == moves


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_budget": "soon"}, "--time-budget is 'soon'"),
        ({"nproc": 2, "crop": 8}, "--crop is 8"),
        ({"class_weights": (1.0, -2.0)}, "-w gives the weights"),
        ({"recipe": "original", "batch_size": 1}, "batches of one picture"),
        ({"loss": "Dice"}, "loss is 'Dice'"),
    ],
)
def test_an_impossible_value_is_told_before_anything_is_read(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(config(tmp_path / "nowhere", **options))
    assert not list(tmp_path.iterdir())


def test_the_mean_of_labelled_classes_is_kept_beside_that_of_all(dataset):
    for path in (dataset / "val" / "Labels").iterdir():
        labels = np.array(Image.open(path))
        Image.fromarray(np.where(labels == 2, 1, labels).astype(np.uint8)).save(path)
    train(config(dataset), listeners=[])
    (line,) = metrics(dataset.parent / "run")
    labelled = [line["iou"]["floor"], line["iou"]["wall"]]
    assert line["iou"]["box"] == 0
    assert line["labelled_mean_iou"] == pytest.approx(np.mean(labelled))
    assert line["mean_iou"] == pytest.approx(np.mean([*labelled, 0]))


def test_licence_goes_on_with_the_weights(dataset, trained_run):
    result = train(config(dataset, weights=str(trained_run / "model.safetensors")), listeners=[])
    assert read_header(result.model)["weights"]["licence"] == "Apache-2.0"


def test_failed_start_leaves_the_earlier_run(dataset):
    train(config(dataset), listeners=[])
    (dataset / "val" / "Labels" / "100.png").unlink()
    with pytest.raises(UserError):
        train(config(dataset, overwrite=True), listeners=[])
    assert (dataset.parent / "run" / "model.safetensors").exists()


def test_interrupt_leaves_the_last_epoch_and_says_how_to_go_on(dataset):
    def interrupt(event):
        if isinstance(event, StepDone) and event.epoch == 2:
            raise KeyboardInterrupt

    original = config(dataset, epochs=3)
    with pytest.raises(TrainingInterrupted) as interruption:
        train(original, listeners=[interrupt])
    assert parse(shlex.split(str(interruption.value).splitlines()[-1])[1:]) == ResumeConfig(original.run)
    assert read_header(dataset.parent / "run" / "last.safetensors")["scores"]["epoch"] == 1


def test_loss_that_is_not_finite_stops_and_names_the_pictures(dataset):
    with pytest.raises(UserError, match=r"not finite at step \d+ \(pictures 00"):
        train(config(dataset, learning_rate=1e30, epochs=9), listeners=[])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 1e30}, "loss is not finite at step 2"),
        ({"optimizer": "sgd", "learning_rate": 1e38, "weight_decay": 1e5}, "weights are not finite after step 1"),
    ],
)
@pytest.mark.parametrize("batch_size", [4, 6])
def test_weights_that_are_not_finite_are_never_written(dataset, options, message, batch_size):
    with pytest.raises(UserError, match=message):
        train(config(dataset, epochs=9, batch_size=batch_size, **options), listeners=[])
    for path in (dataset.parent / "run").glob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values()), path


def test_what_is_wrong_with_test_pictures_does_not_concern_a_training(dataset):
    (dataset / "test" / "Images").mkdir(parents=True)
    Image.new("RGB", (2000, 1500)).save(dataset / "test" / "Images" / "x.jpg")
    train(config(dataset), listeners=[])
    assert json.loads((dataset.parent / "run" / "run.json").read_text())["plan"]["longest_side"] == 0


@pytest.mark.parametrize(("recipe", "num_steps"), [("default", 5), ("original", 6)])
def test_pictures_without_labels_are_left_out_and_told(dataset, recipe, num_steps):
    for path in ("train/Labels/000.png", "val/Labels/100.png"):
        Image.new("L", (96, 72), IGNORE).save(dataset / path)
    events = []
    train(config(dataset, recipe=recipe, epochs=1, batch_size=2, accumulate=2), listeners=[events.append])
    pictures = sum(event.num_pictures for event in events if isinstance(event, StepDone))
    (begun,) = (event for event in events if isinstance(event, RunStarted))
    assert pictures == num_steps
    told = "Pictures without any labelled pixel are left out of the training: 1" in begun.notes
    assert told == (recipe == "default")


@pytest.mark.parametrize(("longest_side", "is_told"), [(0, False), (40, True), (200, False)])
def test_classes_that_nearly_vanish_are_told(dataset, longest_side, is_told):
    events = []
    train(config(dataset, longest_side=longest_side), listeners=[events.append])
    (begun,) = (event for event in events if isinstance(event, RunStarted))
    told = [note for note in begun.notes if "few pixels where they occur: box " in note]
    assert bool(told) == is_told


def test_small_pictures_are_seen_larger_and_scored_at_their_own_size(dataset):
    result = train(config(dataset, crop="auto"), listeners=[])
    assert json.loads((dataset.parent / "run" / "run.json").read_text())["plan"]["enlarge"] == 4
    assert read_header(result.model)["preprocessing"]["enlarge"] == 4
    assert result.scores.confusion.sum() == 3 * 72 * 96
    assert evaluate(EvaluateConfig(result.model, dataset)).mean_iou == result.scores.mean_iou


def test_the_better_of_weights_and_their_average_is_kept(dataset):
    train(config(dataset, ema=0.5, epochs=3), listeners=[])
    run = dataset.parent / "run"
    for line in metrics(run):
        assert line["labelled_mean_iou"] == max(line["selection_iou_weights"], line["selection_iou_average"])
    best = max(line["mean_iou"] for line in metrics(run))
    assert evaluate(EvaluateConfig(run / "model.safetensors", dataset)).mean_iou == best


@pytest.fixture
def export(tmp_path):
    """A LabelMe export of a few pictures with a box each."""
    folder = tmp_path / "export"
    folder.mkdir()
    for seed in range(8):
        picture = Image.new("RGB", (96, 72), (40, 20 * seed, 90))
        picture.paste((200, 60, 40), (9, 9, 60, 50))
        picture.save(folder / f"{seed}.jpg")
        points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in [(9, 9), (60, 9), (60, 50), (9, 50)])
        (folder / f"{seed}.xml").write_text(
            f"<annotation><filename>{seed}.jpg</filename><object><name>box</name><polygon>{points}</polygon></object>"
            "</annotation>"
        )
    return folder


def test_an_export_is_converted_into_the_run(export):
    run = export.parent / "run"
    result = train(config(export, classes="box", val_fraction=0.4), listeners=[])
    assert result.model.exists()
    assert {path.name for path in (run / "dataset").iterdir()} == {"classes.yaml", "train", "val"}
    assert read_header(result.model)["classes"]["classes"][1]["name"] == "box"
    with pytest.raises(UserError, match="already holds a run"):
        train(config(export), listeners=[])
    train(config(export, overwrite=True), listeners=[])
    assert [path.name for path in run.glob(".*")] == [".lock"]


def test_an_export_that_can_not_be_converted_leaves_the_earlier_dataset(export):
    train(config(export), listeners=[])
    (export / "0.xml").write_text("broken")
    with pytest.raises(UserError, match="not readable XML"):
        train(config(export, overwrite=True), listeners=[])
    assert (export.parent / "run" / "dataset" / "classes.yaml").exists()
    assert (export.parent / "run" / "model.safetensors").exists()


def test_an_export_that_is_not_trained_on_leaves_the_earlier_dataset(export):
    run = export.parent / "run"
    train(config(export), listeners=[])
    (run / "dataset" / "classes.yaml").write_text((run / "dataset" / "classes.yaml").read_text() + "# mine\n")
    with pytest.raises(UserError, match=r"gone\.pth"):
        train(config(export, overwrite=True, weights="gone.pth"), listeners=[])
    assert (run / "dataset" / "classes.yaml").read_text().endswith("# mine\n")
    assert (run / "model.safetensors").exists()
    train(config(export, overwrite=True), listeners=[])
    assert not (run / "dataset" / "classes.yaml").read_text().endswith("# mine\n")
    assert [path.name for path in run.glob(".*")] == [".lock"]


def test_a_dataset_that_is_a_link_is_replaced_and_what_it_shows_stays(export):
    run = export.parent / "run"
    train(config(export), listeners=[])
    (run / "dataset").rename(export.parent / "elsewhere")
    (run / "dataset").symlink_to(export.parent / "elsewhere")
    train(config(export, overwrite=True), listeners=[])
    assert not (run / "dataset").is_symlink()
    assert (export.parent / "elsewhere" / "classes.yaml").exists()
    assert [path.name for path in run.glob(".*")] == [".lock"]


def test_a_run_on_an_export_goes_on_where_its_dataset_was_moved(export):
    run = export.parent / "run"

    def stop(event):
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted):
        train(config(export, epochs=2, val_fraction=0.4), listeners=[stop])
    (run / "dataset").rename(export.parent / "moved")
    assert resume(ResumeConfig(run, dataset=export.parent / "moved"), listeners=[]).model.exists()


def test_an_export_is_converted_again_after_a_start_that_failed(export):
    with pytest.raises(UserError, match=r"gone\.pth"):
        train(config(export, weights="gone.pth"), listeners=[])
    assert (export.parent / "run" / "dataset" / "classes.yaml").exists()
    assert train(config(export), listeners=[]).model.exists()


def test_a_dataset_that_was_changed_after_a_start_that_failed_is_left(export):
    with pytest.raises(UserError, match=r"gone\.pth"):
        train(config(export, weights="gone.pth"), listeners=[])
    classes = export.parent / "run" / "dataset" / "classes.yaml"
    classes.write_text(classes.read_text() + "# mine\n")
    with pytest.raises(UserError, match="already exists"):
        train(config(export), listeners=[])
    assert classes.read_text().endswith("# mine\n")


def test_options_of_the_conversion_are_not_ignored_silently(dataset):
    with pytest.raises(UserError, match="--classes, --map would have no effect"):
        train(config(dataset, classes="a,b", map="a=b"), listeners=[])
