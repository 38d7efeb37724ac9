"""A step in parts is the step."""

import copy
import json
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail as OnnxError
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument as OnnxInvalidArgument

from segtune.classes import IGNORE
from segtune.config import TrainConfig
from segtune.data.batch import Batch
from segtune.errors import UserError
from segtune.models.catalog import build_model
from segtune.out_of_memory import is_out_of_memory, shortage_told
from segtune.preprocessing import Preprocessing
from segtune.training.losses import make_loss
from segtune.training.network import Network
from segtune.training.optimizer import make_optimizer
from segtune.training.plan import Facts, make_plan
from segtune.training.step import Stepper, split_batch

MODEL = "lraspp_mobilenet_v3_large"
CPU = torch.device("cpu")
PLAN = make_plan(
    TrainConfig(
        Path("d"), Path("r"), optimizer="sgd", learning_rate=0.1, class_weights=(1, 2, 1), loss="cross-entropy"
    ),
    Facts(3, 9, (9, 9, 9), "cpu", 2),
)


def batch(num: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (num, 3, 64, 64), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 3, (num, 64, 64), dtype=torch.uint8, generator=generator)
    labels[:1, 30:] = IGNORE  # parts weigh differently
    return Batch(images, labels, tuple("abcdefgh"[:num]))


def stepped(net, **options):
    """A copy of a net after a step, with batch norms that follow nothing, and the loss."""
    net = copy.deepcopy(net)
    plan = replace(PLAN, **options)
    network = Network(net, MODEL, plan, CPU)
    optimizer = make_optimizer(net, network.stages, plan)
    stepper = Stepper(network, Preprocessing(), make_loss(plan, CPU), optimizer, plan)
    net.eval()
    return net, stepper.step(batch(), stepper.total_weight(batch()))


@pytest.mark.parametrize("clip", [0.0, 0.01])
@pytest.mark.parametrize("parts", [2, 3, 5, 9])
def test_parts_make_the_same_step(parts, clip):
    start = build_model(MODEL, 3)
    whole, loss = stepped(start, clip_gradient=clip)
    in_parts, loss_of_parts = stepped(start, clip_gradient=clip, accumulate=parts)
    assert loss_of_parts == pytest.approx(loss, rel=1e-5)
    assert any(not a.equal(b) for a, b in zip(whole.parameters(), start.parameters(), strict=True))
    for ours, theirs in zip(in_parts.parameters(), whole.parameters(), strict=True):
        assert ours.allclose(theirs, atol=1e-6)


def test_long_gradients_are_shortened():
    start = build_model(MODEL, 3)
    net, _ = stepped(start, clip_gradient=0.01, weight_decay=0.0, backbone_rate=1.0)
    with torch.no_grad():
        moves = [(a - b).square().sum() for a, b in zip(net.parameters(), start.parameters(), strict=True)]
    assert sum(moves).sqrt().item() == pytest.approx(PLAN.learning_rate * 0.01, rel=1e-2)


@pytest.mark.parametrize(
    ("num", "parts", "sizes"), [(5, 1, [5]), (5, 2, [2, 3]), (4, 4, [1] * 4), (1, 3, [0, 0, 1]), (0, 2, [0, 0])]
)
def test_batches_are_split_evenly(num, parts, sizes):
    split = split_batch(batch(num), parts)
    assert [len(part) for part in split] == sizes
    assert [len(part.images) for part in split] == sizes


@pytest.fixture
def hungry():
    """A stepper whose net is out of memory for more than two pictures, and the outputs that it made."""
    net = build_model(MODEL, 3)
    outputs = []

    def take(_, __, output):
        outputs.append(weakref.ref(output))
        if len(output) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    net.classifier.cbr[0].register_forward_hook(take)
    network = Network(net, MODEL, PLAN, CPU)
    network.train_mode()
    outputs.clear()
    optimizer = make_optimizer(net, network.stages, PLAN)
    return Stepper(network, Preprocessing(), make_loss(PLAN, CPU), optimizer, PLAN), outputs


def test_a_failed_attempt_leaves_nothing_in_memory(hungry):
    stepper, outputs = hungry
    five = batch()
    assert stepper.step(five, stepper.total_weight(five)) is None
    assert [output() for output in outputs] == [None]
    assert all(weight.grad is None for weight in stepper.network.net.parameters())
    assert stepper.halve(five)
    assert stepper.step(five, stepper.total_weight(five)) is None
    assert stepper.halve(five)
    assert stepper.step(five, stepper.total_weight(five)) > 0


@pytest.mark.parametrize(
    ("error", "is_shortage"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("could not create a primitive"), True),
        (cv2.error("OpenCV(5.0) alloc.cpp: error: (-4:Insufficient memory) Failed to allocate 9 bytes"), True),
        (cv2.error("OpenCV(5.0) resize.cpp: error: (-215:Assertion failed) !ssize.empty()"), False),
        (OnnxError("1 : FAIL : bfc_arena.cc:360 Failed to allocate memory for requested buffer of size 9"), True),
        (OnnxInvalidArgument("2 : INVALID_ARGUMENT : Got invalid dimensions for input"), False),
        (RuntimeError("shapes can't be multiplied"), False),
        (UserError("pictures out of memory lane"), False),
    ],
)
def test_shortages_are_recognised(error, is_shortage):
    assert is_out_of_memory(error) == is_shortage


def test_shortage_of_the_optimizer_is_told(hungry):
    """Its weights may have moved by then, so the step can't be tried again."""
    stepper, _ = hungry
    two = batch(2)
    stepper.optimizer.register_step_pre_hook(lambda *_: torch.empty(2**60))
    with pytest.raises(UserError, match="told"), shortage_told(lambda: UserError("told")):
        stepper.step(two, stepper.total_weight(two))


SMALL_MEMORY = """
import resource, sys
from pathlib import Path
from segtune.cli import main
from segtune.config import TrainConfig
from segtune.training.events import Notice, RunStarted
from segtune.training.train import train

def limit(event):
    if isinstance(event, RunStarted):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[3]), -1))
    if isinstance(event, Notice):
        print(event.text, flush=True)

options = dict(epochs=1, batch_size=6, crop=512, cache="none", report_to="none")
config = TrainConfig(Path(sys.argv[1]), Path(sys.argv[2]), model="deeplabv3plus:efficientnet_lite0", **options)
train(config, listeners=[limit])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.parametrize(
    ("memory", "told", "code"),
    [
        pytest.param(1_900_000_000, "each batch is computed in", 0, marks=pytest.mark.slow),
        (100_000_000, "Lower --crop or --batch-size", 1),
    ],
)
def test_too_little_memory_is_made_do_with_or_told(dataset, memory, told, code):
    words = [sys.executable, "-c", SMALL_MEMORY, dataset, dataset.parent / "run", memory]
    words = [str(word) for word in words]
    # What is limited is the address space, of which each arena of the C library reserves its part, used or not.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False, env=environment)
    assert told in result.stdout + result.stderr
    assert result.returncode == code, result.stderr
    if code == 0:
        assert json.loads((dataset.parent / "run" / "run.json").read_text())["plan"]["accumulate"] > 1
