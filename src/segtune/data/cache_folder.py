"""The folders of what is cached: where they are, what is in them, and removing it."""

import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".sample"
OWN_NAME = re.compile(r"(?:[0-9a-f]{64}|\.[0-9a-f]{12})\.(?:sample|onnx|json)")
"""Cached pictures and sessions, and what a kill left of one that was being written."""


def picture_folder() -> Path:
    """Where pictures are kept, as the system keeps what can be made again; XDG_CACHE_HOME, where set, comes first.

    Source: XDG Base Directory Specification, https://specifications.freedesktop.org/basedir-spec/.
    """
    home = Path.home()
    usual = home / ".cache"
    if sys.platform == "darwin":
        usual = home / "Library" / "Caches"
    elif sys.platform == "win32":
        usual = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The specification: a path that is not absolute is to be ignored.
    return (chosen if chosen.is_absolute() else usual) / "segtune" / "pictures"


def session_folder() -> Path:
    """Where models are kept as ONNX Runtime takes them."""
    return picture_folder().with_name("sessions")


@dataclass(frozen=True)
class CacheContents:
    """What a cache folder holds.

    Attributes:
        folder: Where it is; it need not exist.
        num_files: Cached pictures, or files of sessions.
        num_bytes: What they take.
    """

    folder: Path
    num_files: int
    num_bytes: int


def cache_contents(folder: Path) -> CacheContents:
    """Count what a cache folder holds."""
    sizes = [path.stat().st_size for path in _own_files(folder)]
    return CacheContents(folder, len(sizes), sum(sizes))


def clear_cache(folder: Path) -> CacheContents:
    """Remove what is cached, and the folder where nothing else is in it; returns what was removed."""
    removed = cache_contents(folder)
    for path in _own_files(folder):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # it is not there, or holds files that are not ours
        folder.rmdir()
    return removed


def _own_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if OWN_NAME.fullmatch(path.name) and path.is_file()]
