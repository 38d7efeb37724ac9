"""The command 'segtune demo': everything once, from drawn pictures to predictions, without a network."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.table import Table

from segtune.annotations.check import check_dataset
from segtune.annotations.convert import convert
from segtune.annotations.dataset_folder import dataset_classes
from segtune.config import ConvertConfig, DemoConfig, EvaluateConfig, PredictConfig, TrainConfig
from segtune.console import output, track
from segtune.demo.labelme_export import write_labelme_zip
from segtune.demo.scenes import CLASS_NAMES, PAINT_ORDER, Scene, draw_scene
from segtune.errors import UserError
from segtune.evaluation.evaluate import evaluate
from segtune.evaluation.scores import Scores, majority_scores
from segtune.files import write_text
from segtune.models.smp_decoders import PACKAGED_MODEL
from segtune.pictures import write_picture
from segtune.prediction.predict import predict
from segtune.training.train import train

SEED = 7
HEIGHT, WIDTH = 240, 320
NUM_ANNOTATED, NUM_NEW = 60, 6
EPOCHS, BATCH_SIZE, CROP = 10, 8, 192
ABOUT, EXPORT = "about-this-demo.txt", "export.zip"
MADE = ("dataset", "run", "run-from-random-weights", "scores", "new-pictures", "predictions")
CONTENTS = """Made by 'segtune demo'; 'segtune demo --overwrite' makes it anew.

export.zip               what CVAT would export: drawn pictures with outlines (LabelMe ZIP 3.0)
dataset                  what 'segtune convert' made of it: pictures and label images
run                      what 'segtune train' made: models, metrics, samples (pictures beside predictions)
run-from-random-weights  the same without pretrained weights, for comparison
scores                   what 'segtune evaluate' wrote
new-pictures             pictures that are in neither train nor val
predictions              what 'segtune predict' made of them: labels, segmentation, overlays
"""
CLASSES, ORDER = ",".join(CLASS_NAMES), ",".join(PAINT_ORDER)


def demo(config: DemoConfig) -> None:
    """Make an export, convert, check, train, evaluate and predict, and say what to type for one's own data.

    Raises:
        UserError: The folder holds something else, or can't be written.
    """
    started = time.monotonic()
    folder = config.folder
    _make_room(config)
    write_text(folder / ABOUT, CONTENTS)
    export, dataset, run = folder / EXPORT, folder / "dataset", folder / "run"

    _headline(1, "A CVAT export (LabelMe ZIP 3.0) of drawn skydiving scenes")
    write_labelme_zip(export, _scenes("jump", NUM_ANNOTATED, SEED))
    output.print(f"{export}: {NUM_ANNOTATED} pictures with outlines of {CLASSES}")

    _headline(2, f"segtune convert {export} {dataset} --classes {CLASSES} --paint-order {ORDER}")
    convert(ConvertConfig(export, dataset, classes=CLASSES, paint_order=ORDER)).render()
    report = check_dataset(dataset, dataset_classes(dataset))
    report.raise_for_errors()
    output.print(f"Checked: no errors, {len(report.warnings)} warnings.")

    options = f"--model {PACKAGED_MODEL} --epochs {EPOCHS} --batch-size {BATCH_SIZE} --crop {CROP}"
    _headline(3, f"segtune train {dataset} {run} {options}")
    training = TrainConfig(dataset, run, model=PACKAGED_MODEL, epochs=EPOCHS, batch_size=BATCH_SIZE, crop=CROP)
    train(training)
    untrained = folder / "run-from-random-weights"
    output.print("\nThe same from random weights (--weights none), to see what the pretrained ones are worth:")
    train(replace(training, run=untrained, weights="none"))

    _headline(4, f"segtune evaluate {run / 'model.safetensors'} {dataset} --output {folder / 'scores'}")
    scores = evaluate(EvaluateConfig(run / "model.safetensors", dataset, output=folder / "scores"))
    from_random = evaluate(EvaluateConfig(untrained / "model.safetensors", dataset))
    output.print(_comparison(scores, from_random))

    _headline(5, f"segtune predict {run / 'model.safetensors'} {folder / 'new-pictures'} {folder / 'predictions'}")
    for name, scene in _scenes("new", NUM_NEW, SEED + 1):
        write_picture(folder / "new-pictures" / f"{name}.png", scene.image)
    predict(PredictConfig(run / "model.safetensors", folder / "new-pictures", folder / "predictions"))
    _say_where(folder, time.monotonic() - started)


def _make_room(config: DemoConfig) -> None:
    """Refuse a folder in use; with --overwrite, remove what an earlier demo made in it, and nothing else."""
    folder = config.folder
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / ABOUT).exists():
        raise UserError(f"{folder} is in use, and not by a demo.", "Name another folder: segtune demo runs/demo")
    if not config.overwrite:
        raise UserError(f"{folder} already holds a demo.", "Name another folder, or add --overwrite.")
    for name in MADE:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / EXPORT).unlink(missing_ok=True)


def _scenes(name: str, count: int, seed: int) -> Iterator[tuple[str, Scene]]:
    for index in track(range(count), "Drawing"):
        yield f"{name}_{index:03}", draw_scene(np.random.default_rng([seed, index]), HEIGHT, WIDTH)


def _headline(number: int, text: str) -> None:
    output.print(f"\n{number}. {text}", style="bold")


def _comparison(scores: Scores, from_random: Scores) -> Table:
    """The model beside what costs nothing."""
    table = Table(title="Validation pictures, at their own size: IoU and pixel accuracy", title_justify="left")
    table.add_column("started from", no_wrap=True)
    for column in ("mean IoU", "pixels", *scores.classes.names[1:]):
        table.add_column(column, justify="right")
    rows = {
        "ImageNet weights": scores,
        "random weights": from_random,
        "majority class": majority_scores(scores),
    }
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in (row.mean_iou, row.pixel_accuracy, *row.iou[1:])))
    return table


def _say_where(folder: Path, seconds: float) -> None:
    output.print(
        f"\nDone in {seconds / 60:.1f} minutes. Look at:\n"
        f"  {folder / 'run' / 'report.html'}: curves, scores, and the best and worst pictures, in a browser\n"
        f"  {folder / 'run' / 'samples'}: validation pictures, labels and predictions side by side\n"
        f"  {folder / 'predictions' / 'overlays'}: predictions on new pictures\n"
        f"  {folder / 'scores' / 'scores.json'}, {folder / 'run' / 'metrics.jsonl'}, {folder / 'run' / 'run.json'}\n"
        "\nWith your own pictures: in CVAT, export the task as 'CVAT for images 1.1' with images, then type\n"
        "  segtune convert EXPORT.zip my-dataset\n"
        f"  segtune train my-dataset runs/mine --model {PACKAGED_MODEL} --time-budget 10m\n"
        "  segtune predict runs/mine/model.safetensors MY_PICTURES my-predictions"
    )
