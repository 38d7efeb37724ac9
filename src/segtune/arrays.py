"""The few operations on logits that prediction needs, behind one interface: with numpy here, with torch in runtimes."""

from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Values = Any
"""float32 values where a runtime leaves them: an ndarray, or a tensor on its device. Both are indexed, added and
multiplied alike; ``Arrays`` has the rest."""

MAX_REDUCED_VALUES = 1 << 19
"""Logits that numpy reduces at once: 2 MB, which stay in the processor's cache."""


class Arrays(Protocol):
    """What differs between the arrays of numpy and of torch."""

    def array(self, values: Floats) -> Values:
        """float32 values of any shape, where the runtime computes."""

    def zeros(self, shape: tuple[int, ...]) -> Values:
        """float32 zeros."""

    def numpy(self, values: Values) -> Floats:
        """The inverse of ``array``."""

    def joined(self, parts: Sequence[Values], axis: int) -> Values:
        """Values one after the other along an axis."""

    def mirrored(self, values: Values) -> Values:
        """(N, C, H, W) with left and right exchanged."""

    def resized(self, values: Values, height: int, width: int) -> Values:
        """(N, C, H, W) -> (N, C, height, width): bilinear, ``align_corners=False``, no antialiasing."""

    def mixed(self, one: Values, two: Values, share: Values) -> Values:
        """``one`` where ``share`` is 0, ``two`` where it is 1, and in between."""

    def softmax(self, values: Values) -> Values:
        """Along the classes of (N, C, H, W)."""

    def log(self, values: Values) -> Values:
        """The natural logarithm."""

    def best(self, logits: Values) -> tuple[Array, Floats]:
        """Logits (C, H, W) -> the best class's id, uint8 (H, W), and its softmax probability, float32 (H, W)."""


class NumpyArrays:
    """``Arrays`` of numpy and OpenCV."""

    def array(self, values: Floats) -> Floats:
        """As it is."""
        return values

    def zeros(self, shape: tuple[int, ...]) -> Floats:
        """float32 zeros."""
        return np.zeros(shape, np.float32)

    def numpy(self, values: Floats) -> Floats:
        """As they are."""
        return values

    def joined(self, parts: Sequence[Floats], axis: int) -> Floats:
        """Values one after the other."""
        return np.concatenate(parts, axis)

    def mirrored(self, values: Floats) -> Floats:
        """Left and right exchanged."""
        return np.ascontiguousarray(values[..., ::-1])

    def resized(self, values: Floats, height: int, width: int) -> Floats:
        """Plane by plane, or all rows at once where their number stays."""
        if values.shape[2:] == (height, width):
            return values
        planes = values.reshape(-1, *values.shape[2:])
        if values.shape[2] == height:  # rows don't mix: all planes are one
            planes = planes.reshape(1, -1, values.shape[3])
        small = [_resized_plane(np.ascontiguousarray(plane), height, width, values.shape[2]) for plane in planes]
        return np.stack(small).reshape(*values.shape[:2], height, width)

    def mixed(self, one: Floats, two: Floats, share: Floats) -> Floats:
        """Linear interpolation."""
        return one + share * (two - one)

    def softmax(self, values: Floats) -> Floats:
        """Along the classes."""
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        normalised: Floats = powers / powers.sum(axis=1, keepdims=True)
        return normalised

    def log(self, values: Floats) -> Floats:
        """The natural logarithm."""
        logarithms: Floats = np.log(values)
        return logarithms

    def best(self, logits: Floats) -> tuple[Array, Floats]:
        """Class by class, some rows at a time: several times as fast as argmax along the first axis."""
        num_classes, height, width = logits.shape
        class_ids = np.zeros((height, width), np.uint8)
        confidence = np.empty((height, width), np.float32)
        step = max(1, MAX_REDUCED_VALUES // (num_classes * width))
        for first in range(0, height, step):
            rows = slice(first, first + step)
            top = logits[0, rows].copy()
            for class_id in range(1, num_classes):
                # The better one's id is the larger one's, too: as a maximum it is a tenth of the work of a choice.
                is_better = (logits[class_id, rows] > top).view(np.uint8)
                np.maximum(class_ids[rows], is_better * np.uint8(class_id), out=class_ids[rows])
                np.maximum(top, logits[class_id, rows], out=top)
            sums = np.zeros_like(top)
            for values in logits[:, rows]:
                sums += np.exp(values - top)
            np.divide(1, sums, out=confidence[rows])
        return class_ids, confidence


def _resized_plane(plane: Floats, height: int, width: int, own_height: int) -> Floats:
    rows = plane.shape[0] if own_height == height else height
    return cv2.resize(plane, (width, rows), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
