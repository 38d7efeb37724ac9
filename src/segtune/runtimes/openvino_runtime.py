"""OpenVINO: .xml and .bin on Intel's processors. Needs the extra ``openvino``, no torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from segtune.arrays import Array, Floats, NumpyArrays
from segtune.description import HEADER, Description, parse_header
from segtune.errors import UserError, first_line, install
from segtune.out_of_memory import is_out_of_memory
from segtune.runtimes.backend import Interface, Workers


def openvino_core() -> Any:
    """OpenVINO's ``Core``.

    Raises:
        UserError: It is not installed.
    """
    if find_spec("openvino") is None:
        raise UserError("OpenVINO is not installed, which .xml files need.", install("openvino"))
    from openvino import Core

    return Core()


class OpenVino(NumpyArrays):
    """A compiled model of OpenVINO as a ``Backend``."""

    def __init__(self, compiled: Any, interface: Interface) -> None:
        self.compiled = compiled
        self.interface = interface
        self.workers = Workers()

    def run(self, images: Floats | Array) -> Floats:
        """Compute.

        Raises:
            UserError: The network does not take this.
        """
        try:
            return np.array(next(iter(self.compiled([images]).values())))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise UserError(f"OpenVINO can't compute a picture: {first_line(error)}") from error


def open_openvino(path: Path, device: str) -> tuple[Description, OpenVino]:
    """Open an .xml, with the .bin of the same name beside it.

    Raises:
        UserError: It can't be read, does not describe itself, or is to compute on CUDA.
    """
    if device == "cuda":
        raise UserError("OpenVINO has no CUDA.", "Leave out --device, or export to .onnx.")
    core = openvino_core()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise UserError(
            f"{path} is no OpenVINO file: {first_line(error)}", "Its .bin must lie beside it; or export it again."
        ) from error
    if not model.has_rt_info([HEADER]):
        raise UserError(f"{path} does not say which classes it knows.", "Expected: what 'segtune export' wrote.")
    header = parse_header(model.get_rt_info([HEADER]).astype(str), str(path))
    description = Description.from_header(header, str(path))
    # As exact as elsewhere: it would take bfloat16 by itself where the processor has it.
    try:
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise UserError(f"OpenVINO can't use {path}: {first_line(error)}", "Export it again.") from error
    return description, OpenVino(compiled, Interface.from_header(header, str(path)))
