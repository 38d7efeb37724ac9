"""What the options of a training may be."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from segtune.config import Auto, TrainConfig
from segtune.errors import UserError, nearest
from segtune.preprocessing import MAX_ENLARGED
from segtune.training.recipes import value_of

MIN_CROP = 33
"""It is padded to 64, of which encoders make 2 x 2 features: batch norms can't train on a single value."""
MIN_LONGEST_SIDE = 32

LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, math.inf),
    "batch_size": (1, math.inf),
    "accumulate": (1, math.inf),
    "freeze": (0, math.inf),
    "logit_adjustment": (0, 1),
    "label_smoothing": (0, 1),
    "backbone_rate": (0, math.inf),
    "layer_decay": (0, 1),
    "momentum": (0, 1),
    "weight_decay": (0, math.inf),
    "warmup": (0, 1),
    "clip_gradient": (0, math.inf),
    "patience": (0, math.inf),
    "validate_every": (1, math.inf),
    "crop": (MIN_CROP, 16_384),
    "longest_side": (0, math.inf),
    "enlarge": (1, MAX_ENLARGED),
    "min_scale": (0.05, 20),
    "max_scale": (0.05, 20),
    "aspect_jitter": (0, 4),
    "rotation": (0, 180),
    "rare_crop": (0, 1),
    "flip_horizontal": (0, 1),
    "flip_vertical": (0, 1),
    "color_jitter": (0, 1),
    "hue_jitter": (0, 0.5),
    "blur": (0, 1),
    "cutout": (0, 1),
    "cutmix": (0, 1),
    "copy_paste": (0, 1),
    "seed": (0, 2**63 - 1),
    "num_workers": (0, math.inf),
    "nproc": (1, math.inf),
}
"""The lowest and the highest value of each option that is a number."""


def check_options(config: TrainConfig) -> None:
    """Refuse values that are impossible with any data, before anything is read.

    Raises:
        UserError: A value is impossible, or contradicts another.
    """
    _check_types(config)
    _check_numbers(config)
    _check_class_weights(config.class_weights)
    if config.time_budget:
        seconds_in(config.time_budget)
    if config.freeze and config.keep_feature_extract:
        raise UserError("--freeze and --keep-feature-extract are both given.", "The second freezes all stages.")
    _refuse_single_pictures(config, config.batch_size)


def check_with_data(config: TrainConfig, num_classes: int, num_train: int, device: str) -> None:
    """Refuse values that are impossible with these data on this device, before anything is trained or written.

    Args:
        config: What was asked for.
        num_classes: Of the dataset.
        num_train: Its training pictures.
        device: Where to compute.

    Raises:
        UserError: A value contradicts the data, or the device.
    """
    if num_classes < 2:
        raise UserError("There is only one class: nothing to tell apart.", "Count the background as a class, too.")
    weights = config.class_weights
    if not isinstance(weights, str) and len(weights) != num_classes:
        raise UserError(
            f"-w gives {len(weights)} weights for {num_classes} classes.",
            "Give one for each class, in the order of their ids, the background included.",
        )
    _refuse_single_pictures(config, num_train)
    if config.precision == "fp16" and device != "cuda":
        raise UserError("--precision fp16 needs a CUDA device.", "On a CPU leave --precision away.")


def _refuse_single_pictures(config: TrainConfig, at_once: int | Auto) -> None:
    """Refuse a single picture a batch, or in all, where the recipe would leave it out."""
    if config.recipe == "original" and at_once == 1:
        raise UserError(
            "The original recipe leaves out batches of one picture, and there would be no other.",
            "Give --batch-size 2 or more and two pictures or more, or use --recipe default.",
        )


def seconds_in(text: str) -> float:
    """The seconds in a text such as 90s, 10m or 1h30m.

    Raises:
        UserError: It is no such text.
    """
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
    seconds = sum(
        float(part or 0) * unit for part, unit in zip(match.groups() if match else (), (3600, 60, 1), strict=False)
    )
    if not seconds:
        raise UserError(f"--time-budget is {text!r}; a time above 0 was expected.", "For instance 90s, 10m or 1h30m.")
    return seconds


TYPES: dict[Any, str] = {
    Path: "a pathlib.Path", str: "a text", bool: "True or False", int: "a whole number (int)",
    float: "a number (float)", NoneType: "None", tuple: "a tuple of numbers, one for each class",
}  # fmt: skip
"""The types of options, and what they are called."""


def _is_a(value: object, taken: type) -> bool:
    """Whether a value has a type: whole numbers are numbers, True is none."""
    if isinstance(value, bool):
        return taken is bool
    return isinstance(value, (int, float) if taken is float else taken)


def _check_types(config: TrainConfig) -> None:
    """Refuse values of other types than the options have: from Python an option may be given anything."""
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
        types = [get_origin(kind) or kind for kind in kinds if get_origin(kind) is not Literal]
        is_choice = isinstance(value, str) and value in choices
        if not is_choice and not any(_is_a(value, taken) for taken in types):
            expected = " or ".join([*map(repr, choices), *(TYPES[taken] for taken in types)])
            raise UserError(f"{name} is {value!r}; {expected} was expected.", nearest(str(value), choices))


def _check_numbers(config: TrainConfig) -> None:
    for name, (lowest, highest) in LIMITS.items():
        value = getattr(config, name)
        if value != "auto" and not lowest <= value <= highest:
            allowed = f"at least {lowest:g}" if highest == math.inf else f"{lowest:g} to {highest:g}"
            raise UserError(f"--{name.replace('_', '-')} is {value}; {allowed} was expected.")
    if config.longest_side != "auto" and 0 < config.longest_side < MIN_LONGEST_SIDE:
        raise UserError(f"--longest-side is {config.longest_side}; 0 or at least {MIN_LONGEST_SIDE} was expected.")
    if config.enlarge not in {"auto", 1} and config.longest_side not in {"auto", 0}:
        raise UserError("--enlarge and --longest-side are both given.", "The second is for pictures that are shrunk.")
    if config.learning_rate != "auto" and not 0 < config.learning_rate < math.inf:
        raise UserError(f"--learning-rate is {config.learning_rate}; a number above 0 was expected.", "Try 0.001.")
    if config.ema != "auto" and not 0 <= config.ema < 1:
        raise UserError(f"--ema is {config.ema}; 0, or a number below 1, was expected.", "Try 0.999.")
    smallest, largest = (value_of(config, name) for name in ("min_scale", "max_scale"))
    if smallest > largest:
        raise UserError(f"--min-scale {smallest} is above --max-scale {largest}.", "Give both.")


def _check_class_weights(weights: str | Sequence[float]) -> None:
    if isinstance(weights, str):
        return
    if any(not _is_a(weight, float) or not 0 <= weight < math.inf for weight in weights) or not any(weights):
        raise UserError(f"-w gives the weights {tuple(weights)}; numbers of 0 or above, not all 0, were expected.")
