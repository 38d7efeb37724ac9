"""The files of a run folder -> RunFacts: what was trained on what, what came of it, and what is not there."""

import csv
import json
import math
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segtune.annotations.findings import Finding
from segtune.classes import ClassTable, class_table
from segtune.errors import UserError, first_line
from segtune.evaluation.bootstrap import Interval
from segtune.evaluation.scores import Scores
from segtune.model_file import read_header
from segtune.run_folder import RunFolder

SAME_SCORE = 0.005
"""Scores of one model on other devices may differ by rounding, but not by more than this."""

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)
"""What values raise that are not those expected."""


@dataclass(frozen=True)
class Epoch:
    """A line of metrics.jsonl; None is what it doesn't say.

    Attributes:
        number: The epoch, counted from 1.
        loss: Mean training loss.
        learning_rate: The head's rate in its last step.
        mean_iou: On the validation pictures, 0 to 1.
        labelled_mean_iou: The same over the classes that these have labels of: what the best epoch is chosen by.
        seconds: Time that its steps took.
    """

    number: int
    loss: float | None
    learning_rate: float | None
    mean_iou: float | None
    labelled_mean_iou: float | None
    seconds: float


@dataclass(frozen=True)
class KnownScores:
    """The scores of a run's model on the validation pictures.

    Attributes:
        scores: What was counted, and all that follows from it.
        interval: The 95 % interval of its mean IoU, where known.
        class_intervals: Those of the classes' IoU.
    """

    scores: Scores
    interval: Interval | None
    class_intervals: Sequence[Interval | None]


@dataclass(frozen=True)
class RunFacts:
    """What a run folder says.

    Attributes:
        record: run.json.
        dataset: The dataset folder; it may have moved away.
        classes: The classes.
        splits: Pictures of each split.
        fingerprint: Of the dataset's content.
        findings: What the check of the dataset found before the training.
        epochs: The epochs that are done.
        known: The best model's scores, where there are any.
        best_epoch: The epoch of the best model; 0 where not known.
        picture_scores: Mean IoU of each validation picture, by its path below Images; empty where not known.
        missing: What of it all is not there: a sentence each, which says how to get it.
    """

    record: dict[str, Any]
    dataset: Path
    classes: ClassTable
    splits: dict[str, int]
    fingerprint: str
    findings: Sequence[Finding]
    epochs: Sequence[Epoch]
    known: KnownScores | None
    best_epoch: int
    picture_scores: dict[str, float]
    missing: Sequence[str]


def read_facts(folder: RunFolder, dataset: Path | None = None) -> RunFacts:
    """Read what a run folder says; what beside run.json is not there, or damaged, is left out and named.

    Args:
        folder: The run folder.
        dataset: Where its dataset is now; where run.json says, if not given.

    Raises:
        UserError: It holds no run, or run.json is not one's record.
    """
    record = folder.read_record()
    try:
        for name, kind in {"plan": dict, "config": dict, "weights": dict, "versions": dict, "command": list}.items():
            if not isinstance(record[name], kind):
                raise TypeError(f"{name!r} is no {kind.__name__}")
        if not all(isinstance(command, list) for command in record.get("resumed_by", [])):
            raise TypeError("'resumed_by' holds no commands")
        data = record["data"]
        splits = {str(name): int(facts["num_pictures"]) for name, facts in data["splits"].items()}
        findings = [_finding(entry) for entry in data.get("findings", ())]
        names, fingerprint = [str(name) for name in data["classes"]], str(data["fingerprint"])
        dataset = dataset or Path(record["dataset"])
    except MALFORMED as error:
        raise UserError(
            f"{folder.record} is not complete, or of another version of segtune ({first_line(error)}).",
            "Make the report with the version that it names.",
        ) from error
    reader = _Reader(folder, dataset)
    header = reader.header()
    classes = ClassTable.from_dict(header["classes"], str(folder.model)) if header else class_table(names)
    epochs = reader.epochs()
    known = reader.scores(header, classes) if header else None
    picture_scores = reader.picture_scores() if header else {}
    best = header.get("scores", {}).get("epoch", 0)
    return RunFacts(
        record, dataset, classes, splits, fingerprint, findings, epochs, known, best, picture_scores, reader.missing
    )


def number_in(values: dict[str, Any], name: str) -> float | None:
    """A finite number of a JSON object, or None."""
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


class _Reader:
    """Reads what may be missing in a run folder, and notes what is."""

    def __init__(self, folder: RunFolder, dataset: Path) -> None:
        self._folder = folder
        words = "segtune", "evaluate", folder.model, dataset, "--output", folder.path, "--overwrite"
        self._evaluate = shlex.join(str(word) for word in words)
        self.missing: list[str] = []

    def header(self) -> dict[str, Any]:
        """What the best model says of itself; empty where there is none."""
        model = self._folder.model
        if not model.exists():
            self.missing.append(f"There is no {model.name} yet: scores come with the first epoch that is validated.")
            return {}
        try:
            header = read_header(model)
            ClassTable.from_dict(header.get("classes"), str(model))
        except UserError as error:
            self.missing.append(f"{error.message} Scores and predictions are left out.")
            return {}
        return header if isinstance(header.get("scores"), dict) else {**header, "scores": {}}

    def epochs(self) -> list[Epoch]:
        """The epochs that are done; a line that a kill cut off is none."""
        metrics = self._folder.metrics
        epochs: list[Epoch] = []
        try:
            lines = metrics.read_text(encoding="utf-8", errors="replace").splitlines() if metrics.exists() else []
        except OSError as error:
            self.missing.append(f"{metrics.name} can't be read ({first_line(error)}), so there are no curves.")
            return epochs
        for line in lines:
            with suppress(*MALFORMED):
                epochs.append(_epoch(json.loads(line)))
        if not epochs:
            self.missing.append("No epoch is done yet, so there are no curves.")
        return epochs

    def scores(self, header: dict[str, Any], classes: ClassTable) -> KnownScores | None:
        """The scores of scores.json; without it those that the model file holds."""
        source, values = self._folder.model, header["scores"]
        try:
            if self._folder.scores.exists():
                source = self._folder.scores
                values = json.loads(source.read_text(encoding="utf-8"))
                _refuse_stale(values, header["scores"])
            known = _known(values, classes)
        except (OSError, *MALFORMED) as error:
            self.missing.append(
                f"{source.name} holds no scores of this run's model ({first_line(error)}). For them: {self._evaluate}"
            )
            return None
        if known.interval is None and known.scores.num_pictures != 1:  # of one there are none
            self.missing.append(f"There are no 95 % intervals in {source.name}. For them: {self._evaluate}")
        return known

    def picture_scores(self) -> dict[str, float]:
        """Mean IoU of each picture in per_image.csv; one without any labelled pixel has none."""
        table = self._folder.per_image
        try:
            with table.open(encoding="utf-8", newline="") as file:
                rows = [(row["picture"], float(row["mean_iou"] or "nan")) for row in csv.DictReader(file)]
        except FileNotFoundError:
            self.missing.append(f"There is no {table.name} to choose pictures by. For it: {self._evaluate}")
        except (OSError, csv.Error, *MALFORMED) as error:
            self.missing.append(f"{table} can't be read ({first_line(error)}). For it: {self._evaluate}")
        else:
            return {picture: score for picture, score in rows if math.isfinite(score)}
        return {}


def _finding(entry: dict[str, Any]) -> Finding:
    severity: Literal["error", "warning"] = "error" if entry["severity"] == "error" else "warning"
    return Finding(severity, str(entry["kind"]), str(entry["message"]))


def _epoch(values: dict[str, Any]) -> Epoch:
    names = ("train_loss", "learning_rate", "mean_iou", "labelled_mean_iou", "seconds")
    loss, rate, mean_iou, labelled, seconds = (number_in(values, name) for name in names)
    return Epoch(int(values["epoch"]), loss, rate, mean_iou, labelled, seconds or 0.0)


def _refuse_stale(values: dict[str, Any], of_model: dict[str, Any]) -> None:
    """Raise ValueError for scores of another model file, as the training has gone on, or of other pixels."""
    if values.get("split", "val") != "val" or values.get("exclude_background"):
        raise ValueError("it is of another split, or without the background")
    found, expected = number_in(values, "mean_iou"), number_in(of_model, "mean_iou")
    if found is not None and expected is not None and abs(found - expected) > SAME_SCORE:
        raise ValueError(f"its mean IoU is {found:.3f}, the model's own {expected:.3f}")


def _known(values: dict[str, Any], classes: ClassTable) -> KnownScores:
    counted = Scores.from_dict({"num_pictures": 0, **values}, classes)
    num_classes = len(values["classes"])
    if counted.confusion.shape != (num_classes, num_classes) or num_classes != classes.num_classes:
        raise ValueError(f"it has {num_classes} classes, the run has {classes.num_classes}")
    class_intervals = [_interval(entry.get("iou_interval")) for entry in values["classes"]]
    return KnownScores(counted, _interval(values.get("mean_iou_interval")), class_intervals)


def _interval(value: Any) -> Interval | None:
    """Two finite numbers, or None."""
    ends = value if isinstance(value, list) and len(value) == 2 else ()
    finite = [float(end) for end in ends if isinstance(end, int | float) and math.isfinite(end)]
    return (finite[0], finite[1]) if len(finite) == 2 else None
