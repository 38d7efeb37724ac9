"""What comes of the same minutes of training with segtune and with what people would use instead, on CamVid.

    benchmarks/peers/setup.sh runs/environments
    .venv/bin/python benchmarks/quality.py --camvid ../shared/camvid [--part quality few-labels time-to-quality hour]

Each contestant is a script in peers/ that is called alike, and writes label images of the validation pictures at their
full size; they are scored here, all by the same code. Contestants take turns, seed by seed, so that what else the
machine does meets all. A run's result is kept under --work and not made again; all that is there goes into the result
file.
"""

import argparse
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from exports import save_result

from segtune.annotations.dataset_folder import Pair, dataset_classes, find_pairs
from segtune.classes import ClassTable
from segtune.evaluation.scores import Scores
from segtune.evaluation.tally import Tally
from segtune.pictures import read_labels

HERE = Path(__file__).parent
NUM_CLASSES, UNLABELLED = 11, 11
EACH = 10
"""Few labels: each tenth training picture."""
TIMES_TO_QUALITY = (2.0, 3.0, 4.0, 5.0)
MINUTES, HOUR = 10.0, 60.0
ALL, FEW = "all", "few"
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
"""As segtune sets it for itself: threads that spin lose far more to whatever else the machine does."""


@dataclass(frozen=True)
class Contestant:
    """Who trains.

    Attributes:
        title: What the table says.
        script: In peers/.
        environment: The virtual environment under --environments; empty: the project's own.
        packages: Whose versions the result file names, beside torch's.
    """

    title: str
    script: str
    environment: str = ""
    packages: tuple[str, ...] = ()


NET_PACKAGES = ("segmentation-models-pytorch", "timm", "torchvision")
SEGTUNE, PLAIN = "segtune", "plain-smp"
CONTESTANTS = {
    SEGTUNE: Contestant("segtune, defaults", "segtune_cli.py", "", ("segtune", *NET_PACKAGES)),
    PLAIN: Contestant("plain loop, segmentation-models-pytorch", "plain_smp.py", "", NET_PACKAGES),
    "lightning": Contestant(
        "the plain loop on Lightning", "lightning_loop.py", "lightning", ("lightning", *NET_PACKAGES)
    ),
    "original": Contestant("the original's recipe", "original.py", "", NET_PACKAGES),
    "huggingface": Contestant(
        "transformers' Trainer, its example's settings", "huggingface.py", "huggingface",
        ("transformers", "accelerate", "albumentations", *NET_PACKAGES),
    ),
    "ultralytics": Contestant(
        "Ultralytics' semantic task, yolo26n-sem", "ultralytics_cli.py", "ultralytics", ("ultralytics", "torchvision")
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        labels: 'all' training pictures, or 'few' of them.
        minutes: How long it trains.
        contestant: Who.
        seed: Its seed.
    """

    labels: str
    minutes: float
    contestant: str
    seed: int

    def folder(self, work: Path) -> Path:
        return work / f"{self.labels}-{self.minutes:g}-minutes" / f"{self.contestant}-seed-{self.seed}"


def wanted_runs(parts: Sequence[str], peers: Sequence[str], seeds: Sequence[int], minutes: float) -> list[Run]:
    """All runs of some parts, each once, in the order in which they are done."""
    both = [name for name in peers if name in {SEGTUNE, PLAIN}]
    lists: dict[str, list[tuple[str, float, Sequence[str]]]] = {
        "quality": [(ALL, minutes, peers)],
        "few-labels": [(FEW, minutes, peers)],
        "time-to-quality": [
            (ALL, minutes, [PLAIN]), *((ALL, length, [SEGTUNE]) for length in TIMES_TO_QUALITY if SEGTUNE in both)
        ],
        "hour": [(ALL, HOUR, peers)],
    }  # fmt: skip
    runs = [
        Run(labels, length, name, seed)
        for part in parts
        for seed in seeds
        for labels, length, names in lists[part]
        for name in names
    ]
    return list(dict.fromkeys(runs))


def few_labels(camvid: Path, folder: Path) -> Path:
    """A dataset of links: each tenth training picture, all validation pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    for split, step in (("train", EACH), ("val", 1)):
        for kind in ("Images", "Labels"):
            (folder / split / kind).mkdir(parents=True)
        for pair in find_pairs(camvid, split)[::step]:
            (folder / split / "Images" / pair.picture.name).symlink_to(pair.picture.absolute())
            (folder / split / "Labels" / pair.labels.name).symlink_to(pair.labels.absolute())
    return folder


def score(predicted: Path, pairs: Iterable[Pair], classes: ClassTable) -> Scores:
    """Score label images of any origin: mean IoU at full size over all labelled pixels.

    Args:
        predicted: Holds a NAME.png of class ids for each picture.
        pairs: Pictures with their labels.
        classes: The classes, with the value that is not counted.
    """
    tally = Tally(classes)
    for index, pair in enumerate(pairs):
        labels, class_ids = read_labels(pair.labels, classes), read_labels(predicted / f"{pair.stem}.png")
        if class_ids.shape != labels.shape:
            raise SystemExit(
                f"{predicted / pair.stem}.png has the size {class_ids.shape}; {labels.shape} was expected."
            )
        if class_ids.max() >= classes.num_classes:
            raise SystemExit(f"{predicted / pair.stem}.png holds {class_ids.max()}, which is no class.")
        tally.add(index, labels, class_ids)
    return tally.scores


def do_run(run: Run, camvid: Path, options: argparse.Namespace) -> bool:
    """Train, predict, score; what came of it is in result.json of the run's folder. False where that failed."""
    contestant, folder = CONTESTANTS[run.contestant], run.folder(options.work)
    python = python_of(contestant, options.environments)
    if not python.exists():
        print(f"Left out: {run.contestant} has no environment. benchmarks/peers/setup.sh {options.environments}")
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arguments = ["--minutes", f"{run.minutes:g}", "--seed", str(run.seed)]
    script = HERE / "peers" / contestant.script
    command = [str(python), str(script), "--camvid", str(camvid), "--output", str(folder), *arguments]
    print(f"{datetime.now():%H:%M} {folder.relative_to(options.work)}", flush=True)
    started = time.monotonic()
    with (folder / "log.txt").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT, check=False)
    if done.returncode:
        print(f"  failed: {folder / 'log.txt'}", flush=True)
        return False
    pairs = find_pairs(camvid, "val")
    scores = score(folder / "labels", pairs, dataset_classes(camvid, NUM_CLASSES, UNLABELLED))
    shown = ["python", f"benchmarks/peers/{script.name}", "--camvid", "CAMVID", "--output", "OUTPUT", *arguments]
    result = {
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "iou": [None if np.isnan(value) else round(float(value), 4) for value in scores.iou],
        "train_pictures": len(find_pairs(camvid, "train")),
        "command": shlex.join(shown),
        "whole_seconds": round(time.monotonic() - started, 1),
        **json.loads((folder / "times.json").read_text()),
        "load": os.getloadavg()[1],
    }
    save_result(folder / "result.json", result)
    print(f"  mean IoU {scores.mean_iou:.4f}, {result['steps'] or '?'} steps", flush=True)
    return True


def python_of(contestant: Contestant, environments: Path) -> Path:
    if not contestant.environment:
        return Path(sys.executable)
    return (environments / contestant.environment / "bin" / "python").absolute()


def versions(environments: Path) -> dict[str, dict[str, str]]:
    """What each contestant's environment has, where there is one."""
    found = {}
    for name, contestant in CONTESTANTS.items():
        python = python_of(contestant, environments)
        packages = ["torch", *contestant.packages]
        program = "import json, sys\nfrom importlib.metadata import version\n"
        program += "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
        if python.exists():
            output = subprocess.run([python, "-c", program, *packages], capture_output=True, text=True, check=True)
            found[name] = json.loads(output.stdout)
    return found


def results_in(work: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """All results: by pictures and minutes, by contestant, a list of seeds."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for path in sorted(work.glob("*-minutes/*-seed-*/result.json")):
        name, _, seed = path.parent.name.rpartition("-seed-")
        result = {"seed": int(seed), **json.loads(path.read_text())}
        found.setdefault(path.parent.parent.name, {}).setdefault(name, []).append(result)
    return found


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds, and the sample standard deviation."""
    values = [result["mean_iou"] for result in results]
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean_iou": statistics.mean(values), "spread": spread, "seeds": len(values), "runs": list(results)}


def table(group: str, contestants: dict[str, dict[str, Any]]) -> str:
    """A group of results in Markdown, the best first."""
    some = next(iter(contestants.values()))["runs"][0]
    minutes = group.split("-")[1]
    lines = [f"{minutes} minutes, {some['train_pictures']} training pictures, mean ± spread of (seeds):", ""]
    lines += ["| | mean IoU | to segtune | seconds of training | steps | started from |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    first = contestants.get(SEGTUNE)
    for name, entry in sorted(contestants.items(), key=lambda item: -item[1]["mean_iou"]):
        spread = f" ± {entry['spread']:.3f}" if entry["spread"] is not None else ""
        ratio = f"{entry['mean_iou'] / first['mean_iou']:.2f}" if first and first["mean_iou"] else "–"
        steps = [result["steps"] for result in entry["runs"]]
        shown = f"{statistics.mean(steps):.0f}" if None not in steps else "–"
        seconds = statistics.mean(result["training_seconds"] for result in entry["runs"])
        weights = entry["runs"][0]["weights"]
        lines.append(
            f"| {CONTESTANTS[name].title} | {entry['mean_iou']:.3f}{spread} ({entry['seeds']}) | {ratio}"
            f" | {seconds:.0f} | {shown} | {weights} |"
        )
    return "\n".join(lines)


def time_to_quality(groups: dict[str, dict[str, dict[str, Any]]], minutes: float) -> dict[str, Any] | None:
    """What the plain loop reaches, and what segtune has reached after how many minutes."""
    goal = groups.get(f"{ALL}-{minutes:g}-minutes", {}).get(PLAIN)
    reached = {}
    for group, contestants in groups.items():
        labels, length, _ = group.split("-")
        if labels == ALL and SEGTUNE in contestants:
            reached[float(length)] = contestants[SEGTUNE]["mean_iou"]
    if goal is None or not reached:
        return None
    enough = [length for length, value in sorted(reached.items()) if value >= goal["mean_iou"]]
    return {
        "goal": goal["mean_iou"],
        "goal_minutes": minutes,
        "reached": {f"{length:g}": reached[length] for length in sorted(reached)},
        "minutes": enough[0] if enough else None,
    }


def time_table(found: dict[str, Any]) -> str:
    first = f"{found['minutes']:g} minutes" if found["minutes"] else "none of these"
    lengths, values = zip(*found["reached"].items(), strict=True)
    return "\n".join(
        [
            f"The plain loop's {found['goal']:.3f} of {found['goal_minutes']:g} minutes: segtune has it in {first}.",
            "",
            f"| minutes of segtune | {' | '.join(lengths)} |",
            f"| --- |{' --- |' * len(lengths)}",
            f"| mean IoU | {' | '.join(f'{value:.3f}' for value in values)} |",
        ]
    )


def machine() -> str:
    return f"{platform.system()}-{platform.machine()}-{os.cpu_count()}-cpus".lower()


def write_summary(options: argparse.Namespace) -> str:
    """The result file of all that is under --work; returns the tables."""
    groups = {
        group: {name: summary(results) for name, results in contestants.items()}
        for group, contestants in results_in(options.work).items()
    }
    found = time_to_quality(groups, options.minutes)
    tables = [table(group, contestants) for group, contestants in groups.items()]
    tables += [time_table(found)] if found else []
    about = {
        "what": "CamVid, validation pictures at full size; mean IoU over all labelled pixels, one scorer for all",
        "machine": {"name": machine(), "processor": processor(), "python": platform.python_version()},
        "command": shlex.join(["python", "benchmarks/quality.py", *without_paths(sys.argv[1:])]),
        "versions": versions(options.environments),
        "time_to_quality": found,
        "results": groups,
    }
    path = options.results / f"{datetime.now(UTC):%Y-%m-%d}-{machine()}-quality.json"
    save_result(path, about)
    text = "\n\n".join([*tables, f"Figures, versions and commands: {path.name}"])
    (options.work / "table.md").write_text(text + "\n")
    return text


def processor() -> str:
    """The processor's name, where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def without_paths(words: Sequence[str]) -> list[str]:
    """A command line that says nothing of this machine's folders."""
    return [Path(word).name if Path(word).is_absolute() else word for word in words]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of all parts but 'hour', which has {HOUR:g}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--peers", choices=CONTESTANTS, nargs="+", default=list(CONTESTANTS))
    parser.add_argument(
        "--part", choices=["quality", "few-labels", "time-to-quality", "hour"], nargs="+", default=["quality"]
    )
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="where runs are kept")
    parser.add_argument("--environments", type=Path, default=Path("runs/environments"), help="what peers/setup.sh made")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    camvid = options.camvid.absolute()
    runs = wanted_runs(options.part, options.peers, options.seeds, options.minutes)
    datasets = {ALL: camvid}
    if any(run.labels == FEW for run in runs):
        datasets[FEW] = few_labels(camvid, options.work.absolute() / "few-labels")
    failed = [
        run
        for run in runs
        if not (run.folder(options.work) / "result.json").exists() and not do_run(run, datasets[run.labels], options)
    ]
    print(write_summary(options))
    if failed:
        raise SystemExit(f"{len(failed)} of {len(runs)} runs failed; the same command tries them again.")


if __name__ == "__main__":
    main()
