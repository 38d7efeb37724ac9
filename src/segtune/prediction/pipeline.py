"""Reading, computing and writing at the same time, each in its order, with a bound on what is in memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar, cast

from segtune.runtimes.backend import Workers

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
    values: Iterator[Read],
    compute: Callable[[Read], Computed],
    write: Callable[[Computed], None],
    budget: PixelBudget,
    workers: Workers,
) -> Iterator[None]:
    """Advance ``values`` in one thread, ``write`` in another, and between them ``compute`` in those of ``workers``.

    Decoding and encoding, as the network, are done outside the interpreter lock.

    Args:
        values: Reads one value after the other.
        compute: What the network does with one; called by several threads at once where there are several workers.
        write: Writes what became of it, in the order of the values.
        budget: Bounds what is read and not yet written; closed where anything fails.
        workers: How many threads compute, and with how many cores each.

    Yields:
        None for each value that is written. What any of the three raises is raised here, and ends it.
    """
    end = object()
    pools = [ThreadPoolExecutor(1), ThreadPoolExecutor(workers.count, initializer=workers.start), ThreadPoolExecutor(1)]
    with pools[0] as reader, pools[1] as computer, pools[2] as writer:

        def computed(value: "Future[Read | object]") -> Computed | object:
            return end if value.result() is end else compute(cast(Read, value.result()))

        def submit() -> Callable[[], Computed | object]:
            value = reader.submit(next, values, end)
            # One worker is this thread.
            return partial(computed, value) if workers.count == 1 else computer.submit(computed, value).result

        try:
            ahead = deque(submit() for _ in range(AHEAD + workers.count - 1))
            behind: deque[Future[None]] = deque()
            while (value := ahead.popleft()()) is not end:
                ahead.append(submit())
                behind.append(writer.submit(write, cast(Computed, value)))
                del value
                while len(behind) > BEHIND:
                    behind.popleft().result()
                    yield
            while behind:
                behind.popleft().result()
                yield
        finally:
            budget.close()
            for pool in pools:
                pool.shutdown(wait=False, cancel_futures=True)
