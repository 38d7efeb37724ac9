"""Sample: a picture with its labels, as read from disk and as augmented."""

from dataclasses import dataclass

from segtune.arrays import Array

CHANNELS = 4
"""Bytes a pixel in memory and in files: red, green, blue, label."""


@dataclass(frozen=True)
class Sample:
    """One picture and its labels.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        labels: uint8 (H, W), class ids; ``IGNORE`` (255) where a pixel doesn't count.
        name: What to call it in messages.
    """

    image: Array
    labels: Array
    name: str

    @staticmethod
    def from_bytes(values: Array, height: int, width: int, name: str) -> "Sample":
        """The views of a picture and its labels that lie one after the other: uint8 (H * W * ``CHANNELS``,)."""
        split = height * width * 3
        return Sample(values[:split].reshape(height, width, 3), values[split:].reshape(height, width), name)
