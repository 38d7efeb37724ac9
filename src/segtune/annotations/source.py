"""ExportSource: an annotation export, a folder or a zip, read by relative names. Zips are not unpacked."""

import lzma
import os
import shutil
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from segtune.errors import DataError, UserError
from segtune.files import write_bytes

MAX_MEMBER_BYTES = 2 * 2**30
MAX_RATIO, MIN_BOMB_BYTES = 200, 64 * 2**20
"""A member that unpacks to more than 64 MiB at over 200 times its packed size is taken for a zip bomb."""

SYSTEM_FILES = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
"""What systems leave in folders and zips, beside hidden files."""

UTF8_NAME = 0x800
"""The flag of a zip member whose name is UTF-8; without it Python takes the name for code page 437."""


class ExportSource(ABC):
    """Files by relative name, with forward slashes.

    Attributes:
        path: Where the export is.
        names: All files, sorted; hidden ones and those of operating systems left out.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self.names = tuple(sorted(name for name in names if not _is_of_system(name)))

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            UserError: It can't be read.
        """

    @abstractmethod
    def copy(self, name: str, target: Path) -> None:
        """Put a file at ``target``, unchanged: a hard link where that is possible."""


def _is_of_system(name: str) -> bool:
    return any(part in SYSTEM_FILES or part.startswith(".") for part in PurePosixPath(name).parts)


class FolderSource(ExportSource):
    """An unpacked export."""

    def __init__(self, path: Path) -> None:
        names = []
        for folder, _, files in os.walk(path):
            names += [(Path(folder) / file).relative_to(path).as_posix() for file in files]
        super().__init__(path, names)

    def read(self, name: str) -> bytes:
        """Read a file, which may be a link, but not to outside of the folder."""
        path = self._inside(name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} can't be read: {error.strerror}.") from error

    def copy(self, name: str, target: Path) -> None:
        """Link a file, or copy it where the file systems differ."""
        path = self._inside(name).resolve()
        try:
            target.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, target)

    def _inside(self, name: str) -> Path:
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise UserError(f"{path} is a link to outside of {self.path}.", "Copy the file there instead.")
        return path


class ZipSource(ExportSource):
    """A zipped export."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UserError(f"{path} can't be opened as a zip: {error}.", "Download the export once more.") from error
        members = [member for member in self._zip.infolist() if not member.is_dir()]
        problems = [f"{member.filename}: {problem}" for member in members if (problem := _distrust(member))]
        unpacked, packed = (
            sum(sizes) for sizes in ((m.file_size for m in members), (m.compress_size for m in members))
        )
        if unpacked > max(MIN_BOMB_BYTES, MAX_RATIO * packed):
            problems.append(f"all together unpack to {unpacked // max(1, packed)} times their size")
        if problems:
            raise DataError(f"{path} holds files that an annotation export would not:", problems, "Don't trust it.")
        self._members = {_readable_name(member): member for member in members}
        super().__init__(path, list(self._members))

    def read(self, name: str) -> bytes:
        """Unpack a file in memory; its size was bounded when the zip was opened."""
        try:
            return self._zip.read(self._members[name])
        except (
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
            OSError,
            EOFError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise UserError(
                f"{name} in {self.path} can't be unpacked: {error}.", "Download the export once more."
            ) from error

    def copy(self, name: str, target: Path) -> None:
        """Unpack a file to ``target``."""
        write_bytes(target, self.read(name))


def _readable_name(member: zipfile.ZipInfo) -> str:
    """The name of a member: many tools write UTF-8 without saying so."""
    if member.flag_bits & UTF8_NAME:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _distrust(member: zipfile.ZipInfo) -> str:
    """What is wrong with a member, or an empty string."""
    name = _readable_name(member)
    if name.startswith("/") or "\\" in name or ":" in name.split("/")[0] or ".." in PurePosixPath(name).parts:
        return "a path that leads out of the folder"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if member.file_size > MAX_MEMBER_BYTES:
        return f"{member.file_size:,} bytes"
    if member.file_size > MIN_BOMB_BYTES and member.file_size > MAX_RATIO * max(1, member.compress_size):
        return f"unpacks to {member.file_size // max(1, member.compress_size)} times its size"
    return ""


def open_source(path: Path) -> ExportSource:
    """Open a folder or a zip.

    Raises:
        UserError: There is none, or it can't be read or trusted.
    """
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise UserError(f"There is no annotation export {path}.", "Give the zip that CVAT exported, or a folder.")
    return ZipSource(path)
