"""A step in parts is the step."""

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from segtune.classes import IGNORE
from segtune.config import TrainConfig
from segtune.data.batch import Batch
from segtune.models.catalog import build_model
from segtune.preprocessing import Preprocessing
from segtune.training.losses import make_loss
from segtune.training.network import Network
from segtune.training.optimizer import make_optimizer
from segtune.training.plan import Facts, make_plan
from segtune.training.step import Stepper, split_batch

MODEL = "lraspp_mobilenet_v3_large"
CPU = torch.device("cpu")
PLAN = make_plan(
    TrainConfig(Path("d"), Path("r"), optimizer="sgd", learning_rate=0.1, class_weights=(1, 2, 1)),
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
    return net, stepper.step(batch(), stepper.count(batch()))


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
    ("memory", "told"),
    [(1_200_000_000, "each batch is computed in"), (100_000_000, "Lower --crop or --batch-size")],
)
def test_too_little_memory_is_made_do_with_or_told(dataset, memory, told):
    words = [sys.executable, "-c", SMALL_MEMORY, dataset, dataset.parent / "run", memory]
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=280, check=False)
    assert told in result.stdout + result.stderr
