"""The run folder: what a training leaves behind, and where."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segtune.annotations.dataset_folder import is_dataset_folder
from segtune.errors import UserError, listed, unwritable
from segtune.files import write_json


class RunFolder:
    """The names and the writing of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / "model.safetensors"
        self.last = path / "last.safetensors"
        self.record = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.dataset = path / "dataset"

    def checkpoint(self, epoch: int) -> Path:
        """Where the weights of an epoch are kept, where the recipe keeps them."""
        return self.path / f"checkpoint_{epoch:04}.safetensors"

    def made(self) -> list[Path]:
        """What stands where a run writes."""
        files = self.model, self.last, self.record, self.metrics, self.samples
        return [path for path in (*files, *sorted(self.path.glob("checkpoint_*.safetensors"))) if path.exists()]

    def refuse_used(self, overwrite: bool) -> None:
        """Raise UserError where the folder can't be written to or holds a run that may not be replaced."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; a folder to write the run to was expected.")
        if self.made() and not overwrite:
            raise UserError(
                f"{self.path} already holds a run: {listed((path.name for path in self.made()), 4)}.",
                "Name another folder, or add --overwrite.",
            )
        if self.made() and not self.record.exists():
            raise UserError(
                f"{self.path} holds {listed(path.name for path in self.made())}, but no run.json: they are no run's.",
                "Name another folder.",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise unwritable(self.path, error) from error

    @contextmanager
    def replaceable_dataset(self, overwrite: bool) -> Iterator[Path]:
        """Yield where to convert an export to; on success it becomes the run's dataset.

        Raises:
            UserError: There is one already, and it may not be replaced.
        """
        if self.dataset.exists() and not (overwrite and is_dataset_folder(self.dataset)):
            raise UserError(
                f"{self.dataset} already exists, and the export would be converted into it.",
                f"Train on it: segtune train {self.dataset}; or name another run folder, or add --overwrite.",
            )
        new = self.path / ".dataset"
        shutil.rmtree(new, ignore_errors=True)
        try:
            yield new
            # The dataset of the earlier run goes when the new one is whole.
            shutil.rmtree(self.dataset, ignore_errors=True)
            new.rename(self.dataset)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def clear(self) -> None:
        """Remove the files of an earlier run, and nothing else."""
        for path in self.made():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def write_record(self, record: dict[str, Any]) -> None:
        """Write run.json."""
        write_json(self.record, record)

    def append_metrics(self, metrics: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(metrics) + "\n")
        except OSError as error:
            raise unwritable(self.metrics, error) from error
