"""Being asked to stop: Ctrl-C, or SIGTERM as schedulers and spot machines send it. The step that is going on ends."""

import signal
import threading
from types import FrameType
from typing import Any

from segtune.console import messages


class StopSignal:
    """While entered, SIGINT and SIGTERM ask for a stop; a second SIGINT interrupts at once.

    Args:
        says_so: Whether to say in the terminal that the stop is coming.
    """

    def __init__(self, says_so: bool = True) -> None:
        self._says_so = says_so
        self._requested = False
        self._before: dict[int, Any] = {}

    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return self._requested

    def __enter__(self) -> "StopSignal":
        # Python lets only the main thread handle signals.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._requested = True
        if self._says_so:
            messages.print("\nStopping after this step. Ctrl-C again stops at once.")
