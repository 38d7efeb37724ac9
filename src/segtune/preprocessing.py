"""Preprocessing: picture -> what the network takes, and logits -> logits at the picture's own size."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from segtune.arrays import Array, Arrays, Floats, Values
from segtune.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)

MAX_ENLARGED = 8
"""The largest factor that a file may ask for: a tile is enlarged as a whole."""
MAX_RESTORED_VALUES = 1 << 24
"""Logits that are at a picture's own size at once: 64 MB."""


@dataclass(frozen=True)
class Preprocessing:
    """The one definition of what happens to a picture before the network and to the logits behind it.

    Attributes:
        mean: Subtracted from the RGB values, which are scaled to 0..1.
        std: What they are divided by then.
        size_multiple: Height and width are padded to a multiple of this, at the bottom and on the right.
        longest_side: Pictures whose longer side has more pixels are shrunk to it; 0: never.
        enlarge: Pictures are enlarged by this factor; 1 where any is shrunk.
    """

    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    size_multiple: int = 1
    longest_side: int = 0
    enlarge: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model header."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Any, source: str) -> "Preprocessing":
        """The inverse of ``to_dict``; ``source`` says in errors where the values stand.

        Raises:
            UserError: The values are none, or impossible.
        """
        try:
            mean, std = (triple(values[name]) for name in ("mean", "std"))
            sizes = int(values["size_multiple"]), int(values["longest_side"]), int(values.get("enlarge", 1))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{source} holds no valid preprocessing ({error}).", "The file is damaged.") from error
        if (
            not all(math.isfinite(value) for value in mean + std)
            or min(std) <= 0
            or not 1 <= sizes[0] <= 4096
            or sizes[1] < 0
            or not 1 <= sizes[2] <= MAX_ENLARGED
            or (sizes[1] and sizes[2] > 1)
        ):
            raise UserError(f"{source} holds a preprocessing with impossible values.", "The file is damaged.")
        return Preprocessing(mean, std, *sizes)

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that the network sees a picture at, before padding."""
        longest = max(height, width)
        if not self.longest_side or longest <= self.longest_side:
            return self.enlarge * height, self.enlarge * width
        scale = self.longest_side / longest
        return max(1, round(height * scale)), max(1, round(width * scale))

    def resized(self, picture: Array) -> Array:
        """A picture, uint8 (H, W, 3), at its working size."""
        height, width = self.working_size(*picture.shape[:2])
        if (height, width) == picture.shape[:2]:
            return picture
        method = cv2.INTER_AREA if self.enlarge == 1 else cv2.INTER_LINEAR
        return cv2.resize(picture, (width, height), interpolation=method).astype(np.uint8, copy=False)

    def resized_labels(self, labels: Array) -> Array:
        """Class ids, uint8 (H, W), at their picture's working size. For training only: scores never see this."""
        height, width = self.working_size(*labels.shape)
        if (height, width) == labels.shape:
            return labels
        return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8, copy=False)

    def normalize(self, pictures: "Tensor") -> "Tensor":
        """uint8 (N, 3, H, W) RGB -> float32 of the same shape, padded to ``size_multiple`` with zeros (the mean).

        For training, on its device; ``prepare`` gives the same values to the bit, without torch.
        """
        import torch
        from torch.nn import functional

        mean = torch.tensor(self.mean, device=pictures.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pictures.device).view(1, 3, 1, 1)
        # This order (divide by 255, subtract, divide) is torchvision's: bit for bit what the original computed.
        normalized = pictures.float().div(255).sub(mean).div(std)
        height, width = pictures.shape[2:]
        return functional.pad(normalized, (0, -width % self.size_multiple, 0, -height % self.size_multiple))

    @cached_property
    def _normalized(self) -> Floats:
        """What each of the 256 values becomes in each channel, float32 (3, 256)."""
        values = np.arange(256, dtype=np.float32) / np.float32(255)
        mean, std = (np.array(triple, np.float32)[:, None] for triple in (self.mean, self.std))
        table: Floats = (values - mean) / std
        return table

    def prepare(self, picture: Array) -> Floats:
        """A picture, uint8 (H, W, 3) RGB -> float32 (1, 3, H', W'): at its working size, normalised and padded."""
        pixels = self.resized(picture)
        height, width = pixels.shape[:2]
        padded = height + -height % self.size_multiple, width + -width % self.size_multiple
        images = np.zeros((1, 3, *padded), np.float32)
        for values, table, image in zip(cv2.split(pixels), self._normalized, images[0], strict=True):
            image[:height, :width] = cv2.LUT(values, table)
        return images

    def restore_rows(
        self, bands: Iterable[Values], height: int, width: int, arrays: Arrays
    ) -> Iterator[tuple[slice, Values]]:
        """Logits of a prepared picture -> at the picture's own size, some rows at a time.

        Bilinear, as ``functional.interpolate`` does it with ``align_corners=False``.

        Args:
            bands: (1, C, h, W') each, from the top to the bottom; what was padded is cut away.
            height: The picture's own.
            width: The picture's own.
            arrays: What the bands are.

        Yields:
            Which rows, and their logits (1, C, rows, width).
        """
        working = self.working_size(height, width)
        position = np.maximum((np.arange(height) + 0.5) * (working[0] / height) - 0.5, 0)
        above = position.astype(np.int64)
        below = np.minimum(above + 1, working[0] - 1) if working[0] != height else above
        share = (position - above).astype(np.float32)
        held: Values = None
        start = held_top = 0
        for band in bands:
            # The row before a band is needed to go on from.
            held = band if held is None else arrays.joined([held, band], axis=2)
            stop = int(np.searchsorted(below, held_top + held.shape[2]))
            step = max(1, MAX_RESTORED_VALUES // (held.shape[1] * width))
            for first in range(start, stop, step):
                rows = slice(first, min(first + step, stop))
                if working[0] == height:
                    mixed = held[:, :, rows.start - held_top : rows.stop - held_top]
                else:
                    one, two = held[:, :, above[rows] - held_top], held[:, :, below[rows] - held_top]
                    mixed = arrays.mixed(one, two, arrays.array(share[rows, None]))
                mixed = mixed[..., : working[1]]
                yield rows, arrays.resized(mixed, mixed.shape[2], width)
            # Joined from one part it is a copy: the band's memory is used again.
            start, held_top, held = stop, held_top + held.shape[2] - 1, arrays.joined([held[:, :, -1:]], axis=2)


def triple(values: Iterable[Any]) -> Triple:
    """Three numbers, of red, green and blue.

    Raises:
        TypeError, ValueError: They are not three, or no numbers.
    """
    red, green, blue = (float(value) for value in values)
    return red, green, blue
