"""What a person can choose: one flat, frozen dataclass a command. The docstrings of the fields are the CLI's help."""

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

Fill = Literal["center", "truncate"]
Recipe = Literal["default", "original"]
Device = Literal["auto", "cpu", "cuda"]
Split = Literal["train", "val", "test"]
Background = Literal["auto", "class", "ignore", "error"]


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """How an annotation export becomes a dataset folder: for 'convert', and for 'train' on an export."""

    format: str = "auto"
    """Format of the export, where it can't be told by what is in it: cvat-images, coco, … A wrong name lists all."""
    images: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder that has the pictures, where the export came without."""
    classes: str = ""
    """Class names in the order of their ids, separated by commas: person,airplane,ground,sky. Objects of any other
    class stop the conversion. Default: all classes of the export, in its order. Id 0 is the background."""
    map: str = ""
    """Classes to rename or to merge: car=vehicle,truck=vehicle. What becomes 'background' is painted as that."""
    ignore_labels: str = ""
    """Classes whose pixels never count, in training or scores, separated by commas."""
    background: Background = "auto"
    """What the pixels outside all objects are: 'class' a class 'background' of id 0; 'ignore' not labelled, they never
    count; 'error' a mistake, all must be labelled. Default: a class, unless the classes' names leave that in doubt."""
    paint_order: str = ""
    """Class names from the bottom to the top: sky,ground,airplane,person. Where objects overlap, the later class wins.
    Default: as the export orders its objects, later on top."""
    fill: Fill = "center"
    """Which pixels an outline covers: 'center' fills those whose centre is inside, CVAT's own rule; 'truncate' paints
    as the original project did (coordinates cut to whole pixels, the edge included)."""
    boxes: bool = False
    """Fill boxes, too. Otherwise they are left out: a box is no outline."""
    empty: Literal["skip", "background"] = "skip"
    """What to do with annotated pictures that no object is in: leave them out, or take them as background."""
    allow_missing: bool = False
    """Go on without the pictures that are not there."""
    scale: bool = False
    """Where a picture has another size than it was annotated at, but the same shape, scale the annotations to it."""
    attribute: str = ""
    """The attribute that holds the class, for formats that don't say (VIA)."""
    val_fraction: float = 0.2
    """Share of the pictures that go to val, where the export has no subsets of its own."""
    group_by: Annotated[str, arg(metavar="REGEX")] = "auto"
    """Pictures whose names match this with the same text stay together in train or val: '(.+)_frame'; the first
    parenthesis counts, where there is one. 'none': each for itself. Default: guessed from the names, and said."""
    split_like: Annotated[Path | None, arg(metavar="DATASET")] = None
    """A dataset folder made before: its pictures stay in the split that they have there."""


@dataclass(frozen=True)
class ConvertConfig(ConversionOptions):
    """Turn an annotation export into a dataset folder that 'segtune train' takes."""

    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    """The export: a zip, a folder, or an XML or JSON file. The format is found by what is in it."""
    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """The folder to make: classes.yaml, train/ and val/ with Images and Labels."""
    repair: Annotated[str, arg(metavar="NAME,…")] = ""
    """Copy a dataset folder and mend the copy, by what 'segtune check' proposes: drop, duplicates, format, binary,
    shift, colors, nearest, orientation, size. A wrong name explains all."""
    num_classes: Annotated[int | None, arg(metavar="N")] = None
    """With --repair: number of classes, where the dataset has no classes.yaml."""
    ignore_value: Annotated[int | None, arg(metavar="VALUE")] = None
    """With --repair: label value that never counts, beside 255."""


@dataclass(frozen=True)
class CheckConfig:
    """Find everything in a dataset folder that ruins a training. Exit code 0: no errors, 2: errors."""

    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """The dataset folder."""
    num_classes: Annotated[int | None, arg(metavar="N")] = None
    """Number of classes, the background included. Needed only where the dataset has no classes.yaml."""
    ignore_value: Annotated[int | None, arg(metavar="VALUE")] = None
    """Label value that never counts, beside 255. Default: that of classes.yaml."""
    strict: bool = False
    """Exit with 1 where there are warnings, too."""
    json: bool = False
    """Print everything as JSON instead of the table."""
    page: Annotated[Path | None, arg(metavar="FILE.html")] = None
    """Write a page to look at: classes, findings, and pictures with their labels. It needs no network."""
    overwrite: bool = False
    """Replace the page where it exists."""


@dataclass(frozen=True)
class TrainConfig(ConversionOptions):
    """Fine-tune a model on a dataset folder."""

    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """The dataset folder: train/ and val/, each with Images and Labels, and, if wanted, classes.yaml. An annotation
    export is converted into RUN/dataset first, with the options of 'segtune convert'."""
    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The folder to make: model.safetensors, last.safetensors, run.json, metrics.jsonl, samples/."""
    num_classes: Annotated[int | None, arg(metavar="N")] = None
    """Number of classes, the background included. Needed only where the dataset has no classes.yaml."""
    epochs: int = 100
    """How many times to go through the training pictures."""
    batch_size: int = 16
    """Pictures in one training step."""
    keep_feature_extract: bool = False
    """Freeze the pretrained backbone and train only the new head."""
    class_weights: Annotated[tuple[float, ...], arg(aliases=["-w"], metavar="WEIGHT ...")] = ()
    """Weight of each class in the loss, in the order of their ids: -w 1 2 1 1 1. Default: the recipe's; 'original'
    weighs all alike, 'default' gives rare classes a little more, bounded."""
    model: str = "deeplabv3_resnet101"
    """A name that 'segtune models' lists, or DECODER:ENCODER, as in deeplabv3plus:efficientnet_lite0."""
    weights: str = "auto"
    """What to start from: 'auto' the best published weights, 'none' random ones, or the path of a weights file."""
    recipe: Recipe = "default"
    """'default' is segtune's; 'original' trains as the original project did, to the letter, for comparison."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """Highest learning rate of the new head. Default: the recipe's."""
    crop: Annotated[int | None, arg(metavar="PIXELS")] = None
    """Height and width of the training crops in pixels. Default: the recipe's, 224."""
    longest_side: Annotated[int | None, arg(metavar="PIXELS")] = None
    """Pictures whose longer side has more pixels are shrunk to this for the model; labels and scores stay at the
    pictures' own size. 0: never. Default: the recipe's."""
    ignore_value: Annotated[int | None, arg(metavar="VALUE")] = None
    """Label value that never counts, beside 255. Default: that of classes.yaml."""
    seed: int = 0
    """Seed of all randomness: order, augmentation, new weights."""
    device: Device = "auto"
    """Where to compute. 'auto': CUDA where there is one."""
    num_workers: Annotated[int | None, arg(metavar="N")] = None
    """Processes that prepare batches; 0: none beside the main one. Default: by the machine."""
    overwrite: bool = False
    """Replace the run that the run folder holds."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Score a model on a dataset folder, at each picture's own size."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """A model.safetensors."""
    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """The dataset folder."""
    split: Split = "val"
    """Which part of it."""
    output: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder to write scores.json to."""
    overwrite: bool = False
    """Replace the scores.json that the output folder already holds."""
    ignore_value: Annotated[int | None, arg(metavar="VALUE")] = None
    """Label value that never counts, beside 255. Default: that of classes.yaml, else the model's."""
    device: Device = "auto"
    """Where to compute. 'auto': CUDA where there is one."""


@dataclass(frozen=True)
class PredictConfig:
    """Segment pictures: class ids, colours, and the colours over the picture."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """A model.safetensors."""
    input: Annotated[Positional[Path], arg(metavar="INPUT")]
    """A picture, or a folder of pictures."""
    output: Annotated[Positional[Path], arg(metavar="OUTPUT")]
    """Folder to write labels/, segmentation/ and overlays/ to."""
    overwrite: bool = False
    """Replace predictions that the output folder already holds."""
    device: Device = "auto"
    """Where to compute. 'auto': CUDA where there is one."""


@dataclass(frozen=True)
class ImportWeightsConfig:
    """Turn a state dict that the original project or another tool saved into a model file."""

    file: Annotated[Positional[Path], arg(metavar="FILE.pth")]
    """The .pth file; it is read without running any code in it."""
    model: Annotated[Positional[Path], arg(metavar="MODEL.safetensors")]
    """The model.safetensors to write."""
    architecture: Annotated[str, arg(name="model")] = "deeplabv3_resnet101"
    """The network that the weights are for, as in 'segtune models'."""
    num_classes: Annotated[int | None, arg(metavar="N")] = None
    """Number of classes of the weights. Default: that of --classes."""
    classes: str = ""
    """Class names in the order of their ids, separated by commas. Default: class_0, class_1, …"""
    overwrite: bool = False
    """Replace the model file where it exists."""


@dataclass(frozen=True)
class ModelsConfig:
    """List the models, or the timm encoders whose name contains a word."""

    encoder: Annotated[Positional[str], arg(metavar="WORD")] = ""
    """List the encoders whose name contains this: 'segtune models resnet'."""


@dataclass(frozen=True)
class CacheConfig:
    """Show where decoded pictures are kept and how much they take, or remove them."""

    clear: bool = False
    """Remove them. Other files in that folder stay."""


@dataclass(frozen=True)
class DemoConfig:
    """See it all work, in minutes and without a network: draw pictures, convert, check, train, evaluate, predict."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")] = Path("runs/demo")
    """The folder to make."""
    overwrite: bool = False
    """Replace the demo that the folder holds."""


def command_line(command: str, config: Any) -> list[str]:
    """The command line that means ``config``: positional values, then every option that is not at its default."""
    words, options = ["segtune", command], []
    for entry in fields(config):
        value = getattr(config, entry.name)
        if entry.default is MISSING:
            words.append(str(value))
        elif value != entry.default:
            options.append(f"--{entry.name.replace('_', '-')}")
            options += [] if value is True else [str(item) for item in (value if isinstance(value, tuple) else [value])]
    return words + options


def changed_options(config: Any, of: type) -> list[str]:
    """The options of a dataclass that ``config`` has at other values than their defaults, as they are typed."""
    return [f"--{entry.name.replace('_', '-')}" for entry in fields(of) if getattr(config, entry.name) != entry.default]


def names_in(text: str) -> tuple[str, ...]:
    """The names in a list separated by commas, without the blanks around them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
