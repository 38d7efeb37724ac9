"""The model file: one .safetensors whose header says all that prediction needs. Never pickle."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import nn

from segtune.classes import ClassTable
from segtune.description import HEADER, Description, read_text
from segtune.errors import UserError, listed
from segtune.files import atomic_path
from segtune.models.catalog import build_model, model_preprocessing
from segtune.preprocessing import Preprocessing


@dataclass(frozen=True)
class Model:
    """A network with all that is needed to use it.

    Attributes:
        net: float32 (N, 3, H, W) -> logits (N, C, H, W).
        architecture: Its name in the catalogue.
        classes: Its C classes.
        preprocessing: How pictures are prepared.
        scores: Scores on the validation pictures, where known: ``mean_iou``, ``pixel_accuracy``, …
        weights: What the training started from: ``source`` and ``licence``.
        training: The configuration of the training, where there was one.
    """

    net: nn.Module
    architecture: str
    classes: ClassTable
    preprocessing: Preprocessing
    scores: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> Description:
        """All but the network."""
        return Description(
            self.architecture, self.classes, self.preprocessing, self.scores, self.weights, self.training
        )


def save_model(path: Path, model: Model) -> None:
    """Write a model file, atomically.

    Raises:
        UserError: It can't be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.net.state_dict().items()}
    with atomic_path(path) as temporary:
        try:
            safetensors.torch.save_file(tensors, temporary, {HEADER: model.description.to_text()})
        except SafetensorError as error:  # what a full disk looks like from there
            raise OSError(None, str(error)) from error
        # safetensors writes for the owner alone; a model is as readable as any other file of the run.
        temporary.chmod(0o666 & ~current_umask())


def current_umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def read_header(path: Path) -> dict[str, Any]:
    """What a model file says of itself.

    Raises:
        UserError: No such file, or not a model file of this version.
    """
    if not path.is_file():
        raise UserError(f"There is no model file {path}.", "Give the model.safetensors of a run folder.")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {})[HEADER]
    except (SafetensorError, OSError, KeyError) as error:
        raise UserError(
            f"{path} is not a segtune model file.",
            "Expected: a model.safetensors that 'segtune train' or 'segtune import-weights' wrote.",
        ) from error
    return read_text(text, str(path))


def load_model(path: Path) -> Model:
    """Read a model file.

    Raises:
        UserError: It isn't one, or its tensors don't fit its architecture.
    """
    description = Description.from_header(read_header(path), str(path))
    architecture, classes, preprocessing = description.architecture, description.classes, description.preprocessing
    if preprocessing.size_multiple != model_preprocessing(architecture, preprocessing.longest_side).size_multiple:
        raise UserError(f"{path}: its size multiple is not that of {architecture}.", "The file is damaged.")
    net = build_model(architecture, classes.num_classes)
    own, tensors = net.state_dict(), safetensors.torch.load_file(path)
    misfits = [
        name for name in own | tensors
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    ]  # fmt: skip
    if misfits:
        raise UserError(
            f"{path}: its tensors don't fit {architecture} with {classes.num_classes} classes: {listed(misfits, 4)}.",
            "The file is damaged.",
        )
    net.load_state_dict(tensors)
    return Model(
        net.eval(), architecture, classes, preprocessing, description.scores, description.weights, description.training
    )
