"""The plan: configuration + facts of the data and the machine -> every value that the training follows. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from segtune.config import BatchNorm, Cache, LossName, OptimizerName, Precision, Schedule, TrainConfig
from segtune.preprocessing import Preprocessing
from segtune.training.limits import check_options, check_with_data, seconds_in
from segtune.training.recipes import DEFAULT_RECIPE, RECIPES, value_of

BATCH_SIZES = {"cpu": 8, "cuda": 16}
"""Smaller batches are more steps in the same time where a picture takes as long in any batch, as on CPUs."""
ORIGINAL_BATCH_SIZE = 16

CROPS_TO_SEE = {"cpu": 20_000, "cuda": 40_000}
"""How many crops a training looks at, where the number of epochs is left to the plan: batches twice as large are as
many steps of twice as many."""
MOST_EPOCHS = {"cpu": 200, "cuda": 400}
FEWEST_EPOCHS, ORIGINAL_EPOCHS = 10, 100

SMALLEST_CROP, CROP_STEP = 64, 32
"""Pixels of a crop where pictures are smaller than the recipe's, and what networks take a multiple of."""

PIXEL_COSTS = {"cpu": (1.0, 0.3, 0.01, 0.003), "cuda": (0.02, 0.007, 0.01, 0.0)}
"""What a pixel takes, in microseconds: of a crop that is trained on; of a picture that is validated, as the network
sees it; of that picture's own, to be read; and for each class, to be labelled. Measured on 2 cores with
EfficientNet-Lite0; for CUDA, a guess."""
FEWEST_VALIDATIONS = 5
"""Of a training, however long they take."""

MEMORY_SHARE = 0.85
"""How much of the free memory of a CUDA device the plan uses: fragments take the rest."""

STEPS_WORTH_COMPILING, SECONDS_WORTH_COMPILING = 3000, 1800
"""Compiling takes a minute or two, as long as some thousand steps take longer without it."""

MACHINE_VALUES = ("accumulate", "num_workers", "cache", "compile", "device", "world_size")
"""Values that are the machine's: model files don't tell them. (What batch norms and Dice see depends on
``accumulate`` and ``world_size``: docs/scaling.md.)"""


@dataclass(frozen=True)
class Facts:
    """What the plan depends on beside the configuration.

    Attributes:
        num_classes: Classes of the dataset.
        num_train: Training pictures.
        sizes: How many pictures of train and val have each height and width; empty: not known.
        val_sizes: The same of val alone.
        pixels: Labelled pixels of each class in the training pictures.
        device: 'cpu' or 'cuda'.
        num_cpus: Processors that each process has for itself.
        world_size: Processes that train together.
        has_bf16: Whether the device computes with bf16.
        can_compile: Whether what torch.compile needs on CUDA is there.
        free_memory: Bytes that are free on the CUDA device; 0: not known.
        fixed_memory: Bytes that a step takes however few pictures it has; 0: not known.
        memory_per_picture: Bytes that a step takes for each picture; 0: not known.
    """

    num_classes: int
    num_train: int
    pixels: tuple[int, ...]
    device: str
    num_cpus: int
    sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)
    val_sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)
    world_size: int = 1
    has_bf16: bool = False
    can_compile: bool = True
    free_memory: int = 0
    fixed_memory: int = 0
    memory_per_picture: int = 0

    @property
    def largest_side(self) -> int:
        """Pixels of the longest side of any picture; 0: not known."""
        return max(map(max, self.sizes), default=0)

    @property
    def elongation(self) -> float:
        """The longer over the shorter side of the middle one of the pictures."""
        return statistics.median(
            [max(size) / min(size) for size, number in self.sizes.items() for _ in range(number)] or [1.0]
        )


@dataclass(frozen=True)
class TrainPlan:
    """All values of a training, resolved. Sizes are in pixels, rates per step; factors are drawn evenly in a range.

    Attributes:
        recipe: Which recipe the values come from.
        epochs: Times through the training pictures; 0: until the time is up.
        time_budget: Seconds that the training may take; 0: as long as it takes.
        batch_size: Pictures a step, over all processes.
        accumulate: Parts that a process computes its share of a batch in.
        steps_per_epoch: Steps of an epoch.
        total_steps: Steps of the whole training; 0: until the time is up.
        crop: Height and width of the crops.
        min_scale: Smallest factor of the scale jitter.
        max_scale: Largest one.
        aspect_jitter: Width over height is changed by up to 1 + this.
        rotation: Largest rotation in degrees.
        rare_crop: Probability that a crop is placed on a rare class.
        flip_horizontal: Probability of exchanging left and right.
        flip_vertical: Probability of exchanging top and bottom.
        color_jitter: Amount by which brightness, contrast and saturation vary.
        hue_jitter: Share of the colour circle by which the hue varies.
        blur: Probability of a blur.
        cutout: Probability of a rectangle that is painted over.
        cutmix: Probability of a rectangle from another picture.
        copy_paste: Probability of objects from another picture.
        longest_side: Larger pictures are shrunk to this; 0: never.
        enlarge: Pictures are enlarged by this factor.
        freeze: Stages of the feature extractor that are left as they are; -1: all of it.
        batch_norm: Whose statistics the batch norms that are not frozen take.
        frozen_batch_norm: Whether frozen stages keep their batch statistics, too.
        even_batches: Whether batches are of about one size; else the last is short, and left out if of one picture.
        loss: Which loss.
        class_weights: Weight of each class in it; empty: all equal.
        logit_adjustment: Share of the logarithm of the class weights that the logits leave out.
        label_smoothing: Share of each label that is spread over all classes.
        optimizer: SGD with momentum, or AdamW.
        learning_rate: The highest rate, of the head.
        backbone_rate: The feature extractor's rate as a share of that.
        layer_decay: Share of the rate from each stage of the feature extractor to the one below.
        momentum: SGD's.
        weight_decay: The optimizer's.
        schedule: How the rate goes down.
        warmup: Share of the training in which it goes up.
        clip_gradient: Longest gradient; 0: any.
        ema: Share of the past in the moving average of the weights; 0: no average.
        patience: Validations without a better score after which the training ends; 0: never.
        validate_every: Epochs between validations.
        validation: 'whole': pictures at their own size; 'original': centre crops, averaged over batches.
        checkpoint_every: Epochs between checkpoints that are kept; 0: none.
        channels_last: Whether tensors lie with the channels last in memory.
        precision: What the network computes with.
        compile: Whether the network is compiled.
        device: Where to compute.
        world_size: Processes that train together.
        num_workers: Processes that prepare batches, for each that trains.
        cache: Where decoded pictures are kept.
        seed: Of all randomness.
    """

    recipe: str
    epochs: int
    time_budget: float
    batch_size: int
    accumulate: int
    steps_per_epoch: int
    total_steps: int
    crop: int
    min_scale: float
    max_scale: float
    aspect_jitter: float
    rotation: float
    rare_crop: float
    flip_horizontal: float
    flip_vertical: float
    color_jitter: float
    hue_jitter: float
    blur: float
    cutout: float
    cutmix: float
    copy_paste: float
    longest_side: int
    enlarge: int
    freeze: int
    batch_norm: BatchNorm
    frozen_batch_norm: bool
    even_batches: bool
    loss: LossName
    class_weights: tuple[float, ...]
    logit_adjustment: float
    label_smoothing: float
    optimizer: OptimizerName
    learning_rate: float
    backbone_rate: float
    layer_decay: float
    momentum: float
    weight_decay: float
    schedule: Schedule
    warmup: float
    clip_gradient: float
    ema: float
    patience: int
    validate_every: int
    validation: Literal["whole", "original"]
    checkpoint_every: int
    channels_last: bool
    precision: Precision
    compile: bool
    device: str
    world_size: int
    num_workers: int
    cache: Cache
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for run.json."""
        return asdict(self)

    def for_model_file(self) -> dict[str, Any]:
        """The values that the weights depend on: the same training on another machine writes the same file."""
        return {name: value for name, value in self.to_dict().items() if name not in MACHINE_VALUES}


def make_plan(config: TrainConfig, facts: Facts) -> TrainPlan:
    """Resolve every value.

    Raises:
        UserError: A value is impossible, or contradicts the data.
    """
    check_options(config)
    check_with_data(config, facts.num_classes, facts.num_train, facts.device)
    values = {name: value_of(config, name) for name in RECIPES[config.recipe]}
    balance = values.pop("balance_classes")
    class_weights = _class_weights(config, facts, balance)
    if not class_weights or (config.class_weights != "auto" and config.logit_adjustment == "auto"):
        values["logit_adjustment"] = 0.0  # weights that were chosen count as they are
    if config.enlarge == "auto":
        values["enlarge"] = _enlarge(values["enlarge"], config, facts)
    if config.longest_side == "auto":
        values["longest_side"] = _longest_side(values["longest_side"], values["crop"], facts)
    if values["enlarge"] > 1:
        values["longest_side"] = 0
    if config.crop == "auto" and config.recipe == "default":
        values["crop"] = _crop(values, facts)
    time_budget = seconds_in(config.time_budget) if config.time_budget else 0.0
    batch_size = _batch_size(config, facts)
    # The original leaves the last batch of an epoch out where it has one picture.
    left_out = not values["even_batches"] and facts.num_train % batch_size == 1
    steps_per_epoch = -(-(facts.num_train - left_out) // batch_size)
    epochs = _epochs(config, facts, time_budget)
    total_steps = epochs * steps_per_epoch
    return TrainPlan(
        recipe=config.recipe,
        epochs=epochs,
        time_budget=time_budget,
        batch_size=batch_size,
        accumulate=_parts(config, facts, batch_size),
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        freeze=-1 if config.keep_feature_extract else config.freeze,
        class_weights=class_weights,
        validate_every=_validate_every(config, facts, values, epochs),
        precision=precision_of(config, facts.device, facts.has_bf16),
        compile=config.compile == "on" or (config.compile == "auto" and _compiles(facts, total_steps, time_budget)),
        device=facts.device,
        world_size=facts.world_size,
        num_workers=_num_workers(config, facts),
        cache="none" if config.cache == "auto" else config.cache,
        seed=config.seed,
        **values,
    )


def precision_of(config: TrainConfig, device: str, has_bf16: bool) -> Precision:
    """What the network computes with: what was chosen, or what the recipe and the device make of 'auto'."""
    if config.precision != "auto":
        return config.precision
    if device != "cuda" or config.recipe == "original":
        return "float32"
    return "bf16" if has_bf16 else "fp16"


def balanced_weights(pixels: Sequence[int]) -> tuple[float, ...]:
    """Weights of the classes in the loss by how rare they are, between 1/2 and 2.

    The square root of median frequency balancing (Eigen and Fergus 2015), with the share of all labelled pixels as a
    class's frequency (theirs is that in the pictures which have it): enough that rare classes are learnt, little
    enough that they don't spread over the others. Classes without pixels get 1.
    """
    present = [count for count in pixels if count]
    if not present:
        return ()
    middle = statistics.median(present)
    weights = (min(2.0, max(0.5, math.sqrt(middle / count))) if count else 1.0 for count in pixels)
    return tuple(round(weight, 3) for weight in weights)


def _compiles(facts: Facts, total_steps: int, time_budget: float) -> bool:
    """Whether the machine can, and the training is long enough; 0 steps, or 0 seconds, bound it not at all."""
    has_steps = not total_steps or total_steps >= STEPS_WORTH_COMPILING
    has_time = not time_budget or time_budget >= SECONDS_WORTH_COMPILING
    return facts.device == "cuda" and facts.can_compile and has_steps and has_time


def _epochs(config: TrainConfig, facts: Facts, time_budget: float) -> int:
    if config.epochs != "auto":
        return config.epochs
    if time_budget:
        return 0
    if config.recipe == "original":
        return ORIGINAL_EPOCHS
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS[facts.device], round(CROPS_TO_SEE[facts.device] / facts.num_train)))


def _batch_size(config: TrainConfig, facts: Facts) -> int:
    if config.batch_size != "auto":
        return config.batch_size
    usual = ORIGINAL_BATCH_SIZE if config.recipe == "original" else BATCH_SIZES[facts.device]
    return min(usual, facts.num_train)


def _parts(config: TrainConfig, facts: Facts, batch_size: int) -> int:
    """The fewest parts of a process's share of a batch that fit into memory."""
    if config.accumulate != "auto":
        return config.accumulate
    share = -(-batch_size // facts.world_size)
    if not facts.memory_per_picture:
        return 1
    room = facts.free_memory * MEMORY_SHARE - facts.fixed_memory
    at_once = max(1, int(room // facts.memory_per_picture))
    return -(-share // at_once)


def _longest_side(usual: int, crop: int, facts: Facts) -> int:
    """Such that a crop shows nearly half of a picture, as it does for the usual ones; more of it with larger crops.

    Long, low pictures would fill a part of a crop only, so they stay larger, up to twice as long.
    """
    longest = max(usual, usual * crop // DEFAULT_RECIPE["crop"])
    longest = max(longest, min(2 * longest, math.ceil(crop * facts.elongation)))
    # What was never shrunk in training is not to be shrunk in prediction: a large picture is cut into tiles there.
    return 0 if 0 < facts.largest_side <= longest else longest


def _enlarge(most: int, config: TrainConfig, facts: Facts) -> int:
    """The recipe was found on pictures of about its longest side, and learns more of smaller ones seen as large."""
    if not facts.largest_side or (config.crop, config.longest_side) != ("auto", "auto"):
        return 1
    return max(1, min(most, int(DEFAULT_RECIPE["longest_side"]) // facts.largest_side))


def _crop(values: Mapping[str, Any], facts: Facts) -> int:
    """The recipe's; smaller where all pictures are, however enlarged, as much of each crop would be padding then."""
    if not facts.largest_side:
        return int(values["crop"])
    seen = values["enlarge"] * min(facts.largest_side, values["longest_side"] or facts.largest_side)
    largest = math.ceil(seen * values["max_scale"] / CROP_STEP) * CROP_STEP
    return int(min(values["crop"], max(SMALLEST_CROP, largest)))


def _class_weights(config: TrainConfig, facts: Facts, balance: bool) -> tuple[float, ...]:
    if config.class_weights == "none" or (config.class_weights == "auto" and not balance):
        return ()
    return balanced_weights(facts.pixels) if config.class_weights == "auto" else tuple(config.class_weights)


def _validate_every(config: TrainConfig, facts: Facts, values: Mapping[str, Any], epochs: int) -> int:
    """So rarely that it takes no longer than the training, but a few times; where time is bounded, time says."""
    if config.validate_every != "auto":
        return config.validate_every
    if config.recipe == "original" or config.time_budget:
        return 1
    trained, seen, read, labelled = PIXEL_COSTS[facts.device]
    own = read + labelled * facts.num_classes
    rule = Preprocessing(longest_side=values["longest_side"], enlarge=values["enlarge"])
    validation = sum(
        number * (seen * math.prod(rule.working_size(*size)) + own * math.prod(size))
        for size, number in facts.val_sizes.items()
    )
    as_rarely: int = math.ceil(validation / (trained * facts.num_train * values["crop"] ** 2))
    return max(1, min(as_rarely, epochs // FEWEST_VALIDATIONS))


def _num_workers(config: TrainConfig, facts: Facts) -> int:
    if config.num_workers != "auto":
        return config.num_workers
    # On a CPU the network itself takes every core; on a GPU the cores are free to prepare batches.
    return max(0, min(8, facts.num_cpus - 1)) if facts.device == "cuda" else 0
