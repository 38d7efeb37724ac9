"""What is written: a network whose padding is no computation."""

import onnx
import pytest
import torch

from segtune.classes import numbered_classes
from segtune.errors import UserError
from segtune.model_file import Model
from segtune.models.catalog import build_model, model_preprocessing
from segtune.runtimes.backend import Interface
from segtune.runtimes.onnx_runtime import OnnxRuntime
from segtune.runtimes.write_torch import write_onnx

ARCHITECTURE = "deeplabv3plus:efficientnet_lite0"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The network, which pads as TensorFlow does, and its .onnx."""
    net = build_model(ARCHITECTURE, 3).eval()
    path = tmp_path_factory.mktemp("written") / "m.onnx"
    write_onnx(path, Model(net, ARCHITECTURE, numbered_classes(3), model_preprocessing(ARCHITECTURE, 0)), Interface())
    return net, path


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 160), (352, 224)])
def test_fixed_padding_changes_nothing(written, size):
    net, path = written
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = net(images).numpy()
    assert OnnxRuntime(path).run(images.numpy()) == pytest.approx(expected, abs=1e-4)


def test_padding_is_not_computed_from_sizes(written):
    kinds = {node.op_type for node in onnx.load(written[1]).graph.node}
    assert "Pad" in kinds
    assert not kinds & {"Ceil", "Div"}


class NoGraph(torch.nn.Module):
    """What a tracer can't follow."""

    def __init__(self, error):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self._error = error

    def forward(self, images):
        del images
        raise self._error


@pytest.mark.parametrize(
    ("error", "told"), [(TypeError("odd"), UserError), (MemoryError(), MemoryError), (OSError(28, "full"), OSError)]
)
def test_what_can_not_be_exported_is_told_whatever_the_tracer_says(tmp_path, error, told):
    model = Model(NoGraph(error), ARCHITECTURE, numbered_classes(3), model_preprocessing(ARCHITECTURE, 0))
    with pytest.raises(told):
        write_onnx(tmp_path / "m.onnx", model, Interface())
