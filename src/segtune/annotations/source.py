"""ExportSource: an annotation export, a folder, a zip or a file, read by relative names. Zips are not unpacked."""

import codecs
import json
import lzma
import os
import re
import shutil
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO, Any

from segtune.annotations.dataset_folder import ALL_SPLITS, IMAGES, LABELS, REPLACED
from segtune.errors import DataError, UserError
from segtune.files import RENAME_TO_UNICODE, atomic_path, is_unicode, printable
from segtune.pictures import PICTURE_SUFFIXES

MAX_MEMBER_BYTES = 2 * 2**30
MAX_READ_BYTES = 2**29
"""Of a file that is read as a whole, as JSON is, which takes ten times its size; COCO's largest file has 448 MB."""
MAX_PROBED = 24
"""So many of an export's files are looked at to tell its format."""
MAX_NAME = 4096
"""Characters of a path: what Linux takes."""
MAX_RATIO, MIN_BOMB_BYTES = 200, 64 * 2**20
"""A member that unpacks to more than 64 MiB at over 200 times its packed size is taken for a zip bomb."""

UNREAD_SUFFIXES = frozenset({
    ".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".tga", ".ppm", ".pgm", ".psd", ".svg", ".dng", ".cr2", ".nef",
})  # fmt: skip
"""Of pictures that segtune does not read."""

SYSTEM_FILES = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
"""What systems leave in folders and zips, beside hidden files."""

UTF8_NAME = 0x800
"""The flag of a zip member whose name is UTF-8; without it Python takes the name for code page 437."""

OUTDATED = re.compile(rf"(?:.*/)?{REPLACED}/\d+/(?:{'|'.join(ALL_SPLITS)})/(?:{IMAGES}|{LABELS})/")
"""The names of what merges have replaced in a dataset folder."""

HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""JSON writes emojis and the like as two of these escapes; one alone stands for nothing. Some tools write the halves as
if they were characters, each in three bytes."""

DRIVE = re.compile("[A-Za-z]:")
LOCAL_HEADER_BYTES = 30
"""Of a member of a zip, before its name."""

UNZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, NotImplementedError, ValueError,
)  # fmt: skip


class ExportSource(ABC):
    """Files by relative name, with forward slashes.

    Attributes:
        path: Where the export is.
        names: All files, sorted; hidden ones, those of operating systems, and what a dataset folder keeps of labels
            that were replaced are left out.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self.names = tuple(sorted(name for name in names if not _is_of_system(name) and not OUTDATED.match(name)))
        self._json: tuple[str, Any] = ("", None)

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """A file, opened for reading; reading from a broken zip raises one of UNZIP_ERRORS.

        Raises:
            UserError: It can't be opened.
        """

    def read(self, name: str, at_most: int = -1) -> bytes:
        """The content of a file, or its first bytes.

        Raises:
            UserError: It can't be read, or is larger than MAX_READ_BYTES.
        """
        try:
            with self.open(name) as file:
                content = file.read(at_most if at_most >= 0 else MAX_READ_BYTES + 1)
        except UNZIP_ERRORS as error:
            raise UserError(
                f"{name} in {self.path} can't be read: {error}.", "Download or copy the export once more."
            ) from error
        if at_most < 0 and len(content) > MAX_READ_BYTES:
            raise UserError(
                f"{name} in {self.path} is larger than {MAX_READ_BYTES >> 20} MiB, the most that is read at once.",
                "Export in several parts.",
            )
        return content

    def text(self, name: str) -> str:
        """The content of a text file: UTF-8 or, by its byte order mark, UTF-16; Latin-1 where it isn't that."""
        content = self.read(name)
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16", "replace")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("latin-1")

    def json(self, name: str) -> Any:
        """The content of a JSON file. The last one is remembered: telling a format and reading it take one parse.

        Raises:
            UserError: It is no JSON, or its texts are no Unicode.
        """
        if self._json[0] != name:
            content = self.read(name)
            try:
                if not content.strip():
                    raise ValueError("it is empty")
                value = json.loads(content)
                if HALF_CHARACTER.search(content):
                    json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                found = error.object[max(0, error.start - 20) : error.end + 20].encode("ascii", "backslashreplace")
                raise UserError(
                    f"{name} in {self.path} holds half a character, which no other file can hold: …{found.decode()}….",
                    "Rename it in the annotation tool, and export again.",
                ) from error
            except (ValueError, RecursionError, MemoryError) as error:
                raise UserError(
                    f"{name} in {self.path} is not readable JSON: {error or 'too large for the memory'}.",
                    "Download or copy the export once more.",
                ) from error
            self._json = name, value
        return self._json[1]

    def with_suffix(self, *suffixes: str) -> list[str]:
        """The files with one of these suffixes, which are in lower case: '.json'."""
        return [name for name in self.names if name.lower().endswith(suffixes)]

    @abstractmethod
    def copy(self, name: str, target: Path) -> None:
        """Put a file at ``target``, unchanged: a hard link where that is possible."""


def _is_of_system(name: str) -> bool:
    return any(part in SYSTEM_FILES or part.startswith(".") for part in PurePosixPath(name).parts)


def _is_file(path: Path) -> bool:
    """Whether this is no pipe, socket or device: to open one may wait for ever."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # a broken link; to read it tells


class FolderSource(ExportSource):
    """An unpacked export.

    Args:
        path: The folder.
        only: The one annotation file to see, beside the pictures; empty: all files.
    """

    def __init__(self, path: Path, only: str = "") -> None:
        names: list[str] = []
        unseen: list[str] = []

        def note(error: OSError) -> None:
            unseen.append(f"{error.filename}: {error.strerror}")

        for folder, folders, files in os.walk(path, onerror=note):
            folders[:] = [name for name in folders if not _is_of_system(name)]
            unseen += [f"{link}: a link" for name in folders if (link := Path(folder, name)).is_symlink()]
            files = [file for file in files if _is_file(Path(folder, file))]
            relative = os.path.relpath(folder, path).replace(os.sep, "/")
            names += files if relative == "." else [f"{relative}/{file}" for file in files]
        if unseen and not only:  # beside a single file there may be anything
            raise DataError(
                f"{path} holds folders that are not looked into:", unseen, "Put the folders themselves there, readable."
            )
        if only:
            pictures = PICTURE_SUFFIXES | UNREAD_SUFFIXES
            names = [name for name in names if name == only or PurePosixPath(name).suffix.lower() in pictures]
        odd = [name for name in names if not is_unicode(name)]
        if odd:
            raise DataError(
                f"{path} holds files whose names are not UTF-8:",
                list(map(printable, odd)),
                RENAME_TO_UNICODE,
            )
        self._root = path.resolve()
        super().__init__(path, names)

    def open(self, name: str) -> IO[bytes]:
        """Open a file, which may be a link, but not to outside of the folder."""
        path = self._inside(name)
        try:
            return path.open("rb")
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
        if not path.resolve().is_relative_to(self._root):
            raise UserError(f"{path} is a link to outside of {self.path}.", "Copy the file there instead.")
        return path


class ZipSource(ExportSource):
    """A zipped export."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UserError(
                f"{path} can't be opened as a zip: {error}.",
                "Expected: the zip that CVAT exported, as a whole; a folder; or an XML or JSON file.",
            ) from error
        members = [member for member in self._zip.infolist() if not member.filename.endswith("/")]
        problems = [f"{member.filename}: {problem}" for member in members if (problem := _distrust(member))]
        problems += [
            f"{member.filename}: is said to be packed into more bytes than there are"
            for member in members
            if member.header_offset + LOCAL_HEADER_BYTES + member.compress_size > self._zip.start_dir
        ]
        times = Counter(_readable_name(member) for member in members)
        problems += _overlaps(members)
        problems += [f"{name}: {count} files of this name" for name, count in times.items() if count > 1]
        unpacked, packed = (
            sum(sizes) for sizes in ((m.file_size for m in members), (m.compress_size for m in members))
        )
        if unpacked > max(MIN_BOMB_BYTES, MAX_RATIO * packed):
            problems.append(f"all together unpack to {unpacked // max(1, packed)} times their size")
        if problems:
            raise DataError(f"{path} holds files that an annotation export would not:", problems, "Don't trust it.")
        self._members = {_readable_name(member): member for member in members}
        super().__init__(path, list(self._members))

    def open(self, name: str) -> IO[bytes]:
        """Open a file of the zip; its size was bounded when the zip was opened."""
        try:
            return self._zip.open(self._members[name])
        except UNZIP_ERRORS as error:
            raise UserError(
                f"{name} in {self.path} can't be unpacked: {error}.", "Download the export once more."
            ) from error

    def copy(self, name: str, target: Path) -> None:
        """Unpack a file to ``target``."""
        try:
            with atomic_path(target) as temporary, self.open(name) as file, temporary.open("wb") as copy:
                shutil.copyfileobj(file, copy)
        except UNZIP_ERRORS as error:
            raise UserError(
                f"{name} in {self.path} can't be unpacked: {error}.", "Download the export once more."
            ) from error


def _readable_name(member: zipfile.ZipInfo) -> str:
    """The name of a member: many tools write UTF-8 without saying so, and Windows' backslashes."""
    name = member.filename
    if not member.flag_bits & UTF8_NAME:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _overlaps(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Members that share their packed bytes with the next, so that a small zip unpacks to a huge one.

    Source: D. Fifield, A better zip bomb (2019).
    """
    ordered = sorted(members, key=lambda member: member.header_offset)
    return [
        f"{one.filename}: lies over {other.filename}"
        for one, other in pairwise(ordered)
        if one.header_offset + LOCAL_HEADER_BYTES + one.compress_size > other.header_offset
    ]


def _distrust(member: zipfile.ZipInfo) -> str:
    """What is wrong with a member, or an empty string."""
    name = _readable_name(member)
    if not name:
        return "a file without a name"
    if name.startswith("/") or DRIVE.match(name) or ".." in PurePosixPath(name).parts:
        return "a path that leads out of the folder"
    if len(name) > MAX_NAME:
        return f"a name of {len(name)} characters"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if member.file_size > MAX_MEMBER_BYTES:
        return f"{member.file_size:,} bytes"
    if member.file_size > MIN_BOMB_BYTES and member.file_size > MAX_RATIO * max(1, member.compress_size):
        return f"unpacks to {member.file_size // max(1, member.compress_size)} times its size"
    return ""


def open_source(path: Path) -> ExportSource:
    """Open a folder, a zip, a data.yaml's folder, or one annotation file with the pictures beside it or below.

    Raises:
        UserError: There is none, or it can't be read or trusted.
    """
    if path.is_dir():
        return FolderSource(path)
    if path.suffix.lower() in {".xml", ".json"} and path.is_file():
        return FolderSource(path.parent, only=path.name)
    if path.suffix.lower() in {".yaml", ".yml"} and path.is_file():
        return FolderSource(path.parent)  # a data.yaml describes the dataset that it stands in
    if not path.exists():
        raise UserError(
            f"There is no annotation export {path}.",
            "Give the zip that CVAT exported, a folder, or an XML or JSON file.",
        )
    if not path.is_file():
        raise UserError(f"{path} is neither a file nor a folder.", "Give the export's zip or folder.")
    return ZipSource(path)
