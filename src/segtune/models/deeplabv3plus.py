"""A net after DeepLabV3+ (Chen et al. 2018) that needs less work, from parts of segmentation-models-pytorch.

The paper's dilates the encoder's last stage, to keep features of 1/16 of the picture's size, and convolves 304
concatenated channels at 1/4. Both are expensive. Here the encoder goes to 1/32, as it was pretrained, and the features
of every level in between tell where things are. All are brought to the same number of channels by 1 x 1 convolutions,
upsampled and added: a 1 x 1 convolution of concatenated features is a sum as well, of one convolution for each of them,
and before the upsampling it costs a fraction.
"""

from collections.abc import Sequence
from typing import Any

from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPP, SeparableConv2d
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn

ATROUS_RATES = (1, 2, 4)
"""Dilations of the pyramid on features of 1/32. A crop of 224 has 7 x 7 of them: much larger dilations would see hardly
anything but padding, so their taps would stay as random as they began, and yet count in a whole picture."""

DETAIL_LEVELS = (4, 3, 2)
"""The encoder's features of 1/16, 1/8 and 1/4, in the order in which they are added."""

CHANNELS = 256
"""Of the sum, which is classified: the paper's."""

DETAIL_CHANNELS = 48
"""To which each level is reduced first: the paper's."""

INITIAL_BOUND = 0.025
"""Of the added convolutions' first weights, uniform. A single convolution of their 256 + 3 x 48 inputs would have
sqrt(6 / 400) (He et al. 2015); this is a fifth. The batch norm behind the sum takes any scale out again, while Adam
moves each weight by the same amount, so small weights learn faster (benchmarks/journal.md)."""


class DeepLabV3Plus(nn.Module):
    """Encoder, decoder, and a classifier of each place.

    Args:
        encoder_name: As segmentation-models-pytorch names it: ``tu-`` and timm's name.
        encoder_weights: None for random weights, True for those that timm finds.
        classes: Number of classes.
        settings: What timm takes beside.
    """

    def __init__(self, encoder_name: str, encoder_weights: Any, classes: int, **settings: Any) -> None:
        super().__init__()
        self.encoder = get_encoder(encoder_name, weights=encoder_weights, **settings)
        self.decoder = Decoder(self.encoder.out_channels)
        self.segmentation_head = SegmentationHead(CHANNELS, classes, kernel_size=1, upsampling=4)
        initialize_head(self.segmentation_head)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures, float (N, 3, H, W), H and W multiples of 32 -> logits (N, classes, H, W)."""
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(images)))
        return logits


class Decoder(nn.Module):
    """Context and detail, added.

    Args:
        encoder_channels: Of the encoder's features, from the picture to 1/32.
    """

    def __init__(self, encoder_channels: Sequence[int]) -> None:
        super().__init__()
        self.context = nn.Sequential(
            ASPP(encoder_channels[-1], CHANNELS, ATROUS_RATES, separable=True, dropout=0.5),
            SeparableConv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False),
        )
        self.details = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(encoder_channels[level], DETAIL_CHANNELS, 1, bias=False),
                nn.BatchNorm2d(DETAIL_CHANNELS),
                nn.ReLU(),
                nn.Conv2d(DETAIL_CHANNELS, DETAIL_CHANNELS, 3, padding=1, groups=DETAIL_CHANNELS, bias=False),
                nn.Conv2d(DETAIL_CHANNELS, CHANNELS, 1, bias=False),
            )
            for level in DETAIL_LEVELS
        )
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear")
        self.activate = nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.ReLU())
        initialize_decoder(self)
        for branch in (self.context, *self.details):
            *_, last_weight = branch.parameters()
            nn.init.uniform_(last_weight, -INITIAL_BOUND, INITIAL_BOUND)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """The encoder's features, float (N, C, H, W) from the picture to 1/32 -> float (N, 256, H / 4, W / 4)."""
        added = self.context(features[-1])
        for level, detail in zip(DETAIL_LEVELS, self.details, strict=True):
            added = self.upsample(added) + detail(features[level])
        activated: Tensor = self.activate(added)
        return activated
