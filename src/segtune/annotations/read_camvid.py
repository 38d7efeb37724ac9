"""CamVid's label images -> Annotations: the data set's own layout, the SegNet tutorial's, and CVAT's "CamVid 1.0"."""

import re
from functools import partial
from pathlib import PurePosixPath

from segtune.annotations.annotated_image import Annotations
from segtune.annotations.class_files import parse_label_colors, read_class_file
from segtune.annotations.export import Export
from segtune.annotations.image_builder import BadAnnotation
from segtune.annotations.label_image import decode, make_table
from segtune.annotations.mask_pairs import LabelFile, pair_masks
from segtune.annotations.read_cityscapes import is_cityscapes
from segtune.annotations.read_label_images import (
    is_segmentation_mask,
    label_annotations,
    paired_files,
    palette_or_plain,
)
from segtune.annotations.source import ExportSource
from segtune.classes import IGNORE
from segtune.errors import UserError

CAMVID = """0 0 0 Void|64 128 64 Animal|192 0 128 Archway|0 128 192 Bicyclist|0 128 64 Bridge|128 0 0 Building
64 0 128 Car|64 0 192 CartLuggagePram|192 128 64 Child|192 192 128 Column_Pole|64 64 128 Fence|128 0 192 LaneMkgsDriv
192 0 64 LaneMkgsNonDriv|128 128 64 Misc_Text|192 0 192 MotorcycleScooter|128 64 64 OtherMoving|64 192 128 ParkingBlock
64 64 0 Pedestrian|128 64 128 Road|128 128 192 RoadShoulder|0 0 192 Sidewalk|192 128 128 SignSymbol|128 128 128 Sky
64 128 192 SUVPickupTruck|0 0 64 TrafficCone|0 64 64 TrafficLight|192 64 128 Train|128 128 0 Tree|192 128 192 Truck_Bus
64 0 64 Tunnel|192 192 0 VegetationMisc|64 192 0 Wall""".replace("|", "\n")
"""The 32 classes of the data set, http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/."""

SEGNET = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
"""The 11 classes of CamVid as the SegNet tutorial numbers them; 11 is not labelled."""


def is_camvid(source: ExportSource) -> bool:
    """Whether the export is CamVid's: label_colors.txt, folders as trainannot beside train, or its own names."""
    if is_cityscapes(source) or is_segmentation_mask(source):
        return False
    folders = {part for name in source.names for part in PurePosixPath(name).parts[:-1]}
    beside = any(part.removesuffix("annot") in folders for part in folders if part.endswith("annot"))
    as_published = any("labeledapproved" in part.lower() for part in folders)
    colors = any(re.fullmatch(r"label_colors?\.txt", PurePosixPath(name).name) for name in source.names)
    return beside or ((colors or as_published) and bool(pair_masks(source.names)))


def read_camvid(export: Export) -> Annotations:
    """Read it; without label_colors.txt, colours are those of the data set, and values those of the SegNet tutorial.

    Raises:
        UserError: label_colors.txt gives two classes one colour.
    """
    table = read_class_file(export.source)
    if table is None:
        colors = make_table([(None, name, color) for _, name, color in parse_label_colors(CAMVID)])
        values = {**dict(enumerate(SEGNET)), len(SEGNET): None, IGNORE: None}
        is_colored = any(_is_colored(export, file) for file in paired_files(export))
        table = colors if is_colored else make_table([(value, name, None) for value, name in values.items()])
    return label_annotations(export, partial(paired_files, export), table, partial(palette_or_plain, table=table))


def _is_colored(export: Export, file: LabelFile) -> bool:
    """Whether a label image has colours; one that can't be read is told of later."""
    try:
        return decode(export.source.read(file.labels), file.labels).mode in {"RGB", "RGBA"}
    except (BadAnnotation, UserError):
        return False
