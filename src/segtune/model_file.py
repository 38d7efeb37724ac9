"""The model file: one .safetensors whose header says all that prediction needs, or a list of such. Never pickle."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from segtune.classes import ClassTable
from segtune.description import HEADER, Description, parse_header
from segtune.errors import UserError, listed
from segtune.files import atomic_path, read_json, sha256, write_json
from segtune.models.catalog import build_model, model_preprocessing
from segtune.models.ensemble import Ensemble
from segtune.models.pretrained import misfits
from segtune.preprocessing import Preprocessing

ENSEMBLE_SUFFIX, ENSEMBLE_FORMAT = ".json", "segtune-ensemble-1"


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
    write_tensors(path, tensors, {HEADER: model.description.to_text()})


def write_tensors(path: Path, tensors: dict[str, Tensor], texts: dict[str, str]) -> None:
    """Write a .safetensors, atomically: contiguous tensors on the CPU, and the texts of its header.

    Raises:
        UserError: It can't be written; the file is what it was before.
    """
    with atomic_path(path) as temporary:
        try:
            safetensors.torch.save_file(tensors, temporary, texts)
        except SafetensorError as error:  # what a full disk looks like from there
            raise OSError(None, str(error)) from error
        # safetensors writes for the owner alone; this is as readable as any other file of the run.
        with suppress(OSError):  # where the files are another's, as on drives of Windows in WSL
            temporary.chmod(0o666 & ~current_umask())


def current_umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_ensemble(path: Path, models: Sequence[Path]) -> None:
    """Write a list of model files, all beside it or below, that is used as one model: their mean."""
    entries = [{"path": model.relative_to(path.parent).as_posix(), "sha256": sha256(model)} for model in models]
    write_json(path, {"format": ENSEMBLE_FORMAT, "models": entries})


def ensemble_members(path: Path) -> list[Path]:
    """The model files that such a list names.

    Raises:
        UserError: It is none, or a file is missing, not the one that was listed, or elsewhere.
    """
    content = read_json(path)
    try:
        if content["format"] != ENSEMBLE_FORMAT:
            raise ValueError(content["format"])
        entries = [(path.parent / str(entry["path"]), str(entry["sha256"])) for entry in content["models"]]
        if not entries:
            raise ValueError("no models")
        if len(set(entries)) < len(entries):
            raise ValueError("a model twice")
        if any("\0" in str(member) for member, _ in entries):
            raise ValueError("a name with a zero in it")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no list of segtune models ({error}).", "Expected: what 'segtune crossval --ensemble' wrote."
        ) from error
    for member, digest in entries:
        if not member.resolve().is_relative_to(path.parent.resolve()) or member.suffix != ".safetensors":
            raise UserError(f"{path} names {member}, which is no model file beside it.", "Make the list anew.")
        if not member.is_file() or sha256(member) != digest:
            raise UserError(
                f"{path} names {member}, which is not there or is another model by now.",
                "Make the list anew: segtune crossval … --resume auto --ensemble",
            )
    return [member for member, _ in entries]


def _load_ensemble(path: Path) -> Model:
    members = [load_model(member) for member in ensemble_members(path)]
    first = members[0]
    for member in members[1:]:
        if (member.classes, member.preprocessing) != (first.classes, first.preprocessing):
            raise UserError(f"The models of {path} have different classes or sizes.", "Train them alike.")
    return replace(first, net=Ensemble([member.net for member in members]).eval(), scores={})


def read_header(path: Path) -> dict[str, Any]:
    """What a model file says of itself; of a list of models, the first.

    Raises:
        UserError: No such file, or not a model file of this version.
    """
    if path.suffix == ENSEMBLE_SUFFIX and path.is_file():
        return read_header(ensemble_members(path)[0])
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
    return parse_header(text, str(path))


def read_description(path: Path) -> Description:
    """What a model file says of itself, understood.

    Raises:
        UserError: As ``read_header``, or what it says makes no sense.
    """
    return Description.from_header(read_header(path), str(path))


def load_model(path: Path) -> Model:
    """Read a model file, or a list of them.

    Raises:
        UserError: It isn't one, or its tensors don't fit its architecture.
    """
    if path.suffix == ENSEMBLE_SUFFIX and path.is_file():
        return _load_ensemble(path)
    description = read_description(path)
    architecture, classes, preprocessing = description.architecture, description.classes, description.preprocessing
    if preprocessing.size_multiple != model_preprocessing(architecture, preprocessing.longest_side).size_multiple:
        raise UserError(f"{path}: its size multiple is not that of {architecture}.", "The file is damaged.")
    net = build_model(architecture, classes.num_classes)
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: its tensors can't be read ({error}).", "The file is damaged.") from error
    unfit = misfits(net.state_dict(), tensors)
    if unfit:
        raise UserError(
            f"{path}: its tensors don't fit {architecture} with {classes.num_classes} classes: {listed(unfit, 4)}.",
            "The file is damaged, or another version of segtune made it: train the model again.",
        )
    net.load_state_dict(tensors)
    return Model(
        net.eval(), architecture, classes, preprocessing, description.scores, description.weights, description.training
    )
