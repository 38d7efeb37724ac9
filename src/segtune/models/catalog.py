"""The models by name: how each is built, how it wants its pictures, where its weights come from."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from segtune.errors import UserError, nearest
from segtune.models import smp_decoders, torchvision_nets
from segtune.models.batch_norm import accept_single_values
from segtune.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing


@dataclass(frozen=True)
class ModelEntry:
    """What the catalogue knows of a model.

    Attributes:
        build: Number of classes -> the network, with random weights.
        preprocessing: How pictures must be prepared for it.
        feature_extractor: Name of the submodule that is pretrained, and that can be frozen.
        weights: Where published weights come from, in words.
        licence: Licence of those weights.
    """

    build: Callable[[int], nn.Module]
    preprocessing: Preprocessing
    feature_extractor: str
    weights: str
    licence: str


TORCHVISION_PREPROCESSING = Preprocessing(IMAGENET_MEAN, IMAGENET_STD)
COCO = "torchvision COCO_WITH_VOC_LABELS_V1"
COCO_LICENCE = "BSD-3-Clause (torchvision); trained on COCO and ImageNet, mind their terms"


def _torchvision(build: Callable[[int], nn.Module]) -> ModelEntry:
    return ModelEntry(build, TORCHVISION_PREPROCESSING, "backbone", COCO, COCO_LICENCE)


MODELS: dict[str, ModelEntry] = {
    "deeplabv3_resnet101": _torchvision(torchvision_nets.deeplabv3_resnet101),
    "deeplabv3_resnet50": _torchvision(torchvision_nets.deeplabv3_resnet50),
    "deeplabv3_mobilenet_v3_large": _torchvision(torchvision_nets.deeplabv3_mobilenet_v3_large),
    "lraspp_mobilenet_v3_large": _torchvision(torchvision_nets.lraspp_mobilenet_v3_large),
    "fcn_resnet50": _torchvision(torchvision_nets.fcn_resnet50),
}
"""torchvision's nets. Beside these, every DECODER:ENCODER of ``smp_decoders.DECODERS`` and timm is a model."""


def find_model(name: str) -> ModelEntry:
    """The entry of a model.

    Raises:
        UserError: No such model; the nearest names are given.
    """
    if name in MODELS:
        return MODELS[name]
    decoder, separator, encoder = name.partition(":")
    if not separator:
        hint = nearest(name, [*MODELS, *smp_decoders.DECODERS])
        hint = f"A decoder needs an encoder: {name}:efficientnet_lite0." if name in smp_decoders.DECODERS else hint
        raise UserError(f"There is no model {name!r}.", f"{hint} 'segtune models' lists all.".strip())
    if decoder not in smp_decoders.DECODERS:
        hint = nearest(decoder, smp_decoders.DECODERS)
        raise UserError(f"There is no decoder {decoder!r} in {name!r}.", f"{hint} 'segtune models' lists all.".strip())
    facts = smp_decoders.encoder_facts(encoder)
    return ModelEntry(
        build=lambda num_classes: smp_decoders.build(decoder, encoder, num_classes),
        preprocessing=Preprocessing(facts.mean, facts.std, smp_decoders.SIZE_MULTIPLES[decoder]),
        feature_extractor="encoder",
        weights=facts.weights,
        licence=facts.licence,
    )


def build_model(name: str, num_classes: int, seed: int = 0) -> nn.Module:
    """Build a network with random weights that depend on ``seed`` alone.

    Returns:
        A module: float32 (N, 3, H, W), H and W multiples of ``size_multiple`` -> logits (N, num_classes, H, W).

    Raises:
        UserError: No such model.
    """
    entry = find_model(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = entry.build(num_classes)
    accept_single_values(net)
    return net


def feature_extractor(net: nn.Module, name: str) -> nn.Module:
    """The pretrained part of the net of model ``name``: what 'keep feature extract' freezes."""
    return net.get_submodule(find_model(name).feature_extractor)


def model_preprocessing(name: str, longest_side: int, enlarge: int = 1) -> Preprocessing:
    """How pictures are prepared for a model: shrunk to ``longest_side`` pixels (0: never), or enlarged by a factor."""
    return replace(find_model(name).preprocessing, longest_side=longest_side, enlarge=enlarge)
