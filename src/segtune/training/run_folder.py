"""The run folder: what a training leaves behind, and where."""

import json
import shutil
from pathlib import Path
from typing import Any

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
