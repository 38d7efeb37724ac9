"""ONNX Runtime: .onnx on CPUs, and on CUDA devices with onnxruntime-gpu. Needs the extra ``runtime``, no torch."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from segtune.arrays import Array, Floats, NumpyArrays
from segtune.description import HEADER, Description, read_text
from segtune.errors import UserError, first_line
from segtune.runtimes.backend import Interface

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
            raise UserError(
                "ONNX Runtime is not installed, which .onnx files need.", "Install it: pip install 'segtune[runtime]'"
            )
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
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # what is wrong is raised
        # Made for sizes that stay: memory would be planned, and kept, for each size of a picture.
        options.enable_mem_pattern = False
        # Its threads wait actively between layers, but not between pictures: that time is for those who read and write.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        providers = [CUDA] if has_cuda and device != "cpu" else []
        try:
            self.session = onnxruntime.InferenceSession(
                str(content) if isinstance(content, Path) else content,
                options,
                providers=[*providers, "CPUExecutionProvider"],
            )
            self.metadata = dict(self.session.get_modelmeta().custom_metadata_map)
            inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        except self._failures as error:
            raise UserError(
                f"{self.name} is no .onnx file that ONNX Runtime can open: {first_line(error)}",
                "Expected: what 'segtune export' wrote.",
            ) from error
        if len(inputs) != 1 or len(outputs) != 1:
            raise UserError(f"{self.name} has {len(inputs)} inputs and {len(outputs)} outputs; one each was expected.")
        self._input = inputs[0].name
        self.interface = Interface()

    def run(self, images: Floats | Array) -> Floats:
        """Compute.

        Raises:
            UserError: The network does not take this.
        """
        try:
            (answer,) = self.session.run(None, {self._input: images})
        except self._failures as error:
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
    header = read_text(backend.metadata[HEADER], str(path))
    backend.interface = Interface.from_header(header, str(path))
    return Description.from_header(header, str(path)), backend
