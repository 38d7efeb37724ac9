"""How the C library hands out memory, where the same large arrays are needed again and again."""

import ctypes
import sys
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt(3)."""
LARGEST_MMAP_THRESHOLD, LARGEST_TRIM_THRESHOLD = 32 << 20, (1 << 31) - 1
"""The largest values that it takes, in bytes."""
USUAL_THRESHOLD = 128 << 10
"""Both of them unless told otherwise."""


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, of which the next step, or picture, needs as much again.

    By default glibc gives each large array back to the system when it is freed. A step of a training asks for hundreds,
    and the system has to fill every page of each with zeros: about a seventh of a step's time. Nothing changes where
    the C library is another one.
    """
    _set_thresholds(LARGEST_MMAP_THRESHOLD, LARGEST_TRIM_THRESHOLD)


def return_freed_memory() -> None:
    """Give freed memory back to the system, now and from here on: what is kept, in pieces, fits no larger tensor."""
    _set_thresholds(USUAL_THRESHOLD, USUAL_THRESHOLD)
    if (trim := _from_c_library("malloc_trim")) is not None:
        trim(0)


def _set_thresholds(mmap: int, trim: int) -> None:
    if (set_option := _from_c_library("mallopt")) is not None:
        set_option(MMAP_THRESHOLD, mmap)
        set_option(TRIM_THRESHOLD, trim)


def _from_c_library(name: str) -> Any:
    """A function of glibc; None where the C library is another one."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
