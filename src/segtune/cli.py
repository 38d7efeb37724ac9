"""The command line: argv -> a config -> one call of the API -> exit code. torch is imported inside commands only."""

import io
import json
import operator
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import is_dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from segtune.config import (
    CacheConfig,
    CheckConfig,
    ConvertConfig,
    CrossvalConfig,
    DemoConfig,
    EvaluateConfig,
    ExportConfig,
    ImportWeightsConfig,
    ModelsConfig,
    PredictConfig,
    ReportConfig,
    ResumeConfig,
    ServeConfig,
    SuggestConfig,
    TrainConfig,
    command_line,
)
from segtune.console import messages, output
from segtune.errors import UserError, listed, nearest, refuse_missing_torch
from segtune.files import RENAME_TO_UNICODE, beside, is_unicode, printable
from segtune.machine import share_processors
from segtune.out_of_memory import shortage_told

if TYPE_CHECKING:
    from segtune.training.train import TrainResult

DESCRIPTION = """Fine-tune semantic segmentation models on your own pictures.

First time here:  segtune demo

With your own annotations:  segtune convert EXPORT.zip DATASET

then:  segtune train DATASET RUN --model deeplabv3plus:efficientnet_lite0

then:  segtune predict RUN/model.safetensors PICTURES OUTPUT

Each command explains itself:  segtune train --help

Which version this is:  segtune --version"""


def run_convert(config: ConvertConfig) -> int:
    """Convert, and print the report; 1 where a repair has left errors."""
    from segtune.annotations.conversion import ConvertReport
    from segtune.annotations.convert import convert
    from segtune.annotations.repair import RepairReport

    report = convert(config)
    report.render()
    dataset = shlex.quote(str(config.dataset))
    if isinstance(report, ConvertReport) and report.covered and report.proposed_order:
        target = beside(config.dataset, "-in-order")
        again = replace(config, dataset=target, paint_order=report.proposed_order)
        output.print(
            f"\nNo pixel is left of {listed(report.covered)}. Next: {shlex.join(command_line('convert', again))}"
        )
        return 0
    if isinstance(report, RepairReport) and report.after.errors:
        messages.print(f"\nErrors are left. Mend these files of {dataset} by hand, or remove them with their partners.")
        return 1
    output.print(f"\nNext: segtune check {dataset}")
    output.print(f"then: segtune train {dataset} runs/my-first-run --model deeplabv3plus:efficientnet_lite0")
    return 0


def run_check(config: CheckConfig) -> int:
    """Check, and print the report; 1 for warnings where that is asked for, 2 for errors."""
    from segtune.annotations.check import check
    from segtune.annotations.check_page import write_check_page
    from segtune.files import refuse_existing

    if config.page is not None and not config.overwrite:
        refuse_existing(config.page)
    report = check(config)
    if config.json:
        output.print(json.dumps(report.to_dict(), indent=2))  # escaped, it is JSON on any terminal
    else:
        report.render()
    if config.page is not None:
        write_check_page(config.page, report)
        if not config.json:
            output.print(f"Page: {config.page}")
    return 2 if report.errors else int(config.strict and bool(report.warnings))


def run_train(config: TrainConfig) -> int:
    """Train; the console listener prints."""
    refuse_missing_torch("train")
    from segtune.annotations.check_ahead import checked_ahead

    # Of several processes only the first one checks, when all have found each other.
    is_alone = config.nproc == 1 and "WORLD_SIZE" not in os.environ
    with checked_ahead(config.dataset, config.num_classes, config.ignore_value) if is_alone else nullcontext() as check:
        from segtune.training.train import train

        return _finish_training(lambda: train(config, check=check))


def run_resume(config: ResumeConfig) -> int:
    """Go on with a training."""
    refuse_missing_torch("resume")
    from segtune.training.train import resume

    return _finish_training(lambda: resume(config))


def run_crossval(config: CrossvalConfig) -> int:
    """Cross-validate, and print the table."""
    refuse_missing_torch("crossval")
    from segtune.training.crossval import CROSSVAL_FILE, ENSEMBLE_FILE, crossval
    from segtune.training.train import TrainingInterrupted

    try:
        result = crossval(config)
    except TrainingInterrupted:
        again = shlex.join(command_line("crossval", replace(config, overwrite=False, resume="auto")))
        messages.print(f"\nInterrupted. To go on where it stopped:\n  {again}")
        return 130
    output.print(result.table())
    output.print(f"\nScores: {result.run / CROSSVAL_FILE}; models: {result.run}/fold_*/model.safetensors")
    if config.ensemble:
        output.print(f"Next: segtune predict {result.run / ENSEMBLE_FILE} PICTURES OUT")
    return 0


def _finish_training(run: "Callable[[], TrainResult]") -> int:
    """Run a training, and say what to do with what it made."""
    from segtune.training.train import TrainingInterrupted

    try:
        result = run()
    except TrainingInterrupted as interruption:
        if str(interruption):  # one of several processes says it for all
            messages.print(f"\n{interruption}")
        return 130
    if result.told:
        return 0
    output.print(f"\nModel: {result.model}; pictures of what it does: {result.run / 'samples'}")
    if result.report is not None:
        output.print(f"Report: {result.report}")
    output.print(f"Next: segtune predict {result.model} PICTURES OUT")
    return 0


def run_evaluate(config: EvaluateConfig) -> int:
    """Evaluate, and print the table."""
    from segtune.evaluation.evaluate import evaluate_and_compare

    scores, comparison = evaluate_and_compare(config)
    output.print(scores.table(f"{config.model} on {config.dataset / config.split}"))
    if comparison is not None:
        output.print(comparison.table(f"Compared with {config.compare}", ("MODEL", "OTHER_MODEL")))
    if config.output is not None:
        output.print(f"Written to {config.output}: scores.json, per_image.csv, confusion.png, worst/, best/")
    return 0


def run_report(config: ReportConfig) -> int:
    """Make the report, and say what it doesn't show."""
    refuse_missing_torch("report")
    from segtune.report.report import write_report

    result = write_report(config)
    for sentence in result.missing:
        messages.print(f"Not in the report: {sentence}")
    output.print(f"Report: {result.path}")
    return 0


def run_predict(config: PredictConfig) -> int:
    """Predict; 1 where some pictures could not be read."""
    from segtune.prediction.outputs import place_of
    from segtune.prediction.predict import predict

    report = predict(config)
    places = listed(place_of(kind) for kind in report.kinds)
    output.print(f"{report.num_pictures} pictures: {places} in {report.output}")
    for note in report.notes:
        messages.print(f"Note: {note}")
    for problem in report.unreadable:
        messages.print(f"Left out: {problem}")
    for problem in report.incomplete:
        messages.print(f"Incomplete: {problem}")
    return 1 if report.unreadable or report.incomplete else 0


def run_suggest(config: SuggestConfig) -> int:
    """Suggest, and say what to do with it; 1 where some pictures, labelled ones among them, could not be read."""
    from segtune.labeling.suggest import CVAT_ZIP, PICTURES, SHEET, render, suggest
    from segtune.prediction.outputs import CVAT_LABELS

    report = suggest(config)
    render(report)
    output.print(f"{len(report.chosen)} of {len(report.ranked)} pictures: {report.output / PICTURES}")
    output.print(f"To look at: {report.output / SHEET}")
    output.print(
        f"Next, in CVAT: make a task of these pictures (labels: {report.output / CVAT_LABELS}), upload"
        f" {report.output / CVAT_ZIP} as CVAT 1.1, and correct it."
    )
    return 1 if report.unreadable or report.unreadable_labeled else 0


def run_export(config: ExportConfig) -> int:
    """Export, and print what the check found."""
    refuse_missing_torch("export")
    from segtune.exports.export import export

    report = export(config)
    output.print(f"{config.target}: {report.megabytes:.1f} MB, {report.interface}")
    if report.check is not None:
        for line in report.check.lines():
            output.print(line)
    return 0


def run_serve(config: ServeConfig) -> int:
    """Serve until told to stop."""
    from segtune.serving.serve import serve

    serve(config)
    return 0


def run_import_weights(config: ImportWeightsConfig) -> int:
    """Import a state dict."""
    refuse_missing_torch("import-weights")
    from segtune.foreign_weights import import_weights

    model = import_weights(config)
    output.print(f"{config.model}: {model.architecture}, {model.classes.num_classes} classes")
    return 0


def run_models(config: ModelsConfig) -> int:
    """List models or encoders."""
    refuse_missing_torch("models")
    from segtune.models.listing import print_encoders, print_models

    if config.encoder:
        print_encoders(config.encoder)
    else:
        print_models()
    return 0


def run_cache(config: CacheConfig) -> int:
    """Show the cache of decoded pictures, or remove it."""
    from segtune.data.cache_folder import cache_contents, clear_cache, picture_folder, session_folder

    total = 0
    for folder, what in ((picture_folder(), "pictures"), (session_folder(), "files of exported models")):
        found = clear_cache(folder) if config.clear else cache_contents(folder)
        size = f"{found.num_files} {what}, {found.num_bytes / 1e6:,.1f} MB"
        output.print(f"Removed from {folder}: {size}" if config.clear else f"{folder}: {size}")
        total += found.num_files
    if total and not config.clear:
        output.print("To remove them: segtune cache --clear")
    return 0


def run_demo(config: DemoConfig) -> int:
    """Run the demo."""
    refuse_missing_torch("demo")
    from segtune.demo.demo import demo

    demo(config)
    return 0


COMMANDS: dict[str, tuple[type, Callable[[Any], int]]] = {
    "convert": (ConvertConfig, run_convert),
    "check": (CheckConfig, run_check),
    "train": (TrainConfig, run_train),
    "resume": (ResumeConfig, run_resume),
    "crossval": (CrossvalConfig, run_crossval),
    "evaluate": (EvaluateConfig, run_evaluate),
    "report": (ReportConfig, run_report),
    "predict": (PredictConfig, run_predict),
    "suggest": (SuggestConfig, run_suggest),
    "export": (ExportConfig, run_export),
    "serve": (ServeConfig, run_serve),
    "import-weights": (ImportWeightsConfig, run_import_weights),
    "models": (ModelsConfig, run_models),
    "cache": (CacheConfig, run_cache),
    "demo": (DemoConfig, run_demo),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Returns:
        The exit code: 0 done; 1 done in part, a repair that leaves errors, or warnings of 'check --strict'; 2 the user
        must mend something; 130 interrupted.
    """
    share_processors()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        from importlib.metadata import version  # takes a tenth of the start-up time

        output.print(f"segtune {version('segtune')}")
        return 0
    for stream in (sys.stdout, sys.stderr):
        # A terminal that is not of UTF-8 shows what it has no letter for as its number.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        odd = [argument for argument in arguments if not is_unicode(argument)]
        if odd:
            raise UserError(f"{printable(odd[0])} is not written in UTF-8.", RENAME_TO_UNICODE)
        config = parse(arguments or ["--help"])
        with shortage_told(memory_shortage):
            return dict(COMMANDS.values())[type(config)](config)
    except UserError as error:
        messages.print("Error: ", style="bold red", end="")
        messages.print(error.message)
        if error.hint:
            messages.print(error.hint, style="cyan")
        return 2
    except BrokenPipeError:
        # Who reads has seen enough, as in '| head'. Python writes what is left when it ends, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        messages.print(f"Error: {error}", style="bold red")
        return 2
    except KeyboardInterrupt:
        messages.print("\nInterrupted.")
        return 130


def memory_shortage() -> UserError:
    """The error of a command that has no better one."""
    return UserError(
        "Memory is out; what was written before this is intact.",
        "Close other programs, or use smaller pictures; 'segtune predict --tile 512' computes large ones in parts.",
    )


def parse(arguments: Sequence[str]) -> Any:
    """The config that a command line means; exits with 2, saying why, where it means none.

    Raises:
        UserError: There is no such command.
    """
    if {"--help", "-h"} & set(arguments):
        for config in {base for command, _ in COMMANDS.values() for base in command.__mro__ if is_dataclass(base)}:
            help_in_paragraphs(config)
    command, *rest = arguments
    if command in COMMANDS:
        # Parsed alone, so that an error suggests no other command's options.
        config, prog, description = COMMANDS[command][0], f"segtune {command}", None
    elif not command.startswith("-"):
        raise UserError(
            f"There is no command {command}.", nearest(command, COMMANDS) or f"There are {listed(COMMANDS, 99)}."
        )
    else:
        config, prog, description, rest = _any_command(), "segtune", DESCRIPTION, [*arguments]
    return tyro.cli(
        config, prog=prog, description=description, args=gather_weights(rest), config=(tyro.conf.FlagCreatePairsOff,)
    )


def _any_command() -> Any:
    """The union of all commands, of which tyro makes a list."""
    commands = (Annotated[config, tyro.conf.subcommand(name)] for name, (config, _) in COMMANDS.items())
    return Annotated[reduce(operator.or_, commands), tyro.conf.OmitSubcommandPrefixes]


def help_in_paragraphs(config: type) -> None:
    """Give tyro (1.0.17) the help of each option as one line: it would keep the line ends of the docstrings."""
    from docstring_parser import parse_from_object

    for option in parse_from_object(config).params:
        if option.description and option.arg_name in config.__annotations__:
            words = " ".join(option.description.split())
            annotation = config.__annotations__[option.arg_name]
            config.__annotations__[option.arg_name] = Annotated[annotation, tyro.conf.arg(help=words)]


def gather_weights(arguments: Sequence[str]) -> list[str]:
    """Make one ``-w 1 2 1`` of the ``-w 1 -w 2 -w 1`` that the original's users type."""
    rest: list[str] = []
    weights: list[str] = []
    follows = False
    for argument in arguments:
        # Values of -w go on until the next option; a negative number is no option.
        follows = argument == "-w" or (follows and not argument.startswith("--"))
        if follows and argument != "-w":
            weights.append(argument)
        elif argument != "-w":
            rest.append(argument)
    return [*rest, "-w", *weights] if "-w" in arguments else rest
