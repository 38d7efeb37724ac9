"""What a person can choose: one flat, frozen dataclass a command. The docstrings of the fields are the CLI's help."""

import csv
import io
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

Fill = Literal["center", "truncate"]
Recipe = Literal["default", "original"]
Device = Literal["auto", "cpu", "cuda"]
Split = Literal["train", "val", "test"]
Background = Literal["auto", "class", "ignore", "error"]
Auto = Literal["auto"]
Switch = Literal["auto", "on", "off"]
LossName = Literal["cross-entropy", "dice", "ohem", "focal", "lovasz"]
LOSSES = {
    "cross-entropy": "cross entropy", "dice": "cross entropy + Dice", "ohem": "OHEM", "focal": "focal loss",
    "lovasz": "cross entropy + Lovász",
}  # fmt: skip
"""What each is, for people."""
BatchNorm = Literal["train", "frozen", "sync"]
Schedule = Literal["constant", "poly", "cosine", "one-cycle"]
Precision = Literal["float32", "bf16", "fp16"]
Cache = Literal["ram", "disk", "none"]
OptimizerName = Literal["sgd", "adamw"]
RuntimeName = Literal["auto", "eager", "onnxruntime"]
TestTimeAugmentation = Literal["none", "flip", "flip+scale"]
Shapes = Literal["mask", "polygon"]


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """How an annotation export becomes a dataset folder: for 'convert', and for 'train' on an export."""

    format: str = "auto"
    """Format of the export, where it can't be told by what is in it: cvat-images, cvat-video, labelme-xml,
    segmentation-mask, coco, labelme-json, cityscapes, camvid, ade20k, datumaro, yolo-seg, label-studio, via,
    supervisely, mask-folder."""
    images: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder that has the pictures, where the export came without."""
    classes: str = ""
    """Class names in the order of their ids, separated by commas: person,airplane,ground,sky. The first has id 1 where
    there is a class 'background', whose id is 0; else id 0. A name that has commas itself stands in quotes, here and
    below: '"cup, glass",plate'. Objects of any other class stop the conversion. Default: all classes of the export, in
    its order."""
    map: str = ""
    """Classes to rename or to merge: car=vehicle,truck=vehicle; in quotes: '"cup, glass=dish",plate=dish'. What becomes
    'background' is painted as that."""
    ignore_labels: str = ""
    """Classes whose pixels never count, in training or scores, separated by commas."""
    background: Background = "auto"
    """What the pixels outside all objects are: 'class' a class 'background' of id 0; 'ignore' not labelled, they never
    count; 'error' a mistake, all must be labelled. Default: a class; where the classes' names leave that in doubt the
    conversion stops and asks for this option. Label images label all pixels: there it is
    'class' where a class is called background, else 'error'."""
    paint_order: str = ""
    """Class names from the bottom to the top: sky,ground,airplane,person; each that has objects, once. Where objects
    overlap, the later class wins. Default: what has the higher z order (CVAT's layer), then what was drawn later."""
    fill: Fill = "center"
    """Which pixels an outline covers: 'center' fills those whose centre is inside, CVAT's own rule; 'truncate' paints
    as the original project did (coordinates cut to whole pixels, the edge included)."""
    boxes: bool = False
    """Fill boxes, too. Otherwise they are left out: a box is no outline."""
    empty: Literal["skip", "background"] = "skip"
    """What to do with pictures that no object is in: 'skip' leaves them out, as nobody may have looked at them yet;
    'background' takes them as empty on purpose, but not those that have only lines or points (or boxes, without
    --boxes)."""
    allow_missing: bool = False
    """Go on without the pictures that are not there."""
    scale: bool = False
    """Where a picture has another size than it was annotated at, but the same shape, scale the annotations to it."""
    attribute: str = ""
    """The attribute that holds the class, for formats that don't say (VIA)."""
    val_fraction: float = 0.2
    """Share of the pictures that go to val, where the export does not tell train and val apart itself."""
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
    """The folder to make: classes.yaml, train/ and val/ with Images and Labels. With --merge: the one that is there."""
    merge: bool = False
    """Add the export to the dataset folder that is there: pictures that it has get the new labels, others are added,
    and the classes and the split stay. What is replaced is kept in DATASET/replaced."""
    repair: Annotated[str, arg(metavar="NAME,…")] = ""
    """Copy a dataset folder and mend the copy, by what 'segtune check' proposes: drop, duplicates, format, binary,
    shift, colors, nearest, orientation, size. A wrong name explains all."""
    num_classes: Annotated[int | None, arg(metavar="N")] = None
    """With --repair or --merge: number of classes, where the dataset has no classes.yaml."""
    ignore_value: Annotated[int | None, arg(metavar="VALUE")] = None
    """With --repair or --merge: label value that never counts, beside 255."""


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
class TrainingOptions:
    """What is trained, on what, for how long and how."""

    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """The dataset folder: train/ and val/, each with Images and Labels, and, if wanted, classes.yaml. An annotation
    export is converted into RUN/dataset first, with the options of 'segtune convert'."""
    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The folder to make: model.safetensors, last.safetensors, run.json, metrics.jsonl, report.html,
    samples/."""
    num_classes: Annotated[int | None, arg(metavar="N")] = None
    """Number of classes, the background included. Needed only where the dataset has no classes.yaml."""
    ignore_value: Annotated[int | None, arg(metavar="VALUE")] = None
    """Label value that never counts, beside 255. Default: that of classes.yaml."""
    model: str = "deeplabv3_resnet101"
    """A name that 'segtune models' lists, or DECODER:ENCODER, as in deeplabv3plus:efficientnet_lite0."""
    epochs: int | Auto = "auto"
    """How many times to go through the training pictures. 'auto': the fewer pictures, the more often; with
    --time-budget until the time is up."""
    time_budget: Annotated[str, arg(metavar="TIME")] = ""
    """How long to train, validation included: 90s, 10m, 1h30m. The rate decays to nothing by then."""
    batch_size: int | Auto = "auto"
    """Pictures in one training step, over all processes. 'auto': 8 on CPUs, 16 on CUDA and with the original recipe, or
    all where there are fewer."""
    recipe: Recipe = "default"
    """'default' is segtune's; 'original' trains as the original project did, to the letter, for comparison."""
    weights: str = "auto"
    """What the network of --model starts from: 'auto' the best published weights, 'none' random ones, or the path of a
    weights file, of which all that fits is taken."""
    init: Annotated[Path | None, arg(metavar="MODEL")] = None
    """Go on from this model.safetensors, with its network: to train it on more pictures. Where its classes are others,
    in name or order, the head is new."""
    accumulate: int | Auto = "auto"
    """Compute each batch in this many parts, one after the other, in less memory: the same step, but that batch norms
    that train, and the losses dice (the default), lovasz and ohem, see a part at a time. 'auto': 1; on CUDA as many as
    a measurement of the memory asks for."""
    resume: Literal["never", "auto"] = "never"
    """'auto': go on with the run that RUN holds, start where there is none. See also 'segtune resume'."""
    keep_feature_extract: bool = False
    """Freeze the pretrained backbone and train only the new head."""
    freeze: int = 0
    """Freeze the first stages of the backbone alone, as many as this, counted from the picture."""
    batch_norm: BatchNorm | Auto = "auto"
    """Batch norms: 'train' follows the batches' statistics, 'frozen' keeps those that the backbone came with, 'sync'
    takes the statistics over all processes. Frozen parts keep theirs in any case, but with --recipe original."""
    loss: LossName | Auto = "auto"
    """'cross-entropy'; 'dice' and 'lovasz' add that loss to it; 'ohem' counts the hardest pixels alone; 'focal' counts
    easy pixels less. 'auto': dice; cross-entropy with --recipe original."""
    class_weights: Annotated[
        tuple[float, ...] | Literal["auto", "none"], arg(aliases=["-w"], metavar="auto|none|WEIGHT ...")
    ] = "auto"
    """Weight of each class in cross entropy, in the order of their ids: -w 1 2 1 1 1. 'none' weighs all alike. 'auto':
    the recipe's; 'original' weighs all alike, 'default' gives rare classes a little more, bounded. What --loss adds to
    it counts all classes alike, but for those of weight 0."""
    logit_adjustment: float | Auto = "auto"
    """How much of the class weights training follows and decisions don't, 0 to 1: for cross entropy, with 0 a weight of
    4 counts as 4 where a pixel's class is decided, with 0.5 as 2, with 1 not at all. 'auto': the recipe's for its own
    weights, 0 for those given by -w."""
    label_smoothing: float | Auto = "auto"
    """Share of each label that is spread over all classes in cross entropy, 0 to 1."""
    optimizer: OptimizerName | Auto = "auto"
    """SGD with momentum, or AdamW."""
    learning_rate: float | Auto = "auto"
    """Highest learning rate of the new head."""
    backbone_rate: float | Auto = "auto"
    """The backbone's rate as a share of the head's."""
    layer_decay: float | Auto = "auto"
    """Each stage of the backbone learns at this share of the rate of the stage above it. 1: all alike."""
    momentum: float | Auto = "auto"
    """SGD's momentum."""
    weight_decay: float | Auto = "auto"
    """The optimizer's weight decay."""
    schedule: Schedule | Auto = "auto"
    """How the rate goes down after the warm-up: 'constant' not at all, 'poly' by a power of what is left, 'cosine' by a
    cosine; 'one-cycle' goes up by a cosine, too."""
    warmup: float | Auto = "auto"
    """Share of the training in which the rate goes up, 0 to 1."""
    clip_gradient: float | Auto = "auto"
    """Longest gradient; longer ones are shortened to it. 0: as long as they are."""
    ema: float | Auto = "auto"
    """Keep a moving average of the weights, with this share of the past in each step: 0.999. Both are scored, and the
    better is kept. 0: none."""
    patience: int | Auto = "auto"
    """Stop after this many validations without a better score. 0: never."""
    validate_every: int | Auto = "auto"
    """Epochs from one validation to the next; the last is always validated. 'auto': 1, or more where validation would
    take longer than training; a fifth of all at most. With --time-budget more rarely, where it would take more than a
    twentieth of the time."""
    crop: int | Auto = "auto"
    """Height and width of the training crops in pixels. 'auto': 224, or less where all pictures, enlarged by
    --enlarge and --max-scale, are smaller."""
    longest_side: int | Auto = "auto"
    """Pictures whose longer side has more pixels are shrunk to this for the model, in training and in prediction;
    labels and scores stay at the pictures' own size. 0: never. 'auto': 512, in proportion more where --crop is
    above 224 (1024 for 448), and up to twice that for pictures that are much longer than wide; 0 with the original
    recipe, and where no picture is larger: then larger pictures are cut into tiles in prediction."""
    enlarge: int | Auto = "auto"
    """Pictures are enlarged by this whole factor, 1 to 8, for the model, in training and in prediction; 1: not. 'auto':
    up to 4 times where all are small, to sides of no more than 512 pixels; 1 with the original recipe, and where
    --crop or --longest-side is given."""
    min_scale: float | Auto = "auto"
    """Smallest factor by which training pictures are scaled."""
    max_scale: float | Auto = "auto"
    """Largest one."""
    aspect_jitter: float | Auto = "auto"
    """Width over height is changed by a factor of up to 1 + this."""
    rotation: float | Auto = "auto"
    """Largest rotation of training pictures in degrees, either way."""
    rare_crop: float | Auto = "auto"
    """Probability that a crop is placed on a rare class, 0 to 1."""
    flip_horizontal: float | Auto = "auto"
    """Probability of exchanging left and right."""
    flip_vertical: float | Auto = "auto"
    """Probability of exchanging top and bottom."""
    color_jitter: float | Auto = "auto"
    """Brightness, contrast and saturation are changed by factors of up to 1 ± this."""
    hue_jitter: float | Auto = "auto"
    """The hue is turned by up to this share of the colour circle, either way; at most 0.5."""
    blur: float | Auto = "auto"
    """Probability of a blur."""
    cutout: float | Auto = "auto"
    """Probability that a rectangle is painted over and not counted."""
    cutmix: float | Auto = "auto"
    """Probability that a rectangle comes from another picture (CutMix)."""
    copy_paste: float | Auto = "auto"
    """Probability that objects of another picture are pasted in."""
    seed: int = 0
    """Seed of all randomness: order, augmentation, new weights."""
    device: Device = "auto"
    """Where to compute. 'auto': CUDA where there is one."""
    precision: Precision | Auto = "auto"
    """Numbers that the network computes with. 'auto': bf16 on CUDA devices that have it, else fp16; float32 on CPUs
    and with the original recipe."""
    channels_last: Switch = "auto"
    """Whether tensors lie with the channels last in memory. 'auto': the recipe's."""
    compile: Switch = "auto"
    """Whether to compile the network with torch.compile. 'auto': on CUDA, where the run is long enough to win back the
    minutes that it takes."""
    cache: Cache | Auto = "auto"
    """Decode pictures once, and keep them in memory or on disk. 'auto': memory if they take at most a quarter of what
    is free, else disk if they take at most half, else neither; 'segtune cache' shows what is there and removes it."""
    num_workers: int | Auto = "auto"
    """Processes that prepare batches; 0: none beside the main one. 'auto': by the machine."""
    nproc: int = 1
    """Processes that train together, one a CUDA device. For several machines see docs/scaling.md."""
    report_to: str = "tensorboard"
    """Where metrics go beside metrics.jsonl, separated by commas: tensorboard, mlflow, wandb; or 'none'."""
    overwrite: bool = False
    """Replace the run that the run folder holds."""


@dataclass(frozen=True)
class TrainConfig(ConversionOptions, TrainingOptions):  # of bases the last one's options come first
    """Fine-tune a model on a dataset folder.

    Where an option is 'auto', the recipe, the data and the machine decide; the plan that comes of it is printed, kept
    in RUN/run.json and followed. The last options, from --format on, say how an annotation export is converted.
    """


@dataclass(frozen=True)
class ResumeConfig:
    """Go on with a training that was killed or interrupted, exactly where it was; or ask for more epochs."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder."""
    epochs: int | None = None
    """Train for this many epochs in all, also where they were done. What ended by its time needs --time-budget instead.
    Default: as it was begun."""
    time_budget: Annotated[str | None, arg(metavar="TIME")] = None
    """Train for this long in all, also where the time was up: 90s, 10m, 1h30m. Default: as it was begun."""
    dataset: Annotated[Path | None, arg(metavar="DATASET")] = None
    """Where the dataset is now, if it was moved; its content must be the same."""
    num_workers: int | None = None
    """Processes that prepare batches; the result is the same. Default: as it was begun."""
    cache: Cache | Auto | None = None
    """Where decoded pictures are kept. Default: as it was begun."""
    nproc: int | None = None
    """Processes that train together on this machine; with another number, batch norms and Dice see other shares
    of a batch. Default: what --nproc was last. What torchrun started goes on by torchrun."""
    device: Device | None = None
    """Where to compute. Default: what --device was last."""
    accumulate: int | Auto | None = None
    """Compute each batch in this many parts, as in 'train', where memory is out. Default: what it was last."""


@dataclass(frozen=True)
class CrossvalConfig(TrainConfig):
    """Train and score a model a fold: each labelled picture of train and val is validated once.

    Takes the options of 'train', for each fold: five folds of ten minutes take fifty. Of those for exports --group-by
    alone has an effect; give the one that was given to 'convert'.
    """

    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """The dataset folder, as for 'segtune train'; an export is to be converted first."""
    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The folder to make: a run folder for each fold (fold_1, …), folds.json, crossval.json."""
    folds: int = 5
    """How many folds. Groups of pictures (--group-by, as in 'convert') are in one fold."""
    ensemble: bool = False
    """Write RUN/ensemble.json, which 'predict' and 'evaluate' take as a model: the mean of all folds' models."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Score a model on a dataset folder, at each picture's own size."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """A model.safetensors, a cross-validation's ensemble.json, or an export (.onnx, .torchscript.pt, .pt2, .xml)."""
    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """The dataset folder."""
    split: Split = "val"
    """Which part of it."""
    output: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder to write to: scores.json, per_image.csv, confusion.png, and the pictures in worst/ and best/."""
    compare: Annotated[Path | None, arg(metavar="OTHER_MODEL")] = None
    """Score this model, too, and say whether the difference is more than chance."""
    boundary_iou: bool = False
    """Also the IoU of each class near its outlines (within 2 % of the picture's diagonal)."""
    exclude_background: bool = False
    """Leave class 0 out of the means, as the original project did. Its pixels still count where they are taken for
    another class, or another class for it."""
    panels: Annotated[int, arg(metavar="N")] = 6
    """How many pictures to draw in worst/ and in best/."""
    overwrite: bool = False
    """Replace what the output folder already holds."""
    ignore_value: Annotated[int | None, arg(metavar="VALUE")] = None
    """Label value that never counts, beside 255. Default: that of classes.yaml, else the model's."""
    device: Device = "auto"
    """Where to compute. 'auto': CUDA where there is one."""
    backend: RuntimeName = "eager"
    """What computes a .safetensors on a CPU: 'eager' PyTorch, as the training scored it; 'onnxruntime', or 'auto'."""


@dataclass(frozen=True)
class ReportConfig:
    """Make RUN/report.html anew: what was trained on what, curves, scores, best and worst pictures, on one page."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder, also of a training that goes on or was interrupted."""
    output: Annotated[Path | None, arg(metavar="FILE.html")] = None
    """Where to write it. Default: RUN/report.html, which is replaced."""
    pictures: Annotated[int, arg(metavar="N")] = 4
    """How many of the best validation pictures to show, and how many of the worst."""
    dataset: Annotated[Path | None, arg(metavar="DATASET")] = None
    """Where the dataset is now, if it was moved."""
    overwrite: bool = False
    """Replace the file that --output names."""
    device: Device = "auto"
    """Where to predict the pictures that are shown. 'auto': CUDA where there is one."""


@dataclass(frozen=True, kw_only=True)
class PreannotationOptions:
    """How predictions become shapes that a person corrects: for 'predict --save cvat' and 'suggest'."""

    shapes: Shapes = "mask"
    """What CVAT gets: 'mask' is the prediction to the pixel; 'polygon' has outlines of few points, within 1 % of the
    area. LabelMe gets polygons."""
    min_confidence: float = 0.0
    """Leave areas to be drawn by hand whose mean confidence, 0 to 1, is below this."""
    min_area: Annotated[int | Auto, arg(metavar="PIXELS")] = "auto"
    """Smaller areas go to what is around them. 'auto': no mask does, and polygons of fewer than 20 pixels do."""
    with_background: bool = False
    """Draw the background, too."""


@dataclass(frozen=True)
class PredictConfig(PreannotationOptions):
    """Segment pictures and videos: class ids, colours, the colours over the picture, confidence, polygons."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """A model.safetensors, a cross-validation's ensemble.json, or an export (.onnx, .torchscript.pt, .pt2, .xml)."""
    input: Annotated[Positional[Path], arg(metavar="INPUT")]
    """A picture or a video; a folder, for the pictures in it and below (not the videos); a pattern in quotes
    ('days/**/*.jpg'); a .txt list with a path a line; or - for such a list on standard input."""
    output: Annotated[Positional[Path], arg(metavar="OUTPUT")]
    """Folder to write to: labels/, segmentation/, overlays/, …"""
    save: str = ""
    """What to write, separated by commas: labels (class ids), segmentation (their colours), overlays (colours over the
    picture), confidence (0..255 for probabilities of 0..1), polygons (GeoJSON for each, and polygons.json for all, in
    COCO's format), cvat (cvat.zip, to be imported as "CVAT 1.1" and corrected, and cvat_labels.json), labelme
    (labelme.zip). Of a video: overlays (a video) and labels (a picture a frame).
    Default: labels,segmentation,overlays; of a video overlays."""
    tile: Annotated[int | Auto, arg(metavar="PIXELS")] = "auto"
    """Side of the tiles that a large picture is cut into, to be predicted without being shrunk; 0: never cut. 'auto':
    pictures are shrunk, or enlarged, as in training, and cut only where they are then above 2048 x 2048."""
    overlap: Annotated[int | Auto, arg(metavar="PIXELS")] = "auto"
    """By how much tiles overlap, at least. 'auto': 448, or half of a smaller tile."""
    tta: TestTimeAugmentation = "none"
    """Predict the picture mirrored as well ('flip'), and at 3/4 and 5/4 of its size ('flip+scale'), and take the mean:
    a little better, 2 and 6 times slower."""
    overwrite: bool = False
    """Replace predictions that the output folder already holds."""
    device: Device = "auto"
    """Where to compute. 'auto': CUDA where there is one."""
    backend: RuntimeName = "auto"
    """What computes a .safetensors on a CPU: 'eager' PyTorch, or 'onnxruntime'. 'auto': whichever is faster of what is
    installed; the first time it exports the model into the cache."""


@dataclass(frozen=True)
class SuggestConfig(PreannotationOptions):
    """Choose the pictures that are worth labelling next, and pre-annotate them for CVAT."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """A model.safetensors, a cross-validation's ensemble.json, or an export (.onnx, .torchscript.pt, .pt2, .xml)."""
    pictures: Annotated[Positional[Path], arg(metavar="PICTURES")]
    """The pool of pictures that are not labelled: a folder, searched with all below it, a pattern in quotes, a .txt
    list, or - for such a list on standard input."""
    output: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder to write to: pictures/ with the chosen ones, cvat.zip with what the model draws on them, cvat_labels.json,
    suggest.html to look at, and ranking.csv."""
    count: Annotated[int, arg(metavar="N")] = 50
    """How many pictures to choose."""
    labeled: Annotated[Path | None, arg(metavar="DATASET")] = None
    """The dataset folder of what is labelled: pictures unlike these are preferred, and these are not chosen again."""
    overwrite: bool = False
    """Replace the suggestion that the output folder already holds."""
    device: Device = "auto"
    """Where to compute. 'auto': CUDA where there is one."""
    backend: RuntimeName = "eager"
    """What computes a .safetensors on a CPU: 'eager' PyTorch, whose encoder tells how pictures differ; 'onnxruntime'
    may be faster, and tells it by the probabilities of the classes."""


@dataclass(frozen=True)
class ExportConfig:
    """Turn a model into a file for another runtime, and check that it predicts the same."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """A model.safetensors, or a cross-validation's ensemble.json, which becomes one file."""
    target: Annotated[Positional[Path], arg(metavar="TARGET")]
    """The file to write; its suffix says the format: .onnx, .torchscript.pt, .pt2 (torch.export), .xml (OpenVINO)."""
    with_preprocessing: Literal["no", "nhwc", "nchw"] = "no"
    """Put scaling, normalisation and padding into the file: uint8 RGB of any size goes in, (N, H, W, 3) or
    (N, 3, H, W)."""
    argmax: bool = False
    """Put out class ids, uint8 (N, H, W), in place of logits."""
    half: bool = False
    """Compute with float16: half the size; faster on some devices. An .xml only stores its weights so."""
    int8: bool = False
    """Quantise an .onnx to 8 bits, calibrated on training pictures: a quarter of the size."""
    data: Annotated[Path | None, arg(metavar="DATASET")] = None
    """The dataset folder whose validation pictures the export is checked on. Default: that of the run.json beside
    MODEL."""
    num_pictures: int = 100
    """Check on this many validation pictures, evenly chosen; 0: on all."""
    ignore_value: Annotated[int | None, arg(metavar="VALUE")] = None
    """Label value that never counts, beside 255. Default: the model's."""
    no_check: bool = False
    """Write the file without checking it."""
    overwrite: bool = False
    """Replace the file where it exists."""


@dataclass(frozen=True)
class ServeConfig:
    """Serve a model on a page to try it, and by an HTTP API. Uploads stay in memory."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """A model.safetensors, a cross-validation's ensemble.json, or an export (.onnx, .torchscript.pt, .pt2, .xml)."""
    host: str = "127.0.0.1"
    """Address to listen on. The default is for this machine alone; 0.0.0.0 is for all that reach it."""
    port: int = 8000
    """Port to listen on; 0: any that is free."""
    token: str = ""
    """Answer only to those who send it, as 'Authorization: Bearer TOKEN'. Better given as SEGTUNE_TOKEN in the
    environment, where other users of the machine don't see it."""
    max_megabytes: float = 20
    """Uploads above this are refused (413)."""
    max_megapixels: float = 50
    """Pictures above this are refused (413), without decoding them; so are those that the model sees larger than
    this, where it enlarges pictures."""
    max_waiting: int = 16
    """Pictures that may be uploaded or wait for their turn, beside those of a batch; more are refused (503), with the
    seconds to wait."""
    max_batch: int = 4
    """Pictures of one size that are predicted together at most."""
    timeout: float = 60
    """Seconds that an upload may take, and then a prediction; connections on which nothing happens end, too."""
    sample: Annotated[Path | None, arg(metavar="PICTURE")] = None
    """The page's sample picture. Default: a drawn one."""
    tta: TestTimeAugmentation = "none"
    """Test-time augmentation: the mean over the mirrored picture, and over three sizes. Slower, a little better."""
    device: Device = "auto"
    """Where to compute. 'auto': CUDA where there is one."""
    backend: RuntimeName = "auto"
    """What computes a .safetensors on a CPU: 'eager' PyTorch, 'onnxruntime', or whichever is faster here."""


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
    """Show where decoded pictures, and the exports that 'predict' makes for itself, are kept, or remove them."""

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
    """The names in a list separated by commas, without the blanks around them; as in CSV, "a, b" in quotes is one."""
    # The text's own lines would end at every character that Unicode calls a line's end.
    rows = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    return tuple(name.strip() for row in rows for name in row if name.strip())


def list_of_names(names: Sequence[str]) -> str:
    """The inverse of ``names_in``: names that hold a comma stand in quotes."""
    text = io.StringIO()
    # Without a line's end at its own end, the writer would put no quotes around those in names.
    csv.writer(text, lineterminator="\r\n").writerow(names)
    return text.getvalue().removesuffix("\r\n")
