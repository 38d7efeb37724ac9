"""What a person sees in the terminal: progress on standard error, results on standard output."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")

output = Console(highlight=False, soft_wrap=True)
"""Results and tables: standard output."""

messages = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress, warnings and errors: standard error."""


def progress_bar(*columns: TextColumn) -> Progress:
    """A progress bar with count, elapsed and remaining time; drawn only in a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=messages,
        disable=not messages.is_terminal,
        transient=True,
    )


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield ``items`` while a progress bar shows how far it is."""
    with progress_bar() as progress:
        yield from progress.track(items, description=description, total=total)
