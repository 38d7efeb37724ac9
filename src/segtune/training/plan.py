"""The plan: configuration + facts of the data and the machine -> every value that the training follows. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from segtune.config import TrainConfig
from segtune.errors import UserError

MIN_CROP = 32


@dataclass(frozen=True)
class Facts:
    """What the plan depends on beside the configuration.

    Attributes:
        num_classes: Classes of the dataset.
        num_train: Training pictures.
        pixels: Labelled pixels of each class in them.
        device: 'cpu' or 'cuda'.
        num_cpus: Processors of the machine.
    """

    num_classes: int
    num_train: int
    pixels: tuple[int, ...]
    device: str
    num_cpus: int


@dataclass(frozen=True)
class TrainPlan:
    """All values of a training, resolved. Sizes are in pixels, rates per step; factors are drawn evenly in a range.

    Attributes:
        recipe: Which recipe the values come from.
        epochs: Times through the training pictures.
        batch_size: Pictures a step.
        total_steps: Steps of the whole training.
        crop: Height and width of the crops.
        min_scale: Smallest factor of the scale jitter.
        max_scale: Largest one.
        flip_horizontal: Probability of exchanging left and right.
        flip_vertical: Probability of exchanging top and bottom.
        color_jitter: Amount by which brightness, contrast and saturation vary.
        longest_side: Larger pictures are shrunk to this; 0: never.
        freeze: Whether the feature extractor is left as it is.
        fixed_batch_norm: Whether a frozen feature extractor's batch statistics are left as they are, too.
        skip_single: Whether batches of one picture are left out.
        class_weights: Weight of each class in the loss; empty: all equal.
        optimizer: SGD with momentum, or AdamW.
        learning_rate: The highest rate, of the head.
        extractor_rate_factor: The feature extractor's rate as a share of that.
        momentum: SGD's.
        weight_decay: The optimizer's.
        schedule: 'constant', or 'cosine': a linear warm-up, then a cosine to nothing.
        warmup: Share of the steps that the warm-up takes.
        validation: 'whole': pictures at their own size; 'original': centre crops, averaged over batches.
        checkpoint_every: Epochs between checkpoints that are kept; 0: none.
        channels_last: Whether tensors lie with the channels last in memory.
        device: Where to compute.
        num_workers: Processes that prepare batches.
        seed: Of all randomness.
    """

    recipe: str
    epochs: int
    batch_size: int
    total_steps: int
    crop: int
    min_scale: float
    max_scale: float
    flip_horizontal: float
    flip_vertical: float
    color_jitter: float
    longest_side: int
    freeze: bool
    fixed_batch_norm: bool
    skip_single: bool
    class_weights: tuple[float, ...]
    optimizer: Literal["sgd", "adamw"]
    learning_rate: float
    extractor_rate_factor: float
    momentum: float
    weight_decay: float
    schedule: Literal["constant", "cosine"]
    warmup: float
    validation: Literal["whole", "original"]
    checkpoint_every: int
    channels_last: bool
    device: str
    num_workers: int
    seed: int
    aspect_jitter: float = 0.0
    rotation: float = 0.0
    rare_crop: float = 0.0
    hue_jitter: float = 0.0
    blur: float = 0.0
    cutout: float = 0.0
    cutmix: float = 0.0
    copy_paste: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for run.json and the model header."""
        return asdict(self)


DEFAULT_RECIPE: dict[str, Any] = {
    "crop": 224,
    "min_scale": 0.5,
    "max_scale": 1.5,
    "flip_horizontal": 0.5,
    "flip_vertical": 0.0,
    "color_jitter": 0.15,
    "longest_side": 1024,
    "fixed_batch_norm": True,
    "skip_single": False,
    "balance_classes": True,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "extractor_rate_factor": 0.3,
    "momentum": 0.9,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup": 0.25,
    "validation": "whole",
    "checkpoint_every": 0,
    "channels_last": True,
}

ORIGINAL_RECIPE: dict[str, Any] = {
    "crop": 224,
    "min_scale": 1.0,
    "max_scale": 1.0,
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "color_jitter": 0.0,
    "longest_side": 0,
    "fixed_batch_norm": False,
    "skip_single": True,
    "balance_classes": False,
    "optimizer": "sgd",
    "learning_rate": 0.001,
    "extractor_rate_factor": 1.0,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "validation": "original",
    "checkpoint_every": 25,
    "channels_last": False,
}

RECIPES = {"default": DEFAULT_RECIPE, "original": ORIGINAL_RECIPE}


def make_plan(config: TrainConfig, facts: Facts) -> TrainPlan:
    """Resolve every value.

    Raises:
        UserError: A value is impossible, or contradicts the data.
    """
    _check(config, facts)
    values = dict(RECIPES[config.recipe])
    balance = values.pop("balance_classes")
    for name in ("learning_rate", "crop", "longest_side"):
        chosen = getattr(config, name)
        if chosen is not None:
            values[name] = chosen
    steps_per_epoch = -(-facts.num_train // config.batch_size)
    return TrainPlan(
        recipe=config.recipe,
        epochs=config.epochs,
        batch_size=config.batch_size,
        total_steps=config.epochs * steps_per_epoch,
        freeze=config.keep_feature_extract,
        class_weights=config.class_weights or (balanced_weights(facts.pixels) if balance else ()),
        device=facts.device,
        num_workers=_num_workers(config, facts),
        seed=config.seed,
        **values,
    )


def balanced_weights(pixels: Sequence[int]) -> tuple[float, ...]:
    """Weights of the classes in the loss by how rare they are, between 1/2 and 2.

    The square root of median frequency balancing (Eigen and Fergus 2015): enough that rare classes are learnt, little
    enough that they don't spread over the others. Classes without pixels get 1.
    """
    present = [count for count in pixels if count]
    if not present:
        return ()
    middle = statistics.median(present)
    weights = (min(2.0, max(0.5, math.sqrt(middle / count))) if count else 1.0 for count in pixels)
    return tuple(round(weight, 3) for weight in weights)


def _num_workers(config: TrainConfig, facts: Facts) -> int:
    if config.num_workers is not None:
        return config.num_workers
    # On a CPU the network itself takes every core; on a GPU the cores are free to prepare batches.
    return min(8, facts.num_cpus - 1) if facts.device == "cuda" else 0


def _check(config: TrainConfig, facts: Facts) -> None:
    """Refuse impossible values, before anything is trained or written."""
    if facts.num_classes < 2:
        raise UserError("There is only one class: nothing to tell apart.", "Count the background as a class, too.")
    for name, lowest in (("epochs", 1), ("batch_size", 1), ("crop", MIN_CROP), ("longest_side", 0), ("num_workers", 0)):
        value = getattr(config, name)
        if value is not None and value < lowest:
            raise UserError(f"--{name.replace('_', '-')} is {value}; at least {lowest} was expected.")
    if config.longest_side and config.longest_side < MIN_CROP:
        raise UserError(f"--longest-side is {config.longest_side}; 0 or at least {MIN_CROP} was expected.")
    if config.learning_rate is not None and not 0 < config.learning_rate < float("inf"):
        raise UserError(f"--learning-rate is {config.learning_rate}; a number above 0 was expected.", "Try 0.001.")
    if config.seed < 0:
        raise UserError(f"--seed is {config.seed}; 0 or above was expected.")
    _check_class_weights(config.class_weights, facts.num_classes)
    if config.recipe == "original" and 1 in {facts.num_train, config.batch_size}:
        raise UserError(
            "The original recipe leaves out batches of one picture, and there would be no other.",
            "Give --batch-size 2 or more and two pictures or more, or use --recipe default.",
        )


def _check_class_weights(weights: Sequence[float], num_classes: int) -> None:
    if weights and len(weights) != num_classes:
        raise UserError(
            f"-w gives {len(weights)} weights for {num_classes} classes.",
            "Give one for each class, in the order of their ids, the background included.",
        )
    if any(not 0 <= weight < math.inf for weight in weights) or (weights and not any(weights)):
        raise UserError(f"-w gives the weights {weights}; numbers of 0 or above, not all 0, were expected.")
