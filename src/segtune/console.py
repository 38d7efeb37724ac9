"""What a person sees in the terminal: progress on standard error, results on standard output."""

import re
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
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
from rich.segment import Segment
from rich.text import Text

Item = TypeVar("Item")

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that a terminal obeys, but for tabs and line ends."""


class _Shown:
    """Something to print, with the control characters in its text as their numbers: names are untrusted."""

    def __init__(self, content: ConsoleRenderable) -> None:
        self.content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.content, options):
            if segment.control or not CONTROL.search(segment.text):
                yield segment
            else:
                yield Segment(CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", segment.text), segment.style)


class _ShowControls(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(content) for content in renderables]


def _console(stderr: bool) -> Console:
    # No markup: class names and paths may hold brackets and colons, which rich would read as styles and emoji.
    console = Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.push_render_hook(_ShowControls())
    return console


output = _console(stderr=False)
"""Results and tables: standard output."""

messages = _console(stderr=True)
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
