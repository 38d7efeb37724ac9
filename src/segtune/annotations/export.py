"""Export: what a reader gets: the files, the pictures, and what the person said about them."""

from dataclasses import dataclass
from pathlib import Path

from segtune.annotations.picture_index import PictureIndex
from segtune.annotations.source import ExportSource, open_source
from segtune.errors import UserError


@dataclass(frozen=True)
class Export:
    """An opened annotation export.

    Attributes:
        source: Its files.
        pictures: Its pictures, and those of a folder beside it.
        attribute: The name of the attribute that holds the class, for formats that don't say.
        class_names: Names for class ids 0, 1, 2, …, for label images that have none.
    """

    source: ExportSource
    pictures: PictureIndex
    attribute: str = ""
    class_names: tuple[str, ...] = ()


def open_export(
    path: Path, pictures: Path | None = None, attribute: str = "", class_names: tuple[str, ...] = ()
) -> Export:
    """Open an export; ``pictures`` is a folder that has the pictures where the export doesn't.

    Raises:
        UserError: It can't be opened or trusted.
    """
    source = open_source(path)
    if pictures is not None and not pictures.is_dir():
        raise UserError(f"There is no folder {pictures}.", "--images names the folder that has the pictures.")
    return Export(source, PictureIndex(source, pictures), attribute, class_names)
