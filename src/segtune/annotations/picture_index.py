"""PictureIndex: finds the pictures that an export's annotations speak of, wherever they lie."""

import unicodedata
from collections import defaultdict
from pathlib import Path, PurePosixPath

from segtune.annotations.image_builder import subset_of
from segtune.annotations.source import UNZIP_ERRORS, ExportSource, FolderSource
from segtune.errors import UserError
from segtune.pictures import PICTURE_SUFFIXES, open_picture, shown_size

LABEL_FOLDERS = frozenset({"masks", "labels", "scribbles", "segmentationclass", "segmentationobject"})
"""Folders whose pictures are annotations."""


class PictureIndex:
    """The pictures of an export, and those of a folder beside it where one is given.

    Attributes:
        names: All pictures, those in LABEL_FOLDERS left out.
    """

    def __init__(self, source: ExportSource, folder: Path | None = None) -> None:
        self._sources = [source, *([FolderSource(folder)] if folder is not None else [])]
        self._source_of: dict[str, ExportSource] = {}
        self._by_key: dict[str, list[str]] = defaultdict(list)
        for place in self._sources:
            for name in place.names:
                path = PurePosixPath(name)
                if path.suffix.lower() in PICTURE_SUFFIXES and name not in self._source_of:
                    self._source_of[name] = place
                    self._by_key[_key(path.name)].append(name)
                    self._by_key[_key(path.stem)].append(name)
        self.names = tuple(
            name
            for name in self._source_of
            if not LABEL_FOLDERS & {part.lower() for part in PurePosixPath(name).parts[:-1]}
        )
        self._pictures = frozenset(self.names)

    def find(self, name: str, subset: str = "", near: str = "") -> str | None:
        """The picture that an annotation names, or None.

        The picture with most of the name's folders is taken; where several have, one of the same subset, then one
        nearest to the annotation file. A picture of another suffix is taken where there is none of the same.

        Args:
            name: Its relative path as the export writes it.
            subset: The part of the dataset that it is in, or empty.
            near: Name of the annotation file.
        """
        path = PurePosixPath(name.replace("\\", "/"))
        for key in (path.name, path.stem):
            found = [other for other in self._by_key.get(_key(key), ()) if other in self._pictures] if key else []
            # A picture of the same name in another subset is another picture.
            found = [other for other in found if not subset or subset_of(other) in {"", subset}]
            if found:
                return min(found, key=lambda other: self._distance(path, subset, near, other))
        return None

    @staticmethod
    def _distance(path: PurePosixPath, subset: str, near: str, other: str) -> tuple[int, bool, bool, int, int, str]:
        folders, parts = ([_key(part) for part in of.parts[:-1]] for of in (path, PurePosixPath(other)))
        own = _shared(folders[::-1], parts[::-1])
        beside = _shared([_key(part) for part in PurePosixPath(near).parts[:-1]], parts)
        exact = path.name == PurePosixPath(other).name
        return -own, subset_of(other) != subset, not exact, -beside, len(parts), other

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
                return shown_size(open_picture(file, picture))
        except UNZIP_ERRORS as error:
            raise UserError(f"{picture} in {source.path} can't be read: {error}.", "Replace it.") from error


def _key(name: str) -> str:
    """What stays the same when systems change the case or the composition of a name's letters."""
    return unicodedata.normalize("NFC", name).casefold()


def _shared(one: list[str], other: list[str]) -> int:
    """How many parts two lists have in common from the start."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
