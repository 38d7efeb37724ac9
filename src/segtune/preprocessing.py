"""Preprocessing: picture -> what the network takes, and logits -> class ids at the picture's own size."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segtune.errors import UserError

Array = npt.NDArray[np.uint8]
Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """The one definition of what happens to a picture before the network and to the logits behind it.

    Attributes:
        mean: Subtracted from the RGB values, which are scaled to 0..1.
        std: What they are divided by then.
        size_multiple: Height and width are padded to a multiple of this, at the bottom and on the right.
        longest_side: Pictures whose longer side has more pixels are shrunk to it; 0: never.
    """

    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    size_multiple: int = 1
    longest_side: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model header."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Any, source: str) -> "Preprocessing":
        """The inverse of ``to_dict``; ``source`` says in errors where the values stand."""
        try:
            mean, std = (_triple(values[name]) for name in ("mean", "std"))
            sizes = int(values["size_multiple"]), int(values["longest_side"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{source} holds no valid preprocessing ({error}).", "The file is damaged.") from error
        if (
            not all(math.isfinite(value) for value in mean + std)
            or min(std) <= 0
            or not 1 <= sizes[0] <= 4096
            or sizes[1] < 0
        ):
            raise UserError(f"{source} holds a preprocessing with impossible values.", "The file is damaged.")
        return Preprocessing(mean, std, *sizes)

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that the network sees a picture at, before padding."""
        longest = max(height, width)
        if not self.longest_side or longest <= self.longest_side:
            return height, width
        scale = self.longest_side / longest
        return max(1, round(height * scale)), max(1, round(width * scale))

    def shrink(self, picture: Array) -> Array:
        """A picture, uint8 (H, W, 3), at its working size."""
        height, width = self.working_size(*picture.shape[:2])
        if (height, width) == picture.shape[:2]:
            return picture
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)

    def shrink_labels(self, labels: Array) -> Array:
        """Class ids, uint8 (H, W), at their picture's working size. For training only: scores never see this."""
        height, width = self.working_size(*labels.shape)
        if (height, width) == labels.shape:
            return labels
        return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8, copy=False)

    def normalize(self, pictures: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) RGB -> float32 of the same shape, padded to ``size_multiple`` with zeros (the mean)."""
        mean = torch.tensor(self.mean, device=pictures.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pictures.device).view(1, 3, 1, 1)
        # This order (divide by 255, subtract, divide) is torchvision's: bit for bit what the original computed.
        normalized = pictures.float().div(255).sub(mean).div(std)
        return functional.pad(normalized, self._padding(pictures.shape[2], pictures.shape[3]))

    def _padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        return 0, -width % self.size_multiple, 0, -height % self.size_multiple

    def prepare(self, picture: Array) -> Tensor:
        """A picture, uint8 (H, W, 3) RGB -> the network's input, float32 (1, 3, H', W')."""
        pixels = np.ascontiguousarray(self.shrink(picture).transpose(2, 0, 1))
        return self.normalize(torch.from_numpy(pixels)[None])

    def restore(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Logits of a prepared picture, (1, C, H', W') -> at the picture's own size, (1, C, height, width)."""
        working = self.working_size(height, width)
        logits = logits[:, :, : working[0], : working[1]]
        if working == (height, width):
            return logits
        return functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)


def _triple(values: Any) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
