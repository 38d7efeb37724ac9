"""Model -> .onnx, TorchScript and torch.export files, which describe themselves as a model file does."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional

from segtune.description import HEADER
from segtune.errors import UserError, first_line, install
from segtune.model_file import Model
from segtune.out_of_memory import is_out_of_memory
from segtune.preprocessing import Preprocessing
from segtune.runtimes.backend import EXPORT, Interface

OPSET = 18
"""Of ONNX: what runtimes since 2023 read."""

EXAMPLE_BATCH, EXAMPLE_SIDE = 2, 128
"""The picture that a network is traced with: neither 1 nor square, which a trace could take for constants."""


class Program(nn.Module):
    """A network with what ``interface`` adds to it, for one file.

    Args:
        net: float32 (N, 3, H, W) -> logits (N, C, H, W).
        preprocessing: Its own.
        interface: What goes in and out.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, preprocessing: Preprocessing, interface: Interface) -> None:
        super().__init__()
        self.net = net
        self.interface = interface
        self.size_multiple = preprocessing.size_multiple
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """What goes in -> what comes out."""
        images = pictures
        if self.interface.input == "nhwc":
            images = images.permute(0, 3, 1, 2)
        height, width = images.shape[2], images.shape[3]
        if self.interface.input != "images":
            images = images.float().div(255).sub(self.mean).div(self.std)
            images = functional.pad(images, (0, -width % self.size_multiple, 0, -height % self.size_multiple))
        dtype = next(self.net.parameters()).dtype
        # A trace keeps casts that change nothing, and runtimes do the work.
        logits: Tensor = self.net(images) if dtype == torch.float32 else self.net(images.to(dtype)).float()
        if self.interface.input != "images":
            logits = logits[:, :, :height, :width]
        return logits.argmax(dim=1).to(torch.uint8) if self.interface.output == "class_ids" else logits


def program_of(model: Model, interface: Interface) -> tuple[Program, Tensor, str]:
    """The module to export, an example of what goes in, and the text for the file's metadata."""
    program = Program(_with_fixed_padding(model.net), model.preprocessing, interface).cpu().eval()
    rows, columns = EXAMPLE_SIDE, EXAMPLE_SIDE + 32 * model.preprocessing.size_multiple
    if interface.input == "images":
        example = torch.randn(EXAMPLE_BATCH, 3, rows, columns)
    else:
        shape = (3, rows, columns) if interface.input == "nchw" else (rows, columns, 3)
        example = torch.randint(0, 256, (EXAMPLE_BATCH, *shape), dtype=torch.uint8)
    return program, example, header_text(model, interface)


def header_text(model: Model, interface: Interface) -> str:
    """What an exported file says of itself: what the model does, and what goes in and out."""
    return json.dumps({**model.description.to_header(), EXPORT: interface.to_dict()})


def _with_fixed_padding(net: nn.Module) -> nn.Module:
    """A copy of a network that pads as TensorFlow does, by numbers instead of a computation from each picture's size.

    They are the same for all sizes that a stride divides, and the network takes no others. Runtimes then pad inside of
    the convolution, and torch.export has no nested divisions to reason about, for minutes.
    """
    net = copy.deepcopy(net)
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if type(child) is Conv2dSame and isinstance(child.stride, tuple):
                setattr(parent, name, nn.Sequential(nn.ZeroPad2d(_fixed_padding(child)), _without_padding(child)))
    return net


def _fixed_padding(convolution: nn.Conv2d) -> tuple[int, int, int, int]:
    """(left, right, top, bottom), where the strides divide the size."""
    sides = zip(convolution.kernel_size, convolution.stride, convolution.dilation, strict=True)
    top, left = (max(dilation * (kernel - 1) + 1 - stride, 0) for kernel, stride, dilation in sides)
    return left // 2, left - left // 2, top // 2, top - top // 2


def _without_padding(convolution: nn.Conv2d) -> nn.Conv2d:
    plain = nn.Conv2d(
        convolution.in_channels, convolution.out_channels, convolution.kernel_size, convolution.stride,  # type: ignore[arg-type]
        dilation=convolution.dilation, groups=convolution.groups, bias=convolution.bias is not None,  # type: ignore[arg-type]
    )  # fmt: skip
    plain.weight, plain.bias = convolution.weight, convolution.bias
    return plain


@contextmanager
def quiet(logger_name: str) -> Iterator[None]:
    """Without what exporters say to developers."""
    logger = logging.getLogger(logger_name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@torch.inference_mode(False)
def write_onnx(path: Path, model: Model, interface: Interface) -> None:
    """Write an .onnx: batch, height and width are free. ``path`` is written as it is, not atomically.

    By torch's exporter from a trace: the newer one took minutes for a network that pads as TensorFlow does, and
    gave the same speed.

    Raises:
        UserError: The package onnx is not installed, or the network can't be exported.
    """
    if find_spec("onnx") is None:
        raise UserError("The package onnx is not installed.", install("onnx"))
    import onnx

    program, example, text = program_of(model, interface)
    sides = {"nhwc": {1: "height", 2: "width"}}.get(interface.input, {2: "height", 3: "width"})
    result = {1: "height", 2: "width"} if interface.output == "class_ids" else {2: "height", 3: "width"}
    source = "images" if interface.input == "images" else "pictures"
    try:
        with quiet("torch.onnx"), torch.no_grad():
            torch.onnx.export(
                program, (example,), str(path), dynamo=False, opset_version=OPSET,
                input_names=[source], output_names=[interface.output],
                dynamic_axes={source: {0: "batch", **sides}, interface.output: {0: "batch", **result}},
            )  # fmt: skip
        described = onnx.load(str(path))
        described.metadata_props.add(key=HEADER, value=text)
        described.producer_name = "segtune"
        onnx.save(described, str(path))
    except Exception as error:
        if isinstance(error, OSError) or is_out_of_memory(error):
            raise
        raise UserError(
            f"{model.architecture} can't be exported to ONNX: {first_line(error)}", "Try .pt2 or .torchscript.pt."
        ) from error


def write_torchscript(path: Path, model: Model, interface: Interface) -> None:
    """Write a .torchscript.pt, the format of the original project.

    Raises:
        UserError: The network can't be traced.
    """
    program, example, text = program_of(model, interface)
    try:
        with quiet("torch.onnx"), torch.no_grad():
            traced = torch.jit.trace(program, example, check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(traced, str(path), _extra_files={HEADER: text})
    except RuntimeError as error:
        raise UserError(f"{model.architecture} can't be traced: {first_line(error)}", "Try another format.") from error


def write_exported_program(path: Path, model: Model, interface: Interface) -> None:
    """Write a .pt2 (torch.export); heights and widths are multiples of what the network takes, and not the smallest.

    Raises:
        UserError: The network can't be exported.
    """
    program, example, text = program_of(model, interface)
    multiple = model.preprocessing.size_multiple if interface.input == "images" else 1
    height = width = torch.export.Dim.DYNAMIC
    if multiple > 1:
        height, width = (multiple * torch.export.Dim(name, min=2, max=1 << 10) for name in ("rows", "columns"))
    first = 1 if interface.input == "nhwc" else 2
    sides = {0: torch.export.Dim.DYNAMIC, first: height, first + 1: width}
    try:
        with quiet("torch.onnx"), torch.no_grad():
            exported = torch.export.export(program, (example,), dynamic_shapes=(sides,))
            torch.export.save(exported, str(path), extra_files={HEADER: text})
    except Exception as error:
        raise UserError(
            f"{model.architecture} can't be exported by torch.export: {first_line(error)}", "Try .onnx."
        ) from error
