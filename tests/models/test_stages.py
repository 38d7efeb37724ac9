"""Stages of feature extractors: all weights are in one, in order."""

import pytest

from segtune.models.catalog import build_model, feature_extractor
from segtune.models.stages import extractor_stages, freeze_stages

MODELS = [
    ("deeplabv3_resnet50", 5),
    ("lraspp_mobilenet_v3_large", 7),
    ("deeplabv3plus:efficientnet_lite0", 8),
    ("unet:resnet18", 5),
    ("fpn:convnext_atto", 4),
    ("fpn:sam2_hiera_tiny", 4),
]


@pytest.mark.parametrize(("name", "number"), MODELS)
def test_every_weight_is_in_one_stage(name, number):
    extractor = feature_extractor(build_model(name, 2), name)
    stages = extractor_stages(extractor)
    assert len(stages) == number
    found = [id(weight) for stage in stages for module in stage for weight in module.parameters()]
    assert sorted(found) == sorted(id(weight) for weight in extractor.parameters())


@pytest.mark.parametrize(("number", "frozen"), [(0, []), (2, [True, True, False, False]), (-1, [True] * 4)])
def test_first_stages_are_frozen(number, frozen):
    extractor = feature_extractor(build_model("fpn:convnext_atto", 2), "fpn:convnext_atto")
    stages = extractor_stages(extractor)
    freeze_stages(extractor, stages, number)
    trained = [any(weight.requires_grad for module in stage for weight in module.parameters()) for stage in stages]
    assert [not each for each in trained] == (frozen or [False] * 4)


def test_looking_at_the_stages_changes_nothing():
    net = build_model("deeplabv3plus:efficientnet_lite0", 2).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    extractor_stages(net.encoder)
    assert all(tensor.equal(before[name]) for name, tensor in net.state_dict().items())
    assert net.encoder.training
    assert not any(module._forward_hooks for module in net.modules())
