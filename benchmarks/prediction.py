"""Prediction: how much of the network's own rate is left with reading and writing; memory of a large picture; seams.

.venv/bin/python benchmarks/prediction.py --model MODEL --pictures ../shared/camvid/val/Images [--result FILE.json]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from memory import peak_mb
from PIL import Image
from record import add_result, record

from segtune.config import PredictConfig
from segtune.pictures import read_picture
from segtune.prediction.pipeline import PixelBudget, overlapped
from segtune.prediction.predict import predict
from segtune.prediction.predictor import PredictOptions, load

ROUNDS, PICTURES_A_ROUND = 5, 40
SIDE = 10_000
MOSAIC_ROWS, MOSAIC_COLUMNS, MOSAICS = 3, 4, 6


def rates(model: Path, pictures: list[Path], backend: str) -> dict[str, float]:
    """Pictures a second of the command, and of the network alone on the same pictures in memory, taking turns."""
    predictor = load(model, backend=backend)
    images = [predictor.model.preprocessing.prepare(read_picture(path)) for path in pictures]
    whole, bare = [], []
    with tempfile.TemporaryDirectory() as name:
        listed = Path(name) / "pictures.txt"
        listed.write_text("\n".join(map(str, pictures)))
        for turn in range(ROUNDS + 1):
            start = time.perf_counter()
            # Several at a time, as the command has them: cores that share small pictures wait for each other.
            for _ in overlapped(iter(images), predictor.backend.run, drop, PixelBudget(), predictor.backend.workers):
                pass
            middle = time.perf_counter()
            predict_with(predictor, listed, Path(name) / f"{turn}")
            if turn:  # the first warms up
                bare.append(len(pictures) / (middle - start))
                whole.append(len(pictures) / (time.perf_counter() - middle))
    ratios = [one / other for one, other in zip(whole, bare, strict=True)]
    return {
        "pictures_per_second": statistics.median(whole),
        "bare_per_second": statistics.median(bare),
        "ratio": statistics.median(ratios),
    }


def drop(_: object) -> None:
    """What becomes of the network's answers here."""


def predict_with(predictor, listed: Path, output: Path) -> None:
    """The command, without the time that it takes to load the model."""
    from segtune.prediction.inputs import find_inputs
    from segtune.prediction.outputs import Outputs
    from segtune.prediction.predict import predict_pictures

    unreadable: list[str] = []
    predict_pictures(predictor, find_inputs(listed, output), Outputs(output), unreadable)
    assert not unreadable


def memory(model: Path, picture: Path) -> dict[str, float]:
    """Peak memory of predicting a large picture above that of the loaded model, in a process of its own."""
    noise = np.random.default_rng(0).integers(0, 255, (SIDE // 40, SIDE // 40, 3), np.uint8)
    with tempfile.TemporaryDirectory() as name:
        large = Path(name) / "large.jpg"
        tiled = np.tile(read_picture(picture), (SIDE // 300, SIDE // 400, 1))[:SIDE, :SIDE]
        shade = cv2.resize(noise, tiled.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        Image.fromarray(cv2.addWeighted(tiled, 0.8, shade, 0.2, 0)).save(large, quality=90)
        height, width = tiled.shape[:2]
        command = [sys.executable, __file__, "--model", str(model), "--only-memory", str(large), name + "/out"]
        start = time.perf_counter()
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, peak = map(float, text.split()[-2:])
    seconds = time.perf_counter() - start
    return {"height": height, "width": width, "megabytes_above_the_model": peak - before, "seconds": seconds}


def measure_memory(model: Path, picture: Path, output: Path) -> None:
    """In the process of its own: megabytes with the model loaded and used once, and at most."""
    predictor = load(model)
    predictor.predict(np.zeros((64, 64, 3), np.uint8))
    before = peak_mb()
    predict(PredictConfig(model, picture, output))
    print(before, peak_mb())


def seams(model: Path, pictures: list[Path]) -> dict[str, float]:
    """Share of pixels to which the usual tiles give the same class as the whole, on mosaics of several tiles."""
    whole = load(model, backend="eager", options=PredictOptions(tile=0))
    usual = load(model, backend="eager")
    tiled = load(model, backend="eager", options=PredictOptions(usual.tile, usual.overlap))
    equal = []
    for number in range(MOSAICS):
        mosaic = mosaic_of(pictures[number * MOSAIC_ROWS * MOSAIC_COLUMNS :])
        equal.append(float((tiled.predict(mosaic).class_ids == whole.predict(mosaic).class_ids).mean()))
    return {
        "tile": usual.tile, "overlap": usual.overlap, "height": mosaic.shape[0], "width": mosaic.shape[1],
        "mean": statistics.mean(equal), "lowest": min(equal),
    }  # fmt: skip


def mosaic_of(pictures: list[Path]) -> np.ndarray:
    """The first pictures, all of one size, side by side, uint8 (H, W, 3)."""
    rows = [pictures[row * MOSAIC_COLUMNS :][:MOSAIC_COLUMNS] for row in range(MOSAIC_ROWS)]
    return np.concatenate([np.concatenate([read_picture(path) for path in row], axis=1) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only-memory", type=Path, nargs=2, help=argparse.SUPPRESS)
    add_result(parser)
    arguments = parser.parse_args()
    if arguments.only_memory:
        measure_memory(arguments.model, *arguments.only_memory)
        return
    pictures = sorted(arguments.pictures.iterdir())
    figures = {
        "command and bare network": rates(arguments.model, pictures[:PICTURES_A_ROUND], "eager"),
        "command and bare session": rates(arguments.model, pictures[:PICTURES_A_ROUND], "auto"),
        "10,000 x 10,000": memory(arguments.model, pictures[0]),
        "same labels in tiles and whole": seams(arguments.model, pictures),
    }
    result = {"what": "segtune predict, deeplabv3plus:efficientnet_lite0", "figures": figures}
    print(json.dumps(result, indent=2))
    if arguments.result:
        record(arguments.result, "prediction", result)


if __name__ == "__main__":
    main()
