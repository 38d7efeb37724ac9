"""PictureIndex: finds the pictures that an export's annotations speak of, wherever they lie."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from segtune.annotations.image_builder import subset_among, subset_named, subset_of
from segtune.annotations.mask_pairs import MASK_FOLDERS, MASK_WORDS, PICTURE_WORDS
from segtune.annotations.source import MAX_NAME, UNREAD_SUFFIXES, UNZIP_ERRORS, ExportSource, FolderSource
from segtune.errors import UserError, listed
from segtune.files import name_key
from segtune.pictures import PICTURE_SUFFIXES, open_picture, shown_size

LABEL_FOLDERS = frozenset(
    {"masks", "labels", "scribbles", "segmentationclass", "segmentationobject", "gtfine", "gtcoarse"}
)
"""Folders whose pictures are annotations."""

PLAIN_FOLDERS = frozenset({
    *PICTURE_WORDS, *MASK_WORDS, *MASK_FOLDERS, *LABEL_FOLDERS, "/", "..", "data", "dataset", "default",
    "obj_train_data", "ann", "anns", "json", "jsons", "xml", "xmls", "jpg", "jpgs", "png", "pngs", "pics", "upload",
    "uploads",
})  # fmt: skip
"""Names of folders that say what kind of files is in them, not which."""

ELSEWHERE = re.compile(r"[/\\~]|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://")
"""How a path starts that is of another machine: absolute, or an address."""


class PictureIndex:
    """The pictures of an export, and those of a folder beside it where one is given.

    A picture is the one that an annotation names where its own name is the same, and its folders don't contradict those
    of the name: from the innermost outwards they are the same until one of the two has no more. So 'cam1/a.png' is
    found at 'a.png' and 'day 2/cam1/a.png', but not at 'cam2/a.png'. Folders that only say what kind of files they
    hold, as 'images', don't count; train, val and test must not differ, wherever they stand in the path. What the
    annotation file's own path has in common with both doesn't count either. Of a path of another machine only the
    innermost folder is compared, as the others are that machine's.

    Attributes:
        names: All pictures, those in LABEL_FOLDERS left out.
    """

    def __init__(self, source: ExportSource, folder: Path | None = None) -> None:
        self._sources = [source, *([FolderSource(folder)] if folder is not None else [])]
        self._source_of: dict[str, ExportSource] = {}
        self._by_key: dict[str, list[str]] = defaultdict(list)
        self._unread: dict[str, list[str]] = defaultdict(list)
        for place in self._sources:
            for name in place.names:
                path = PurePosixPath(name)
                if path.suffix.lower() in PICTURE_SUFFIXES and name not in self._source_of:
                    self._source_of[name] = place
                    self._by_key[name_key(path.name)].append(name)
                    self._by_key[name_key(path.stem)].append(name)
                elif path.suffix.lower() in UNREAD_SUFFIXES:
                    for key in _keys(path):
                        self._unread[name_key(key)].append(name)
        self.names = tuple(
            name
            for name in self._source_of
            if not LABEL_FOLDERS & {part.lower() for part in PurePosixPath(name).parts[:-1]}
        )
        self._pictures = frozenset(self.names)

    def find(self, name: str, subset: str = "", near: str = "", own_subset: str = "") -> str | None:
        """The picture that an annotation names; None where it is not there, or several could be meant.

        Of several, one in a folder that is called like the export's own subset is taken, then that with most of the
        name's folders, then one of the same subset, then the nearest to the annotation file, then one without further
        folders. A picture of another suffix is taken where there is none of the same.

        Args:
            name: Its relative path as the export writes it.
            subset: The part of the dataset that it is in, or empty.
            near: Name of the annotation file.
            own_subset: What the export calls its subset, where that is no part that a dataset has; or empty.
        """
        found = self._find_all(name, subset, near, own_subset)
        return found[0] if len(found) == 1 else None

    def why_missing(self, name: str, subset: str = "", near: str = "", own_subset: str = "") -> str:
        """Why ``find`` finds none, for a person: the rest of a sentence."""
        path = _path(name)
        found = self._find_all(name, subset, near, own_subset)
        if len(found) > 1:
            return could_be_any_of(found)
        unread = [other for key in _keys(path) for other in self._unread.get(name_key(key), ())]
        if unread:
            suffix = PurePosixPath(unread[0]).suffix
            return f"its picture {unread[0]} is there, but {suffix} files are not read; convert it to PNG or JPEG"
        named = [other for key in _keys(path) for other in self._by_key.get(name_key(key), ())]
        others = [other for other in named if other in self._pictures]
        if named and not others:
            return (
                f"its picture is not there; {named[0]} has its name, but lies among label images"
                f"{self._how_to_name(named[0])}"
            )
        if others:
            return (
                f"its picture is not there; {listed(dict.fromkeys(others), 4)} has its name, but lies in another folder"
                f"{self._how_to_name(others[0])}"
            )
        return "its picture is not there"

    def _how_to_name(self, picture: str) -> str:
        """How to say that this is the picture; of a zip file no folder can be named."""
        place = self._source_of[picture]
        if not isinstance(place, FolderSource):
            return ""
        return f" (if that is the picture: --images {place.path / PurePosixPath(picture).parent})"

    def _find_all(self, name: str, subset: str, near: str, own_subset: str) -> list[str]:
        """The picture, or those between which nothing decides."""
        if len(name) > MAX_NAME:
            return []
        path, beside = _path(name), _folders(PurePosixPath(near))
        is_elsewhere = ELSEWHERE.match(name) is not None
        for key in _keys(path):
            found = [
                other
                for other in self._by_key.get(name_key(key), ())
                if other in self._pictures
                # A picture of the same name in another subset is another picture.
                and (not subset or _subset_beside(path, other) in {"", subset})
                and _agree(_folders(path), _folders(PurePosixPath(other)), beside, is_elsewhere)
            ]
            if len(found) > 1:
                ranks = {other: _rank(path, subset, beside, other, own_subset) for other in found}
                found = [other for other in found if ranks[other] == min(ranks.values())]
                if len({tuple(_telling(_folders(PurePosixPath(other)))) for other in found}) == 1:
                    # Those of one folder differ in their suffix, which the name doesn't have.
                    nearest = PurePosixPath(min(found, key=lambda other: (other.count("/"), other))).parent
                    found = [other for other in found if PurePosixPath(other).parent == nearest]
            if found:
                return found
        return []

    def source(self, picture: str) -> ExportSource:
        """Where a picture is; other files of the export are found, too."""
        return self._source_of[picture]

    def size(self, picture: str) -> tuple[int, int]:
        """Height and width of a picture as viewers show it; only the start of the file is read.

        Raises:
            UserError: It can't be read.
        """
        source = self.source(picture)
        try:
            with source.open(picture) as file:
                return shown_size(open_picture(file, picture), picture)
        except UNZIP_ERRORS as error:
            raise UserError(f"{picture} in {source.path} can't be read: {error}.", "Replace it.") from error


def shared_folders(folder: str, file: str) -> int:
    """How many folders, from the outermost on, a folder has in common with those of a file."""
    return _shared([name_key(part) for part in PurePosixPath(folder).parts], _folders(PurePosixPath(file)))


def telling_folders(name: str) -> list[str]:
    """The folders of a picture's path that tell it from others of its name; not 'images', 'train' and the like."""
    return _telling(_folders(_path(name)))


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def could_be_any_of(found: Sequence[str]) -> str:
    """Why none of several pictures is taken, for a person: the rest of a sentence."""
    in_one_folder = len({PurePosixPath(name).parent for name in found}) == 1
    advice = "remove or rename the others" if in_one_folder else "rename them, or name one's folder with --images"
    return f"its picture could be any of {listed(found, 4)}; {advice}"


def _keys(path: PurePosixPath) -> list[str]:
    """The names that a picture may have: its own; the stem, too, where what follows it is a picture's suffix."""
    is_suffix = path.suffix.lower() in PICTURE_SUFFIXES | UNREAD_SUFFIXES
    return [key for key in (path.name, path.stem if is_suffix else "") if key]


def _folders(path: PurePosixPath) -> list[str]:
    return [name_key(part) for part in path.parts[:-1]]


def _telling(folders: Sequence[str]) -> list[str]:
    """The folders that tell pictures of one name apart."""
    return [part for part in folders if part not in PLAIN_FOLDERS and part[-1] != ":" and not subset_named(part)]


def _agree(named: Sequence[str], folders: Sequence[str], beside: Sequence[str], is_elsewhere: bool) -> bool:
    """Whether the folders of a picture don't contradict those of a name; see PictureIndex."""
    common = _shared(beside, folders)
    if not is_elsewhere:
        common = min(common, _shared(named, folders))
        named = named[common:]
    subsets = set(filter(None, map(subset_among, (named, folders[common:]))))
    pairs = list(zip(_telling(named)[::-1], _telling(folders[common:])[::-1], strict=False))
    return len(subsets) < 2 and all(one == other for one, other in pairs[: 1 if is_elsewhere else None])


def _subset_beside(path: PurePosixPath, other: str) -> str:
    """Which part of the dataset a picture's folders put it in, but those that the annotation's own path has, too."""
    return subset_among([part for part in _folders(PurePosixPath(other)) if part not in _folders(path)])


def _rank(
    path: PurePosixPath, subset: str, beside: Sequence[str], other: str, own_subset: str
) -> tuple[bool, int, int, bool, bool, int, bool]:
    named, folders = _folders(path), _folders(PurePosixPath(other))
    told, telling = _telling(named), _telling(folders)
    agreed = _shared(told[::-1], telling[::-1])
    return (
        bool(own_subset) and name_key(own_subset) not in folders,
        -agreed,
        -_shared(named[::-1], folders[::-1]),
        subset_of(other) != subset,
        path.name != PurePosixPath(other).name,
        -_shared(beside, folders),
        len(telling) > agreed,
    )


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two lists have in common from the start."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
