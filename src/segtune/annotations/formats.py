"""The formats that 'segtune convert' reads, and how one is recognised."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

from segtune.annotations.annotated_image import Annotations
from segtune.annotations.read_labelme_xml import read_labelme_xml
from segtune.annotations.source import ExportSource
from segtune.errors import UserError, listed

FORMATS: dict[str, Callable[[ExportSource], Annotations]] = {
    "labelme-xml": read_labelme_xml,
}


def detect_format(source: ExportSource) -> str:
    """Name of the format of an export, by what is in it.

    Raises:
        UserError: It is none that segtune reads.
    """
    for name in source.names:
        if name.lower().endswith(".xml") and re.search(rb"<annotation[\s>]", source.read(name)[:4096]):
            return "labelme-xml"
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in source.names)
    found = listed(f"{count} x {kind}" for kind, count in kinds.most_common(6)) or "no files"
    raise UserError(
        f"{source.path} is no annotation export that segtune reads; it holds {found}.",
        'Expected: LabelMe XML, as CVAT\'s export format "LabelMe ZIP 3.0" with images.',
    )


def read_annotations(source: ExportSource) -> Annotations:
    """Read an export of any known format."""
    return FORMATS[detect_format(source)](source)
