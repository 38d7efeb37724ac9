"""DECODER:ENCODER models: decoders on any encoder of timm; all but one are segmentation-models-pytorch's."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from segmentation_models_pytorch.decoders.fpn.decoder import Conv3x3GNReLU
from torch import nn

from segtune.errors import UserError, first_line, nearest
from segtune.models.deeplabv3plus import DeepLabV3Plus
from segtune.preprocessing import Triple, triple

DECODERS: dict[str, Callable[..., nn.Module]] = {
    "deeplabv3plus": DeepLabV3Plus,
    "deeplabv3plus-smp": smp.DeepLabV3Plus,
    "deeplabv3": smp.DeepLabV3,
    "unet": smp.Unet,
    "unetplusplus": smp.UnetPlusPlus,
    "manet": smp.MAnet,
    "linknet": smp.Linknet,
    "fpn": smp.FPN,
    "pspnet": smp.PSPNet,
    "pan": smp.PAN,
    "upernet": smp.UPerNet,
    "segformer": smp.Segformer,
}
"""By name; all but ``deeplabv3plus`` are smp's. ``deeplabv3plus-smp`` is built as smp does it, for weights that were
trained so. DPT is left out: it takes only plain vision transformers of one fixed input size."""

SIZE_MULTIPLES = dict.fromkeys(DECODERS, 32) | {"pan": 128}
"""The deepest feature map of an encoder is 1/32 of the picture's size; PAN halves one of 1/16 three times more."""

PACKAGED_ENCODER = "efficientnet_lite0"
PACKAGED_TIMM_NAME = "tf_efficientnet_lite0"
"""The encoder whose ImageNet weights come with segtune's dependencies, and timm's name for its architecture.
(timm's own ``efficientnet_lite0`` pads differently and has other weights.)"""
PACKAGED_MODEL = f"deeplabv3plus:{PACKAGED_ENCODER}"
"""The model that needs no download, and is fast without a GPU."""


@dataclass(frozen=True)
class EncoderFacts:
    """What timm knows of an encoder: normalisation (of RGB in 0..1), source and licence of its weights."""

    mean: Triple
    std: Triple
    weights: str
    licence: str


def timm_name(encoder: str) -> str:
    """Timm's name of an encoder.

    Raises:
        UserError: timm has no such encoder. (Names with a scheme, as ``hf-hub:``, would make timm go to the network.)
    """
    name = PACKAGED_TIMM_NAME if encoder == PACKAGED_ENCODER else encoder
    tagged = "." in name  # with the training of its weights, as in resnet18.a1_in1k
    if not timm.is_model(name) or (tagged and name not in timm.list_pretrained()):
        hint = nearest(encoder, timm.list_pretrained() if tagged else timm.list_models())
        raise UserError(
            f"timm has no encoder {encoder!r}.", f"{hint} 'segtune models WORD' lists encoders by a word.".strip()
        )
    return name


def encoder_facts(encoder: str) -> EncoderFacts:
    """Normalisation and weights of an encoder.

    Raises:
        UserError: timm has no such encoder.
    """
    config = timm.get_pretrained_cfg(timm_name(encoder))
    if config is None:
        return EncoderFacts((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "none published", "")
    if encoder == PACKAGED_ENCODER:
        return EncoderFacts(triple(config.mean), triple(config.std), "packaged (ImageNet)", "Apache-2.0")
    source = str(config.hf_hub_id or "none published")
    return EncoderFacts(triple(config.mean), triple(config.std), source, config.license or "not stated")


def build(decoder: str, encoder: str, num_classes: int, encoder_file: Path | None = None) -> nn.Module:
    """Build a net with random weights, or with an encoder that timm loads from its own weights file.

    Raises:
        UserError: The encoder's feature maps don't fit the decoder.
    """
    name = timm_name(encoder)
    # timm warns about feature extraction details that are smp's business.
    logging.getLogger("timm").setLevel(logging.ERROR)
    # smp hands what it doesn't know on to timm.create_model, which loads and renames as the architecture needs.
    weights: dict[str, Any] = {} if encoder_file is None else {"pretrained_cfg_overlay": {"file": str(encoder_file)}}
    try:
        net = DECODERS[decoder](
            encoder_name=f"tu-{name}", encoder_weights=True if weights else None, classes=num_classes, **weights
        )
        if decoder != "deeplabv3plus-smp":
            _upsample_alike(net)
        _try(net, SIZE_MULTIPLES[decoder])
    except (RuntimeError, ValueError, TypeError, KeyError, AssertionError, AttributeError, IndexError) as error:
        raise UserError(
            f"The encoder {encoder!r} can't be used under {decoder}: {first_line(error)}",
            f"Choose another, for instance {PACKAGED_MODEL} or unet:resnet34.",
        ) from error
    return net


def _upsample_alike(net: nn.Module) -> None:
    """Upsample a feature the same way wherever it is.

    With smp's aligned corners where it lands depends on the size of the whole picture: by up to half a feature's width
    outlines are elsewhere in a crop, in a tile, and in the whole picture. (PSPNet's grid does so by its nature.)
    """
    for module in list(net.modules()):
        if getattr(module, "align_corners", None):
            setattr(module, "align_corners", False)  # noqa: B010 - of several types
        if isinstance(module, Conv3x3GNReLU) and module.upsample:  # it has no such attribute
            module.upsample = False
            module.block.append(nn.Upsample(scale_factor=2, mode="bilinear"))


def _try(net: nn.Module, multiple: int) -> None:
    """Run a net once: encoders for one size of picture, or without padding, may have features that don't fit."""
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, multiple, 2 * multiple))
    net.train()
