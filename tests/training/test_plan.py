"""The plan is a pure function of configuration and facts."""

import math
import os
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from segtune.config import TrainConfig
from segtune.errors import UserError
from segtune.training.limits import LIMITS
from segtune.training.plan import Facts, balanced_weights, make_plan
from segtune.training.processes import usable_cpus
from segtune.training.recipes import DEFAULT_RECIPE, ORIGINAL_RECIPE

FACTS = Facts(num_classes=5, num_train=10, pixels=(9, 9, 9, 9, 9), device="cpu", num_cpus=2)


def config(**options) -> TrainConfig:
    return TrainConfig(Path("data"), Path("run"), **options)


def test_the_page_has_the_recipes():
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    shown = re.findall(r"^\| `--([\w-]+)` \| (\S+) \| (\S+) \|$", page, re.MULTILINE)
    options = {entry.name for entry in fields(TrainConfig)} & set(DEFAULT_RECIPE)
    assert {name.replace("-", "_"): (default, original) for name, default, original in shown} == {
        name: (as_typed(DEFAULT_RECIPE[name]), as_typed(ORIGINAL_RECIPE[name])) for name in options
    }


def as_typed(value):
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def test_original_recipe_is_the_originals():
    plan = make_plan(config(recipe="original"), FACTS)
    assert (plan.optimizer, plan.learning_rate, plan.momentum, plan.weight_decay) == ("sgd", 0.001, 0.9, 0.0)
    assert (plan.crop, plan.min_scale, plan.max_scale, plan.flip_horizontal, plan.flip_vertical) == (
        224,
        1,
        1,
        0.5,
        0.5,
    )
    assert (plan.schedule, plan.backbone_rate, plan.checkpoint_every) == ("constant", 1.0, 25)
    assert not plan.even_batches
    assert not plan.frozen_batch_norm
    assert (plan.precision, plan.ema, plan.clip_gradient, plan.loss) == ("float32", 0, 0, "cross-entropy")


@pytest.mark.parametrize(
    ("pixels", "weights"),
    [
        ((100, 100, 100), (1, 1, 1)),
        ((1, 100, 10_000), (2, 1, 0.5)),
        ((25, 100, 400), (2, 1, 0.5)),
        ((0, 100, 100), (1, 1, 1)),
        ((0, 0), ()),
    ],
)
def test_rare_classes_weigh_more_but_not_without_bound(pixels, weights):
    assert balanced_weights(pixels) == weights


def test_weights_are_balanced_unless_given_or_original():
    facts = replace(FACTS, pixels=(25, 100, 100, 100, 400))
    assert make_plan(config(), facts).class_weights == (2, 1, 1, 1, 0.5)
    assert make_plan(config(class_weights=(1, 2, 3, 4, 5)), facts).class_weights == (1, 2, 3, 4, 5)
    assert make_plan(config(recipe="original"), facts).class_weights == ()


@pytest.mark.parametrize(
    ("options", "adjustment"),
    [
        ({}, 0.5),
        ({"logit_adjustment": 0.2}, 0.2),
        ({"class_weights": (1, 2, 3, 4, 5)}, 0),
        ({"class_weights": (1, 2, 3, 4, 5), "logit_adjustment": 0.2}, 0.2),
        ({"class_weights": "none"}, 0),
        ({"recipe": "original"}, 0),
        ({"recipe": "original", "class_weights": (1, 2, 3, 4, 5)}, 0),
    ],
)
def test_balanced_weights_count_by_half_in_decisions_and_given_ones_wholly(options, adjustment):
    assert make_plan(config(**options), FACTS).logit_adjustment == adjustment


@pytest.mark.parametrize(
    ("largest", "crop", "chosen", "expected"),
    [
        (0, "auto", "auto", 512), (512, "auto", "auto", 0), (513, "auto", "auto", 512), (99, "auto", 640, 640),
        (2000, 448, "auto", 1024), (1000, 448, "auto", 0), (2000, 64, "auto", 512), (2000, 448, 512, 512),
    ],
)  # fmt: skip
def test_pictures_are_shrunk_so_that_a_crop_shows_much_of_them(largest, crop, chosen, expected):
    sizes = {(largest, largest): 3} if largest else {}
    plan = make_plan(config(longest_side=chosen, crop=crop), replace(FACTS, sizes=sizes))
    assert plan.longest_side == expected


@pytest.mark.parametrize(
    ("sizes", "crop", "expected"),
    [
        ({(375, 1242): 5}, "auto", 742), ({(500, 4000): 1}, "auto", 1024), ({(4000, 500): 1}, "auto", 1024),
        ({(960, 1280): 2, (375, 1242): 1}, "auto", 512), ({(300, 700): 9}, "auto", 523), ({(100, 520): 1}, "auto", 0),
        ({(1000, 4000): 1}, 448, 1792), ({(500, 4000): 1}, 448, 2048),
    ],
)  # fmt: skip
def test_long_low_pictures_are_shrunk_less_so_that_they_fill_a_crop(sizes, crop, expected):
    assert make_plan(config(crop=crop), replace(FACTS, sizes=sizes)).longest_side == expected


def test_steps_count_short_batches():
    assert make_plan(config(epochs=3, batch_size=4), FACTS).total_steps == 9


def test_choices_override_the_recipe():
    plan = make_plan(config(crop=96, learning_rate=0.5, longest_side=0), FACTS)
    assert (plan.crop, plan.learning_rate, plan.longest_side) == (96, 0.5, 0)


@pytest.mark.parametrize(("device", "num_cpus", "workers"), [("cpu", 16, 0), ("cuda", 16, 8), ("cuda", 4, 3)])
def test_workers_follow_the_machine(device, num_cpus, workers):
    assert make_plan(config(), Facts(5, 10, (9,) * 5, device, num_cpus, world_size=8)).num_workers == workers


@pytest.mark.parametrize(
    ("options", "compiles"),
    [
        ({"epochs": 3000}, True),
        ({"epochs": 30}, False),
        ({"epochs": 3000, "time_budget": "10m"}, False),
        ({"time_budget": "10m"}, False),
        ({"time_budget": "2h"}, True),
    ],
)
def test_only_a_long_training_is_compiled(options, compiles):
    facts = replace(FACTS, device="cuda")
    assert make_plan(config(**options), facts).compile == compiles
    assert not make_plan(config(**options), replace(facts, can_compile=False)).compile


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no process to processors")
def test_only_usable_processors_count():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_single_class_is_refused():
    with pytest.raises(UserError, match="only one class"):
        make_plan(config(), replace(FACTS, num_classes=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"crop": 8}, "--crop is 8"),
        ({"crop": 32}, "--crop is 32; 33 to"),
        ({"longest_side": 5}, "--longest-side is 5"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"seed": -1}, "--seed is -1"),
        ({"class_weights": (1.0, 2.0)}, "2 weights for 5 classes"),
        ({"class_weights": (1.0, -2.0, 1, 1, 1)}, "numbers of 0 or above"),
        ({"class_weights": (0.0,) * 5}, "not all 0"),
        ({"recipe": "original", "batch_size": 1}, "batches of one"),
    ],
)
def test_impossible_choices_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        make_plan(config(**options), FACTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "Dice"}, "loss is 'Dice'; .* was expected.\nDid you mean dice?"),
        ({"epochs": "10"}, r"epochs is '10'; 'auto' or a whole number \(int\) was expected"),
        ({"time_budget": 600}, "time_budget is 600; a text was expected"),
        ({"class_weights": [1.0, 2.0, 1.0, 1.0, 1.0]}, "a tuple of numbers, one for each class was expected"),
        ({"init": "model.safetensors"}, "init is 'model.safetensors'; a pathlib.Path or None was expected"),
        ({"enlarge": 2, "longest_side": 512}, "--enlarge and --longest-side are both given"),
        ({"overwrite": 1}, "overwrite is 1; True or False was expected"),
        ({"freeze": True}, "freeze is True; a whole number"),
        ({"class_weights": ("1",) * 5}, "-w gives the weights"),
        ({"class_weights": np.ones(5)}, "a tuple of numbers"),
    ],
)
def test_values_of_other_types_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        make_plan(config(**options), FACTS)


def test_a_whole_number_is_a_number():
    assert make_plan(config(learning_rate=1), FACTS).learning_rate == 1


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_is_kept(name):
    lowest, highest = LIMITS[name]
    for value in (lowest - 1, *([] if highest == math.inf else [2 * highest + 1]), math.nan):
        with pytest.raises(UserError, match=f"^(--{name.replace('_', '-')}|{name}) is {value};"):
            make_plan(config(**{name: value}), FACTS)


@pytest.mark.parametrize(
    ("num_train", "device", "epochs"),
    [(20, "cpu", 200), (400, "cpu", 50), (2000, "cpu", 10), (50_000, "cpu", 10), (20, "cuda", 400), (400, "cuda", 100)],
)
def test_the_fewer_pictures_the_more_epochs(num_train, device, epochs):
    assert make_plan(config(), replace(FACTS, num_train=num_train, device=device)).epochs == epochs


@pytest.mark.parametrize(
    ("options", "facts", "values"),
    [
        ({}, {}, {"batch_size": 8, "accumulate": 1, "precision": "float32", "compile": False, "channels_last": True}),
        ({}, {"num_train": 99}, {"batch_size": 8, "steps_per_epoch": 13}),
        ({}, {"num_train": 5}, {"batch_size": 5, "steps_per_epoch": 1}),
        ({}, {"num_train": 99, "device": "cuda"}, {"batch_size": 16, "steps_per_epoch": 7}),
        ({"recipe": "original"}, {"num_train": 17}, {"batch_size": 16, "steps_per_epoch": 1, "epochs": 100}),
        ({}, {"val_sizes": {(360, 480): 30}}, {"validate_every": 4}),
        ({}, {"val_sizes": {(3000, 4000): 9}}, {"validate_every": 7}),
        ({}, {"val_sizes": {(3000, 4000): 9}, "num_classes": 40, "pixels": (1,) * 40}, {"validate_every": 30}),
        ({"epochs": 20}, {"val_sizes": {(3000, 4000): 9}}, {"validate_every": 4}),
        ({}, {"val_sizes": {(3000, 4000): 9}, "num_train": 300}, {"validate_every": 1}),
        ({}, {"val_sizes": {(3000, 4000): 9}, "num_train": 300, "device": "cuda"}, {"validate_every": 4}),
        ({"recipe": "original"}, {"val_sizes": {(3000, 4000): 9}}, {"validate_every": 1}),
        ({"time_budget": "10m"}, {"val_sizes": {(3000, 4000): 9}}, {"validate_every": 1}),
        ({}, {"sizes": {(480, 360): 1}}, {"crop": 224, "enlarge": 1}),
        ({}, {"sizes": {(256, 256): 1}}, {"crop": 224, "enlarge": 2}),
        ({}, {"sizes": {(72, 96): 1, (60, 80): 9}}, {"crop": 224, "enlarge": 4, "longest_side": 0}),
        ({}, {"sizes": {(28, 28): 1}}, {"crop": 192, "enlarge": 4}),
        ({}, {"sizes": {(72, 96): 9, (600, 800): 1}}, {"enlarge": 1, "longest_side": 512}),
        ({"enlarge": 1}, {"sizes": {(72, 96): 1, (60, 80): 9}}, {"crop": 160, "enlarge": 1}),
        ({"enlarge": 3}, {"sizes": {(600, 800): 1}}, {"enlarge": 3, "longest_side": 0}),
        ({"crop": 224}, {"sizes": {(72, 96): 1}}, {"crop": 224, "enlarge": 1}),
        ({"longest_side": 0}, {"sizes": {(72, 96): 1}}, {"crop": 160, "enlarge": 1}),
        ({"recipe": "original"}, {"sizes": {(72, 96): 1}}, {"crop": 224, "enlarge": 1}),
        ({"time_budget": "10m"}, {}, {"epochs": 0, "total_steps": 0, "time_budget": 600}),
        ({"time_budget": "10m", "epochs": 3}, {}, {"epochs": 3, "total_steps": 6, "time_budget": 600}),
        ({}, {"device": "cuda", "has_bf16": True}, {"precision": "bf16", "num_workers": 1}),
        ({}, {"device": "cuda"}, {"precision": "fp16"}),
        ({"precision": "float32"}, {"device": "cuda", "has_bf16": True}, {"precision": "float32"}),
        ({"recipe": "original"}, {"device": "cuda", "has_bf16": True}, {"precision": "float32"}),
        ({"epochs": 400, "batch_size": 1}, {"device": "cuda"}, {"compile": True}),
        ({"epochs": 40}, {"device": "cuda"}, {"compile": False}),
        ({"compile": "on", "channels_last": "off"}, {}, {"compile": True, "channels_last": False}),
        ({"keep_feature_extract": True}, {}, {"freeze": -1}),
        (
            {"freeze": 3, "cache": "disk", "class_weights": "none"},
            {},
            {"freeze": 3, "cache": "disk", "class_weights": ()},
        ),
        # 85 % of 10 GB, less 2 GB: 6.5 pictures of 1 GB at once.
        (
            {"batch_size": 16},
            {"num_train": 99, "free_memory": 10**10, "fixed_memory": 2 * 10**9, "memory_per_picture": 10**9},
            {"batch_size": 16, "accumulate": 3},
        ),
        (
            {"batch_size": 16},
            {"num_train": 99, "world_size": 4, "free_memory": 10**10, "memory_per_picture": 10**9},
            {"accumulate": 1},
        ),
        ({}, {"free_memory": 1, "fixed_memory": 9, "memory_per_picture": 9}, {"accumulate": 8}),
    ],
)
def test_what_is_auto_follows_data_and_machine(options, facts, values):
    plan = make_plan(config(**options), replace(FACTS, **facts))
    assert {name: getattr(plan, name) for name in values} == values


def test_model_files_do_not_depend_on_the_machine():
    one = make_plan(config(num_workers=0, cache="none"), FACTS)
    other = make_plan(config(num_workers=3, cache="ram"), replace(FACTS, num_cpus=8))
    assert one != other
    assert one.for_model_file() == other.for_model_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_scale": 2.0}, "--min-scale 2.0 is above --max-scale 1.5"),
        ({"ema": 1.0}, "--ema is 1.0"),
        ({"rotation": 200.0}, "--rotation is 200.0; 0 to 180"),
        ({"precision": "fp16"}, "needs a CUDA device"),
        ({"freeze": 2, "keep_feature_extract": True}, "both given"),
        ({"time_budget": "soon"}, "--time-budget is 'soon'"),
        ({"nproc": 0}, "--nproc is 0"),
        ({"warmup": float("nan")}, "--warmup is nan"),
    ],
)
def test_options_that_contradict_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        make_plan(config(**options), FACTS)
