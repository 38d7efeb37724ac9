"""Backend: a network in the runtime that computes it. Prediction knows nothing else of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

from segtune.arrays import Array, Arrays, Floats, Values
from segtune.errors import UserError

NetworkInput = Literal["images", "nhwc", "nchw"]
NetworkOutput = Literal["logits", "class_ids"]

MIN_EQUAL = 0.999
"""The share of pixels to which another runtime must give the same class, where it computes with float32, too."""

EXPORT = "export"
"""The key of ``Interface`` in the header of an exported file."""


@dataclass(frozen=True)
class Interface:
    """What goes into a network and what comes out.

    Attributes:
        input: 'images': float32 (N, 3, H, W), prepared; 'nhwc' and 'nchw': uint8 RGB as it is, of any size.
        output: 'logits': float32 (N, C, H, W); 'class_ids': uint8 (N, H, W).
        precision: What it computes with, in words: 'float32', 'float16', 'int8'.
    """

    input: NetworkInput = "images"
    output: NetworkOutput = "logits"
    precision: str = "float32"

    def to_dict(self) -> dict[str, str]:
        """Plain values for the header."""
        return asdict(self)

    @staticmethod
    def from_header(header: dict[str, Any], source: str) -> "Interface":
        """The inverse of ``to_dict``, under ``EXPORT`` in the header of ``source``.

        Raises:
            UserError: It names what there is not.
        """
        values = header.get(EXPORT, {})
        known = {"input": get_args(NetworkInput), "output": get_args(NetworkOutput)}
        if not isinstance(values, dict) or any(values.get(key, names[0]) not in names for key, names in known.items()):
            raise UserError(f"{source}: its header does not say what goes in and out.", "Export it again.")
        return Interface(
            values.get("input", "images"), values.get("output", "logits"), str(values.get("precision", "float32"))
        )


MAX_WORKERS = 4
"""Threads that compute at once, at most: each takes memory of its own."""
MAX_SHARED_PIXELS = 1 << 20
"""What has more of them has all cores, and the memory, to itself."""


class Workers:
    """Threads that compute a picture each: N cores do N small ones sooner so than one after the other.

    Args:
        cores: How many the runtime computes with.
    """

    def __init__(self, cores: int = 1) -> None:
        self.cores = cores
        self.count = min(cores, MAX_WORKERS)
        self._state = threading.local()
        self._has_all = threading.Lock()

    def start(self) -> None:
        """From now on this thread is one of them."""
        self._state.is_worker = True

    @contextmanager
    def cores_for(self, images: Array | Floats) -> Iterator[int]:
        """How many cores to compute these with: a worker's share, or all, which one worker at a time can have."""
        if not getattr(self._state, "is_worker", False):
            yield self.cores
        elif images.size <= 3 * MAX_SHARED_PIXELS:
            yield self.cores // self.count
        else:
            with self._has_all:
                yield self.cores


class Backend(Arrays, Protocol):
    """A network in a runtime, and the arrays that it answers with."""

    interface: Interface
    workers: Workers

    def run(self, images: Floats | Array) -> Values:
        """What goes in, as ``interface`` says -> what comes out."""


def one_hot(class_ids: Array, num_classes: int) -> Floats:
    """uint8 (N, H, W) -> float32 (N, C, H, W): for networks that put out class ids, whose logits nobody knows.

    The loser's logits are so low that the winner's probability is 1: there is no confidence to tell.
    """
    return np.where(class_ids[:, None] == np.arange(num_classes)[:, None, None], np.float32(0), np.float32(-100))
