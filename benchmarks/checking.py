"""How fast 'segtune check' reads a dataset of 1920 x 1080 pictures, beside merely decoding all of its files.

.venv/bin/python benchmarks/checking.py [--pictures 600] [--rounds 5] [--result FILE.json]

Each round runs all of them, so that what else the machine does falls on all alike; the medians are told. The
processor's time is less disturbed by others than the clock's.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from drawn_exports import HEIGHT, WIDTH, outline, write_picture
from PIL import Image
from record import add_result, record

from segtune.annotations.annotated_image import Polygon, Shape
from segtune.annotations.check import NUM_THREADS, check_dataset
from segtune.annotations.dataset_folder import dataset_classes
from segtune.annotations.painter import paint
from segtune.classes import numbered_classes, write_classes
from segtune.pictures import write_labels

NUM_CLASSES = 11


def write_dataset(folder: Path, num_pictures: int) -> Path:
    """A dataset folder; a tenth of the pictures is val."""
    generator = np.random.default_rng(0)
    table = numbered_classes(NUM_CLASSES)
    for index in range(num_pictures):
        split = "val" if index % 10 == 0 else "train"
        write_picture(folder / split / "Images" / f"{index:05}.jpg", generator)
        shapes = [
            Shape(str(generator.integers(1, NUM_CLASSES)), Polygon((outline(generator),)), "polygon") for _ in range(20)
        ]
        labels = paint(shapes, (HEIGHT, WIDTH), {str(value): value for value in range(NUM_CLASSES)}).labels
        write_labels(folder / split / "Labels" / f"{index:05}.png", labels, table)
    write_classes(folder / "classes.yaml", table)
    return folder


def decode(path: Path) -> None:
    Image.open(path).load()


def decode_small(path: Path) -> None:
    """The least that finds broken files: JPEGs at an eighth of their size, as the check does."""
    picture = Image.open(path)
    picture.draft("L", (WIDTH // 8, HEIGHT // 8))
    picture.load()


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processors."""
    clock, processor = time.monotonic(), time.process_time()
    run()
    return time.monotonic() - clock, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    add_result(parser)
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        folder = write_dataset(Path(place) / "dataset", options.pictures)
        files = sorted(folder.glob("*/*/*.*"))
        for path in files:
            path.read_bytes()  # all are in the system's cache from now on
        table = dataset_classes(folder)
        runs = {
            "segtune check": lambda: check_dataset(folder, table, thorough=True),
            "segtune train's check": lambda: check_dataset(folder, table),
            "decoding all files, as many threads": lambda: list(ThreadPoolExecutor(NUM_THREADS).map(decode, files)),
            "the same, JPEGs at an eighth of their size": lambda: list(
                ThreadPoolExecutor(NUM_THREADS).map(decode_small, files)
            ),
            "decoding all files, one thread": lambda: [decode(path) for path in files],
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                times[name].append(timed(run))
    for name, rounds in times.items():
        seconds, processor_seconds = (statistics.median(values) for values in zip(*rounds, strict=True))
        figures[name] = {
            "seconds": seconds,
            "pictures": options.pictures,
            "per_second": options.pictures / seconds,
            "fastest_per_second": options.pictures / min(clock for clock, _ in rounds),
            "processor_ms_a_picture": processor_seconds / options.pictures * 1000,
        }
    about = {
        "what": f"pairs of {WIDTH} x {HEIGHT}, JPEG and PNG; medians of {options.rounds} rounds",
        "figures": figures,
    }
    print(json.dumps(about, indent=2))
    if options.result:
        record(options.result, "checking", about)


if __name__ == "__main__":
    main()
