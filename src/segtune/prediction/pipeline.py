"""Reading, computing and writing at the same time, each in its order, with a bound on what is in memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Read = TypeVar("Read")
Computed = TypeVar("Computed")

AHEAD, BEHIND = 3, 3
"""How many values are read before they are needed, and wait to be written, at most."""

MAX_PIXELS_IN_MEMORY = 32_000_000
"""Pixels of pictures between reading and writing; a larger picture has the memory to itself."""


class PixelBudget:
    """Makes the reader wait while too many pixels are in memory."""

    def __init__(self, limit: int = MAX_PIXELS_IN_MEMORY) -> None:
        self.limit = limit
        self._used = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def take(self, pixels: int) -> None:
        """Wait until there is room; whatever the size, there is for the only one."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + pixels <= self.limit or self._is_closed)
            self._used += pixels

    def give_back(self, pixels: int) -> None:
        """Make room again."""
        with self._changed:
            self._used -= pixels
            self._changed.notify()

    def close(self) -> None:
        """Let nobody wait any longer: what would have made room has failed."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()


def overlapped(
    values: Iterator[Read], compute: Callable[[Read], Computed], write: Callable[[Computed], None], budget: PixelBudget
) -> Iterator[None]:
    """Advance ``values`` in one thread, ``compute`` in this one, ``write`` in a third.

    Decoding and encoding, as the network, are done outside the interpreter lock.

    Yields:
        None for each value that is written. What any of the three raises is raised here, and ends it.
    """
    end = object()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        try:
            ahead = deque(reader.submit(next, values, end) for _ in range(AHEAD))
            behind: deque[Future[None]] = deque()
            while (value := ahead.popleft().result()) is not end:
                ahead.append(reader.submit(next, values, end))
                behind.append(writer.submit(write, compute(value)))  # type: ignore[arg-type]
                del value
                while len(behind) > BEHIND:
                    behind.popleft().result()
                    yield
            while behind:
                behind.popleft().result()
                yield
        finally:
            budget.close()
            reader.shutdown(wait=False, cancel_futures=True)
            writer.shutdown(wait=False, cancel_futures=True)
