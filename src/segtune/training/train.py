"""The training: config -> run folder. Assembly first, then the loop, then what is shown of the result."""

import math
import os
import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from segtune.annotations.check import check_dataset
from segtune.annotations.convert import convert_export
from segtune.annotations.dataset_folder import Pair, dataset_classes, find_pairs, is_dataset_folder
from segtune.config import ConversionOptions, TrainConfig, changed_options, command_line
from segtune.data.cache import open_samples
from segtune.data.loader import AugmentedPictures, Loader
from segtune.errors import UserError, listed
from segtune.evaluation.evaluate import evaluate_pairs
from segtune.evaluation.scores import Scores
from segtune.model_file import Model, load_model, save_model
from segtune.models.catalog import build_model, feature_extractor, find_model, model_preprocessing
from segtune.models.pretrained import load_weights
from segtune.pictures import read_labels, read_picture, write_picture
from segtune.prediction.draw import comparison
from segtune.prediction.predictor import Predictor, choose_device
from segtune.training.augmentation import plan_augmentation, plan_mixing
from segtune.training.console_listener import ConsoleListener
from segtune.training.events import EpochDone, Event, Listener, RunDone, RunStarted, StepDone
from segtune.training.losses import cross_entropy
from segtune.training.optimizer import make_optimizer, make_schedule
from segtune.training.plan import Facts, TrainPlan, make_plan
from segtune.training.record import epoch_metrics, header_scores, run_record
from segtune.training.run_folder import RunFolder
from segtune.training.step import training_step
from segtune.training.validation import make_validation

NUM_SAMPLES = 6
"""Validation pictures shown in samples/."""


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
        UserError: Data, configuration or place can't be used; what the run folder held is untouched.
        TrainingInterrupted: Ctrl-C; the files of the last whole epoch are there.
    """
    folder = RunFolder(config.run)
    folder.refuse_used(config.overwrite)
    find_model(config.model)
    dataset = _dataset_folder(config, folder)
    table = dataset_classes(dataset, config.num_classes, config.ignore_value)
    data = check_dataset(dataset, table)
    data.raise_for_errors()
    train_pairs, val_pairs = (find_pairs(dataset, split) for split in ("train", "val"))
    device = choose_device(config.device)
    pixels = tuple(int(count) for count in data.splits["train"].pixels)
    plan = make_plan(config, Facts(table.num_classes, len(train_pairs), pixels, device.type, os.cpu_count() or 1))

    net = build_model(config.model, table.num_classes, config.seed)
    weights = load_weights(net, config.model, config.weights)
    preprocessing = model_preprocessing(config.model, plan.longest_side)
    origin = {"source": weights.source, "licence": weights.licence}
    model = Model(net, config.model, table, preprocessing, weights=origin, training=plan.to_dict())

    folder.clear()
    folder.write_record(run_record(config, plan, data, weights))
    with ExitStack() as stack:
        if listeners is None:
            listeners = [stack.enter_context(ConsoleListener())]
        warnings = [f"Warning: {warning}" for warning in data.warnings]
        if plan.freeze and not weights.taken:
            warnings.append("Warning: the feature extractor is frozen, and its weights are random: give --weights")
        tell_all(listeners, RunStarted(plan, (*warnings, *weights.describe())))
        try:
            best_epoch, scores = run_epochs(model, plan, train_pairs, val_pairs, folder, listeners)
            scores = _show_best(folder, val_pairs, best_epoch, scores, device)
        except KeyboardInterrupt as error:
            raise TrainingInterrupted(_how_to_go_on(config, folder)) from error
        tell_all(listeners, RunDone(scores, best_epoch))
    return TrainResult(folder.path, folder.model, scores, best_epoch)


def _dataset_folder(config: TrainConfig, folder: RunFolder) -> Path:
    """The dataset folder: the one given, or the one that the export given is converted into."""
    if is_dataset_folder(config.dataset) or not config.dataset.exists():
        without_effect = changed_options(config, ConversionOptions)
        if without_effect:
            raise UserError(
                f"{config.dataset} is a dataset folder already, so {listed(without_effect)} would have no effect.",
                "Leave them out, or give the annotation export.",
            )
        return config.dataset
    with folder.replaceable_dataset(config.overwrite) as target:
        convert_export(config.dataset, target, config).render()
    return folder.dataset


def run_epochs(
    model: Model,
    plan: TrainPlan,
    train_pairs: Sequence[Pair],
    val_pairs: Sequence[Pair],
    folder: RunFolder,
    listeners: Sequence[Listener],
) -> tuple[int, Scores | None]:
    """The loop. Returns the best epoch and, where validation made them, its scores on whole pictures."""
    device = torch.device(plan.device)
    net = model.net.to(device)
    if plan.channels_last:
        net.to(memory_format=torch.channels_last)
    extractor = feature_extractor(net, model.architecture).requires_grad_(not plan.freeze)
    # Only dropout draws from this; order and augmentation are functions of (seed, epoch, index).
    torch.manual_seed(plan.seed)

    augmentation = plan_augmentation(plan, model.preprocessing.mean)
    samples = open_samples(train_pairs, model.classes, model.preprocessing, "none", plan.num_workers)
    pictures = AugmentedPictures(samples, augmentation, plan.seed, plan_mixing(plan))
    loader = Loader(pictures, plan.batch_size, plan.num_workers)
    loss_function = cross_entropy(plan.class_weights, device)
    optimizer = make_optimizer(net, extractor, plan)
    schedule = make_schedule(optimizer, plan)
    validate = make_validation(model, plan, val_pairs, device)

    step, best_epoch, best_score, best_scores = 0, 0, math.nan, None
    for epoch in range(1, plan.epochs + 1):
        started, losses, num_pictures, rate = time.monotonic(), [], 0, 0.0
        net.train()
        if plan.freeze and plan.fixed_batch_norm:
            extractor.eval()
        for batch in loader.epoch(epoch):
            step += 1
            if len(batch) == 1 and plan.skip_single:
                continue
            rate = float(schedule.get_last_lr()[-1])
            loss = training_step(net, batch, model.preprocessing, loss_function, optimizer)
            if not math.isfinite(loss):
                raise _not_finite(step, batch.names, plan, folder)
            schedule.step()
            losses.append(loss)
            num_pictures += len(batch)
            tell_all(listeners, StepDone(epoch, step, loss, len(batch)))
        seconds = time.monotonic() - started

        score, scores = validate(epoch)
        # As long as there is no score, the newest epoch is the best that is known.
        is_best = math.isnan(best_score) or score > best_score
        if is_best:
            best_epoch, best_score, best_scores = epoch, score, scores
        trained = replace(model, scores=header_scores(scores, epoch))
        save_model(folder.last, trained)
        if is_best:
            save_model(folder.model, trained)
        if plan.checkpoint_every and epoch % plan.checkpoint_every == 0:
            save_model(folder.checkpoint(epoch), trained)
        metrics = epoch_metrics(epoch, rate, losses, num_pictures, seconds, score, scores)
        folder.append_metrics(metrics)
        tell_all(listeners, EpochDone(epoch, metrics, is_best))
    return best_epoch, best_scores


def tell_all(listeners: Sequence[Listener], event: Event) -> None:
    """Tell every listener."""
    for listener in listeners:
        listener(event)


def _show_best(
    folder: RunFolder, val_pairs: Sequence[Pair], best_epoch: int, scores: Scores | None, device: torch.device
) -> Scores:
    """Read the best model as a user would, score it where the loop didn't on whole pictures, and draw samples."""
    best = load_model(folder.model)
    predictor = Predictor(best, device)
    if scores is None:
        scores = evaluate_pairs(predictor, val_pairs, best.classes, "Evaluating")
        save_model(folder.model, replace(best, scores=header_scores(scores, best_epoch)))
    stride = -(-len(val_pairs) // NUM_SAMPLES)
    for pair in val_pairs[::stride]:
        picture, labels = read_picture(pair.picture), read_labels(pair.labels, best.classes)
        panel = comparison(picture, labels, predictor.predict(picture).class_ids, best.classes)
        write_picture(folder.samples / f"{pair.stem}.png", panel)
    return scores


def _not_finite(step: int, names: Sequence[str], plan: TrainPlan, folder: RunFolder) -> UserError:
    return UserError(
        f"The loss is not finite at step {step} (pictures {', '.join(names)}).",
        f"Lower --learning-rate (it was {plan.learning_rate:g}). {folder.path} keeps what the last whole epoch wrote.",
    )


def _how_to_go_on(config: TrainConfig, folder: RunFolder) -> str:
    if not folder.last.exists():
        return "Interrupted before the first epoch was done; no model was written."
    best = f"{folder.model} holds the best epoch so far, " if folder.model.exists() else ""
    again = replace(config, run=config.run.with_name(f"{config.run.name}-2"), weights=str(folder.last), overwrite=False)
    return (
        f"Interrupted. {best}{folder.last} the last whole one. To start again from its weights:\n"
        f"  {shlex.join(command_line('train', again))}"
    )
