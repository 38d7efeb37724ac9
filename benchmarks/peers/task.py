"""What every peer is given, and what it gives back; all are called alike:

    python PEER.py --camvid CAMVID --output OUTPUT --minutes 10 --seed 0

A peer trains for so many minutes (set-up and validation not counted), and writes for each validation picture the
predicted class ids at its full size to OUTPUT/labels/NAME.png, and OUTPUT/times.json. Scoring is quality.py's.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

NUM_CLASSES = 11
UNLABELLED = 11
"""The value of CamVid's label images that does not count, and what networks are told instead."""
IGNORE = 255


@dataclass(frozen=True)
class Task:
    camvid: Path
    output: Path
    minutes: float
    seed: int

    @property
    def labels(self) -> Path:
        return self.output / "labels"

    def pairs(self, split: str) -> list[tuple[Path, Path]]:
        """Pictures and their label images."""
        pictures = sorted((self.camvid / split / "Images").iterdir())
        return [(path, self.camvid / split / "Labels" / f"{path.stem}.png") for path in pictures]


def given_task() -> Task:
    parser = argparse.ArgumentParser()
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    task = Task(**vars(parser.parse_args()))
    task.labels.mkdir(parents=True, exist_ok=True)
    return task


def read_picture(path: Path) -> np.ndarray:
    """uint8 (H, W, 3)."""
    return np.array(Image.open(path).convert("RGB"))


def read_labels(path: Path) -> np.ndarray:
    """uint8 (H, W); what is not labelled is IGNORE."""
    labels = np.array(Image.open(path))
    labels[labels == UNLABELLED] = IGNORE
    return labels


def write_labels(folder: Path, name: str, class_ids: np.ndarray) -> None:
    Image.fromarray(class_ids.astype(np.uint8)).save(folder / f"{name}.png")


class Clock:
    """The time of a training, from the first time that it is looked at."""

    def __init__(self, minutes: float) -> None:
        self.started: float | None = None
        self.budget = 60 * minutes

    def share(self) -> float:
        """How much of the time is over, 0 to 1."""
        now = time.monotonic()
        self.started = now if self.started is None else self.started
        return min(1.0, (now - self.started) / self.budget)

    def seconds(self) -> float:
        """The seconds that the training has taken so far."""
        return 0.0 if self.started is None else time.monotonic() - self.started


def write_times(
    task: Task, training_seconds: float, steps: int | None, weights: str, notes: Sequence[str] = ()
) -> None:
    """What quality.py tells beside the scores.

    Args:
        task: The task.
        training_seconds: Without set-up and validation, unless the notes say otherwise.
        steps: Steps of the optimizer, where known.
        weights: What the training started from.
        notes: What a reader of the table must know.
    """
    times = {
        "training_seconds": round(training_seconds, 1),
        "steps": steps,
        "weights": weights,
        "notes": list(notes),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (task.output / "times.json").write_text(json.dumps(times, indent=2) + "\n")
