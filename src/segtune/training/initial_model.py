"""``--init``: a training that goes on from a model, on more pictures or other classes."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from segtune.classes import ClassTable
from segtune.config import TrainConfig
from segtune.errors import UserError, listed
from segtune.model_file import read_description
from segtune.models.catalog import build_model
from segtune.models.pretrained import WeightsReport, misfits, read_state_dict, stated_licence, take


def with_architecture(config: TrainConfig) -> TrainConfig:
    """The configuration with the network of the model that it goes on from, where there is one.

    Raises:
        UserError: It is no model file, or other options say something else.
    """
    if config.init is None:
        return config
    if config.init.suffix != ".safetensors":
        raise UserError(f"--init {config.init} is no model.safetensors.", "An ensemble or an export is not trained on.")
    if config.weights != "auto":
        raise UserError("--init and --weights both say what to start from.", "Leave one out.")
    architecture = read_description(config.init).architecture
    if config.model not in {TrainConfig.model, architecture}:
        raise UserError(
            f"--model is {config.model}, but {config.init} is a {architecture}.",
            "Leave --model out; or take what fits of its weights, with --weights in place of --init.",
        )
    return replace(config, model=architecture)


def load_initial(net: nn.Module, model: str, path: Path, table: ClassTable) -> WeightsReport:
    """Load a model's weights into a new net of the same architecture, in place.

    Its head stays only where each class has the same name and id: what it says would mean something else otherwise.

    Raises:
        UserError: The file is no model, or doesn't fit.
    """
    known = read_description(path).classes.names
    state = read_state_dict(path)
    head = _head(model, len(known))
    unfit = [name for name in misfits(net.state_dict(), state) if name not in head]
    if unfit:
        raise UserError(
            f"--init {path}: its tensors don't fit {model}: {listed(unfit, 4)}.",
            "The file is damaged, or another version of segtune made it. To take what fits, give it with --weights.",
        )
    source, left = str(path), tuple[str, ...]()
    if known != table.names:
        left = tuple(sorted(name for name in state if name in head))
        state = {name: tensor for name, tensor in state.items() if name not in head}
        source = f"{path}, but its head, which is for other classes: {listed(known)}"
    return take(net, state, source, stated_licence(path), left)


def _head(model: str, num_classes: int) -> set[str]:
    """The tensors of an architecture whose size depends on the number of classes."""
    with torch.device("meta"):
        one, more = (build_model(model, count).state_dict() for count in (num_classes, num_classes + 1))
    return {name for name, tensor in one.items() if tensor.shape != more[name].shape}
