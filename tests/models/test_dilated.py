"""Dilated depthwise convolutions, split: the same outputs, the same gradients, the same weights."""

import copy

import pytest
import torch
from torch import nn

from segtune.models.catalog import build_model
from segtune.models.dilated import SplitDilatedConv2d, is_dilated_depthwise, split_dilated

CHANNELS = 6


def dilated(kernel=3, dilation=2, bias=False) -> nn.Conv2d:
    torch.manual_seed(0)
    padding = dilation * (kernel // 2)
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=padding, dilation=dilation, groups=CHANNELS, bias=bias).train()


def gradients(conv: nn.Conv2d, features: torch.Tensor) -> list[torch.Tensor]:
    """The outputs, and the gradients of a loss that weighs each of them differently."""
    conv.zero_grad()
    features = features.detach().requires_grad_()
    outputs = conv(features)
    (outputs * torch.arange(outputs.numel()).view(outputs.shape).cos()).sum().backward()
    return [outputs.detach(), features.grad, *(weight.grad.clone() for weight in conv.parameters())]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 2), (5, 2), (3, 3), (3, 6)])
@pytest.mark.parametrize("size", [(14, 14), (15, 21), (13, 20), (5, 40), (1, 1)])
def test_outputs_and_gradients_are_those_of_torch(size, kernel, dilation, bias, memory_format):
    conv = dilated(kernel, dilation, bias)
    features = torch.randn(2, CHANNELS, *size).contiguous(memory_format=memory_format)
    expected = gradients(conv, features)
    found = gradients(SplitDilatedConv2d(conv), features)
    for ours, torchs in zip(found, expected, strict=True):
        assert torch.allclose(ours, torchs, rtol=1e-4, atol=1e-5)


def test_unequal_dilations_are_split_each_way():
    conv = nn.Conv2d(CHANNELS, CHANNELS, (3, 5), padding=(2, 6), dilation=(2, 3), groups=CHANNELS)
    features = torch.randn(1, CHANNELS, 17, 22)
    for ours, torchs in zip(gradients(SplitDilatedConv2d(conv), features), gradients(conv, features), strict=True):
        assert torch.allclose(ours, torchs, rtol=1e-4, atol=1e-5)


def test_evaluation_computes_what_torch_does_to_the_bit():
    conv = dilated().eval()
    features = torch.randn(1, CHANNELS, 16, 16)
    assert torch.equal(SplitDilatedConv2d(conv)(features), conv(features))


def test_no_pictures_are_no_outputs():
    assert SplitDilatedConv2d(dilated())(torch.zeros(0, CHANNELS, 14, 14)).shape == (0, CHANNELS, 14, 14)


def test_parameters_stay_the_same_objects():
    conv = dilated(bias=True)
    conv.weight.requires_grad_(False)
    split = SplitDilatedConv2d(conv)
    assert split.weight is conv.weight
    assert split.bias is conv.bias
    assert not split.weight.requires_grad
    assert split.state_dict().keys() == conv.state_dict().keys()


@pytest.mark.parametrize(
    ("conv", "is_split"),
    [
        (dilated(), True),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), False),  # not dilated
        (nn.Conv2d(6, 6, 3, padding=2, dilation=2), False),  # not depthwise
        (nn.Conv2d(6, 12, 3, padding=2, dilation=2, groups=6), False),  # two outputs a channel
        (nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, stride=2), False),
        (nn.Conv2d(6, 6, 3, padding=0, dilation=2, groups=6), False),  # smaller than its input
        (nn.Conv2d(6, 6, 3, padding="same", dilation=2, groups=6), False),
        (nn.Conv2d(6, 6, 2, padding=2, dilation=2, groups=6), False),  # even kernel
        (nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, padding_mode="reflect"), False),
        (nn.BatchNorm2d(6), False),
    ],
)
def test_what_is_split(conv, is_split):
    assert is_dilated_depthwise(conv) == is_split


@pytest.mark.parametrize(
    ("name", "side", "number"),
    [
        ("deeplabv3plus-smp:efficientnet_lite0", 224, 7),  # four of the encoder's last stages, three of the pyramid
        ("deeplabv3plus:efficientnet_lite0", 320, 2),  # of the pyramid
    ],
)
def test_a_whole_net_computes_the_same(name, side, number):
    torch.manual_seed(0)
    net = build_model(name, 3).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    other = copy.deepcopy(net)
    names = list(net.state_dict())
    split_dilated(other)
    split = [module for module in other.modules() if isinstance(module, SplitDilatedConv2d)]
    assert len(split) == number
    assert list(other.state_dict()) == names
    images = torch.rand(2, 3, side, side)  # smaller ones leave maps smaller than the kernels, which are not split
    assert torch.allclose(other(images), net(images), rtol=1e-3, atol=1e-3)
