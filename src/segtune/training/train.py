"""The training: config -> run folder. Assembly first, then the loop."""

import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segtune.annotations.check import DatasetReport, check_dataset
from segtune.annotations.dataset_folder import Pair, dataset_classes, find_pairs
from segtune.classes import ClassTable
from segtune.config import TrainConfig
from segtune.data.augment import Augmentation, CenterCrop, Chain, ColorJitter, Flip, ScaledCrop
from segtune.data.loader import AugmentedPictures, Loader
from segtune.errors import UserError
from segtune.evaluation.evaluate import evaluate_pairs
from segtune.evaluation.scores import Scores
from segtune.model_file import Model, load_model, save_model
from segtune.models.catalog import build_model, find_model, model_preprocessing
from segtune.models.pretrained import WeightsReport, load_weights
from segtune.pictures import read_labels, read_picture, write_picture
from segtune.prediction.draw import comparison
from segtune.prediction.predictor import Predictor, choose_device
from segtune.training.console_listener import ConsoleListener
from segtune.training.events import EpochDone, Event, Listener, RunDone, RunStarted, StepDone
from segtune.training.losses import cross_entropy
from segtune.training.optimizer import make_optimizer, make_schedule
from segtune.training.original import mean_iou_over_batches
from segtune.training.plan import Facts, TrainPlan, make_plan
from segtune.training.run_folder import RunFolder
from segtune.training.step import training_step

NUM_SAMPLES = 6
"""Validation pictures shown in samples/."""

Validate = Callable[[int], tuple[float, Scores | None]]
"""Epoch -> the score that chooses the best epoch (NaN: none), and scores on whole pictures where it computed them."""


@dataclass(frozen=True)
class TrainResult:
    """What a training made.

    Attributes:
        run: The run folder.
        model: The path of the best model.
        scores: Its scores on the validation pictures, at their own size.
        best_epoch: The epoch it is from.
    """

    run: Path
    model: Path
    scores: Scores
    best_epoch: int


class TrainingInterrupted(KeyboardInterrupt):
    """The training was interrupted; the message says what there is and how to go on."""


def train(config: TrainConfig, listeners: Sequence[Listener] | None = None) -> TrainResult:
    """Fine-tune a model and write the run folder.

    Args:
        config: What to do.
        listeners: Who is told what happens; the terminal if not given.

    Raises:
        UserError: Data, configuration or place can't be used; nothing is written then but what stood before.
        TrainingInterrupted: Ctrl-C.
    """
    folder = RunFolder(config.run)
    folder.refuse_used(config.overwrite)
    device = choose_device(config.device)
    entry = find_model(config.model)
    table = dataset_classes(config.dataset, config.num_classes, config.ignore_value)
    data = check_dataset(config.dataset, table)
    data.raise_for_errors()
    train_pairs, val_pairs = (find_pairs(config.dataset, split) for split in ("train", "val"))
    plan = make_plan(config, Facts(table.num_classes, len(train_pairs), device.type, os.cpu_count() or 1))

    net = build_model(config.model, table.num_classes, config.seed)
    weights = load_weights(net, config.model, config.weights)
    model = Model(
        net=net,
        architecture=config.model,
        classes=table,
        preprocessing=model_preprocessing(config.model, plan.longest_side),
        weights={"source": weights.source, "licence": weights.licence},
        training=plan.to_dict(),
    )
    folder.clear()
    folder.write_record(run_record(config, plan, data, weights))
    with _Listeners(listeners) as tell:
        notes = (*(f"Warning: {warning}" for warning in data.warnings), *weights.describe())
        tell(RunStarted(plan, notes))
        try:
            return _Loop(model, entry.feature_extractor, plan, train_pairs, val_pairs, folder, tell).run()
        except KeyboardInterrupt as error:
            raise TrainingInterrupted(_how_to_go_on(config, folder)) from error


class _Listeners:
    """Tells all listeners, and closes the terminal's however the training ends."""

    def __init__(self, listeners: Sequence[Listener] | None) -> None:
        self._console = ConsoleListener() if listeners is None else None
        self._all: Sequence[Listener] = [self._console] if self._console else list(listeners or ())

    def __enter__(self) -> Listener:
        return self._tell

    def __exit__(self, *_: object) -> None:
        if self._console:
            self._console.close()

    def _tell(self, event: Event) -> None:
        for listener in self._all:
            listener(event)


def augmentation(plan: TrainPlan, preprocessing_mean: tuple[float, float, float]) -> Augmentation:
    """What the plan does to training pictures."""
    crop = ScaledCrop(plan.crop, plan.min_scale, plan.max_scale, preprocessing_mean)
    steps: list[Augmentation] = [Flip(plan.flip_horizontal, plan.flip_vertical), crop]
    if plan.color_jitter:
        steps.append(ColorJitter(plan.color_jitter, plan.color_jitter, plan.color_jitter))
    return Chain(tuple(steps))


class _Loop:
    """The loop, with what it works on."""

    def __init__(
        self,
        model: Model,
        feature_extractor: str,
        plan: TrainPlan,
        train_pairs: Sequence[Pair],
        val_pairs: Sequence[Pair],
        folder: RunFolder,
        tell: Listener,
    ) -> None:
        self.model = model
        self.plan = plan
        self.train_pairs = train_pairs
        self.val_pairs = val_pairs
        self.folder = folder
        self.tell = tell
        self.device = torch.device(plan.device)
        memory_format = torch.channels_last if plan.channels_last else torch.contiguous_format
        self.net: nn.Module = model.net.to(self.device, memory_format=memory_format)
        self.extractor = self.net.get_submodule(feature_extractor)
        self.extractor.requires_grad_(not plan.freeze)

    def run(self) -> TrainResult:
        """Train from the first epoch to the last."""
        plan = self.plan
        # Dropout draws from here; order and augmentation depend on (seed, epoch, index) alone.
        torch.manual_seed(plan.seed)
        loader = self._loader(self.train_pairs, augmentation(plan, self.model.preprocessing.mean))
        loss_function = cross_entropy(plan.class_weights, self.device)
        optimizer = make_optimizer(self.net, self.extractor, plan)
        schedule = make_schedule(optimizer, plan)
        validate = self._validation()

        best_score, best_epoch, best_scores = -math.inf, 0, None
        step = 0
        for epoch in range(1, plan.epochs + 1):
            started, losses, num_pictures = time.monotonic(), [], 0
            self._set_training_mode()
            for batch in loader.epoch(epoch):
                step += 1
                if len(batch) == 1 and plan.skip_single:
                    continue
                rate = schedule.get_last_lr()[-1]
                loss = training_step(self.net, batch, self.model.preprocessing, loss_function, optimizer, self.device)
                if not math.isfinite(loss):
                    raise self._not_finite(step, batch.names)
                schedule.step()
                losses.append(loss)
                num_pictures += len(batch)
                self.tell(StepDone(epoch, step, loss, len(batch)))
            seconds = time.monotonic() - started

            score, scores = validate(epoch)
            is_best = not best_epoch or score > best_score
            if is_best:
                best_score, best_epoch, best_scores = (-math.inf if math.isnan(score) else score), epoch, scores
            self._save(epoch, is_best, scores)
            metrics = _metrics(epoch, step, losses, rate, score, scores, num_pictures, seconds)
            self.folder.append_metrics(metrics)
            self.tell(EpochDone(epoch, metrics, is_best))
        return self._finish(best_epoch, best_scores)

    def _set_training_mode(self) -> None:
        self.net.train()
        if self.plan.freeze and self.plan.fixed_batch_norm:
            # Also without dropout inside: a frozen extractor then gives what it gave where it was pretrained.
            self.extractor.eval()

    def _loader(self, pairs: Sequence[Pair], augment: Augmentation) -> Loader:
        pictures = AugmentedPictures(pairs, self.model.classes, self.model.preprocessing, augment, self.plan.seed)
        return Loader(pictures, self.plan.batch_size, self.plan.num_workers)

    def _validation(self) -> Validate:
        """How the plan scores an epoch."""
        model, plan = self.model, self.plan
        if plan.validation == "whole":

            def on_whole_pictures(epoch: int) -> tuple[float, Scores | None]:
                del epoch
                scores = evaluate_pairs(Predictor(model, self.device), self.val_pairs, model.classes, "Validating")
                return scores.mean_iou, scores

            return on_whole_pictures

        crops = self._loader(self.val_pairs, CenterCrop(plan.crop, model.preprocessing.mean))

        def on_center_crops(epoch: int) -> tuple[float, Scores | None]:
            batches = crops.epoch(epoch)
            num_classes = model.classes.num_classes
            return mean_iou_over_batches(self.net, batches, model.preprocessing, num_classes, self.device), None

        return on_center_crops

    def _save(self, epoch: int, is_best: bool, scores: Scores | None) -> None:
        model = replace(self.model, scores=_header_scores(scores, epoch))
        save_model(self.folder.last, model)
        if is_best:
            save_model(self.folder.model, model)
        if self.plan.checkpoint_every and epoch % self.plan.checkpoint_every == 0:
            save_model(self.folder.checkpoint(epoch), model)

    def _finish(self, best_epoch: int, scores: Scores | None) -> TrainResult:
        """Score the best model where that wasn't done, draw samples, and tell the end."""
        best = load_model(self.folder.model)
        predictor = Predictor(best, self.device)
        if scores is None:
            scores = evaluate_pairs(predictor, self.val_pairs, self.model.classes, "Evaluating")
            save_model(self.folder.model, replace(best, scores=_header_scores(scores, best_epoch)))
        for pair in self.val_pairs[:: max(1, len(self.val_pairs) // NUM_SAMPLES)][:NUM_SAMPLES]:
            picture, labels = read_picture(pair.picture), read_labels(pair.labels, best.classes)
            panel = comparison(picture, labels, predictor.predict(picture).class_ids, best.classes)
            write_picture(self.folder.samples / f"{pair.stem}.png", panel)
        self.tell(RunDone(scores, best_epoch))
        return TrainResult(self.folder.path, self.folder.model, scores, best_epoch)

    def _not_finite(self, step: int, names: Sequence[str]) -> UserError:
        return UserError(
            f"The loss is not finite at step {step} (pictures {', '.join(names)}).",
            f"Lower --learning-rate (it was {self.plan.learning_rate:g}). The files of the last whole epoch, if any, are"
            f" in {self.folder.path}.",
        )


def _header_scores(scores: Scores | None, epoch: int) -> dict[str, Any]:
    return {"epoch": epoch} if scores is None else {"epoch": epoch, "split": "val", **scores.to_dict()}


def _metrics(
    epoch: int,
    step: int,
    losses: Sequence[float],
    rate: float,
    score: float,
    scores: Scores | None,
    num_pictures: int,
    seconds: float,
) -> dict[str, Any]:
    """An epoch's line in metrics.jsonl; times are in seconds, of training alone."""
    metrics: dict[str, Any] = {
        "epoch": epoch,
        "step": step,
        "train_loss": sum(losses) / max(1, len(losses)),
        "learning_rate": rate,
        "mean_iou": None if math.isnan(score) else score,
        "seconds": seconds,
        "pictures_per_second": num_pictures / max(seconds, 1e-9),
    }
    if scores is not None:
        whole = scores.to_dict()
        metrics["pixel_accuracy"] = whole["pixel_accuracy"]
        metrics["iou"] = {entry["name"]: entry["iou"] for entry in whole["classes"]}
    return metrics


def run_record(config: TrainConfig, plan: TrainPlan, data: DatasetReport, weights: WeightsReport) -> dict[str, Any]:
    """What run.json holds: all that is needed to know how a run came about."""
    packages = ("segtune", "torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy", "pillow")
    return {
        "command": sys.argv,
        "config": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(config).items()},
        "plan": plan.to_dict(),
        "weights": {"source": weights.source, "licence": weights.licence, "new": list(weights.new)},
        "data": data.to_dict(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _how_to_go_on(config: TrainConfig, folder: RunFolder) -> str:
    if not folder.last.exists():
        return "Interrupted before the first epoch was done; no model was written."
    return (
        f"Interrupted. {folder.model} holds the best epoch so far, {folder.last} the last whole one. To go on from there:\n"
        f"  segtune train {config.dataset} NEW_RUN --model {config.model} --weights {folder.last} …"
    )
