"""Memory that is out: how it is recognised, and how it is told. No torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from segtune.errors import UserError

WORDS = (
    "DefaultCPUAllocator", "out of memory", "std::bad_alloc", "ALLOC_FAILED", "ALLOCATION_FAILED",
    "could not create a primitive", "could not execute a primitive", "Insufficient memory", "Failed to allocate memory",
)  # fmt: skip
"""What torch, CUDA, cuBLAS, cuDNN, oneDNN (two of them), OpenCV and ONNX Runtime say, in errors that have no type of
their own."""

OWN_ERRORS = {"cv2", "onnxruntime"}
"""Packages, not imported for that, whose errors are no RuntimeErrors, as torch's are."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device or the system has no memory left."""
    if isinstance(error, MemoryError):
        return True
    package = type(error).__module__.partition(".")[0]
    return (package in OWN_ERRORS or isinstance(error, RuntimeError)) and any(word in str(error) for word in WORDS)


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
