"""Runs to report on, as the end of a training and 'evaluate' leave them."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from segtune.annotations.dataset_folder import find_pairs
from segtune.classes import class_table, write_classes
from segtune.config import TrainConfig
from segtune.model_file import read_header
from segtune.training.train import train

HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_FILE = '"><script>alert(1)<!--ü'
"""What a Linux file may be called, but for a slash."""


def write_scores(run: Path, dataset: Path) -> None:
    """scores.json and per_image.csv with intervals; the pictures' scores rise with their names."""
    scores = read_header(run / "model.safetensors")["scores"]
    scores["mean_iou_interval"] = [scores["mean_iou"] - 0.05, scores["mean_iou"] + 0.04]
    for entry in scores["classes"]:
        entry["iou_interval"] = None if entry["iou"] is None else [max(0, entry["iou"] - 0.1), entry["iou"]]
    (run / "scores.json").write_text(json.dumps(scores))
    with (run / "per_image.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "width", "height", "mean_iou", "pixel_accuracy", "iou:floor"])
        for place, pair in enumerate(find_pairs(dataset, "val")):
            writer.writerow([pair.picture.name, 96, 72, 0.125 * (place + 1), 0.5, ""])


@pytest.fixture
def run(trained_run, tmp_path):
    """A run of one's own to spoil, with scores."""
    unread = shutil.ignore_patterns("resume.safetensors", "last.safetensors", "tensorboard")
    folder = shutil.copytree(trained_run, tmp_path / "run", ignore=unread)
    write_scores(folder, trained_run.parent / "dataset")
    return folder


@pytest.fixture(scope="session")
def hostile_run(make_dataset, tmp_path_factory):
    """A run of a single epoch whose classes and pictures have names that are HTML; to be read only."""
    folder = tmp_path_factory.mktemp("hostile")
    dataset = make_dataset(folder / "dataset <b>", num_val=4)
    write_classes(dataset / "classes.yaml", class_table([HOSTILE, "Gehölz & 木", 'a"b']))
    for kind, suffix in (("Images", "jpg"), ("Labels", "png")):
        (dataset / "val" / kind / f"100.{suffix}").rename(dataset / "val" / kind / f"{HOSTILE_FILE}.{suffix}")
    # Too small to be taught from: the check has something to say.
    for path in (dataset / "train" / "Labels").iterdir():
        labels = Image.open(path)
        labels.paste(255, (0, 0, 96, 8))
        labels.save(path)
    config = TrainConfig(dataset, folder / "run", model="unet:efficientnet_lite0", epochs=1, batch_size=4, crop=64)
    train(config, listeners=[])
    write_scores(folder / "run", dataset)
    return folder / "run"
