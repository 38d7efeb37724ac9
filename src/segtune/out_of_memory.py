"""Memory that is out: how it is recognised, and how it is told. No torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from segtune.errors import UserError

WORDS = (
    "DefaultCPUAllocator", "out of memory", "std::bad_alloc", "ALLOC_FAILED", "ALLOCATION_FAILED",
    "could not create a primitive", "could not execute a primitive", "Insufficient memory",
)  # fmt: skip
"""What torch, CUDA, cuBLAS, cuDNN, oneDNN (two of them) and OpenCV say, in errors that have no type of their own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device or the system has no memory left; torch's are RuntimeErrors."""
    if type(error).__module__ == "cv2":  # which is not imported for that
        return any(word in str(error) for word in WORDS)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS)
    )


@contextmanager
def shortage_told(make_error: Callable[[], UserError]) -> Iterator[None]:
    """Turn the errors of memory that is out into the one that ``make_error`` makes.

    Raises:
        UserError: Memory is out.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise make_error() from error
