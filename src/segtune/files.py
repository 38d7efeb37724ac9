"""Writing files so that a kill or a full disk leaves the last good one; hashing; locks."""

import hashlib
import json
import os
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from segtune.errors import UserError, listed, unwritable

MAX_NAME_BYTES = 255
"""Of a file's name: what file systems take."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is flushed and renamed to ``path``.

    Raises:
        UserError: The place can't be written or is full. ``path`` is then what it was before.
    """
    # A name of its own, as the file's may be as long as names can be.
    # The suffix stays: writers such as Pillow choose the format by it.
    temporary = path.with_name(f".{secrets.token_hex(6)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        # Where the folder could not be made there is nothing to remove, and no way to say so.
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def locked(path: Path, busy: UserError, stays: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold the lock that a file stands for; the system lets go of it when this process ends.

    Args:
        path: The file.
        busy: What to raise where another process holds it.
        stays: Whether the file stays when it is let go.

    Raises:
        UserError: ``busy``; or the file can't be made, or locked.
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise busy from error
    except NotImplementedError as error:
        raise UserError(f"{path} can't be locked: its disk knows no locks.", "Choose a place on another.") from error
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        if not stays():
            path.unlink(missing_ok=True)
        lock.release()


def name_key(name: str) -> str:
    """What stays the same when file systems change the case, or the composition, of a name's letters."""
    return unicodedata.normalize("NFC", name).casefold()


def is_unicode(name: str) -> bool:
    """Whether a file's name is text; Python keeps bytes that are no UTF-8 as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    """A file's name as it can be printed, bytes that are no UTF-8 as their numbers."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


RENAME_TO_UNICODE = "Rename them, as with: convmv -r -f latin1 -t utf8 --notest FOLDER"


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` atomically, as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file that segtune has written.

    Raises:
        UserError: It can't be read, or is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} can't be read: {error}.", "It is damaged: make it anew.") from error


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success it becomes ``path``, on an error it vanishes.

    It lies beside ``path``, or in it where that is there already: an empty folder may be a disk of its own.

    Raises:
        UserError: ``path`` exists and is not an empty folder, or the place can't be written.
    """
    refuse_used(path)
    hidden, is_there = f".{secrets.token_hex(6)}", path.exists()
    temporary = path.absolute() / hidden if is_there else path.absolute().with_name(hidden)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if is_there:
            for made in temporary.iterdir():
                made.rename(path / made.name)
        else:
            temporary.rename(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """Raise UserError where ``path`` exists: nothing of the user's is overwritten."""
    if path.exists():
        raise UserError(f"{path} already exists.", "Name another file, or add --overwrite.")


def refuse_existing_in(folder: Path, names: Iterable[str]) -> None:
    """Raise UserError where ``folder`` holds any file or folder of these names, which would be overwritten."""
    existing = [name for name in names if (folder / name).exists()]
    if existing:
        raise UserError(f"{folder} already holds {listed(existing, 3)}.", "Name another folder, or add --overwrite.")


def refuse_used(folder: Path) -> None:
    """Raise UserError where ``folder`` is a file or holds anything: nothing of the user's is overwritten."""
    if folder.is_file():
        raise UserError(f"{folder} is a file; a folder to write to was expected.", "Name another folder.")
    # A disk of its own has a place for what its repair finds.
    found = sorted(path.name for path in folder.iterdir() if path.name != "lost+found") if folder.is_dir() else []
    if found:
        raise UserError(
            f"{folder} is not empty: it holds {listed(found, 3)}.", "Name a new folder, or remove this one first."
        )


def beside(path: Path, suffix: str) -> Path:
    """A path in the same folder, with a longer name."""
    # '.' and '..' have no name of their own.
    named = path if path.name not in {"", ".."} else path.resolve()
    return named.with_name(f"{named.name}{suffix}")
