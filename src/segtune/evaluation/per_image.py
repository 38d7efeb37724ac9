"""per_image.csv: a line a picture, written while they are scored."""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from segtune.evaluation.scores import Scores
from segtune.files import atomic_path

WritePicture = Callable[[str, tuple[int, int], Scores], None]
"""Takes a picture's name, its height and width, and its scores."""


@contextmanager
def per_image_file(path: Path, class_names: Sequence[str]) -> Iterator[WritePicture]:
    """Yield what writes a line.

    Columns: picture, width, height, mean_iou, pixel_accuracy, and ``iou:NAME`` of each class, empty where neither its
    labels nor its prediction have it; the means are empty where no pixel counts. The file is
    there when all are written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        columns = [f"iou:{name}" for name in class_names]
        writer.writerow(["picture", "width", "height", "mean_iou", "pixel_accuracy", *columns])

        def write(name: str, size: tuple[int, int], scores: Scores) -> None:
            mean = scores.mean_iou if scores.has_mean_iou else math.nan
            accuracy = scores.pixel_accuracy if scores.confusion.any() else math.nan
            # Not a number: a class that the picture does not have, or a picture without pixels that count.
            told = ["" if math.isnan(number) else f"{number:.6f}" for number in (mean, accuracy, *scores.iou)]
            writer.writerow([name, size[1], size[0], *told])

        yield write
