"""The formats that 'segtune convert' reads, and how one is recognised."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from segtune.annotations.annotated_image import Annotations
from segtune.annotations.export import Export
from segtune.annotations.read_ade20k import is_ade20k, read_ade20k
from segtune.annotations.read_camvid import is_camvid, read_camvid
from segtune.annotations.read_cityscapes import is_cityscapes, read_cityscapes
from segtune.annotations.read_coco import is_coco, read_coco
from segtune.annotations.read_cvat import is_cvat_images, is_cvat_video, read_cvat, xml_elements
from segtune.annotations.read_datumaro import is_datumaro, read_datumaro
from segtune.annotations.read_label_images import (
    is_mask_folder,
    is_segmentation_mask,
    read_mask_folder,
    read_segmentation_mask,
)
from segtune.annotations.read_label_studio import is_label_studio, read_label_studio
from segtune.annotations.read_labelme_json import is_labelme_json, read_labelme_json
from segtune.annotations.read_labelme_xml import is_labelme_xml, read_labelme_xml
from segtune.annotations.read_supervisely import is_supervisely, read_supervisely
from segtune.annotations.read_via import is_via, read_via
from segtune.annotations.read_yolo import is_yolo, read_yolo
from segtune.annotations.source import MAX_PROBED, ExportSource
from segtune.errors import DataError, UserError, listed, nearest
from segtune.spread import spread


@dataclass(frozen=True)
class Format:
    """An annotation format.

    Attributes:
        title: What tools call it.
        matches: Whether an export is of this format; looks at names and the start of files only where that suffices.
        read: The reader.
        last: Whether it is only meant where no other format matches: its layout may be part of another's.
        has_z_order: Whether a person says for each object what it lies on.
    """

    title: str
    matches: Callable[[ExportSource], bool]
    read: Callable[[Export], Annotations]
    last: bool = False
    has_z_order: bool = False


FORMATS: dict[str, Format] = {
    "cvat-images": Format("CVAT for images 1.1", is_cvat_images, read_cvat, has_z_order=True),
    "cvat-video": Format("CVAT for video 1.1", is_cvat_video, read_cvat, has_z_order=True),
    "labelme-xml": Format("LabelMe 3.0 XML", is_labelme_xml, read_labelme_xml),
    "segmentation-mask": Format("Segmentation mask 1.1 or PASCAL VOC", is_segmentation_mask, read_segmentation_mask),
    "coco": Format("COCO JSON", is_coco, read_coco),
    "labelme-json": Format("labelme JSON", is_labelme_json, read_labelme_json),
    "cityscapes": Format("Cityscapes", is_cityscapes, read_cityscapes),
    "camvid": Format("CamVid", is_camvid, read_camvid),
    "ade20k": Format("ADE20K", is_ade20k, read_ade20k),
    "datumaro": Format("Datumaro JSON", is_datumaro, read_datumaro, has_z_order=True),
    "yolo-seg": Format("YOLO segmentation", is_yolo, read_yolo),
    "label-studio": Format("Label Studio JSON", is_label_studio, read_label_studio),
    "via": Format("VIA 1 and 2", is_via, read_via),
    "supervisely": Format("Supervisely", is_supervisely, read_supervisely),
    "mask-folder": Format("pictures with masks of the same names", is_mask_folder, read_mask_folder, last=True),
}
"""In the order of care."""


def detect_format(source: ExportSource) -> str:
    """Name of the format of an export, by what is in it.

    Raises:
        UserError: It is none that segtune reads, or several fit.
    """
    matching = [name for name, entry in FORMATS.items() if not entry.last and entry.matches(source)]
    matching = matching or [name for name, entry in FORMATS.items() if entry.last and entry.matches(source)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        titles = listed(f"{name} ({FORMATS[name].title})" for name in matching)
        raise UserError(
            f"{source.path} could be of several formats: {titles}.",
            f"Say which: --format {matching[0]}; or give the one folder or file that is meant.",
        )
    broken = _broken_files(source)
    if broken:
        raise DataError(
            f"{source.path} is no annotation export that segtune reads, and holds files that can't be read:",
            broken,
            "Download or copy the export once more.",
        )
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in source.names)
    found = listed(f"{count} x {kind}" for kind, count in kinds.most_common(6)) or "no files"
    raise UserError(
        f"{source.path} is no annotation export that segtune reads; it holds {found}.",
        f"Expected one of: {listed((entry.title for entry in FORMATS.values()), 30)}.",
    )


def _broken_files(source: ExportSource) -> list[str]:
    """What is wrong with JSON and XML files, of which an even selection is read."""
    problems = []
    for name in spread(source.with_suffix(".json", ".xml"), MAX_PROBED):
        try:
            if name.lower().endswith(".json"):
                source.json(name)
            else:
                deque(xml_elements(source, name, root=""), maxlen=0)
        except UserError as error:
            problems.append(error.message)
    return problems


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
