"""The check of a dataset in a process of its own, while this one imports what a training needs: seconds, both."""

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from segtune.annotations.check import check_dataset
from segtune.annotations.dataset_folder import SPLITS, dataset_classes, is_dataset_folder
from segtune.annotations.dataset_report import DatasetReport
from segtune.errors import UserError


class CheckAhead:
    """A check that may be going on already."""

    def __init__(self, answer: Connection | None = None) -> None:
        self._answer = answer

    def report(self) -> DatasetReport | None:
        """What it found; None where it was not begun, or could not be done: then check again to be told why."""
        if self._answer is None:
            return None
        try:
            found: DatasetReport | None = self._answer.recv()
        except EOFError:
            return None
        return found


@contextmanager
def checked_ahead(dataset: Path, num_classes: int | None, ignore_value: int | None) -> Iterator[CheckAhead]:
    """Begin to check train and val, where that can be done beside other work; it ends with the block at the latest.

    Args:
        dataset: The dataset folder.
        num_classes: As of ``dataset_classes``.
        ignore_value: As of ``dataset_classes``.
    """
    # A process may be forked only as long as it has no threads, such as torch's.
    if "torch" in sys.modules or sys.platform != "linux" or not is_dataset_folder(dataset):
        yield CheckAhead()
        return
    context = multiprocessing.get_context("fork")
    answer, sender = context.Pipe(duplex=False)
    process = context.Process(target=_check, args=(sender, dataset, num_classes, ignore_value), daemon=True)
    process.start()
    sender.close()
    try:
        yield CheckAhead(answer)
    finally:
        process.terminate()
        process.join()


def _check(sender: Connection, dataset: Path, num_classes: int | None, ignore_value: int | None) -> None:
    try:
        report = check_dataset(dataset, dataset_classes(dataset, num_classes, ignore_value), SPLITS)
    except (UserError, OSError, KeyboardInterrupt):
        report = None
    sender.send(report)
