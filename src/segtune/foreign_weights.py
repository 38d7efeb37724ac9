"""A state dict that the original project or another tool saved -> a model file."""

from collections.abc import Mapping

from torch import Tensor

from segtune.classes import class_table, numbered_classes
from segtune.config import ImportWeightsConfig, names_in
from segtune.errors import DataError, UserError
from segtune.files import refuse_existing
from segtune.model_file import Model, save_model
from segtune.models.catalog import build_model, model_preprocessing
from segtune.models.pretrained import read_state_dict, strip_prefixes


def import_weights(config: ImportWeightsConfig) -> Model:
    """Read a .pth (without running any code in it), check that it fits, and write a model file.

    Raises:
        UserError: It can't be read, its tensors don't fit (all are named), or the target exists.
    """
    names = names_in(config.classes)
    num_classes = config.num_classes or len(names)
    if not num_classes:
        raise UserError("The number of classes is not known.", "Give --num-classes, or --classes with their names.")
    if names and len(names) != num_classes:
        raise UserError(f"--classes names {len(names)} classes, --num-classes says {num_classes}.")
    if config.model.suffix != ".safetensors" or config.model == config.file:
        raise UserError(f"{config.model} is no name for the model file.", "Expected: another file, NAME.safetensors.")
    if not config.overwrite:
        refuse_existing(config.model)
    table = class_table(names) if names else numbered_classes(num_classes)
    net = build_model(config.architecture, num_classes)
    state = strip_prefixes(read_state_dict(config.file))
    # Published nets carry an auxiliary classifier; it serves training alone.
    state = {name: tensor for name, tensor in state.items() if not name.startswith("aux_classifier.")}
    problems = _misfits(state, net.state_dict(), num_classes)
    if problems:
        raise DataError(
            f"{config.file} does not fit {config.architecture} with {num_classes} classes:",
            problems,
            "Give the --model and --num-classes that the weights were trained with." + _other_name(config.architecture),
        )
    net.load_state_dict(state)
    model = Model(
        net.eval(), config.architecture, table, model_preprocessing(config.architecture, longest_side=0),
        weights={"source": config.file.name, "licence": "that of the imported file"},
    )  # fmt: skip
    save_model(config.model, model)
    return model


def _other_name(architecture: str) -> str:
    decoder, _, encoder = architecture.partition(":")
    if decoder != "deeplabv3plus":
        return ""
    return f" segmentation-models-pytorch's own DeepLabV3+ is deeplabv3plus-smp:{encoder}."


def _misfits(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], num_classes: int, at_most: int = 12
) -> list[str]:
    """One sentence for each tensor that is missing, unknown or of another shape."""
    problems = [f"{name} is missing" for name in expected if name not in state]
    problems += [f"{name} is not part of the model" for name in state if name not in expected]
    for name, tensor in state.items():
        if name in expected and tensor.shape != expected[name].shape:
            found, wanted = tuple(tensor.shape), tuple(expected[name].shape)
            classes = wanted[:1] == (num_classes,) != found[:1] and found[1:] == wanted[1:]
            problems.append(
                f"{name} has shape {found}, expected {wanted}"
                + (f": the file is for {found[0]} classes" if classes else "")
            )
    if len(problems) > at_most:
        problems = [*problems[:at_most], f"and {len(problems) - at_most} more"]
    return problems
