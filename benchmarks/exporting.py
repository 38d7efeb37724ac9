"""Exports: ONNX Runtime beside PyTorch on CamVid, end to end and taking turns; from the start to the first prediction.

.venv/bin/python benchmarks/exporting.py --model MODEL --camvid ../shared/camvid [--lean PYTHON] [--result FILE.json]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from record import add_result, record

from segtune.config import ExportConfig
from segtune.exports.export import export
from segtune.pictures import read_picture
from segtune.prediction.predictor import load
from segtune.runtimes.onnx_runtime import OnnxRuntime

NUM_PICTURES, BLOCK, STARTS = 40, 5, 5


def beside_torch(model: Path, pictures: list[Path]) -> dict[str, float]:
    """Predictor.predict of a file, decoding included: PyTorch and '--backend auto'."""
    start = time.perf_counter()
    auto = load(model, "cpu")
    preparing = time.perf_counter() - start
    eager = load(model, "cpu", backend="eager")
    equal, seconds = [], []
    # Blocks: the threads of one wait actively for a while, and would slow the other down.
    for index in range(0, len(pictures), BLOCK):
        labels, taken = [], []
        for predictor in (eager, auto):
            predictor.predict(pictures[index])  # warms up
            start = time.perf_counter()
            labels.append([predictor.predict(path).class_ids for path in pictures[index : index + BLOCK]])
            taken.append((time.perf_counter() - start) / BLOCK)
        seconds.append(tuple(taken))
        equal += [float((one == two).mean()) for one, two in zip(*labels, strict=True)]
    return {
        "auto took ONNX Runtime": isinstance(auto.backend, OnnxRuntime),
        "eager_ms": 1000 * statistics.median(eager for eager, _ in seconds),
        "auto_ms": 1000 * statistics.median(auto for _, auto in seconds),
        "speed_ratio": statistics.median(eager / auto for eager, auto in seconds),
        "equal_pixels": statistics.mean(equal),
        "loading_s": preparing,
    }


def quantised(model: Path, camvid: Path, pictures: list[Path]) -> dict[str, float]:
    """Predictor.predict of a file, decoding included: an .onnx of 8 bits beside one of 32, taking turns."""
    with tempfile.TemporaryDirectory() as name:
        files = Path(name) / "full.onnx", Path(name) / "int8.onnx"
        for file, int8 in zip(files, (False, True), strict=True):
            export(ExportConfig(model, file, int8=int8, data=camvid, no_check=True))
        sizes = [file.stat().st_size for file in files]
        full, small = (load(file, "cpu") for file in files)
    equal, seconds = [], []
    for path in pictures:
        labels, taken = [], []
        for predictor in (full, small):
            start = time.perf_counter()
            labels.append(predictor.predict(path).class_ids)
            taken.append(time.perf_counter() - start)
        seconds.append(tuple(taken))
        equal.append(float((labels[0] == labels[1]).mean()))
    return {
        "float32_ms": 1000 * statistics.median(full for full, _ in seconds),
        "int8_ms": 1000 * statistics.median(small for _, small in seconds),
        "speed_ratio": statistics.median(full / small for full, small in seconds),
        "size_ratio": sizes[1] / sizes[0],
        "equal_pixels": statistics.mean(equal),
    }


def first_prediction(model: Path, picture: Path, python: str) -> dict[str, float]:
    """Seconds of 'segtune predict' of one picture, from the start of the process to its end."""
    with tempfile.TemporaryDirectory() as name:
        exported = Path(name) / "m.onnx"
        export(ExportConfig(model, exported, no_check=True))
        taken: dict[str, list[float]] = {"onnx_s": [], "eager_s": []}
        for turn in range(STARTS):
            for what, program, file in (("onnx_s", python, exported), ("eager_s", sys.executable, model)):
                out = f"{name}/{what}{turn}"
                options = ["--backend", "eager"] if what == "eager_s" else []
                start = time.perf_counter()
                command = [program, "-m", "segtune", "predict", str(file), str(picture), out, *options]
                subprocess.run(command, check=True, capture_output=True)
                taken[what].append(time.perf_counter() - start)
    return {what: statistics.median(values) for what, values in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--lean", default=sys.executable, help="Python of an environment without torch")
    add_result(parser)
    arguments = parser.parse_args()
    pictures = sorted((arguments.camvid / "val" / "Images").iterdir())
    chosen = [pictures[index] for index in np.linspace(0, len(pictures) - 1, NUM_PICTURES).astype(int)]
    figures = {
        "size": list(read_picture(pictures[0]).shape[:2]),
        "end to end": beside_torch(arguments.model, chosen),
        "8 bits": quantised(arguments.model, arguments.camvid, chosen),
        "start to first prediction": first_prediction(arguments.model, pictures[0], arguments.lean),
    }
    result = {"what": "ONNX Runtime beside PyTorch on CamVid", "figures": figures}
    print(json.dumps(result, indent=2))
    if arguments.result:
        record(arguments.result, "exporting", result)


if __name__ == "__main__":
    main()
