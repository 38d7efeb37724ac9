"""The network as it is trained: a process without pictures, several processes, compilation."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from segtune.config import TrainConfig
from segtune.errors import UserError
from segtune.models.batch_norm import ProcessesBatchNorm2d
from segtune.models.catalog import build_model
from segtune.models.dilated import SplitDilatedConv2d, is_dilated_depthwise
from segtune.training.network import Network
from segtune.training.optimizer import make_optimizer
from segtune.training.plan import Facts, make_plan

CPU = torch.device("cpu")
PLAN = make_plan(TrainConfig(Path("d"), Path("r")), Facts(3, 9, (9, 9, 9), "cpu", 2))
DECODERS = (
    "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "upernet", "segformer", "deeplabv3plus-smp",
    "deeplabv3plus",
)  # fmt: skip


@pytest.fixture
def group():
    """A group of processes that has this one alone."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_more_stages_than_there_are_can_not_be_frozen():
    name = "unet:efficientnet_lite0"
    with pytest.raises(UserError, match=r"--freeze is 99, but the backbone of unet:efficientnet_lite0 has \d stages"):
        Network(build_model(name, 3), name, replace(PLAN, freeze=99), CPU)


@pytest.mark.parametrize("decoder", DECODERS)
def test_no_picture_goes_through_every_net_and_changes_nothing(decoder):
    name = f"{decoder}:efficientnet_lite0"
    net = build_model(name, 3)
    network = Network(net, name, PLAN, CPU)
    network.train_mode()
    before = copy.deepcopy(net.state_dict())
    logits = network(torch.zeros(0, 3, 128, 128))
    assert logits.shape == (0, 3, 128, 128)
    logits.sum().backward()
    assert all(not parameter.grad.any() for parameter in net.parameters() if parameter.grad is not None)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize(("options", "fixed"), [({"batch_norm": "frozen"}, 0), ({"freeze": 3}, 3)])
def test_what_is_frozen_stays_as_it_was(options, fixed):
    name = "deeplabv3plus:efficientnet_lite0"
    plan = replace(PLAN, **options)
    network = Network(build_model(name, 3), name, plan, CPU)
    before = copy.deepcopy(network.net.state_dict())
    network.train_mode()
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    make_optimizer(network.net, network.stages, plan).step()
    moved = {key for key, value in network.net.state_dict().items() if not torch.equal(value, before[key])}
    names = {module: key for key, module in network.net.named_modules()}
    frozen = [f"{names[module]}." for stage in network.stages[:fixed] for module in stage]
    assert bool(frozen) == bool(fixed)
    assert not [key for key in moved for start in frozen if key.startswith(start)]
    statistics = {key for key in moved if key.startswith("encoder.") and "running" in key}
    assert bool(statistics) == bool(fixed)
    assert {key.split(".")[0] for key in moved} == {"encoder", "decoder", "segmentation_head"}


def test_dilated_depthwise_convolutions_are_split_on_cpus():
    name = "deeplabv3plus-smp:efficientnet_lite0"
    network = Network(build_model(name, 3), name, PLAN, CPU)
    assert sum(isinstance(module, SplitDilatedConv2d) for module in network.net.modules()) == 7
    assert not any(is_dilated_depthwise(module) for module in network.net.modules())


def normalised(norm: nn.Module, features: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return norm(features)


@pytest.mark.usefixtures("group")
def test_statistics_over_processes_are_taken_in_float32():
    """The mean is large beside the deviation: in bfloat16 its sum would be far off."""
    features = (torch.randn(4, 2, 64, 64, generator=torch.Generator().manual_seed(0)) + 8).bfloat16()
    ours, torchs = ProcessesBatchNorm2d(2), nn.BatchNorm2d(2)
    found = normalised(ours, features)
    assert found.dtype == torch.bfloat16
    expected = torchs(features.float())
    assert torch.allclose(found.float(), expected, atol=0.05)
    assert torch.allclose(ours.running_mean, torchs.running_mean)
    assert torch.allclose(ours.running_var, torchs.running_var)


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("shape", [(0, 2, 8, 8), (1, 2, 1, 1)])
def test_too_few_values_leave_the_running_statistics(shape):
    norm = ProcessesBatchNorm2d(2)
    before = copy.deepcopy(norm.state_dict())
    assert normalised(norm, torch.ones(shape).bfloat16()).isfinite().all()
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())


@pytest.mark.usefixtures("group")
def test_who_looks_on_is_normalised_and_counts_nothing():
    norm = ProcessesBatchNorm2d(2)
    before = copy.deepcopy(norm.state_dict())
    norm.counts = False
    assert torch.allclose(norm(torch.full((1, 2, 4, 4), 3.0)), torch.tensor(3.0), atol=1e-3)
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_travel_once_a_step(compiled):
    name = "unet:efficientnet_lite0"
    network = Network(build_model(name, 3), name, replace(PLAN, world_size=2, compile=compiled), CPU)
    with network.synchronised(now=False):
        assert not network._trained.require_backward_grad_sync
    with network.synchronised(now=True):
        assert network._trained.require_backward_grad_sync
