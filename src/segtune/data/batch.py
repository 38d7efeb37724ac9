"""Batch: samples of one size as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segtune.data.sample import Sample


@dataclass(frozen=True)
class Batch:
    """What a training step takes.

    Attributes:
        images: uint8 (N, 3, H, W), RGB; normalised on the device, a quarter of the bytes to move there.
        labels: uint8 (N, H, W), class ids or ``IGNORE``.
        names: N names, for messages.
    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        """How many samples."""
        return len(self.names)

    def pin_memory(self) -> "Batch":
        """The batch in memory that a CUDA device fetches from by itself; DataLoader calls this."""
        return Batch(self.images.pin_memory(), self.labels.pin_memory(), self.names)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of equal size."""
    images = np.stack([sample.image.transpose(2, 0, 1) for sample in samples])
    labels = np.stack([sample.labels for sample in samples])
    return Batch(torch.from_numpy(images), torch.from_numpy(labels), tuple(sample.name for sample in samples))


def empty_batch(like: Sample) -> Batch:
    """A batch of no samples, of the size of one."""
    height, width = like.labels.shape
    return Batch(
        torch.empty(0, 3, height, width, dtype=torch.uint8), torch.empty(0, height, width, dtype=torch.uint8), ()
    )
