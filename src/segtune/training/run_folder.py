"""The run folder: what a training leaves behind, and where."""

import json
import shutil
from pathlib import Path
from typing import Any

from segtune.errors import UserError, unwritable
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

    def checkpoint(self, epoch: int) -> Path:
        """Where the weights of an epoch are kept, where the recipe keeps them."""
        return self.path / f"checkpoint_{epoch:04}.safetensors"

    def holds_run(self) -> bool:
        """Whether there is a run, finished or not."""
        return self.record.exists() or self.model.exists() or self.last.exists()

    def refuse_used(self, overwrite: bool) -> None:
        """Raise UserError where the folder can't be written to or holds a run that may not be replaced."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; a folder to write the run to was expected.")
        if self.holds_run() and not overwrite:
            raise UserError(f"{self.path} already holds a run.", "Name another folder, or add --overwrite.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise unwritable(self.path, error) from error

    def clear(self) -> None:
        """Remove the files of an earlier run, and nothing else."""
        for path in (self.model, self.last, self.record, self.metrics, *self.path.glob("checkpoint_*.safetensors")):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.samples, ignore_errors=True)

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
