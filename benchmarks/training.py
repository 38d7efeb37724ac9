"""The whole training pipeline beside the bare step; memory formats; memory; the start.

.venv/bin/python benchmarks/training.py --camvid ../shared/camvid [--result FILE.json]
.venv/bin/python benchmarks/training.py --camvid ../shared/camvid --only camvid --model deeplabv3_resnet101 \
    --weights none

The second is for a machine with CUDA, where batches are of 16; random weights need no download.

Steps of the pipeline and bare steps (the same net, on a batch that is already in memory) take turns within one run, so
that what else the machine does meets both alike. The medians are compared.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from reading import write_pair
from record import add_result, record

from segtune.annotations.dataset_folder import dataset_classes, find_pairs
from segtune.classes import class_table, write_classes
from segtune.config import TrainConfig
from segtune.data.batch import Batch
from segtune.data.cache import open_samples
from segtune.data.loader import AugmentedPictures, Loader
from segtune.models.catalog import build_model, model_preprocessing
from segtune.models.pretrained import load_weights
from segtune.training.augmentation import plan_augmentation
from segtune.training.events import Event, RunStarted, StepDone
from segtune.training.losses import make_loss
from segtune.training.network import Network
from segtune.training.optimizer import make_optimizer
from segtune.training.plan import Facts, TrainPlan, make_plan
from segtune.training.step import Stepper
from segtune.training.train import TrainingInterrupted, train

MODEL = "deeplabv3plus:efficientnet_lite0"
BATCH_SIZE = 8
"""Of what is made here; a training has its plan's."""
NUM_TURNS = 30


class BareStep:
    """A step from the same weights, on a batch that is in memory."""

    def __init__(
        self, plan: TrainPlan, num_classes: int, batch: Batch | None = None, model: str = MODEL, weights: str = "auto"
    ) -> None:
        net = build_model(model, num_classes)
        load_weights(net, model, weights)
        network = Network(net, model, plan, torch.device(plan.device))
        network.train_mode()
        optimizer = make_optimizer(net, network.stages, plan)
        loss = make_loss(plan, network.device)
        self.stepper = Stepper(network, model_preprocessing(model, plan.longest_side), loss, optimizer, plan)
        generator = torch.Generator().manual_seed(0)
        shape = (plan.batch_size, plan.crop, plan.crop)
        images = torch.randint(0, 256, (shape[0], 3, *shape[1:]), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, num_classes, shape, dtype=torch.uint8, generator=generator)
        self.batch = batch or Batch(images, labels, ("",) * plan.batch_size)

    def __call__(self) -> float:
        """Do one; the seconds that it took."""
        started = time.perf_counter()
        self.stepper.step(self.batch, self.stepper.total_weight(self.batch))
        return time.perf_counter() - started


def first_batch(dataset: Path, plan: TrainPlan, num_classes: int, model: str) -> Batch:
    """The first batch of a training: what a step takes depends on what is in it, too."""
    preprocessing = model_preprocessing(model, plan.longest_side)
    table = dataset_classes(dataset, num_classes, None if (dataset / "classes.yaml").exists() else num_classes)
    samples = open_samples(find_pairs(dataset, "train"), table, preprocessing, "none", 0)
    pictures = AugmentedPictures(samples, plan_augmentation(plan, preprocessing.mean), plan.seed)
    return next(iter(Loader(pictures, plan.batch_size, 0).epoch(1)))


class TakingTurns:
    """A listener that does a bare step after each step of the training, once the first epoch has filled the cache."""

    def __init__(self, dataset: Path, num_classes: int, model: str, weights: str) -> None:
        self.dataset = dataset
        self.num_classes = num_classes
        self.model = model
        self.weights = weights
        self.pipeline: list[float] = []
        self.bare: list[float] = []
        self._left = 0.0
        self._epoch = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            batch = first_batch(self.dataset, event.plan, self.num_classes, self.model)
            self._bare = BareStep(event.plan, self.num_classes, batch, self.model, self.weights)
            self._batch_size = event.plan.batch_size
        # The first step of an epoch follows a validation.
        if isinstance(event, StepDone) and event.num_pictures == self._batch_size:
            if event.epoch == self._epoch > 1:
                self.pipeline.append(time.perf_counter() - self._left)
                self.bare.append(self._bare())
            self._epoch = event.epoch
            if len(self.bare) == NUM_TURNS:
                raise KeyboardInterrupt
        self._left = time.perf_counter()


def pipeline(dataset: Path, /, classes: int, model: str, weights: str, **options: object) -> dict[str, float]:
    """Median seconds of a step in the pipeline and bare."""
    turns = TakingTurns(dataset, classes, model, weights)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(dataset, Path(folder) / "run", model=model, weights=weights, report_to="none", **options)
        with suppress(TrainingInterrupted):
            train(config, listeners=[turns])
    whole, bare = statistics.median(turns.pipeline), statistics.median(turns.bare)
    return {"pipeline_seconds": whole, "bare_seconds": bare, "ratio": bare / whole, "steps": len(turns.bare)}


def drawn_dataset(folder: Path, height: int, width: int, num_train: int, num_val: int) -> Path:
    """A dataset of JPEGs of one size."""
    table = class_table([f"class_{index}" for index in range(11)])
    for split, number in (("train", num_train), ("val", num_val)):
        for kind in ("Images", "Labels"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(number):
            pair = write_pair(folder, index, height, width, table)
            pair.picture.rename(folder / split / "Images" / f"{index}.jpg")
            pair.labels.rename(folder / split / "Labels" / f"{index}.png")
    write_classes(folder / "classes.yaml", table)
    return folder


def memory_formats(plan: TrainPlan, repetitions: int = 15) -> dict[str, float]:
    """Median seconds of the bare step with the channels last, and as torch does it unasked."""
    steps = {name: BareStep(replace(plan, channels_last=last), 11) for name, last in FORMATS.items()}
    seconds = {name: [step()] for name, step in steps.items()}
    for _ in range(repetitions):
        for name, step in steps.items():
            seconds[name].append(step())
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    return {**medians, "ratio": medians["channels_first"] / medians["channels_last"]}


FORMATS = {"channels_last": True, "channels_first": False}

FIRST_STEP = """
import sys, time
started = time.perf_counter()
from contextlib import ExitStack
from pathlib import Path
from segtune.annotations.check_ahead import checked_ahead
from segtune.config import TrainConfig
config = TrainConfig(Path(sys.argv[1]), Path(sys.argv[2]), num_classes=11, ignore_value=11, model=sys.argv[3],
                     batch_size=8, report_to="tensorboard")
seconds = []
with checked_ahead(config.dataset, config.num_classes, config.ignore_value) as check, ExitStack() as stack:
    from segtune.run_folder import RunFolder
    from segtune.training.console_listener import ConsoleListener
    from segtune.training.events import StepDone
    from segtune.training.train import TrainingInterrupted, train
    from segtune.training.watchers import make_watchers
    def stop(event):
        if isinstance(event, StepDone):
            seconds.append(time.perf_counter() - started)
            raise KeyboardInterrupt
    watchers = make_watchers(config.report_to, RunFolder(config.run), False)
    listeners = map(stack.enter_context, [ConsoleListener(), *watchers])
    try:
        train(config, listeners=[*listeners, stop], check=check)
    except TrainingInterrupted:
        pass
print(*seconds)
"""
"""What the command does once its options are read, ended by its first step."""

IMPORTS = """
import sys, time
started = time.perf_counter()
import torch
torch_alone = time.perf_counter() - started
import torch._dynamo
print(torch_alone, time.perf_counter() - started)
"""
"""torch, and the part of it that its optimizers import when they are made."""


def start(camvid: Path, repetitions: int = 5) -> dict[str, float]:
    """Seconds of importing torch, and from the start of the process to the end of the first step; the best of some."""
    imports, steps = [], []
    for _ in range(repetitions):
        imports.append([float(word) for word in _run(IMPORTS).split()])
        with tempfile.TemporaryDirectory() as folder:
            steps.append(float(_run(FIRST_STEP, str(camvid), str(Path(folder) / "run"), MODEL).split()[-1]))
    torch_alone, with_dynamo = (min(values) for values in zip(*imports, strict=True))
    first = min(steps)
    return {
        "import_torch": torch_alone,
        "import_torch_and_dynamo": with_dynamo,
        "first_step_done": first,
        "over_importing_torch": first - torch_alone,
        "over_importing_torch_and_dynamo": first - with_dynamo,
    }


def _run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    # There, what stands beside this file can be imported.
    return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout


MEMORY = """
import sys
from pathlib import Path
from memory import peak_mb
from segtune.config import TrainConfig
from segtune.training.events import EpochDone
from segtune.training.train import train
peaks = []
def note(event):
    if isinstance(event, EpochDone):
        peaks.append(peak_mb())
options = dict(model=sys.argv[3], batch_size=4, crop=64, epochs=int(sys.argv[4]), cache=sys.argv[5], report_to="none")
train(TrainConfig(Path(sys.argv[1]), Path(sys.argv[2]), **options), listeners=[note])
print(*peaks)
"""


def memory(folder: Path) -> dict[str, object]:
    """Highest resident memory in MB after the first and the last epoch, for few and for many pictures."""
    figures: dict[str, object] = {}
    for number, epochs in ((40, 6), (400, 2)):
        dataset = drawn_dataset(folder / str(number), 360, 480, number, number // 4)
        for cache in ("none", "disk"):
            words = [dataset, folder / f"run-{number}-{cache}", MODEL, epochs, cache]
            peaks = [float(word) for word in _run(MEMORY, *map(str, words)).splitlines()[-1].split()]
            figures[f"{number} pictures, cache {cache}"] = {"first_epoch_mb": peaks[0], "last_epoch_mb": peaks[-1]}
    return figures


NAMES = ("start", "memory formats", "camvid", "jpegs of 4000 x 3000", "memory")


def measure(name: str, camvid: Path, folder: Path, model: str, weights: str) -> object:
    """The figures of one of ``NAMES``."""
    if name == "start":
        return start(camvid)
    if name == "memory formats":
        config = TrainConfig(folder, folder, batch_size=BATCH_SIZE)
        return memory_formats(make_plan(config, Facts(11, 100, (1,) * 11, "cpu", 2)))
    if name == "camvid":
        return pipeline(camvid, 11, model, weights, num_classes=11, ignore_value=11, epochs=4)
    if name == "memory":
        return memory(folder)
    large = drawn_dataset(folder / "large", 3000, 4000, 24, 1)
    return pipeline(large, 11, model, weights, batch_size=BATCH_SIZE, epochs=12, validate_every=12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, required=True)
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument("--only", choices=NAMES, help="one of the measurements, which is printed")
    add_result(wanted)
    parser.add_argument("--model", default=MODEL, help="of 'camvid' and 'jpegs of 4000 x 3000'")
    parser.add_argument("--weights", default="auto", help="of the same")
    arguments = parser.parse_args()
    figures: dict[str, object] = {}
    for name in [arguments.only] if arguments.only else NAMES:
        with tempfile.TemporaryDirectory() as folder:
            camvid = arguments.camvid.absolute()
            figures[name] = measure(name, camvid, Path(folder), arguments.model, arguments.weights)
        print(name, figures[name], flush=True)
    if arguments.result:
        record(arguments.result, "training", figures)


if __name__ == "__main__":
    main()
