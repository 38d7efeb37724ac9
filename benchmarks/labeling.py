"""Labelling less: mean IoU on CamVid after each round of labelling, by how the pictures of a round are chosen.

.venv/bin/python benchmarks/labeling.py --camvid ../shared/camvid [--seeds 0 1 2] [--steps 300] [--result FILE.json]

Each seed starts from the same random pictures and the same first model for all. As in docs/labeling-loop.md each round
goes on from the model of the last one ('train --init'), always for about as many steps, so that what is random in a
training from the start is the same for all. A later round has more steps behind it: compare strategies at a round.
FILE.json is written after each seed; those that are in it are not done again.
'suggest' is the command as it is; 'entropy' takes the pictures of the highest mean entropy; 'random' any. A short form:

.venv/bin/python benchmarks/labeling.py --camvid ../shared/camvid --seeds 0 --rounds 1 --steps 9 --pool 60 \\
    --start 16 --add 8 --val 12
"""

import argparse
import csv
import json
import math
import random
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from record import add_result, record

from segtune.config import SuggestConfig, TrainConfig
from segtune.labeling.suggest import suggest
from segtune.training.train import train

NETWORK = "deeplabv3plus:efficientnet_lite0"
NUM_CLASSES, UNLABELLED = 11, 11
BATCH_SIZE = 8
SAVED = 0.3
"""The share of the pictures that suggest should do without, to be as good as random's last round."""
NUMBERS = (
    ("steps", 300, "of each training, in whole epochs"), ("start", 40, "pictures at first"),
    ("add", 40, "pictures a round"), ("rounds", 3, "after the first"), ("pool", 0, "training pictures in all; 0: all"),
    ("val", 0, "validation pictures; 0: all"),
)  # fmt: skip
"""What the command line takes: name, default, meaning."""


def link(camvid: Path, split: str, stems: Sequence[str], target: Path) -> None:
    """A split of a dataset folder of links."""
    for kind in ("Images", "Labels"):
        (target / split / kind).mkdir(parents=True)
        files = {path.stem: path for path in (camvid / split / kind).iterdir()}
        for stem in stems:
            (target / split / kind / files[stem].name).symlink_to(files[stem].resolve())


class Experiment:
    """What all strategies have in common.

    Args:
        options: The command line's.
        folder: A temporary folder.
        seed: Of the first pictures, of random choices, and of the trainings.
    """

    def __init__(self, options: argparse.Namespace, folder: Path, seed: int) -> None:
        self.options, self.folder, self.seed = options, folder, seed
        self.random = random.Random(seed)
        names = sorted(path.stem for path in (options.camvid / "train" / "Images").iterdir())
        self.pool = names if not options.pool else sorted(self.random.sample(names, options.pool))
        self.first = sorted(self.random.sample(self.pool, options.start))
        val = sorted(path.stem for path in (options.camvid / "val" / "Images").iterdir())
        self.val = [val[index * len(val) // options.val] for index in range(options.val)] if options.val else val
        self._rankings: dict[Path, list[dict[str, str]]] = {}

    def train(self, stems: Sequence[str], name: str, init: Path | None = None) -> tuple[Path, Path, float]:
        """Train on these pictures, from a model if there is one; the dataset, the model and its mean IoU."""
        dataset = self.folder / name / "dataset"
        link(self.options.camvid, "train", stems, dataset)
        link(self.options.camvid, "val", self.val, dataset)
        epochs = max(1, round(self.options.steps / math.ceil(len(stems) / BATCH_SIZE)))
        result = train(
            TrainConfig(
                dataset, self.folder / name / "run", num_classes=NUM_CLASSES, ignore_value=UNLABELLED, model=NETWORK,
                init=init, epochs=epochs, validate_every=epochs, batch_size=BATCH_SIZE, seed=self.seed,
                report_to="none", device=self.options.device,
            ),
            listeners=[],
        )  # fmt: skip
        return dataset, result.model, result.scores.mean_iou

    def ranking(self, model: Path, dataset: Path, rest: Sequence[str], count: int) -> list[dict[str, str]]:
        """What the command says of the pictures that are not labelled; of the first model it is asked once for all."""
        if model not in self._rankings:
            self._rankings[model] = self._ask(model, dataset, rest, count)
        return self._rankings[model]

    def _ask(self, model: Path, dataset: Path, rest: Sequence[str], count: int) -> list[dict[str, str]]:
        pool, out = dataset.parent / "pool", dataset.parent / "suggestion"
        pool.mkdir()
        files = {path.stem: path for path in (self.options.camvid / "train" / "Images").iterdir()}
        for stem in rest:
            (pool / files[stem].name).symlink_to(files[stem].resolve())
        suggest(SuggestConfig(model, pool, out, count=count, labeled=dataset, device=self.options.device))
        with (out / "ranking.csv").open(newline="") as file:
            return list(csv.DictReader(file))


Choose = Callable[[Experiment, Path, Path, Sequence[str], int], list[str]]


def by_suggest(experiment: Experiment, model: Path, dataset: Path, rest: Sequence[str], count: int) -> list[str]:
    rows = experiment.ranking(model, dataset, rest, count)
    return [Path(row["picture"]).stem for row in rows[:count]]


def by_entropy(experiment: Experiment, model: Path, dataset: Path, rest: Sequence[str], count: int) -> list[str]:
    rows = experiment.ranking(model, dataset, rest, count)
    rows = sorted(rows, key=lambda row: -float(row["plain_entropy"]))
    return [Path(row["picture"]).stem for row in rows[:count]]


def at_random(experiment: Experiment, model: Path, dataset: Path, rest: Sequence[str], count: int) -> list[str]:  # noqa: ARG001
    return experiment.random.sample(sorted(rest), count)


STRATEGIES: dict[str, Choose] = {"random": at_random, "entropy": by_entropy, "suggest": by_suggest}


def run(experiment: Experiment) -> dict[str, list[float]]:
    """The mean IoU after each round, by strategy; the first round is the same for all."""
    options = experiment.options
    first = experiment.train(experiment.first, "first")
    scores = {}
    for name, choose in STRATEGIES.items():
        labeled, (dataset, model, score) = list(experiment.first), first
        scores[name] = [score]
        for number in range(1, options.rounds + 1):
            rest = [stem for stem in experiment.pool if stem not in labeled]
            labeled = sorted([*labeled, *choose(experiment, model, dataset, rest, options.add)])
            shutil.rmtree(dataset.parent / "pool", ignore_errors=True)
            shutil.rmtree(dataset.parent / "suggestion", ignore_errors=True)
            dataset, model, score = experiment.train(labeled, f"{name}-{number}", init=model)
            scores[name].append(score)
            print(f"seed {experiment.seed} {name} {len(labeled)} pictures: mean IoU {score:.4f}", flush=True)
    return scores


def pictures_to_reach(wanted: float, sizes: Sequence[int], means: Sequence[float]) -> float | None:
    """How many pictures a curve needs for a score, straight lines between its points; None where it doesn't."""
    if means[0] >= wanted:
        return float(sizes[0])
    for before in range(len(sizes) - 1):
        low, high = means[before], means[before + 1]
        if low < wanted <= high:
            return sizes[before] + (sizes[before + 1] - sizes[before]) * (wanted - low) / (high - low)
    return None


def summary(repeats: dict[str, dict[str, list[float]]], options: dict[str, int]) -> dict[str, object]:
    """The means over seeds, and with how many pictures suggest is as good as random is at its end."""
    sizes = [options["start"] + options["add"] * number for number in range(options["rounds"] + 1)]
    means = {
        name: [statistics.mean(values) for values in zip(*(scores[name] for scores in repeats.values()), strict=True)]
        for name in STRATEGIES
    }
    for name in STRATEGIES:
        print(f"{name:8}", " ".join(f"{size}: {mean:.4f}" for size, mean in zip(sizes, means[name], strict=True)))
    needed = pictures_to_reach(means["random"][-1], sizes, means["suggest"])
    print("suggest reaches random's last score with", needed, "of", sizes[-1], "pictures")
    return {
        "options": options,
        "pictures": sizes,
        "mean_iou": means,
        "seeds": repeats,
        "suggest_reaches_randoms_last_score_with": needed,
        "pictures_saved": None if needed is None else 1 - needed / sizes[-1],
        "wanted": SAVED,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, required=True)
    for name, default, meaning in NUMBERS:
        parser.add_argument(f"--{name}", type=int, default=default, help=meaning)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="each with other first pictures")
    parser.add_argument("--device", default="auto")
    add_result(parser)
    options = parser.parse_args()
    numbers = {name: getattr(options, name) for name, _, _ in NUMBERS}
    repeats = earlier_repeats(options.result, numbers)
    for seed in options.seeds:
        if str(seed) not in repeats:
            with tempfile.TemporaryDirectory() as name:
                repeats[str(seed)] = run(Experiment(options, Path(name), seed))
        figures = summary(repeats, numbers)
        if options.result is not None:
            record(options.result, "labeling", figures)


def earlier_repeats(result: Path | None, options: dict[str, int]) -> dict[str, dict[str, list[float]]]:
    """The scores by seed that a result file holds already; it must have been made with these options."""
    if result is None or not result.exists():
        return {}
    figures = json.loads(result.read_text()).get("labeling", {"options": options, "seeds": {}})
    if figures["options"] != options:
        raise SystemExit(f"{result} was made with {figures['options']}. Name another file, or remove it.")
    repeats: dict[str, dict[str, list[float]]] = figures["seeds"]
    return repeats


if __name__ == "__main__":
    main()
