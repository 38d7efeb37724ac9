"""What a training says of itself in words: warnings before it begins, and why there is nothing left to do."""

import math
from collections.abc import Sequence

import numpy as np

from segtune.annotations.dataset_report import DatasetReport
from segtune.classes import ClassTable
from segtune.errors import listed
from segtune.models.pretrained import WeightsReport
from segtune.preprocessing import Preprocessing
from segtune.run_folder import RunFolder
from segtune.training.plan import TrainPlan
from segtune.training.resume import Progress

FEW_PICTURES = 4
"""The least that a process's share of a batch should be where batch norms take their statistics from it."""

MUCH_SHRUNK = 2.5
"""From here on it is told how much: a line of five pixels is one of two then."""

FEW_PIXELS = 200
"""Of a class in a picture, as the network sees it: less than 16 x 16, which are one of an encoder's deeper features."""


def notes(
    plan: TrainPlan,
    table: ClassTable,
    report: DatasetReport,
    weights: WeightsReport,
    goes_on: bool = False,
    num_left_out: int = 0,
) -> tuple[str, ...]:
    """What is to be known of a training before it begins, or goes on; of its pictures some may be left out."""
    found = [f"Warning: {warning}" for warning in report.grouped("warning")]
    if num_left_out:
        found.append(f"Pictures without any labelled pixel are left out of the training: {num_left_out}")
    if not goes_on:
        found += _of_shrinking(plan, table, report)
        sides = _sides(table.names) if plan.flip_horizontal else []
        if sides:
            found.append(
                f"Warning: mirrored crops show one as the other of {listed(sides)}, and keep their labels. If it is the"
                " place that tells them apart: --flip-horizontal 0"
            )
    if plan.freeze and not weights.taken:
        found.append("Warning: the feature extractor is frozen, and its weights are random: give --weights")
    # Batch norms that are synchronised see all of a batch.
    few = FEW_PICTURES if plan.batch_norm == "train" else 1
    share = plan.batch_size / plan.world_size
    if plan.world_size > 1 and share < few:
        found.append(
            f"Warning: of a batch of {plan.batch_size} pictures each of {plan.world_size} processes has {share:.3g},"
            f" which should be {few} or more: raise --batch-size, and --learning-rate with it"
        )
    return (*found, *weights.describe())


def _of_shrinking(plan: TrainPlan, table: ClassTable, report: DatasetReport) -> list[str]:
    """What is small once the pictures are shrunk: classes, by the mean number of pixels where they occur; lines."""
    facts, rule = report.splits["train"], Preprocessing(longest_side=plan.longest_side)
    seen = sum(number * math.prod(rule.working_size(*size)) for size, number in facts.sizes.items())
    whole = sum(number * math.prod(size) for size, number in facts.sizes.items())
    if seen == whole:
        return []
    areas = facts.pixels / facts.pictures_with_class.clip(min=1)
    # What is small anyway is told where shrinking takes much of it.
    judged = areas if seen <= whole / 2 else np.where(areas < FEW_PIXELS, 0, areas)
    small = [
        f"{name} {area * seen / whole:.0f}"
        for name, area in zip(table.names, judged, strict=True)
        if 0 < area * seen / whole < FEW_PIXELS
    ]
    larger = f"If they matter: --longest-side {2 * plan.longest_side} --crop {2 * plan.crop}"
    if small:
        return [
            f"Warning: as the network sees the pictures ({plan.longest_side} px), some classes have few pixels where"
            f" they occur: {listed(small)}. {larger}"
        ]
    factor = math.sqrt(whole / seen)
    if factor < MUCH_SHRUNK:
        return []
    return [
        f"The network sees the pictures {factor:.1f} times smaller ({plan.longest_side} px): lines of less than"
        f" {2 * factor:.0f} pixels all but vanish. {larger}"
    ]


def _sides(names: Sequence[str]) -> list[str]:
    """Pairs of classes whose names are the same but for left and right."""
    lower = {name.lower(): name for name in names}
    others = {name: lower.get(name.lower().replace("left", "right"), name) for name in names}
    return [f"{name} and {other}" for name, other in others.items() if other != name]


def why_it_ended(progress: Progress, plan: TrainPlan, folder: RunFolder) -> str:
    """What ended a training that is asked to go on, and what would let it."""
    if progress.time_is_up:
        ended, more = f"The time of {plan.time_budget:g} s is up", "--time-budget LONGER"
    elif progress.stopped_early:
        ended = f"The training ended early, after {plan.patience} validations without a better score"
        more = "--epochs MORE" if plan.epochs else "--time-budget LONGER"
    else:
        ended, more = f"All {plan.epochs} epochs are done", "--epochs MORE"
    return f"{ended}. To go on: {folder.resume_command} {more}"
