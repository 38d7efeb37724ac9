"""The run folder: what a training leaves behind, and where."""

import hashlib
import json
import secrets
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segtune.annotations.dataset_folder import is_dataset_folder
from segtune.errors import UserError, listed, unwritable
from segtune.files import locked, write_json, write_text

SCORES_FILE, PER_IMAGE_FILE, CONFUSION_FILE = "scores.json", "per_image.csv", "confusion.png"
"""What scores are written to, here and by 'evaluate'."""


class RunFolder:
    """The names and the writing of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / "model.safetensors"
        self.last = path / "last.safetensors"
        self.resume = path / "resume.safetensors"
        self.record = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.augmented = self.samples / "augmented.jpg"
        self.tensorboard = path / "tensorboard"
        self.mlflow_id = path / "mlflow_run.txt"
        self.wandb_id = path / "wandb_run.txt"
        self.dataset = path / "dataset"
        self.dataset_mark = path / ".dataset_mark"
        self.replaced_dataset = path / ".replaced_dataset"
        self.scores = path / SCORES_FILE
        self.per_image = path / PER_IMAGE_FILE
        self.confusion = path / CONFUSION_FILE
        self.report = path / "report.html"
        self._is_ours = False

    @property
    def resume_command(self) -> str:
        """What to type to go on with the run."""
        return shlex.join(["segtune", "resume", str(self.path)])

    def checkpoint(self, epoch: int) -> Path:
        """Where the weights of an epoch are kept, where the recipe keeps them."""
        return self.path / f"checkpoint_{epoch:04}.safetensors"

    def made(self) -> list[Path]:
        """What stands where a run writes."""
        files = (
            self.model, self.last, self.resume, self.record, self.metrics, self.samples, self.tensorboard,
            self.mlflow_id, self.wandb_id, self.scores, self.per_image, self.confusion, self.report,
        )  # fmt: skip
        return [path for path in (*files, *sorted(self.path.glob("checkpoint_*.safetensors"))) if path.exists()]

    def refuse_used(self, overwrite: bool, resume: bool = False) -> None:
        """Raise UserError where the folder can't be written to or holds a run that may not be replaced.

        Args:
            overwrite: Whether a run may be replaced.
            resume: Whether the run that it holds is to go on.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; a folder to write the run to was expected.")
        if self.made() and not overwrite and not resume:
            raise UserError(
                f"{self.path} already holds a run: {listed((path.name for path in self.made()), 4)}.",
                f"Go on with it: {self.resume_command}; or name another folder, or add --overwrite.",
            )
        if self.made() and not self.record.exists():
            raise UserError(
                f"{self.path} holds {listed(path.name for path in self.made())}, but no run.json: they are no run's.",
                "Name another folder.",
            )
        self._is_ours = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise unwritable(self.path, error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing to the folder; the system lets go of the lock when this one ends.

        Raises:
            UserError: Another one has it.
        """
        busy = UserError(
            f"Another process is training in {self.path}.", "Wait for it, stop it, or name another run folder."
        )
        try:
            with locked(self.path / ".lock", busy, stays=lambda: bool(self.made())):
                try:
                    self._put_dataset_back()  # a start that was killed may have left it aside
                    yield
                finally:
                    self._put_dataset_back()
        finally:
            if self._is_ours and not self.made():  # a training that did not begin leaves nothing behind
                with suppress(OSError):  # where somebody has put something into it
                    self.path.rmdir()

    @contextmanager
    def replaceable_dataset(self, overwrite: bool) -> Iterator[Path]:
        """Yield where to convert an export to; on success it becomes the run's dataset.

        One that a start which failed has left behind is replaced, if it is still as it was made. Any other is put
        aside: where the training does not begin, it comes back.

        Raises:
            UserError: There is one already, and it may not be replaced.
        """
        is_as_made = self._is_dataset_as_made()
        if self.dataset.exists() and not (is_as_made or (overwrite and is_dataset_folder(self.dataset))):
            raise UserError(
                f"{self.dataset} already exists, and the export would be converted into it.",
                f"Train on it: segtune train {self.dataset}; or name another run folder, or add --overwrite.",
            )
        new = self.path / ".dataset"
        shutil.rmtree(new, ignore_errors=True)
        try:
            yield new
            self.dataset_mark.unlink(missing_ok=True)
            if is_as_made:
                shutil.rmtree(self.dataset)
            elif self.dataset.exists():
                self.dataset.rename(self.replaced_dataset)
            new.rename(self.dataset)
            write_text(self.dataset_mark, _files_hash(self.dataset))
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _put_dataset_back(self) -> None:
        """Give the earlier run its dataset back, where one that should replace it was not trained on."""
        if self.replaced_dataset.exists():
            self.dataset_mark.unlink(missing_ok=True)
            shutil.rmtree(self.dataset, ignore_errors=True)
            self.replaced_dataset.rename(self.dataset)

    def _is_dataset_as_made(self) -> bool:
        """Whether the dataset is one that was converted into this folder, and that nobody has changed since."""
        return self.dataset_mark.exists() and self.dataset_mark.read_text() == _files_hash(self.dataset)

    def way_on(self) -> str:
        """The sentence that says how to go on from the last state; empty where none was written."""
        return f"To go on from the last good state: {self.resume_command}" if self.resume.exists() else ""

    def forget_scores(self) -> None:
        """Remove the scores of an earlier best model."""
        for path in (self.scores, self.per_image, self.confusion):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the files of an earlier run, and nothing else; the dataset is a run's from here on."""
        self.dataset_mark.unlink(missing_ok=True)
        if self.replaced_dataset.exists():
            # In one step it is not to be put back any more, whatever its removal meets.
            old = self.replaced_dataset.rename(self.path / f".{secrets.token_hex(6)}")
            if old.is_symlink():
                old.unlink()
            else:
                shutil.rmtree(old, ignore_errors=True)
        for path in self.made():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def write_record(self, record: dict[str, Any]) -> None:
        """Write run.json."""
        write_json(self.record, record)

    def note_in_plan(self, **values: Any) -> None:
        """Write into run.json what has become of the plan."""
        record = self.read_record()
        self.write_record({**record, "plan": {**record["plan"], **values}})

    def read_record(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            UserError: There is none, or it can't be read.
        """
        if not self.record.is_file():
            raise UserError(f"{self.path} holds no run: there is no run.json.", "Give the folder that 'train' wrote.")
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{self.record} can't be read: {error}.", "It is damaged: start a new run.") from error
        if not isinstance(record, dict):
            raise UserError(f"{self.record} holds no record of a run.", "It is damaged: start a new run.")
        return record

    def write_metrics(self, lines: Sequence[dict[str, Any]]) -> None:
        """Write metrics.jsonl anew."""
        write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in lines))

    def append_metrics(self, metrics: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(metrics) + "\n")
        except OSError as error:
            raise unwritable(self.metrics, error) from error


def _files_hash(folder: Path) -> str:
    """A hash of the names, sizes and times of all files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    text = "".join(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n" for name, stat in stats)
    return hashlib.sha256(text.encode()).hexdigest()
