"""The plan's augmentation: its values -> the steps that do it."""

from segtune.data.augment import Augmentation, Blur, Chain, ColorJitter, Cutout, Flip
from segtune.data.crop import ScaledCrop
from segtune.data.mix import CopyPaste, CutMix, Mixing
from segtune.preprocessing import Triple
from segtune.training.plan import TrainPlan


def plan_augmentation(plan: TrainPlan, mean: Triple) -> Augmentation:
    """What the plan does to each training picture; ``mean`` (RGB in 0..1) fills what lies outside of them."""
    crop = ScaledCrop(
        plan.crop, plan.min_scale, plan.max_scale, mean,
        plan.aspect_jitter, plan.rotation, plan.rare_crop, plan.class_weights,
        needs_labels=plan.recipe != "original", enlarge=plan.enlarge,
    )  # fmt: skip
    steps: list[Augmentation] = [Flip(plan.flip_horizontal, plan.flip_vertical), crop]
    if plan.color_jitter or plan.hue_jitter:
        steps.append(ColorJitter(plan.color_jitter, plan.color_jitter, plan.color_jitter, plan.hue_jitter))
    if plan.blur:
        steps.append(Blur(plan.blur))
    if plan.cutout:
        steps.append(Cutout(plan.cutout, mean))
    return Chain(tuple(steps))


def plan_mixing(plan: TrainPlan) -> tuple[Mixing, ...]:
    """What the plan puts into training pictures from others."""
    steps: tuple[Mixing, ...] = (CopyPaste(plan.copy_paste), CutMix(plan.cutmix))
    return tuple(step for step in steps if step.probability)
