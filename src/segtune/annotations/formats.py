"""The formats that 'segtune convert' reads, and how one is recognised."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from segtune.annotations.annotated_image import Annotations
from segtune.annotations.export import Export
from segtune.annotations.read_cvat import is_cvat_images, is_cvat_video, read_cvat_images, read_cvat_video
from segtune.annotations.read_labelme_xml import is_labelme_xml, read_labelme_xml
from segtune.annotations.source import ExportSource
from segtune.errors import UserError, listed, nearest


@dataclass(frozen=True)
class Format:
    """An annotation format.

    Attributes:
        title: What tools call it.
        matches: Whether an export is of this format; looks at names and the start of files only where that suffices.
        read: The reader.
    """

    title: str
    matches: Callable[[ExportSource], bool]
    read: Callable[[Export], Annotations]


FORMATS: dict[str, Format] = {
    "cvat-images": Format("CVAT for images 1.1", is_cvat_images, read_cvat_images),
    "cvat-video": Format("CVAT for video 1.1", is_cvat_video, read_cvat_video),
    "labelme-xml": Format("LabelMe 3.0 XML", is_labelme_xml, read_labelme_xml),
}


def detect_format(source: ExportSource) -> str:
    """Name of the format of an export, by what is in it.

    Raises:
        UserError: It is none that segtune reads, or several fit.
    """
    matching = [name for name, entry in FORMATS.items() if entry.matches(source)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        titles = listed(f"{name} ({FORMATS[name].title})" for name in matching)
        raise UserError(
            f"{source.path} could be of several formats: {titles}.",
            f"Say which: --format {matching[0]}; or give the one folder or file that is meant.",
        )
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in source.names)
    found = listed(f"{count} x {kind}" for kind, count in kinds.most_common(6)) or "no files"
    raise UserError(
        f"{source.path} is no annotation export that segtune reads; it holds {found}.",
        f"Expected one of: {listed((entry.title for entry in FORMATS.values()), 30)}.",
    )


def read_annotations(export: Export, name: str = "auto") -> tuple[str, Annotations]:
    """Read an export of a named format, or of the one that it shows; returns the format's name, too.

    Raises:
        UserError: There is no such format, or the export can't be read.
    """
    chosen = detect_format(export.source) if name == "auto" else name
    if chosen not in FORMATS:
        raise UserError(
            f"There is no annotation format {name!r}.", nearest(name, FORMATS) or f"Known: {listed(FORMATS, 30)}."
        )
    return chosen, FORMATS[chosen].read(export)
