"""A model file of any format -> its description and its backend, by the file's suffix."""

from pathlib import Path
from typing import TYPE_CHECKING

from segtune.config import RuntimeName
from segtune.description import Description
from segtune.errors import UserError, install, refuse_missing_torch
from segtune.runtimes.backend import Backend

if TYPE_CHECKING:
    import torch

SUFFIXES = {
    ".safetensors": "segtune's own",
    ".json": "a list of such, made by 'segtune crossval --ensemble'",
    ".onnx": "ONNX",
    ".pt": "TorchScript (.torchscript.pt)",
    ".pt2": "torch.export",
    ".xml": "OpenVINO, with its .bin",
}
"""The formats of model files."""


def format_of(path: Path) -> str:
    """The suffix of a model file.

    Raises:
        UserError: There is no such format.
    """
    if path.suffix not in SUFFIXES:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in SUFFIXES.items())
        raise UserError(f"{path}: there is no model format {path.suffix or 'without a suffix'}.", f"Known: {known}.")
    return path.suffix


def open_model(path: Path, device: str = "auto", runtime: RuntimeName = "auto") -> tuple[Description, Backend]:
    """Open a model file of any format.

    Args:
        path: The file.
        device: 'auto', 'cpu' or 'cuda'.
        runtime: What computes a .safetensors: 'eager' torch, 'onnxruntime', or whichever is faster. Others have theirs.

    Raises:
        UserError: It can't be read, describes itself wrongly, or what it needs is not there.
    """
    if not path.is_file():
        raise UserError(f"There is no model file {path}.", "Give the model.safetensors of a run folder.")
    suffix = format_of(path)
    if suffix == ".onnx":
        from segtune.runtimes.onnx_runtime import open_onnx

        return open_onnx(path, device)
    if suffix == ".xml":
        from segtune.runtimes.openvino_runtime import open_openvino

        return open_openvino(path, device)
    refuse_missing_torch(path.name)
    from segtune.runtimes import eager

    chosen = eager.choose_device(device)
    if suffix == ".pt":
        return eager.open_torchscript(path, chosen)
    if suffix == ".pt2":
        return eager.open_exported_program(path, chosen)
    return _open_own(path, chosen, runtime)


def _open_own(path: Path, device: "torch.device", runtime: RuntimeName) -> tuple[Description, Backend]:
    from segtune.model_file import load_model
    from segtune.runtimes import eager
    from segtune.runtimes.session_cache import can_use_onnxruntime, faster_backend, onnx_backend

    model = load_model(path)
    if runtime == "onnxruntime" and device.type != "cpu":
        raise UserError("--backend onnxruntime is for CPUs.", "Add --device cpu.")
    if runtime == "onnxruntime" and not can_use_onnxruntime():
        raise UserError("ONNX Runtime is not installed.", install("onnx"))
    if runtime == "onnxruntime":
        return model.description, onnx_backend(path, model)
    if runtime == "auto" and device.type == "cpu" and can_use_onnxruntime():
        session = faster_backend(path, model)
        if session is not None:
            return model.description, session
    return model.description, eager.eager_backend(model, device)
