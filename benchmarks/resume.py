"""Kill trainings at random moments, resume them until they are done, and compare the bytes of the models.

    python benchmarks/resume.py --runs 20 --result FILE.json

Each run is killed with SIGKILL up to three times, the first time before its last epoch is done, and resumed each time,
with a number of workers that the dice choose.
The last line says how many of them ended with the same model.safetensors as the run that was never killed.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from record import add_result, record

from segtune.classes import class_table, write_classes
from segtune.files import sha256
from segtune.pictures import write_labels, write_picture

EPOCHS = 8
OPTIONS = [
    "--model", "deeplabv3plus:efficientnet_lite0", "--epochs", str(EPOCHS), "--batch-size", "4", "--crop", "96",
    "--ema", "0.9", "--rotation", "10", "--cutmix", "0.3", "--rare-crop", "0.3", "--clip-gradient", "1",
    "--layer-decay", "0.9",
]  # fmt: skip
NUM_TRAIN, NUM_VAL = 18, 4


def make_dataset(folder: Path) -> Path:
    """Pictures of coloured areas and boxes with noise."""
    table = class_table(["floor", "wall", "box"])
    colors = np.array([[200, 60, 40], [40, 160, 60], [50, 80, 200]])
    for index in range(NUM_TRAIN + NUM_VAL):
        generator = np.random.default_rng([5, index])
        labels = np.zeros((120, 160), np.uint8)
        labels[: generator.integers(30, 60)] = 1
        top, left = generator.integers(0, 60, 2)
        labels[top : top + 50, left : left + 60] = 2
        picture = np.clip(colors[labels] + generator.normal(0, 25, (120, 160, 3)), 0, 255).astype(np.uint8)
        split = "train" if index < NUM_TRAIN else "val"
        write_picture(folder / split / "Images" / f"{index:03}.jpg", picture)
        write_labels(folder / split / "Labels" / f"{index:03}.png", labels, table)
    write_classes(folder / "classes.yaml", table)
    return folder


def segtune(*arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "segtune", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: "subprocess.Popen[bytes]", timeout: float | None = None) -> bool:
    """Whether a process ended by itself; killed after ``timeout`` seconds."""
    try:
        _, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode:
        raise SystemExit(errors.decode())
    return True


def epochs_done(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def killed_training(dataset: Path, run: Path, whole_seconds: float, dice: random.Random) -> list[int]:
    """Train, kill, and resume until it is done; returns how many epochs were done at each kill."""
    shutil.rmtree(run, ignore_errors=True)
    words: tuple[object, ...] = ("train", dataset, run, *OPTIONS)
    kills = []
    for _ in range(dice.randint(1, 3)):
        process = segtune(*words, "--num-workers", dice.choice((0, 1, 2)))
        if finish(process, dice.uniform(0, 0.8 * whole_seconds)):
            return kills
        kills.append(epochs_done(run))
        words = ("resume", run) if (run / "run.json").exists() else words
    finish(segtune(*words, "--num-workers", dice.choice((0, 1, 2))))
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    add_result(parser)
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = make_dataset(folder / "dataset")
        started = time.monotonic()
        finish(segtune("train", dataset, folder / "whole", *OPTIONS))
        whole_seconds = time.monotonic() - started
        expected = sha256(folder / "whole" / "model.safetensors")
        runs = []
        for number in range(arguments.runs):
            run, kills = folder / "killed", [EPOCHS]
            while not kills or kills[0] == EPOCHS:  # nothing was left to train on
                kills = killed_training(dataset, run, whole_seconds, dice)
            same = sha256(run / "model.safetensors") == expected
            runs.append({"kills_after_epochs": kills, "same": same})
            print(f"run {number + 1}: killed {len(kills)} times, after epochs {kills}: {'same' if same else 'OTHER'}")
    kills = sum(len(run["kills_after_epochs"]) for run in runs)
    same = sum(run["same"] for run in runs)
    print(f"{same} of {len(runs)} runs, killed {kills} times in all, ended with the bytes of the run never killed")
    if arguments.result:
        record(arguments.result, "resume", {"options": OPTIONS, "runs": runs, "kills": kills, "same": same})
    sys.exit(same != len(runs))


if __name__ == "__main__":
    main()
