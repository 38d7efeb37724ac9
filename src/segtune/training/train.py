"""The training: config -> run folder. What is prepared, the loop (loop.py), and what is shown of the result."""

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from segtune.allocator import keep_freed_memory
from segtune.annotations.check import check_dataset
from segtune.annotations.check_ahead import CheckAhead
from segtune.annotations.convert import convert_export
from segtune.annotations.dataset_folder import LAYOUT, SPLITS, Pair, dataset_classes, find_pairs, is_dataset_folder
from segtune.annotations.dataset_report import DatasetReport
from segtune.classes import ClassTable
from segtune.config import (
    Cache,
    ConversionOptions,
    Device,
    ReportConfig,
    ResumeConfig,
    TrainConfig,
    changed_options,
    command_line,
)
from segtune.console import output
from segtune.data.cache import choose_cache, measure_cache, open_samples
from segtune.data.loader import AugmentedPictures, Loader, worker_deaths_told
from segtune.errors import UserError, first_line, listed
from segtune.evaluation.evaluate import score_into
from segtune.evaluation.scores import Scores
from segtune.evaluation.tally import Tally
from segtune.machine import can_compile, usable_cpus
from segtune.model_file import Model, load_model, read_description, save_model
from segtune.models.catalog import build_model, find_model, model_preprocessing
from segtune.models.pretrained import WeightsReport, load_weights
from segtune.out_of_memory import shortage_told
from segtune.pictures import read_labels, read_picture, write_picture
from segtune.prediction.draw import panel
from segtune.prediction.predictor import Predictor
from segtune.preprocessing import Preprocessing
from segtune.report.report import write_report
from segtune.run_folder import RunFolder
from segtune.runtimes.backend import MAX_WORKERS
from segtune.runtimes.eager import choose_device, eager_backend
from segtune.spread import spread
from segtune.training.augmentation import plan_augmentation, plan_mixing
from segtune.training.augmented_sheet import augmented_sheet
from segtune.training.console_listener import ConsoleListener
from segtune.training.earlier_run import Earlier, epochs_to_resume, read_earlier, resumed_plan, run_to_resume
from segtune.training.events import Event, Listener, Notice, RunDone, RunStarted
from segtune.training.initial_model import load_initial, with_architecture
from segtune.training.limits import check_options
from segtune.training.loop import Run, StopRequested, TrialValidation, make_state, run_epochs
from segtune.training.network import Network
from segtune.training.notes import notes, why_it_ended
from segtune.training.plan import Facts, TrainPlan, make_plan
from segtune.training.processes import Processes, join, launch, was_launched
from segtune.training.record import header_scores, run_record
from segtune.training.resume import Progress
from segtune.training.step_memory import StepMemory, measure_step
from segtune.training.stop_signal import StopSignal
from segtune.training.validation import make_validation, validation_shortage
from segtune.training.watchers import make_watchers, refuse_unknown_watchers

NUM_SAMPLES = 6
"""Validation pictures shown in samples/."""
NUM_AUGMENTED = 12
"""Training samples shown there, as the network sees them."""


@dataclass(frozen=True)
class TrainResult:
    """What a training made.

    Attributes:
        run: The run folder.
        model: The path of the best model.
        scores: Its scores on the validation pictures, at their own size.
        best_epoch: The epoch it is from.
        report: The page that tells all of it; None where it could not be made.
        told: Whether other processes, which have made it, have told of it in the terminal.
        stop_requested: Whether a stop was asked for when nothing was left to train.
    """

    run: Path
    model: Path
    scores: Scores
    best_epoch: int
    report: Path | None = None
    told: bool = False
    stop_requested: bool = False


class TrainingInterrupted(KeyboardInterrupt):
    """The training was interrupted; the message says what there is and how to go on."""


@dataclass(frozen=True)
class Data:
    """The dataset of a run.

    Attributes:
        folder: The dataset folder.
        table: Its classes.
        report: What the check says of it.
        train: Training pictures with their labels; without those that have none.
        val: Validation pictures with theirs.
    """

    folder: Path
    table: ClassTable
    report: DatasetReport
    train: Sequence[Pair]
    val: Sequence[Pair]


def train(
    config: TrainConfig, listeners: Sequence[Listener] | None = None, check: CheckAhead | None = None
) -> TrainResult:
    """Fine-tune a model and write the run folder.

    Args:
        config: What to do. With ``nproc`` above 1 the processes are started here; torchrun may have started them, too.
        listeners: Who is told what happens; the terminal if not given.
        check: The check of the dataset, where it was begun already.

    Raises:
        UserError: Data, configuration or place can't be used; the run that the folder held is untouched, and so is its
            dataset.
        TrainingInterrupted: The training was asked to stop; ``resume`` goes on.
    """
    check_options(config)
    config = with_architecture(config)
    refuse_unknown_names(config)
    if config.nproc > 1 and not was_launched():
        _refuse_listeners(listeners)
        launch(command_line("train", config)[1:], config.nproc, RunFolder(config.run))
        return _read_result(config.run)
    return _train(config, lambda: run_to_resume(config), listeners, check)


def resume(config: ResumeConfig, listeners: Sequence[Listener] | None = None) -> TrainResult:
    """Go on with a training from the state that it wrote last; the result is the same as without the interruption.

    Raises:
        UserError: The folder holds no run, its data has changed, or its state is damaged.
        TrainingInterrupted: The training was asked to stop; ``resume`` goes on.
    """
    folder = RunFolder(config.run)
    earlier = read_earlier(folder)
    # The run folder may have been moved.
    changed = replace(earlier.config, **{name: value for name, value in vars(config).items() if value is not None})
    check_options(changed)
    refuse_unknown_names(changed)
    if changed.nproc > 1 and not was_launched():
        _refuse_listeners(listeners)
        launch(command_line("resume", replace(config, nproc=changed.nproc))[1:], changed.nproc, folder)
        return _read_result(config.run)
    return _train(changed, lambda: earlier, listeners)


def _train(
    config: TrainConfig,
    find_earlier: Callable[[], Earlier | None],
    listeners: Sequence[Listener] | None,
    check: CheckAhead | None = None,
) -> TrainResult:
    """Train in this process, which may be one of several.

    Args:
        config: What to do.
        find_earlier: Finds the run to go on with in the run folder.
        listeners: Who is told.
        check: The check of the dataset, where it was begun.
    """
    folder = RunFolder(config.run)
    with ExitStack() as stack:
        processes = stack.enter_context(join(config.device))
        device = choose_device(config.device)
        output.quiet = not processes.is_first
        found = None
        if processes.is_first:
            # It alone looks at the run folder, and says what it saw: while the others looked it might be writing.
            earlier = find_earlier()
            folder.refuse_used(config.overwrite, resume=earlier is not None)
            stack.enter_context(folder.locked())
            found = config, earlier, _prepare(config, folder, earlier, check)
        found = processes.broadcast(found)
        assert found is not None
        config, earlier, data = found
        if device.type == "cpu":
            keep_freed_memory()
        net = build_model(config.model, data.table.num_classes, config.seed)
        weights = _load_weights(net, config, data.table, earlier, processes)
        plan = processes.broadcast(_plan(config, data, net, device, processes, earlier))
        origin = {"source": weights.source, "licence": weights.licence}
        preprocessing = model_preprocessing(config.model, plan.longest_side, plan.enlarge)
        model = Model(net, config.model, data.table, preprocessing, weights=origin, training=plan.for_model_file())
        network = Network(net, config.model, plan, device)
        if processes.is_first:
            if earlier is None:
                folder.clear()
            commands = [*(earlier.commands if earlier else []), sys.argv]
            folder.write_record(run_record(config, plan, data.folder, data.report.to_dict(), weights, commands))
        if not processes.is_first:
            listeners = []
        elif listeners is None:
            watchers = make_watchers(config.report_to, folder, earlier is not None)
            listeners = [stack.enter_context(ConsoleListener()), *map(stack.enter_context, watchers)]
        stack.enter_context(processes.lost_processes_told(folder))
        stop = stack.enter_context(StopSignal(processes.is_first))

        def tell(event: Event) -> None:
            for listener in listeners:
                listener(event)

        try:
            run, pictures = _make_run(model, network, plan, data, folder, processes, tell, stop.requested)
            return _run(run, pictures, data, weights, earlier)
        except (KeyboardInterrupt, StopRequested) as error:
            raise TrainingInterrupted(_how_to_go_on(folder) if processes.is_first else "") from error


def _make_run(
    model: Model,
    network: Network,
    plan: TrainPlan,
    data: Data,
    folder: RunFolder,
    processes: Processes,
    tell: Callable[[Event], None],
    stop_requested: Callable[[], bool],
) -> tuple[Run, AugmentedPictures]:
    """What the loop works with, and the pictures that its loader makes batches of."""
    kept = replace(model.preprocessing, enlarge=1)  # crops are enlarged as they are cut
    samples = open_samples(data.train, model.classes, kept, plan.cache, plan.num_workers)
    augmentation = plan_augmentation(plan, model.preprocessing.mean)
    pictures = AugmentedPictures(samples, augmentation, plan.seed, plan_mixing(plan))
    loader = Loader(
        pictures, plan.batch_size, plan.num_workers,
        even=plan.even_batches, rank=processes.rank, world_size=processes.world_size,
        pin_memory=network.device.type == "cuda",
    )  # fmt: skip
    validate = make_validation(model, plan, data.val, network.device, processes)
    trial = None
    if plan.time_budget and plan.validation != "original":
        # As many at once as in a whole one: fewer would take as long, each with a share of the cores.
        few = spread(data.val, MAX_WORKERS * processes.world_size)
        few_validated = make_validation(model, plan, few, network.device, processes)
        trial = TrialValidation(few_validated, len(data.val) / len(few))
    run = Run(model, network, plan, loader, validate, trial, folder, processes, tell, stop_requested)
    return run, pictures


def _run(
    run: Run, pictures: AugmentedPictures, data: Data, weights: WeightsReport, earlier: Earlier | None
) -> TrainResult:
    """The loop, between what is said before and shown after it."""
    plan, folder, is_first = run.plan, run.folder, run.processes.is_first
    state, stepper = make_state(run)
    progress = state.progress
    if earlier is not None and earlier.has_state:
        state.restore(folder.resume)
        progress.go_on(plan)
        if is_first:
            folder.write_metrics(progress.metrics)
    elif is_first:
        folder.write_metrics([])
        write_picture(folder.augmented, augmented_sheet(pictures, data.table, NUM_AUGMENTED))
    num_left_out = data.report.splits["train"].num_pictures - len(data.train)
    known = notes(plan, data.table, data.report, weights, earlier is not None, num_left_out)
    run.tell(RunStarted(plan, known, data.table.names, progress.step))
    if progress.has_ended(plan):
        run.tell(Notice(why_it_ended(progress, plan, folder)))
    with worker_deaths_told():
        run_epochs(run, state, stepper)
    device = run.network.device
    scores = run.processes.broadcast(_show_best(folder, data.val, progress, device) if is_first else None)
    assert scores is not None
    run.tell(RunDone(scores, progress.best_epoch))
    report = _report(folder, device, run.tell) if is_first else None
    stop_requested = run.stop_requested()
    return TrainResult(folder.path, folder.model, scores, progress.best_epoch, report, stop_requested=stop_requested)


def _prepare(config: TrainConfig, folder: RunFolder, earlier: Earlier | None, check: CheckAhead | None) -> Data:
    """The dataset, checked; of an earlier run it must be the same."""
    dataset = _dataset_folder(config, folder, earlier)
    table = dataset_classes(dataset, config.num_classes, config.ignore_value)
    report = (check.report() if check else None) or check_dataset(dataset, table, SPLITS)
    report.raise_for_errors()
    if earlier is not None and report.fingerprint != earlier.fingerprint:
        raise UserError(
            f"{dataset} has changed since {folder.path} was begun: its pictures, labels or classes are not the same.",
            "Bring it back to what it was, or start a new run from these weights:"
            f" segtune train {dataset} NEW_RUN --init {folder.last}",
        )
    train_pairs, val_pairs = find_pairs(dataset, "train"), find_pairs(dataset, "val")
    # The original knew no pixels that don't count.
    unlabelled = report.unlabelled if config.recipe != "original" else frozenset()
    train_pairs = [pair for pair in train_pairs if pair.picture not in unlabelled]
    return Data(dataset, table, report, train_pairs, val_pairs)


def refuse_unknown_names(config: TrainConfig) -> None:
    """Raise UserError where the model, or what is reported to, is not known."""
    find_model(config.model)
    refuse_unknown_watchers(config.report_to)


def refuse_without_effect(config: TrainConfig) -> None:
    """Raise UserError where options for exports are given, but a dataset folder."""
    without_effect = changed_options(config, ConversionOptions)
    if without_effect:
        raise UserError(
            f"{config.dataset} is a dataset folder already, so {listed(without_effect)} would have no effect.",
            "Leave them out, or give the annotation export.",
        )


def _dataset_folder(config: TrainConfig, folder: RunFolder, earlier: Earlier | None) -> Path:
    """The dataset folder: the one given, or the one that the export given is converted into."""
    if earlier is not None and folder.dataset.exists() and not is_dataset_folder(config.dataset):
        return folder.dataset
    if not config.dataset.exists():
        hint = f"{LAYOUT} The export itself may be given, too."
        raise UserError(f"There is no file or folder {config.dataset}.", hint)
    if is_dataset_folder(config.dataset):
        if earlier is None:  # of an earlier run they were for the export
            refuse_without_effect(config)
        return config.dataset
    with folder.replaceable_dataset(config.overwrite) as target:
        convert_export(config.dataset, target, config).render()
    return folder.dataset


def _load_weights(
    net: nn.Module, config: TrainConfig, table: ClassTable, earlier: Earlier | None, processes: Processes
) -> WeightsReport:
    """What the net starts from; the first process downloads, the others find it in the cache."""
    if earlier is not None and earlier.has_state:
        return earlier.weights
    if config.init is not None:
        return load_initial(net, config.model, config.init, table)
    if not processes.is_first:
        processes.barrier()
    weights = load_weights(net, config.model, config.weights)
    if processes.is_first:
        processes.barrier()
    return weights


def _plan(
    config: TrainConfig, data: Data, net: nn.Module, device: torch.device, processes: Processes, earlier: Earlier | None
) -> TrainPlan:
    """The plan for the data and the machine; of an earlier run, its own where the machine does not matter."""
    if earlier is not None:
        # What 'auto' is may be another on this machine.
        config = replace(config, batch_size=earlier.plan.batch_size, epochs=epochs_to_resume(earlier, config))
    cuda = device.type == "cuda"
    memory = StepMemory()
    if cuda and config.accumulate == "auto":
        memory = measure_step(net, config, find_model(config.model).preprocessing, device)
    facts = Facts(
        num_classes=data.table.num_classes,
        num_train=len(data.train),
        sizes=sum((Counter(split.sizes) for split in data.report.splits.values()), Counter()),
        val_sizes=data.report.splits["val"].sizes,
        pixels=tuple(int(count) for count in data.report.splits["train"].pixels),
        device=device.type,
        num_cpus=max(1, usable_cpus() // processes.local_world_size),
        world_size=processes.world_size,
        has_bf16=cuda and torch.cuda.is_bf16_supported(including_emulation=False),
        can_compile=can_compile(),
        free_memory=memory.free,
        fixed_memory=memory.fixed,
        memory_per_picture=memory.per_picture,
    )
    plan = make_plan(config, facts)
    if config.cache == "auto":
        seen = plan if earlier is None else earlier.plan
        preprocessing = model_preprocessing(config.model, seen.longest_side)
        plan = replace(plan, cache=_choose_cache(data, preprocessing, plan.num_workers, processes.local_world_size))
    return plan if earlier is None else resumed_plan(earlier, config, plan)


def _choose_cache(data: Data, preprocessing: Preprocessing, num_workers: int, num_processes: int) -> Cache:
    """Where decoded pictures are kept; in memory, each process of a machine keeps its own."""
    facts = measure_cache(data.train, preprocessing)
    facts = replace(
        facts,
        free_memory=facts.free_memory // num_processes,
        free_shared_memory=facts.free_shared_memory // num_processes,
    )
    return choose_cache(facts, num_workers)


def _show_best(folder: RunFolder, val_pairs: Sequence[Pair], progress: Progress, device: torch.device) -> Scores:
    """Read the best model as a user would, score it with all that there is to say, and draw samples."""
    best = load_model(folder.model)
    predictor = Predictor(best.description, eager_backend(best, device))
    with shortage_told(validation_shortage):
        scores = score_into(folder.path, predictor, val_pairs, Tally(best.classes), {"split": "val"})
    if "split" not in best.scores:  # the original's validation has but a mean
        save_model(folder.model, replace(best, scores=header_scores(scores, progress.best_epoch)))
    for pair in spread(val_pairs, NUM_SAMPLES):
        picture, labels = read_picture(pair.picture), read_labels(pair.labels, best.classes)
        drawn = panel(picture, labels, predictor.predict(picture).class_ids, best.classes)
        write_picture(folder.samples / f"{pair.stem}.png", drawn)
    return scores


def _report(folder: RunFolder, device: torch.device, tell: Callable[[Event], None]) -> Path | None:
    """Make the report; whatever goes wrong there, the training is done and stays."""
    where: Device = "cpu" if device.type == "cpu" else "cuda"
    try:
        return write_report(ReportConfig(folder.path, device=where)).path
    except Exception as error:  # noqa: BLE001 - hours of training must not fail for a page
        again = shlex.join(["segtune", "report", str(folder.path)])
        tell(Notice(f"Warning: the report could not be made ({first_line(error)}). To try again: {again}"))
        return None


def _read_result(run: Path) -> TrainResult:
    """What other processes have made."""
    folder = RunFolder(run)
    best = read_description(folder.model)
    scores = Scores.from_dict(best.scores, best.classes)
    report = folder.report if folder.report.exists() else None
    return TrainResult(run, folder.model, scores, best.scores["epoch"], report, told=True)


def _refuse_listeners(listeners: Sequence[Listener] | None) -> None:
    if listeners is not None:
        raise UserError("Listeners can't be told what other processes do.", "Train with nproc=1, or start torchrun.")


def _how_to_go_on(folder: RunFolder) -> str:
    kept = f"{folder.model} holds the best epoch so far. " if folder.model.exists() else ""
    return f"Interrupted. {kept}To go on where it stopped:\n  {folder.resume_command}"
