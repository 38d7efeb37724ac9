"""How fast training crops are read: decoding a JPEG of 4000 x 3000 each time, or from the cache of decoded pictures.

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
from record import record

from segtune.annotations.dataset_folder import Pair
from segtune.classes import ClassTable, numbered_classes
from segtune.data.augment import Augmentation, Chain, ColorJitter, Flip
from segtune.data.cache import open_samples
from segtune.data.crop import ScaledCrop
from segtune.data.loader import AugmentedPictures
from segtune.pictures import read_picture, write_labels
from segtune.preprocessing import IMAGENET_MEAN, Preprocessing
from segtune.training.recipes import DEFAULT_RECIPE

LARGE, SMALL = (3000, 4000), (360, 480)
CROP, NUM_CLASSES, REPETITIONS = 224, 11, 3
PLAIN_CROP = ScaledCrop(CROP, 1.0, 1.0, IMAGENET_MEAN)
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


def crops(pairs: list[Pair], cache: str, longest_side: int, augmentation: Augmentation) -> Callable[[int], object]:
    table, preprocessing = numbered_classes(NUM_CLASSES), Preprocessing(longest_side=longest_side)
    pictures = AugmentedPictures(open_samples(pairs, table, preprocessing, cache, 0), augmentation, 0)
    if cache != "none":
        for index in range(len(pairs)):  # filled, and checked once
            pictures[0, index], pictures[0, index]
    return lambda index: pictures[1, index]


def measure(folder: Path, num_pictures: int) -> dict[str, float]:
    """Milliseconds a picture."""
    table = numbered_classes(NUM_CLASSES)
    large, small = (
        [write_pair(folder, index, *size, table) for index in range(num_pictures)] for size in (LARGE, SMALL)
    )
    runs = {"decoding the JPEG alone": lambda index: read_picture(large[index].picture)}
    for side in (0, 1024):
        for cache in ("none", "disk", "ram"):
            name = f"crop, cache {cache}, {f'shrunk to {side}' if side else 'at full size'}"
            runs[name] = crops(large, cache, side, PLAIN_CROP)
    runs["default recipe on 480 x 360, cache ram"] = crops(small, "ram", 0, AUGMENTATION)
    return {name: milliseconds(run, num_pictures) for name, run in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = str(Path(place) / "cache")
        figures = measure(Path(place), options.pictures)
    decoding = figures["decoding the JPEG alone"]
    about = {
        "what": f"milliseconds a crop of {CROP} from JPEGs of 4000 x 3000, one core",
        "figures": {name: {"milliseconds": ms, "times_faster": decoding / ms} for name, ms in figures.items()},
    }
    print(json.dumps(about, indent=2))
    if options.result:
        record(options.result, about)


if __name__ == "__main__":
    main()
