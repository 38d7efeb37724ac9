"""The recipes: what 'auto' means where neither the data nor the machine decide. Compare them line by line."""

from typing import Any

from segtune.config import TrainConfig

DEFAULT_RECIPE: dict[str, Any] = {
    "crop": 224,
    "min_scale": 0.75,
    "max_scale": 1.5,
    "aspect_jitter": 0.0,
    "rotation": 0.0,
    "rare_crop": 0.0,
    "flip_horizontal": 0.5,
    "flip_vertical": 0.0,
    "color_jitter": 0.15,
    "hue_jitter": 0.0,
    "blur": 0.0,
    "cutout": 0.0,
    "cutmix": 0.0,
    "copy_paste": 0.0,
    "longest_side": 512,
    "enlarge": 4,
    "batch_norm": "train",
    "frozen_batch_norm": True,
    "even_batches": True,
    "balance_classes": True,
    "loss": "dice",
    "logit_adjustment": 0.5,
    "label_smoothing": 0.0,
    "optimizer": "adamw",
    "learning_rate": 4e-3,
    "backbone_rate": 0.15,
    "layer_decay": 1.0,
    "momentum": 0.9,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup": 0.25,
    "clip_gradient": 0.0,
    "ema": 0.0,
    "patience": 0,
    "validation": "whole",
    "checkpoint_every": 0,
    "channels_last": True,
}

ORIGINAL_RECIPE: dict[str, Any] = {
    "crop": 224,
    "min_scale": 1.0,
    "max_scale": 1.0,
    "aspect_jitter": 0.0,
    "rotation": 0.0,
    "rare_crop": 0.0,
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "color_jitter": 0.0,
    "hue_jitter": 0.0,
    "blur": 0.0,
    "cutout": 0.0,
    "cutmix": 0.0,
    "copy_paste": 0.0,
    "longest_side": 0,
    "enlarge": 1,
    "batch_norm": "train",
    "frozen_batch_norm": False,
    "even_batches": False,
    "balance_classes": False,
    "loss": "cross-entropy",
    "logit_adjustment": 0.0,
    "label_smoothing": 0.0,
    "optimizer": "sgd",
    "learning_rate": 0.001,
    "backbone_rate": 1.0,
    "layer_decay": 1.0,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "clip_gradient": 0.0,
    "ema": 0.0,
    "patience": 0,
    "validation": "original",
    "checkpoint_every": 25,
    "channels_last": False,
}

RECIPES = {"default": DEFAULT_RECIPE, "original": ORIGINAL_RECIPE}


def value_of(config: TrainConfig, name: str) -> Any:
    """The value of an option that the recipe has: the one chosen, or the recipe's."""
    chosen, of_recipe = getattr(config, name, "auto"), RECIPES[config.recipe][name]
    if chosen == "auto":
        return of_recipe
    return chosen == "on" if isinstance(of_recipe, bool) else chosen
