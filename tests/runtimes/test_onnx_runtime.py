"""ONNX Runtime as a backend."""

import warnings

import onnxruntime
import pytest

from segtune.errors import UserError
from segtune.model_file import load_model
from segtune.runtimes.backend import Interface
from segtune.runtimes.onnx_runtime import CUDA, OnnxRuntime
from segtune.runtimes.write_torch import write_onnx


def test_a_fall_back_to_the_cpu_is_told(trained_run, tmp_path, monkeypatch):
    """A wheel that was built for CUDA has its provider, whatever the machine has."""
    write_onnx(tmp_path / "m.onnx", load_model(trained_run / "model.safetensors"), Interface())
    if CUDA in OnnxRuntime(tmp_path / "m.onnx", "auto").session.get_providers():
        pytest.skip("it does compute on CUDA here")
    warnings.simplefilter("ignore")  # this one was not built for it
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, "CPUExecutionProvider"])
    with pytest.raises(UserError, match="built for CUDA, but can't use it here"):
        OnnxRuntime(tmp_path / "m.onnx", "cuda")
    assert OnnxRuntime(tmp_path / "m.onnx", "auto").workers.cores >= 1
