"""Ultralytics' task 'semantic' (AGPL-3.0), by its command line alone, in an environment of its own.

Its weights come only from a download page and not with a package: yolo26n-sem starts from random weights, which the
table says. Its settings are its own; the picture size is CamVid's instead of 640, and it validates at the end only.
It trains with the shorter side at that size, but validates with the longer one: so that is as long as in training then,
which also leaves no border (its label images would be squeezed by it).
This script needs numpy and Pillow, and is told where the command is by being run with that environment's Python.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image
from task import NUM_CLASSES, Task, given_task, read_labels, write_times

MODEL, SIZE, LONGER = "yolo26n-sem.yaml", 480, 640


def write_dataset(task: Task, folder: Path) -> Path:
    """The data as Ultralytics wants them: pictures linked, unlabelled pixels 255; the file that describes them."""
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for picture, labels in task.pairs(split):
            link = folder / "images" / split / picture.name
            link.unlink(missing_ok=True)
            link.symlink_to(picture.resolve())
            Image.fromarray(read_labels(labels)).save(folder / "masks" / split / labels.name)
    names = "\n".join(f"  {index}: class_{index}" for index in range(NUM_CLASSES))
    about = folder / "camvid.yaml"
    about.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nmasks_dir: masks\nnames:\n{names}\n")
    return about


def yolo(folder: Path, mode: str, **options: object) -> None:
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "true"}
    words = [f"{name}={value}" for name, value in options.items()]
    command = [
        str(Path(sys.executable).with_name("yolo")),
        "semantic",
        mode,
        *words,
        f"project={folder}",
        "exist_ok=True",
    ]
    subprocess.run(command, check=True, env=environment)


def main() -> None:
    task = given_task()
    folder = task.output.absolute() / "ultralytics"
    data = write_dataset(task, folder)
    hours = task.minutes / 60
    yolo(
        folder, "train", model=MODEL, data=data, imgsz=SIZE, time=hours, seed=task.seed, val=False, plots=False,
        workers=2, name="training",
    )  # fmt: skip
    weights = folder / "training" / "weights" / "last.pt"
    yolo(
        folder, "val", model=weights, data=data, imgsz=LONGER, batch=1, rect=True, save_json=True, plots=False,
        name="val",
    )  # fmt: skip
    for path in (folder / "val" / "results").iterdir():
        path.replace(task.labels / path.name)
    with (folder / "training" / "results.csv").open() as file:
        epochs = [{name.strip(): value for name, value in row.items()} for row in csv.DictReader(file)]
    notes = [f"{MODEL} at {SIZE}; the command stops by itself when the time is up; {len(epochs)} epochs begun"]
    write_times(task, float(epochs[-1]["time"]), None, "random: none can be had without a download", notes)


if __name__ == "__main__":
    main()
