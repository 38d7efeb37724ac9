"""SharedBytes: memory that the processes of a training share."""

import mmap
import os
import weakref
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any

import numpy as np
import numpy.typing as npt

CAN_SHARE = hasattr(os, "memfd_create")
"""Linux alone has memory without a name."""


class SharedBytes:
    """Zeros that a process and its workers read and write, whether these were forked or spawned.

    The memory has no name anywhere, so the kernel frees it with the last process, however that ends; and it is not
    bounded by the size of /dev/shm, which is 64 MB in Docker. Pages take memory when they are first written.

    Attributes:
        array: uint8 (size,).
    """

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("segtune")
            os.ftruncate(descriptor, size)
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self.array: npt.NDArray[np.uint8] = np.frombuffer(mmap.mmap(descriptor, size), np.uint8)

    def __reduce__(self) -> Any:
        """Travel to a process that is being started: as a file descriptor."""
        return _attached, (self.array.size, reduction.DupFd(self._descriptor))


@dataclass(frozen=True)
class OwnBytes:
    """The same for a process alone, by its ``array``."""

    array: npt.NDArray[np.uint8]


def reserve(size: int, shared: bool) -> SharedBytes | OwnBytes:
    """Zeros, which take memory only as they are written."""
    return SharedBytes(size) if shared else OwnBytes(np.zeros(size, np.uint8))


def _attached(size: int, descriptor: Any) -> SharedBytes:
    return SharedBytes(size, descriptor.detach())
