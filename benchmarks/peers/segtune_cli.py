"""segtune, by its command line with its defaults, called like its peers.

Its time budget counts validation, which the peers' does not: its training is shorter by that.
"""

import json
import subprocess
import sys
from pathlib import Path

from task import NUM_CLASSES, UNLABELLED, given_task, write_times

MODEL = "deeplabv3plus:efficientnet_lite0"


def segtune(*words: object) -> None:
    command = [sys.executable, "-m", "segtune", *map(str, words)]
    subprocess.run(command, check=True)


def main() -> None:
    task = given_task()
    run, predicted = task.output / "run", task.output / "predicted"
    segtune(
        "train", task.camvid, run, "--model", MODEL, "--num-classes", NUM_CLASSES, "--ignore-value", UNLABELLED,
        "--time-budget", f"{task.minutes:g}m", "--seed", task.seed, "--overwrite",
    )  # fmt: skip
    segtune(
        "predict",
        run / "model.safetensors",
        task.camvid / "val" / "Images",
        predicted,
        "--save",
        "labels",
        "--overwrite",
    )
    for path in (predicted / "labels").glob("*.png"):
        path.replace(task.labels / path.name)
    epochs = [json.loads(line) for line in Path(run / "metrics.jsonl").read_text().splitlines()]
    seconds = sum(epoch["seconds"] for epoch in epochs)
    record = json.loads((run / "run.json").read_text())
    write_times(
        task, seconds, epochs[-1]["step"], record["weights"]["source"], ["validation is part of its time budget"]
    )


if __name__ == "__main__":
    main()
