"""What INPUT means: a picture, a video, a folder, a pattern or a list -> files, and the names of their results."""

import glob
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segtune.console import messages
from segtune.errors import UserError, install, listed
from segtune.files import name_key
from segtune.pictures import PICTURE_SUFFIXES
from segtune.prediction.raster import has_rasterio, is_georeferenced

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"})
LIST_SUFFIX = ".txt"
STDIN = Path("-")
BY_NAME = "Name one, or give a pattern, to predict them."


@dataclass(frozen=True)
class Input:
    """A file to predict.

    Attributes:
        path: The file.
        name: Its results' path below OUTPUT/KIND, without a suffix: ``street/007`` for ``street/007.jpg``.
        is_geotiff: Whether it has a place on the earth that its results can be given, too.
    """

    path: Path
    name: Path
    is_geotiff: bool = False

    @property
    def is_video(self) -> bool:
        """Told by the suffix."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES

    @property
    def is_picture(self) -> bool:
        """Whether it is neither a video nor a GeoTIFF."""
        return not self.is_video and not self.is_geotiff

    @property
    def picture_name(self) -> str:
        """Its path below INPUT, with the suffix and forward slashes: what annotation tools call it."""
        return f"{self.name.as_posix()}{self.path.suffix}"


def find_inputs(source: Path, output: Path, about_videos: str = BY_NAME) -> list[Input]:
    """All files that ``source`` stands for, in the order of their names, or of the list.

    A folder means the pictures in it and below; hidden ones, and those in an ``output`` inside it, are left out.
    The relative paths of a list, and of a pattern, start at the current folder.

    Args:
        source: What the user names.
        output: Where results will go.
        about_videos: What to do about the videos of a folder, which are left out, and told.

    Raises:
        UserError: Nothing there, no picture in it, or two files whose results would have the same name.
    """
    if source == STDIN:
        inputs = _from_list(sys.stdin.buffer.read(), "standard input")
    elif source.is_dir():
        inputs = _in_folder(source, output, about_videos)
    elif source.is_file() and source.suffix.lower() == LIST_SUFFIX:
        inputs = _from_list(_list_content(source), str(source))
    elif source.is_file():
        inputs = _named([source])
    elif glob.has_magic(str(source)):
        inputs = _matching(str(source))
    else:
        raise UserError(
            f"There is no picture or folder {source}.",
            "Expected: a picture, a video, a folder, a pattern in quotes, a .txt list, or - for one on standard input.",
        )
    _refuse_same_names(inputs)
    return _with_places(inputs)


def _with_places(inputs: list[Input]) -> list[Input]:
    """Mark the GeoTIFFs, where they can be written."""
    placed = [is_georeferenced(entry.path) for entry in inputs]
    if any(placed) and not has_rasterio():
        messages.print(
            f"Note: results of the {sum(placed)} GeoTIFFs get no georeference without rasterio. {install('geo')}"
        )
        return inputs
    return [replace(entry, is_geotiff=has_place) for entry, has_place in zip(inputs, placed, strict=True)]


def _files_below(folder: Path, output: Path) -> list[Path]:
    root = folder.resolve()
    # Results of an earlier run are no pictures to predict.
    seen = {root, output.resolve()}
    paths = []
    for place, folders, files in os.walk(folder, followlinks=True):
        kept = []
        for name in sorted(folders):
            path = Path(place) / name
            real = path.resolve()
            # What a link shows of the folder itself is seen at its own place; other links may meet, or lead round.
            is_double = real in seen or (path.is_symlink() and real.is_relative_to(root))
            if not name.startswith(".") and not is_double:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        paths += [Path(place) / name for name in sorted(files) if not name.startswith(".")]
    return paths


def _in_folder(folder: Path, output: Path, about_videos: str) -> list[Input]:
    paths = _files_below(folder, output)
    pictures = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES]
    videos = [path.name for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    if not pictures:
        hint = f"Expected files ending in {listed(sorted(PICTURE_SUFFIXES))}."
        if videos:
            pattern = f"'{folder}/*{Path(videos[0]).suffix}'"
            hint = f"It holds videos ({listed(videos, 3)}): name one, or give a pattern: {pattern}."
        raise UserError(f"{folder} holds no pictures.", hint)
    if videos:
        messages.print(f"Note: videos in the folder are left out: {listed(videos, 3)}. {about_videos}")
    return [Input(path, path.relative_to(folder).with_suffix("")) for path in pictures]


def _matching(pattern: str) -> list[Input]:
    suffixes = PICTURE_SUFFIXES | VIDEO_SUFFIXES
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - may be absolute
    paths = [path for path in found if path.is_file() and path.suffix.lower() in suffixes]
    if not paths:
        raise UserError(f"No picture or video matches {pattern}.", "Check the pattern; ** stands for any folders.")
    return _named(paths)


def _list_content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error


def _from_list(content: bytes, called: str) -> list[Input]:
    """The files of a list, a path a line, or with NULs between them as of 'find -print0'."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{called} can't be read as a list: {error}.", "Expected: UTF-8, a path a line.") from error
    lines = text.split("\0") if "\0" in text else [line.strip() for line in text.splitlines()]
    paths = [Path(line) for line in lines if line]
    if not paths:
        raise UserError(f"{called} lists no pictures.", "Expected: a path a line.")
    # A file listed twice is predicted once.
    return _named(list(dict.fromkeys(paths)))


def _named(paths: Sequence[Path]) -> list[Input]:
    """Names are relative to the deepest folder that holds all of them, so that files of several folders stay apart."""
    absolute = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 - a link keeps its name
    common = os.path.commonpath([path.parent for path in absolute])
    return [Input(path, whole.relative_to(common).with_suffix("")) for path, whole in zip(paths, absolute, strict=True)]


def _refuse_same_names(inputs: Iterable[Input]) -> None:
    """Files that differ only in suffix, or in the case of letters, would overwrite each other's results."""
    first: dict[str, Input] = {}
    for entry in inputs:
        other = first.setdefault(name_key(str(entry.name)), entry)
        if other is not entry:
            raise UserError(f"{other.path} and {entry.path} would both become {entry.name}.png.", "Rename one.")
    for entry in first.values():
        for folder in entry.name.parents:
            video = first.get(name_key(str(folder)))
            if video is not None and video.is_video:
                raise UserError(
                    f"The frames of {video.path} and {entry.path} would both go to the folder {folder}.", "Rename one."
                )
