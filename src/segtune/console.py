"""What a person sees in the terminal: progress on standard error, results on standard output."""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Item = TypeVar("Item")

# No markup: class names and paths may hold brackets and colons, which rich would read as styles and emoji.
output = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Results and tables: standard output."""

messages = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Warnings and errors: standard error; progress, where standard output is not a terminal."""


def progress_console() -> Console:
    """Where a live bar is drawn: with the lines printed during it, which must pass through the same console."""
    return output if output.is_terminal else messages


class SpeedColumn(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        """The rate lately; empty at the start."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


def track(
    items: Iterable[Item], description: str, total: int | None = None, size: Callable[[Item], int] = lambda _: 1
) -> Iterator[Item]:
    """Yield ``items`` while a progress bar shows how far it is; ``size`` says how much of ``total`` an item is."""
    console = progress_console()
    columns = MofNCompleteColumn(), SpeedColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), *columns,
        console=console, disable=not console.is_terminal, transient=True,
    ) as progress:  # fmt: skip
        if total is None and isinstance(items, Sized):
            total = len(items)
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task, size(item))
