"""What comes of the same minutes of training with segtune and with what people would use instead, on CamVid.

    benchmarks/peers/setup.sh runs/environments
    .venv/bin/python benchmarks/quality.py --camvid ../shared/camvid [--part quality few-labels time-to-quality hour]

Each contestant is a script in peers/ that is called alike, and writes label images of the validation pictures at their
full size; they are scored here, all by the same code. Contestants take turns, seed by seed, so that what else the
machine does meets all. A run's result is kept under --work and not made again; all that is there goes into the result
file, after each run. Results of another day are gone on from with --add RESULT.json; those of this day always are.
Those of another machine are refused. Unless --peers and --seeds say otherwise, few labels and the time to quality are
of segtune and the plain loop, and the hour is of one seed.
"""

import argparse
import json
import math
import os
import platform
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from record import commit, machine, processor, today, versions, write

from segtune.annotations.dataset_folder import Pair, dataset_classes, find_pairs
from segtune.classes import ClassTable
from segtune.errors import UserError
from segtune.evaluation.scores import Scores
from segtune.evaluation.tally import Tally
from segtune.machine import share_processors
from segtune.pictures import read_labels

HERE = Path(__file__).parent
NUM_CLASSES, UNLABELLED = 11, 11
EACH = 10
"""Few labels: each tenth training picture."""
TIMES_TO_QUALITY = (2.0, 3.0, 4.0, 5.0)
MINUTES, HOUR = 10.0, 60.0
ALL, FEW = "all", "few"
GOAL, GOAL_WITH_FEW_LABELS, GOAL_MINUTES = 0.65, 0.05, 5.0
"""What segtune should reach in MINUTES, how far above the plain loop with few labels, and when where that loop ends."""
SET_UP_MINUTES = 30
"""A run that takes so much longer than twice its minutes hangs."""


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

    def python(self, environments: Path) -> Path:
        """The interpreter, with what it needs."""
        if not self.environment:
            return Path(sys.executable)
        return (environments / self.environment / "bin" / "python").absolute()


NET_PACKAGES = ("segmentation-models-pytorch", "timm", "torchvision")
SEGTUNE, PLAIN, ULTRALYTICS = "segtune", "plain-smp", "ultralytics"
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
    ULTRALYTICS: Contestant(
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


@dataclass(frozen=True)
class Part:
    """A question.

    Attributes:
        labels: With which pictures, 'all' or 'few'.
        minutes: For how long each contestant trains, by its name.
        seeds: Whose.
    """

    labels: str
    minutes: Mapping[str, Sequence[float]]
    seeds: Sequence[int] = (0, 1, 2)


def parts_of(minutes: float) -> dict[str, Part]:
    """All questions, by name, where 'the same minutes' are these."""
    return {
        "quality": Part(ALL, {name: [minutes] for name in CONTESTANTS}),
        "few-labels": Part(FEW, {name: [minutes] for name in (SEGTUNE, PLAIN)}),
        "time-to-quality": Part(ALL, {PLAIN: [minutes], SEGTUNE: TIMES_TO_QUALITY}),
        "hour": Part(ALL, {name: [HOUR] for name in CONTESTANTS}, seeds=[0]),
    }


def wanted_runs(
    names: Sequence[str], minutes: float, peers: Sequence[str] | None = None, seeds: Sequence[int] | None = None
) -> list[Run]:
    """All runs of some parts, each once, in the order in which they are done; of these peers and seeds, where given."""
    runs = [
        Run(part.labels, length, peer, seed)
        for part in (parts_of(minutes)[name] for name in names)
        for seed in (part.seeds if seeds is None else seeds)
        for peer in (part.minutes if peers is None else peers)
        for length in part.minutes.get(peer, [minutes])
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

    Raises:
        ValueError: One has another size, or holds what is no class.
        UserError: One is missing, or no label image.
    """
    tally = Tally(classes)
    for index, pair in enumerate(pairs):
        labels, class_ids = read_labels(pair.labels, classes), read_labels(predicted / f"{pair.stem}.png")
        if class_ids.shape != labels.shape:
            raise ValueError(
                f"{predicted / pair.stem}.png has the size {class_ids.shape}; {labels.shape} was expected."
            )
        if class_ids.max() >= classes.num_classes:
            raise ValueError(f"{predicted / pair.stem}.png holds {class_ids.max()}, which is no class.")
        tally.add(index, labels, class_ids)
    return tally.scores


def do_run(run: Run, camvid: Path, options: argparse.Namespace) -> bool:
    """Train, predict, score; what came of it is in result.json of the run's folder. False where that failed."""
    folder, python = run.folder(options.work), CONTESTANTS[run.contestant].python(options.environments)
    if not python.exists():
        print(f"Left out: {run.contestant} has no environment. benchmarks/peers/setup.sh {options.environments}")
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"{datetime.now():%H:%M} {folder.relative_to(options.work)}", flush=True)
    try:
        result = train_and_score(run, camvid, folder, python)
    except (subprocess.SubprocessError, UserError, OSError, ValueError) as problem:
        print(f"  failed: {problem} See {folder / 'log.txt'}", flush=True)
        return False
    write(folder / "result.json", result)
    print(f"  mean IoU {result['mean_iou']:.4f}, {result['steps'] or '?'} steps", flush=True)
    return True


def train_and_score(run: Run, camvid: Path, folder: Path, python: Path) -> dict[str, Any]:
    """Call the contestant's script, and score what it has written."""
    contestant = CONTESTANTS[run.contestant]
    script = HERE / "peers" / contestant.script
    arguments = ["--minutes", f"{run.minutes:g}", "--seed", str(run.seed)]
    command = [str(python), str(script), "--camvid", str(camvid), "--output", str(folder), *arguments]
    started, load, code = time.monotonic(), os.getloadavg()[0], commit()
    call(command, folder / "log.txt", 60 * (2 * run.minutes + SET_UP_MINUTES))
    pairs = find_pairs(camvid, "val")
    scores = score(folder / "labels", pairs, dataset_classes(camvid, NUM_CLASSES, UNLABELLED))
    shown = ["python", f"benchmarks/peers/{script.name}", "--camvid", "CAMVID", "--output", "OUTPUT", *arguments]
    return {
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "iou": [None if np.isnan(value) else round(float(value), 4) for value in scores.iou],
        "train_pictures": len(find_pairs(camvid, "train")),
        "command": shlex.join(shown),
        "whole_seconds": round(time.monotonic() - started, 1),
        **json.loads((folder / "times.json").read_text()),
        "load before": load,
        "machine": machine(),
        "versions": versions(python, ["torch", *contestant.packages]),
        "commit": code,
    }


def call(command: Sequence[str], log: Path, seconds: float) -> None:
    """Run a command, and end it with all that it has started where it takes longer than it may.

    Raises:
        subprocess.SubprocessError: It failed, or was ended.
    """
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        code = process.wait(seconds)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if code:
        raise subprocess.CalledProcessError(code, command)


def put_back(path: Path, work: Path) -> None:
    """Put the runs of a result file where they were made, unless they have been made there; tell which."""
    about = json.loads(path.read_text())
    if about["machine"]["name"] != machine():
        raise SystemExit(f"{path} is of {about['machine']['name']}, this is {machine()}: they don't belong together.")
    for group, contestants in about["results"].items():
        for name, entry in contestants.items():
            for result in entry["runs"]:
                kept = work / group / f"{name}-seed-{result['seed']}" / "result.json"
                if not kept.exists():
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    write(kept, result)
                    print(f"{path.name}: {kept.parent.relative_to(work)} of commit {result['commit']}", flush=True)


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
    """What the plain loop reaches, and what segtune has reached after how many minutes of training."""
    goal = groups.get(f"{ALL}-{minutes:g}-minutes", {}).get(PLAIN)
    reached = {}
    for group, contestants in groups.items():
        if group.startswith(f"{ALL}-") and SEGTUNE in contestants:
            entry = contestants[SEGTUNE]
            trained = statistics.mean(result["training_seconds"] for result in entry["runs"]) / 60
            reached[trained] = entry["mean_iou"]
    if goal is None or not reached:
        return None
    enough = [trained for trained, value in sorted(reached.items()) if value >= goal["mean_iou"]]
    return {
        "goal": goal["mean_iou"],
        "goal_minutes": minutes,
        "reached": {f"{trained:.1f}": reached[trained] for trained in sorted(reached)},
        "minutes": enough[0] if enough else None,
    }


def time_table(found: dict[str, Any]) -> str:
    first = f"at most {found['minutes']:.1f} minutes" if found["minutes"] else "none of these"
    lengths, values = zip(*found["reached"].items(), strict=True)
    return "\n".join(
        [
            f"The plain loop's {found['goal']:.3f} of {found['goal_minutes']:g} minutes: segtune has it in {first}.",
            "",
            f"| minutes of training with segtune | {' | '.join(lengths)} |",
            f"| --- |{' --- |' * len(lengths)}",
            f"| mean IoU | {' | '.join(f'{value:.3f}' for value in values)} |",
        ]
    )


def goals(about: dict[str, Any]) -> Iterator[str]:
    """What was to be reached, and whether it was; of what has been measured."""
    groups, minutes = about["results"], about["minutes"]
    contestants = groups.get(f"{ALL}-{minutes:g}-minutes", {})
    if SEGTUNE in contestants:
        own = contestants[SEGTUNE]
        yield goal(f"{own['mean_iou']:.3f} in {minutes:g} minutes", f"{GOAL}", own["mean_iou"] >= GOAL)
        for name, other in contestants.items():
            if name in {SEGTUNE, ULTRALYTICS}:  # that one's own weights need a download
                continue
            above = own["mean_iou"] - other["mean_iou"]
            if own["spread"] is None or other["spread"] is None:
                yield f"- {above:+.3f} to {CONTESTANTS[name].title}; one seed has no spread to compare that with."
                continue
            spread = max(own["spread"], other["spread"])
            yield goal(f"{above:+.3f} to {CONTESTANTS[name].title}", f"more than {spread:.3f}", above > spread)
    few = groups.get(f"{FEW}-{minutes:g}-minutes", {})
    if {SEGTUNE, PLAIN} <= few.keys():
        above = few[SEGTUNE]["mean_iou"] - few[PLAIN]["mean_iou"]
        wanted = f"at least {GOAL_WITH_FEW_LABELS:+}"
        yield goal(f"{above:+.3f} to the plain loop with few labels", wanted, above >= GOAL_WITH_FEW_LABELS)
    found = about["time_to_quality"]
    if found is not None:
        taken = found["minutes"] or math.inf
        yield goal(
            f"The plain loop's score within {taken:.1f} minutes", f"less than {GOAL_MINUTES:g}", taken < GOAL_MINUTES
        )


def goal(measured: str, wanted: str, met: bool) -> str:
    return f"- {measured}; wanted: {wanted}. {'Met' if met else '**Not met**'}."


def tables(about: dict[str, Any]) -> str:
    """All that a result file holds, in Markdown."""
    texts = [table(group, contestants) for group, contestants in about["results"].items()]
    if about["time_to_quality"] is not None:
        texts.append(time_table(about["time_to_quality"]))
    return "\n\n".join([*texts, "\n".join(goals(about))])


def write_summary(path: Path, work: Path, minutes: float) -> str:
    """The result file of all runs under a folder; returns the tables."""
    groups = {
        group: {name: summary(results) for name, results in contestants.items()}
        for group, contestants in results_in(work).items()
    }
    about = {
        "what": "CamVid, validation pictures at full size; mean IoU over all labelled pixels, one scorer for all",
        "machine": {"name": machine(), "processor": processor(), "python": platform.python_version()},
        "minutes": minutes,
        "time_to_quality": time_to_quality(groups, minutes),
        "results": groups,
    }
    write(path, about)
    return f"{tables(about)}\n\nFigures, versions and commands: {path.name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of all parts but 'hour', which has {HOUR:g}")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--peers", choices=CONTESTANTS, nargs="+")
    parser.add_argument("--part", choices=parts_of(MINUTES), nargs="+", default=["quality"])
    parser.add_argument("--work", type=Path, default=Path("runs/quality"), help="where runs are kept")
    parser.add_argument("--environments", type=Path, default=Path("runs/environments"), help="what peers/setup.sh made")
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="result files to go on from")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    share_processors()  # the peers inherit what it finds; segtune looks again itself
    options.work.mkdir(parents=True, exist_ok=True)
    camvid = options.camvid.absolute()
    runs = wanted_runs(options.part, options.minutes, options.peers, options.seeds)
    datasets = {ALL: camvid}
    if any(run.labels == FEW for run in runs):
        datasets[FEW] = few_labels(camvid, options.work.absolute() / "few-labels")
    result = options.results / f"{today()}-{machine()}-quality.json"
    for path in [*options.add, *([result] if result.exists() else [])]:
        put_back(path, options.work)
    failed = []
    for run in runs:
        kept = run.folder(options.work) / "result.json"
        if kept.exists() and (made_by := json.loads(kept.read_text())["commit"]) != commit():
            print(f"{kept.parent.relative_to(options.work)} is of commit {made_by}; without its folder it is made anew")
        if not kept.exists():
            if not do_run(run, datasets[run.labels], options):
                failed.append(run)
            write_summary(result, options.work, options.minutes)
    print(write_summary(result, options.work, options.minutes))
    if failed:
        raise SystemExit(f"{len(failed)} of {len(runs)} runs failed; the same command tries them again.")


if __name__ == "__main__":
    main()
