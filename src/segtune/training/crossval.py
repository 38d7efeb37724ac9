"""Cross-validation: each picture is validated once, by a model that was not trained on any of its group."""

import math
import os
import shlex
import shutil
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from segtune.annotations.check import check_dataset
from segtune.annotations.dataset_folder import (
    IMAGES,
    LABELS,
    SPLITS,
    Pair,
    dataset_classes,
    find_pairs,
    need_dataset_folder,
)
from segtune.annotations.dataset_report import DatasetReport
from segtune.annotations.split import Candidate, assign_folds
from segtune.classes import CLASSES_FILE, ClassTable
from segtune.config import CrossvalConfig, TrainConfig
from segtune.console import messages, output
from segtune.errors import UserError, listed, unwritable
from segtune.evaluation.scores import Scores, score_table, shown
from segtune.files import read_json, write_json
from segtune.model_file import write_ensemble
from segtune.models.pretrained import read_state_dict
from segtune.run_folder import RunFolder
from segtune.runtimes.eager import choose_device
from segtune.training.events import Listener
from segtune.training.initial_model import with_architecture
from segtune.training.limits import check_options, check_with_data
from segtune.training.train import (
    TrainingInterrupted,
    TrainResult,
    refuse_unknown_names,
    refuse_without_effect,
    train,
)

CROSSVAL_FILE, FOLDS_FILE, ENSEMBLE_FILE = "crossval.json", "folds.json", "ensemble.json"

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
        2.110, 2.101, 2.093)  # fmt: skip
"""The 0.975 quantiles of Student's t distribution for 1 to 19 degrees of freedom."""
MOST_FOLDS = len(T_95) + 1


@dataclass(frozen=True)
class CrossvalResult:
    """The scores of all folds.

    Attributes:
        run: The folder.
        folds: Scores of each fold's best model on the pictures that it was not trained on.
    """

    run: Path
    folds: Sequence[Scores]

    @property
    def pooled(self) -> Scores:
        """All pictures, each predicted by the model that had not seen it."""
        return Scores(
            np.sum([scores.confusion for scores in self.folds], axis=0),
            self.folds[0].classes,
            sum(scores.num_pictures for scores in self.folds),
            np.sum([scores.pictures_with_class for scores in self.folds], axis=0),
        )

    @property
    def mean(self) -> float:
        """Mean of the folds' mean IoU."""
        return statistics.mean(scores.mean_iou for scores in self.folds)

    @property
    def interval(self) -> tuple[float, float]:
        """Where it lies with 95 % confidence: mean and deviation of the folds, by Student's t distribution.

        Folds share most of their training pictures, so it is rather too narrow (Bengio and Grandvalet 2004).
        """
        values = [scores.mean_iou for scores in self.folds]
        width = T_95[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values))
        return max(0.0, self.mean - width), min(1.0, self.mean + width)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for crossval.json."""
        return {
            "mean_iou": self.mean,
            "mean_iou_interval": self.interval,
            "folds": [scores.mean_iou for scores in self.folds],
            "pooled": self.pooled.to_dict(),
        }

    def table(self) -> Table:
        """The folds, and the mean, for the terminal."""
        caption = (
            f"mean IoU of the folds {self.mean:.4f} (95 %: {shown(self.interval)}, rather too narrow: folds share"
            f" training pictures)\nall pictures together: {self.pooled.summary()}"
        )
        table = score_table("Cross-validation", caption)
        table.add_column("fold")
        for name in ("mean IoU", "pixel accuracy", "pictures"):
            table.add_column(name, justify="right")
        for number, scores in enumerate(self.folds, 1):
            numbers = f"{scores.mean_iou:.4f}", f"{scores.pixel_accuracy:.4f}", str(scores.num_pictures)
            table.add_row(str(number), *numbers)
        return table


def crossval(config: CrossvalConfig, listeners: Sequence[Listener] | None = None) -> CrossvalResult:
    """Train a model a fold, each in RUN/fold_N, and gather their scores in RUN/crossval.json.

    Args:
        config: What to do.
        listeners: Who is told what happens in each training; the terminal if not given.

    Raises:
        UserError: Too few groups, or the folder holds another cross-validation, or another process writes to it.
        TrainingInterrupted: A training was asked to stop; the same command with ``--resume auto`` goes on.
    """
    check_options(config)
    if not 2 <= config.folds <= MOST_FOLDS:
        raise UserError(f"--folds is {config.folds}; 2 to {MOST_FOLDS} were expected.", "5 is usual.")
    source = shlex.quote(str(config.dataset))
    need_dataset_folder(config.dataset, f"Convert the export first: segtune convert {source} DATASET")
    pairs = [pair for split in SPLITS for pair in find_pairs(config.dataset, split)]
    _refuse_same_names(config.dataset, pairs)
    table = dataset_classes(config.dataset, config.num_classes, config.ignore_value)
    _refuse_impossible(config)
    report = _checked(config.dataset, table)
    pairs = [pair for pair in pairs if pair.picture not in report.unlabelled]
    candidates = [Candidate(pair.picture.name, classes=report.classes_of[pair.picture]) for pair in pairs]
    folds, told = assign_folds(candidates, config.folds, config.group_by)
    num_train = len(pairs) - max(Counter(folds).values())
    check_with_data(config, table.num_classes, num_train, choose_device(config.device).type)
    if report.unlabelled:
        told.append(f"{len(report.unlabelled)} pictures without a labelled pixel are left out")
    for sentence in told:
        messages.print(f"Note: {sentence}.")
    _warn_of_seen_pictures(config)
    runs = [RunFolder(config.run / f"fold_{number + 1}") for number in range(config.folds)]
    whole = RunFolder(config.run)
    whole.refuse_used(config.overwrite)
    with whole.locked():
        for run in runs:
            _refuse_own_files(run.dataset, config.dataset)
        has_begun = any(run.record.exists() for run in runs)
        if config.resume != "auto" and config.overwrite:
            _clear(config.run)
            has_begun = False
        _keep_folds(config, dict(zip([pair.picture.name for pair in pairs], folds, strict=True)), has_begun)
        found = []
        for number, run in enumerate(runs):
            output.print(f"\nFold {number + 1} of {config.folds}")
            _link_dataset(config.dataset, run.dataset, pairs, [fold == number for fold in folds])
            result = _train_fold(config, run, listeners)
            found.append(result.scores)
            if result.stop_requested and run is not runs[-1]:
                raise TrainingInterrupted
        write_json(config.run / CROSSVAL_FILE, CrossvalResult(config.run, found).to_dict())
        if config.ensemble:
            write_ensemble(config.run / ENSEMBLE_FILE, [run.model for run in runs])
    return CrossvalResult(config.run, found)


def _refuse_impossible(config: CrossvalConfig) -> None:
    """Refuse what options alone make impossible, before an earlier cross-validation is removed for it."""
    refuse_without_effect(replace(config, group_by="auto"))
    refuse_unknown_names(with_architecture(config))
    if config.resume != "auto" and config.weights not in {"auto", "none"}:
        read_state_dict(Path(config.weights))


def _checked(dataset: Path, table: ClassTable) -> DatasetReport:
    """The dataset's check. Refuses files that no fold could be trained with; a fold's check would name its links."""
    report = check_dataset(dataset, table, SPLITS)
    findings = report.findings
    if any(facts.pixels.any() for facts in report.splits.values()):
        # A split without labels is no matter: the folds are others.
        findings = [finding for finding in findings if finding.kind != "nothing-labelled"]
    replace(report, findings=findings).raise_for_errors()
    return report


def _warn_of_seen_pictures(config: CrossvalConfig) -> None:
    """Weights of a training on these pictures have seen what each fold is to be validated on."""
    start = config.init or (Path(config.weights) if config.weights.endswith(".safetensors") else None)
    if start is not None:
        messages.print(
            f"Warning: each fold starts from {start}. If that was trained on these pictures, the scores flatter:"
            " no picture is new to it.",
            style="yellow",
        )


def _clear(folder: Path) -> None:
    """Remove what an earlier cross-validation made, so that none of its folds is taken for one of the new.

    Raises:
        UserError: A fold is no run, or is being trained.
    """
    runs = [RunFolder(path) for path in sorted(folder.glob("fold_*")) if path.is_dir()]
    for run in runs:
        run.refuse_used(overwrite=True)
    for run in runs:
        with run.locked():
            run.clear()
    for name in (CROSSVAL_FILE, FOLDS_FILE, ENSEMBLE_FILE):
        (folder / name).unlink(missing_ok=True)


def _refuse_same_names(dataset: Path, pairs: Sequence[Pair]) -> None:
    twice = sorted(stem for stem, count in Counter(pair.stem for pair in pairs).items() if count > 1)
    if twice:
        raise UserError(
            f"{dataset} has pictures of the same name in train and val: {listed(twice, 4)}.",
            "Rename those in one of them.",
        )


def _keep_folds(config: CrossvalConfig, folds: dict[str, int], has_begun: bool) -> None:
    """Write which picture is in which fold; what goes on must have the same."""
    path = config.run / FOLDS_FILE
    if has_begun:
        if not path.exists():
            raise UserError(
                f"{config.run} holds runs that are no cross-validation's: there is no {FOLDS_FILE}.",
                "Name another folder, or add --overwrite.",
            )
        if config.resume != "auto":
            raise UserError(
                f"{config.run} already holds a cross-validation.",
                "Go on with it: add --resume auto; or name another folder, or add --overwrite.",
            )
        if read_json(path) != folds:
            raise UserError(
                f"{config.run} was begun with other folds, or with other pictures.",
                "Name another folder, or add --overwrite --resume never.",
            )
    write_json(path, folds)


def _refuse_own_files(target: Path, dataset: Path) -> None:
    """Raise UserError where a fold's dataset, which is made anew each time, is the input or holds more than links."""
    if not target.exists():
        return
    is_input = dataset.resolve().is_relative_to(target.resolve())
    # Systems leave hidden files of their own.
    own = [path for path in target.glob("*/*/*") if not path.is_symlink() and not path.name.startswith(".")]
    if is_input or own:
        what = "is the dataset itself" if is_input else f"holds files of its own: {listed(map(str, sorted(own)), 3)}"
        raise UserError(f"{target}, where a fold's links are to be, {what}.", "Name another folder.")


def _link_dataset(dataset: Path, target: Path, pairs: Sequence[Pair], is_val: Sequence[bool]) -> None:
    """A dataset folder with the same files, divided otherwise: links, so that they take no room."""
    try:
        shutil.rmtree(target, ignore_errors=True)
        for split in SPLITS:
            for kind in (IMAGES, LABELS):
                (target / split / kind).mkdir(parents=True)
        for pair, val in zip(pairs, is_val, strict=True):
            # Links are followed from where the folder really is.
            folder = (target / ("val" if val else "train")).resolve()
            (folder / IMAGES / pair.picture.name).symlink_to(os.path.relpath(pair.picture.resolve(), folder / IMAGES))
            (folder / LABELS / pair.labels.name).symlink_to(os.path.relpath(pair.labels.resolve(), folder / LABELS))
        if (dataset / CLASSES_FILE).exists():
            shutil.copyfile(dataset / CLASSES_FILE, target / CLASSES_FILE)
    except OSError as error:
        raise unwritable(target, error) from error


def _train_fold(config: CrossvalConfig, folder: RunFolder, listeners: Sequence[Listener] | None) -> TrainResult:
    """An ordinary run; one that is done already has nothing left to train, and only gives its scores."""
    options = {entry.name: getattr(config, entry.name) for entry in fields(TrainConfig)}
    training = TrainConfig(**{**options, "dataset": folder.dataset, "run": folder.path, "group_by": "auto"})
    return train(replace(training, resume="auto" if folder.record.exists() else "never"), listeners)
