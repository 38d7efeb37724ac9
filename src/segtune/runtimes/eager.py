"""PyTorch: networks of model files as they are, TorchScript and torch.export programs, on CPUs and CUDA devices."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtune.arrays import Array, Floats, NumpyArrays
from segtune.console import messages
from segtune.description import HEADER, Description, parse_header
from segtune.errors import UserError, first_line
from segtune.model_file import Model
from segtune.out_of_memory import is_out_of_memory
from segtune.runtimes.backend import Interface, Workers

ENCODERS = frozenset({"encoder", "backbone"})
"""What segmentation-models-pytorch and torchvision call the part of a network that sees; the rest paints."""


class TorchArrays:
    """``Arrays`` of torch, on a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def array(self, values: Floats) -> Tensor:
        """A tensor on the device."""
        return torch.from_numpy(values).to(self.device)

    def zeros(self, shape: tuple[int, ...]) -> Tensor:
        """float32 zeros."""
        return torch.zeros(shape, device=self.device)

    def numpy(self, values: Tensor) -> Floats:
        """On the CPU."""
        array: Floats = values.float().cpu().numpy()
        return array

    def joined(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Values one after the other."""
        return torch.cat(list(parts), dim=axis)

    def mirrored(self, values: Tensor) -> Tensor:
        """Left and right exchanged."""
        return values.flip(3)

    def resized(self, values: Tensor, height: int, width: int) -> Tensor:
        """Bilinear."""
        if values.shape[2:] == (height, width):
            return values
        return functional.interpolate(values, size=(height, width), mode="bilinear", align_corners=False)

    def mixed(self, one: Tensor, two: Tensor, share: Tensor) -> Tensor:
        """Linear interpolation."""
        return torch.lerp(one, two, share.to(one.dtype))

    def softmax(self, values: Tensor) -> Tensor:
        """Along the classes."""
        return values.softmax(dim=1)

    def log(self, values: Tensor) -> Tensor:
        """The natural logarithm."""
        return values.log()

    def best(self, logits: Tensor) -> tuple[Array, Floats]:
        """On the device; only the results leave it."""
        if logits.device.type == "cpu":  # there numpy is faster
            return NumpyArrays().best(logits.float().contiguous().numpy())
        top, best = logits.max(dim=0)
        confidence = torch.exp(top - torch.logsumexp(logits, dim=0)).float()
        return best.to(torch.uint8).cpu().numpy(), confidence.cpu().numpy()


class Eager(TorchArrays):
    """A torch module as a ``Backend``.

    Args:
        net: What goes in -> what comes out; a module is moved to the device and set to evaluation before.
        device: Where to compute.
        interface: What goes in and out.
    """

    def __init__(
        self, net: Callable[[Tensor], Tensor], device: torch.device, interface: Interface | None = None
    ) -> None:
        super().__init__(device)
        self.interface = interface or Interface()
        self.net = net.to(device).eval() if isinstance(net, nn.Module) else net
        self.workers = Workers(torch.get_num_threads() if device.type == "cpu" else 1)

    @torch.inference_mode()
    def run(self, images: Floats | Array) -> Tensor:
        """Compute."""
        values = torch.from_numpy(images).to(self.device)
        if self.interface.input == "images":
            values = values.contiguous(memory_format=torch.channels_last)
        with self.workers.cores_for(images) as cores:
            if self.device.type == "cpu" and torch.get_num_threads() != cores:
                torch.set_num_threads(cores)  # of this thread only
            return self.net(values)

    def watch_encoder(self, keep: Callable[[Floats], None]) -> bool:
        """Hand on the last features of the network's encoder, each channel's mean, float32 (F,), of all that is run.

        Args:
            keep: Called once for each picture of each run.

        Returns:
            Whether it has an encoder to watch; of an ensemble it is that of the first network.
        """
        if not isinstance(self.net, nn.Module):
            return False  # a program
        for name, module in self.net.named_modules():
            if name.rsplit(".", 1)[-1] in ENCODERS:
                module.register_forward_hook(lambda _module, _images, output: _keep_pooled(output, keep))
                return True
        return False


def _keep_pooled(output: object, keep: Callable[[Floats], None]) -> None:
    """Pool what an encoder puts out: a tensor, a list of them from fine to coarse, or a dict of such."""
    last = list(output.values())[-1] if isinstance(output, dict) else output
    last = last[-1] if isinstance(last, Sequence) else last
    if isinstance(last, Tensor):
        for features in last.mean(dim=(2, 3)).float().cpu().numpy():
            keep(features)


def eager_backend(model: Model, device: torch.device) -> Eager:
    """A model's network, laid out as it is fastest: on CPUs by a third, and so with tensor cores."""
    return Eager(model.net.to(memory_format=torch.channels_last), device)


def choose_device(name: str) -> torch.device:
    """The device that 'auto', 'cpu' or 'cuda' means here.

    Raises:
        UserError: CUDA is asked for and not there, or the device is older than what torch was built for.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("There is no CUDA device that torch can use here.", "Use --device cpu, or mend the driver.")
    if not _is_too_old():
        return torch.device("cuda")
    told = f"This PyTorch has no code for {torch.cuda.get_device_name()}: it is too old."
    if name == "cuda":
        raise UserError(told, "Use --device cpu, or install a PyTorch that was built for it.")
    messages.print(f"Warning: {told} The CPU is used.")
    return torch.device("cpu")


def _is_too_old() -> bool:
    """Whether the CUDA device comes before all generations that this torch was compiled for ('sm_75', 'sm_90a', …)."""
    compiled_for = [int("".join(filter(str.isdigit, name))) for name in torch.cuda.get_arch_list()]
    major, minor = torch.cuda.get_device_capability()
    return bool(compiled_for) and 10 * major + minor < min(compiled_for)


def open_torchscript(path: Path, device: torch.device) -> tuple[Description, Eager]:
    """Open a .torchscript.pt. It is a program: it computes what its maker wrote, so open only what you trust.

    Raises:
        UserError: It can't be read, or does not describe itself.
    """
    extra = {HEADER: ""}
    try:
        with warnings.catch_warnings():
            # torch.jit is deprecated, and is what the format is.
            warnings.simplefilter("ignore", FutureWarning)
            net = torch.jit.load(str(path), map_location=device, _extra_files=extra)  # type: ignore[no-untyped-call]
            net.eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{path} is no TorchScript file: {first_line(error)}.", "Export it again.") from error
    return _described(path, extra[HEADER], net, device)


def open_exported_program(path: Path, device: torch.device) -> tuple[Description, Eager]:
    """Open a .pt2. Like any of torch's archives it may hold pickles: open only what you trust.

    Raises:
        UserError: It can't be read, or does not describe itself.
    """
    extra = {HEADER: ""}
    try:
        program = torch.export.load(str(path), extra_files=extra)
    except Exception as error:
        raise UserError(f"{path} is no torch.export file: {first_line(error)}.", "Export it again.") from error
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return _described(path, extra[HEADER], program.module(), device)


def _described(
    path: Path, text: str | bytes, program: Callable[[Tensor], Tensor], device: torch.device
) -> tuple[Description, Eager]:
    """What a program says of itself, and what computes it."""

    def compute(images: Tensor) -> Tensor:
        try:
            return program(images)
        except (AssertionError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            size = " x ".join(map(str, images.shape))
            raise UserError(
                f"{path} can't compute values of {size}: {first_line(error)}", "Export to .onnx for all sizes."
            ) from error

    if not text:
        raise UserError(f"{path} does not say which classes it knows.", "Expected: what 'segtune export' wrote.")
    header = parse_header(text if isinstance(text, str) else text.decode(errors="replace"), str(path))
    interface = Interface.from_header(header, str(path))
    return Description.from_header(header, str(path)), Eager(compute, device, interface)
