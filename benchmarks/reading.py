"""How fast the default recipe's crops are made of JPEGs of 4000 x 3000: decoded each time, or from a cache.

.venv/bin/python benchmarks/reading.py [--pictures 12] [--result FILE.json]
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from record import add_result, record

from segtune.annotations.dataset_folder import Pair
from segtune.classes import ClassTable, numbered_classes
from segtune.data.augment import Chain, ColorJitter, Flip
from segtune.data.cache import open_samples
from segtune.data.crop import ScaledCrop
from segtune.data.loader import AugmentedPictures
from segtune.pictures import read_picture, write_labels
from segtune.preprocessing import IMAGENET_MEAN, Preprocessing
from segtune.training.recipes import DEFAULT_RECIPE

HEIGHT, WIDTH, LONGEST_SIDE = 3000, 4000, 512
CROP, NUM_CLASSES, REPETITIONS = 224, 11, 3
AUGMENTATION = Chain(
    (
        Flip(DEFAULT_RECIPE["flip_horizontal"], DEFAULT_RECIPE["flip_vertical"]),
        ScaledCrop(CROP, DEFAULT_RECIPE["min_scale"], DEFAULT_RECIPE["max_scale"], IMAGENET_MEAN),
        ColorJitter(*[DEFAULT_RECIPE["color_jitter"]] * 3),
    )
)
"""The default recipe's."""


def write_pair(folder: Path, index: int, height: int, width: int, table: ClassTable) -> Pair:
    """A picture with as much detail as a photograph, and labels of large areas."""
    generator = np.random.default_rng(index)
    pair = Pair(f"{index:03}", folder / f"{height}-{index:03}.jpg", folder / f"{height}-{index:03}.png")
    coarse = generator.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    picture += generator.normal(0, 6, picture.shape).astype(np.int16)
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(pair.picture, quality=90)
    areas = generator.integers(0, NUM_CLASSES, (height // 60, width // 60), np.uint8)
    write_labels(pair.labels, cv2.resize(areas, (width, height), interpolation=cv2.INTER_NEAREST), table)
    return pair


def milliseconds(read: Callable[[int], object], count: int) -> float:
    """The fastest of some rounds through all pictures, a picture."""
    rounds = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        for index in range(count):
            read(index)
        rounds.append((time.perf_counter() - start) / count * 1000)
    return min(rounds)


def crops(pairs: list[Pair], cache: str, longest_side: int) -> Callable[[int], object]:
    """What makes a crop: number of the picture -> picture and labels as the network is shown them."""
    table, preprocessing = numbered_classes(NUM_CLASSES), Preprocessing(longest_side=longest_side)
    pictures = AugmentedPictures(open_samples(pairs, table, preprocessing, cache, 0), AUGMENTATION, 0)
    if cache != "none":
        for index in range(len(pairs)):  # filled, and checked once
            pictures[0, index], pictures[0, index]
    return lambda index: pictures[1, index]


def measure(folder: Path, num_pictures: int) -> dict[str, float]:
    """Milliseconds a picture."""
    table = numbered_classes(NUM_CLASSES)
    pairs = [write_pair(folder, index, HEIGHT, WIDTH, table) for index in range(num_pictures)]
    runs: dict[str, Callable[[int], object]] = {
        "decoding the JPEG alone": lambda index: read_picture(pairs[index].picture)
    }
    for side, shown in ((LONGEST_SIDE, ""), (0, ", at full size")):
        for cache in ("none", "disk", "ram"):
            runs[f"crop, cache {cache}{shown}"] = crops(pairs, cache, side)
    return {name: milliseconds(run, num_pictures) for name, run in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=12)
    add_result(parser)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = str(Path(place) / "cache")
        figures = measure(Path(place), options.pictures)
    about = {
        "what": f"milliseconds a crop of {CROP} from JPEGs of {WIDTH} x {HEIGHT} shrunk to {LONGEST_SIDE}, one core",
        "figures": figures,
    }
    print(json.dumps(about, indent=2))
    if options.result:
        record(options.result, "reading", about)


if __name__ == "__main__":
    main()
