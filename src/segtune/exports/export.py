"""Model file -> a file for another runtime, checked before it takes its place."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segtune.annotations.check import check_to_score
from segtune.annotations.dataset_folder import Pair, find_pairs
from segtune.classes import ClassTable
from segtune.config import ExportConfig
from segtune.description import HEADER
from segtune.errors import UserError, unwritable
from segtune.exports.check import ExportCheck, check_export
from segtune.exports.smaller import CALIBRATION_PICTURES, halve_onnx, quantize_onnx
from segtune.files import refuse_existing, write_json
from segtune.model_file import Model, load_model
from segtune.prediction.predictor import load
from segtune.run_folder import RunFolder
from segtune.runtimes.backend import MIN_EQUAL, Interface
from segtune.runtimes.openvino_runtime import openvino_core
from segtune.runtimes.write_torch import header_text, write_exported_program, write_onnx, write_torchscript
from segtune.spread import spread


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Attributes:
        megabytes: Size of the file, or of both.
        interface: What goes in and out, in words.
        check: What the check found; None with --no-check.
    """

    megabytes: float
    interface: str
    check: ExportCheck | None


def export(config: ExportConfig) -> ExportReport:
    """Export a model, check the file, and put it in its place with a report beside it, TARGET.json.

    Where the check fails, the target is not written.

    Raises:
        UserError: The model can't be used or exported, there is nothing to check with, or the check failed.
    """
    write = _writer(config)
    report_path = config.target.with_name(f"{config.target.name}.json")
    if not config.overwrite:
        for path in (*_files_of(config.target), report_path):
            refuse_existing(path)
    model = load_model(config.model)
    table = model.classes if config.ignore_value is None else replace(model.classes, ignore_value=config.ignore_value)
    pairs, training = ([], []) if config.no_check and not config.int8 else _pictures(config, table)
    precision = "int8" if config.int8 else "float16" if config.half else "float32"
    given = "images" if config.with_preprocessing == "no" else config.with_preprocessing
    interface = Interface(given, "class_ids" if config.argmax else "logits", precision)
    try:
        config.target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=config.target.parent, prefix=".") as name:
            made = Path(name) / config.target.name
            write(made, model, interface)
            if config.int8:
                quantize_onnx(made, load(made, "cpu"), [pair.picture for pair in training])
            check = None
            if not config.no_check:
                eager = load(config.model, "cpu", backend="eager")
                check = check_export(eager, load(made, "cpu"), pairs, table)
                _refuse_different(check, precision, config)
            files = _files_of(made)
            megabytes = sum(path.stat().st_size for path in files) / 1e6
            for path in files:
                shutil.move(path, config.target.with_name(path.name))
    except OSError as error:
        raise unwritable(config.target, error) from error
    report = {
        "model": str(config.model),
        "interface": interface.to_dict(),
        "check": None if check is None else check.to_dict(),
    }
    write_json(report_path, report)
    return ExportReport(megabytes, f"{interface.input} in, {interface.output} out, {interface.precision}", check)


def _refuse_different(check: ExportCheck, precision: str, config: ExportConfig) -> None:
    if precision == "float32" and not check.equal_pixels >= MIN_EQUAL:
        raise UserError(
            f"The exported file gives only {check.equal_pixels:.3%} of the pixels of {check.num_pictures}"
            f" pictures the class that the model gives them; {MIN_EQUAL:.1%} was expected. It was not kept.",
            f"Export to another format than {config.target.suffix}, or use the model as it is.",
        )


def _writer(config: ExportConfig) -> Callable[[Path, Model, Interface], None]:
    """What writes the format of the target.

    Raises:
        UserError: There is no such format, or it does not go with the options.
    """
    name = config.target.name
    writers: dict[str, Callable[[Path, Model, Interface], None]] = {
        ".onnx": _write_onnx,
        ".torchscript.pt": _write_halved(write_torchscript),
        ".pt2": _write_halved(write_exported_program),
        ".xml": _write_openvino,
    }
    suffix = next((suffix for suffix in writers if name.endswith(suffix) and name != suffix), None)
    if suffix is None:
        raise UserError(f"{config.target}: the suffix names no format to export to.", f"Known: {', '.join(writers)}.")
    if config.num_pictures < 0:
        raise UserError(f"--num-pictures is {config.num_pictures}; 0 (all) or more was expected.")
    if config.int8 and suffix != ".onnx":
        raise UserError("--int8 is for .onnx files.", "Name a TARGET.onnx.")
    if config.int8 and config.half:
        raise UserError("--half and --int8 exclude each other.", "Choose one.")
    return writers[suffix]


def _files_of(target: Path) -> list[Path]:
    """The files of an export; what names the others comes last."""
    return [target.with_suffix(".bin"), target] if target.suffix == ".xml" else [target]


def _write_onnx(path: Path, model: Model, interface: Interface) -> None:
    write_onnx(path, model, interface)
    if interface.precision == "float16":
        halve_onnx(path)


def _write_halved(write: Callable[[Path, Model, Interface], None]) -> Callable[[Path, Model, Interface], None]:
    """The network computes with float16 where it should; what goes in and out stays."""

    def written(path: Path, model: Model, interface: Interface) -> None:
        if interface.precision == "float16":
            model.net.half()
        write(path, model, interface)

    return written


def _write_openvino(path: Path, model: Model, interface: Interface) -> None:
    """By way of ONNX: OpenVINO reads that by itself, and sends nothing home as its converter may."""
    core = openvino_core()
    from openvino import save_model

    onnx_path = path.with_suffix(".onnx")
    write_onnx(onnx_path, model, interface)
    converted = core.read_model(onnx_path)
    converted.set_rt_info(header_text(model, interface), [HEADER])
    save_model(converted, path, compress_to_fp16=interface.precision == "float16")
    onnx_path.unlink()


def _pictures(config: ExportConfig, table: ClassTable) -> tuple[Sequence[Pair], Sequence[Pair]]:
    """What to check with, and training pictures to calibrate with.

    Raises:
        UserError: There is no dataset, or it is damaged.
    """
    dataset = config.data or _dataset_of_run(config.model)
    if dataset is None or (config.data is None and not dataset.is_dir()):
        record = RunFolder(config.model.parent).record
        what = "calibrate 8 bits with" if config.no_check else "check the export with"
        found = "names no dataset" if dataset is None else f"names {dataset}, which is not there any more"
        otherwise = "leave out --int8" if config.no_check else "export without a check: --no-check"
        raise UserError(
            f"There are no pictures to {what}: {record} {found}.", f"Name the dataset: --data DATASET; or {otherwise}."
        )
    check_to_score(dataset, table, "val")
    training = spread(find_pairs(dataset, "train"), CALIBRATION_PICTURES) if config.int8 else []
    validation = find_pairs(dataset, "val")
    return spread(validation, config.num_pictures or len(validation)), training


def _dataset_of_run(model: Path) -> Path | None:
    """The dataset that the run.json beside a model names."""
    try:
        return Path(RunFolder(model.parent).read_record()["dataset"])
    except (UserError, KeyError, TypeError):
        return None
