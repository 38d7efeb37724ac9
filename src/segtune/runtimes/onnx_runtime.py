"""ONNX Runtime: .onnx on CPUs, and on CUDA devices with onnxruntime-gpu. Needs the extra ``runtime``, no torch."""

import threading
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segtune.arrays import Array, Floats, NumpyArrays
from segtune.description import HEADER, Description, parse_header
from segtune.errors import UserError, first_line, install
from segtune.machine import usable_cpus
from segtune.out_of_memory import is_out_of_memory
from segtune.runtimes.backend import Interface, Workers

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CUDA = "CUDAExecutionProvider"


def has_onnxruntime() -> bool:
    """Whether the extra ``runtime`` is installed."""
    return find_spec("onnxruntime") is not None


class OnnxRuntime(NumpyArrays):
    """A session of ONNX Runtime as a ``Backend``.

    Args:
        content: Path or bytes of an .onnx file with one input and one output, float32 or uint8.
        device: 'auto', 'cpu' or 'cuda'.
        name: What to call it in errors.

    Raises:
        UserError: It can't be read, or there is no such device.
    """

    def __init__(self, content: Path | bytes, device: str = "cpu", name: str = "") -> None:
        if not has_onnxruntime():
            raise UserError("ONNX Runtime is not installed, which .onnx files need.", install("runtime"))
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        self.name = name or str(content)
        failures = tuple(
            kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)
        )
        self._failures: tuple[type[BaseException], ...] = (*failures, RuntimeError, ValueError)
        has_cuda = CUDA in onnxruntime.get_available_providers()
        if device == "cuda" and not has_cuda:
            raise UserError("ONNX Runtime has no CUDA here.", "Use --device cpu, or install onnxruntime-gpu.")
        self._content = str(content) if isinstance(content, Path) else content
        self._providers = [*([CUDA] if has_cuda and device != "cpu" else []), "CPUExecutionProvider"]
        self._opening = threading.Lock()
        try:
            self.session = self._open(0)
            self.metadata = dict(self.session.get_modelmeta().custom_metadata_map)
            inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        except self._failures as error:
            raise UserError(
                f"{self.name} is no .onnx file that ONNX Runtime can open: {first_line(error)}",
                "Expected: what 'segtune export' wrote.",
            ) from error
        # Built for CUDA, it still goes to the CPU, and says nothing, where the system's libraries don't fit.
        computes_on_cuda = CUDA in self.session.get_providers()
        if device == "cuda" and not computes_on_cuda:
            raise UserError(
                "ONNX Runtime is built for CUDA, but can't use it here: it needs other libraries, or another driver.",
                "Use --device cpu, or install the CUDA and cuDNN that this onnxruntime-gpu is for.",
            )
        self.workers = Workers(1 if computes_on_cuda else usable_cpus())
        if len(inputs) != 1 or len(outputs) != 1:
            raise UserError(f"{self.name} has {len(inputs)} inputs and {len(outputs)} outputs; one each was expected.")
        self._input = inputs[0].name
        self.interface = Interface()

    def _open(self, cores: int) -> "InferenceSession":
        """A session that computes with so many cores; 0: with all."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # what is wrong is raised
        options.intra_op_num_threads = cores
        # Made for sizes that stay: memory would be planned, and kept, for each size of a picture.
        options.enable_mem_pattern = False
        # Its threads wait actively between layers, but not between pictures: that time is for those who read and write.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return onnxruntime.InferenceSession(self._content, options, providers=self._providers)

    @cached_property
    def _session_for_share(self) -> "InferenceSession":
        """What computes with a worker's share of the cores."""
        return self._open(self.workers.cores // self.workers.count)

    def run(self, images: Floats | Array) -> Floats:
        """Compute.

        Raises:
            UserError: The network does not take this.
            Exception: Memory is out, see ``is_out_of_memory``.
        """
        with self.workers.cores_for(images) as cores:
            with self._opening:
                session = self.session if cores == self.workers.cores else self._session_for_share
            try:
                (answer,) = session.run(None, {self._input: images})
            except self._failures as error:
                if is_out_of_memory(error):
                    raise
                raise UserError(f"{self.name} can't compute a picture: {first_line(error)}") from error
        return np.asarray(answer)


def open_onnx(path: Path, device: str) -> tuple[Description, OnnxRuntime]:
    """Open an .onnx that 'segtune export' wrote. It is untrusted, and can't run code.

    Raises:
        UserError: It can't be read, does not describe itself, or there is no such device.
    """
    backend = OnnxRuntime(path, device)
    if HEADER not in backend.metadata:
        raise UserError(
            f"{path} does not say which classes it knows, nor how pictures are prepared for it.",
            "Expected: an .onnx that 'segtune export' wrote; others are not described.",
        )
    header = parse_header(backend.metadata[HEADER], str(path))
    backend.interface = Interface.from_header(header, str(path))
    return Description.from_header(header, str(path)), backend
