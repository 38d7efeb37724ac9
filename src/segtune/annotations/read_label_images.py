"""Exports whose annotations are label images -> Annotations.

CVAT's "Segmentation mask 1.1", which is PASCAL VOC's layout; CamVid; Cityscapes; ADE20K; and plain folders of pictures
and masks, as Roboflow and many scripts write them. Sources: CVAT's and datumaro's exporters; the data sets' own
descriptions.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from segtune.annotations.annotated_image import AnnotatedImage, Annotations
from segtune.annotations.class_files import parse_label_colors, read_class_file
from segtune.annotations.export import Export
from segtune.annotations.image_builder import BadAnnotation, ImageBuilder, subset_named, subset_of
from segtune.annotations.label_image import LabelTable, add_regions, channels, decode, make_table, palette_colors
from segtune.annotations.source import ExportSource
from segtune.classes import IGNORE, Color, distinct_color
from segtune.errors import UserError, listed
from segtune.pictures import PICTURE_SUFFIXES

VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

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

CITYSCAPES: tuple[tuple[int, str, Color], ...] = (
    (7, "road", (128, 64, 128)), (8, "sidewalk", (244, 35, 232)), (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)), (13, "fence", (190, 153, 153)), (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)), (20, "traffic sign", (220, 220, 0)), (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)), (23, "sky", (70, 130, 180)), (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)), (27, "truck", (0, 0, 70)), (28, "bus", (0, 60, 100)), (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)), (33, "bicycle", (119, 11, 32)),
)  # fmt: skip
"""The classes that count, with their labelIds; https://github.com/mcordts/cityscapesScripts, helpers/labels.py."""

MASK_FOLDERS = re.compile(
    r"(masks?|labels?|annotations?|gt|ground_?truths?|segmentations?|targets?|\w*annot|masks?_png|label_?images?)", re.I
)
MASK_ENDING = re.compile(r"(.+?)[-_.](mask|masks|label|labels|labelids|seg|gt|annotation|L)$")


@dataclass(frozen=True)
class LabelFile:
    """A label image and the picture that it belongs to.

    Attributes:
        name: The picture's name, for messages; its path where it is known.
        labels: The label image, by its name in the source; empty: the export lists the picture, but has none.
        picture: The picture, by its name in the source; empty: to be found by ``name``.
        subset: train, val, test, or empty.
    """

    name: str
    labels: str
    picture: str = ""
    subset: str = ""


Decoder = Callable[[bytes, str], npt.NDArray[np.integer]]


def _annotations(
    export: Export, files: Callable[[], Iterable[LabelFile]], table: LabelTable, pixels: Decoder | None = None
) -> Annotations:
    """Annotations of label images that share a table."""
    return Annotations(partial(_images, export, files, table, pixels or _plain_channels), table.declared, complete=True)


def _images(
    export: Export, files: Callable[[], Iterable[LabelFile]], table: LabelTable, pixels: Decoder
) -> Iterator[AnnotatedImage]:
    for file in files():
        image = ImageBuilder(file.name, picture=file.picture, subset=file.subset, file=file.labels)
        if file.labels:
            with image.reading(""):
                add_regions(image, pixels(export.source.read(file.labels), file.labels), table)
        yield image.build()


def _plain_channels(content: bytes, name: str) -> npt.NDArray[np.integer]:
    return channels(decode(content, name))


# CVAT's Segmentation mask 1.1, and PASCAL VOC.


def is_segmentation_mask(source: ExportSource) -> bool:
    """Whether the export is a "Segmentation mask 1.1" or a PASCAL VOC with segmentation."""
    return any("/SegmentationClass/" in f"/{name}" for name in source.with_suffix(".png"))


def read_segmentation_mask(export: Export) -> Annotations:
    """Read it; without a labelmap.txt, the values are PASCAL VOC's classes where the palette is, too.

    Raises:
        UserError: The labelmap gives two classes one colour.
    """
    table = read_class_file(export.source)
    decoder = None if table is None else partial(_palette_or_plain, table=table)
    return _annotations(export, partial(_voc_files, export.source), table or _values_table(export, _voc_files), decoder)


def _voc_files(source: ExportSource) -> list[LabelFile]:
    subsets = _voc_subsets(source)
    files = []
    for name in source.with_suffix(".png"):
        before, found, stem = f"/{name}".rpartition("/SegmentationClass/")
        if found:
            stem = PurePosixPath(stem).with_suffix("").as_posix()
            files.append(LabelFile(stem, name, subset=subsets.pop(stem, "") or subset_of(before + "/")))
    # A listed picture without a label image has no objects; CVAT writes none for it then.
    return files + [LabelFile(stem, "", subset=subset) for stem, subset in subsets.items()]


def _voc_subsets(source: ExportSource) -> dict[str, str]:
    """The subset of each listed stem; the most telling list counts."""
    subsets: dict[str, str] = {}
    for name in source.with_suffix(".txt"):
        if "/ImageSets/Segmentation/" in f"/{name}":
            subset = subset_named(PurePosixPath(name).stem)
            for line in source.text(name).splitlines():
                if line.strip():
                    stem = line.strip().replace("\\", "/")
                    subsets[stem] = subset or subsets.get(stem, "")
    return subsets


def _palette_or_plain(content: bytes, name: str, table: LabelTable) -> npt.NDArray[np.integer]:
    """The pixels of a label image; the colours of a palette picture where the table has them all."""
    picture = decode(content, name)
    colors = palette_colors(picture)
    if colors is not None and table.colors:
        used = np.flatnonzero(np.bincount(np.asarray(picture).ravel()))
        if all(index < len(colors) and colors[index] in table.colors for index in used if index != IGNORE):
            return np.asarray(picture.convert("RGB")) if IGNORE not in used else channels(picture)
    return channels(picture)


def voc_color(index: int) -> Color:
    """PASCAL VOC's colour of a class: the bits of its number, spread over the channels, the highest first."""
    red = green = blue = 0
    for place in range(8):
        red |= (index >> 3 * place & 1) << 7 - place
        green |= (index >> 3 * place + 1 & 1) << 7 - place
        blue |= (index >> 3 * place + 2 & 1) << 7 - place
    return red, green, blue


VOC_COLORS = tuple(voc_color(index) for index in range(len(VOC_NAMES)))
VOC_BORDER: Color = (224, 224, 192)


# CamVid.


def is_camvid(source: ExportSource) -> bool:
    """Whether the export is CamVid's: a label_colors.txt, or folders as trainannot beside train."""
    if is_cityscapes(source) or is_segmentation_mask(source):
        return False
    folders = {part for name in source.names for part in PurePosixPath(name).parts[:-1]}
    listed_pairs = any(
        f"{subset}annot" in folders and subset in folders for subset in ("train", "val", "test", "default")
    )
    colors = any(re.fullmatch(r"label_colors?\.txt", PurePosixPath(name).name) for name in source.names)
    return listed_pairs or (colors and any(_mask_stem(name) for name in source.with_suffix(".png")))


def read_camvid(export: Export) -> Annotations:
    """Read it; without label_colors.txt, colours are those of the data set, and values those of the SegNet tutorial.

    Raises:
        UserError: label_colors.txt gives two classes one colour.
    """
    table = read_class_file(export.source)
    if table is None:
        colors = make_table([(None, name, color) for _, name, color in parse_label_colors(CAMVID)])
        named = dict(enumerate(SEGNET))
        decoded = channels(decode(export.source.read((file := _paired_files(export.source)[0]).labels), file.labels))
        table = (
            colors if decoded.ndim == 3 else make_table([(i, n, None) for i, n in named.items()] + [(11, None, None)])
        )
    return _annotations(export, partial(_paired_files, export.source), table)


# Cityscapes.

CITYSCAPES_FILE = re.compile(r"(.+)_gt(?:Fine|Coarse)_(labelTrainIds|labelIds|instanceIds|color)\.png$")
CITYSCAPES_KINDS = ("labelTrainIds", "labelIds", "instanceIds", "color")
"""The first that a picture has counts."""


def is_cityscapes(source: ExportSource) -> bool:
    """Whether the export is Cityscapes' layout."""
    return any(CITYSCAPES_FILE.match(name) for name in source.with_suffix(".png"))


def read_cityscapes(export: Export) -> Annotations:
    """Read it: CVAT's with its label_colors.txt, whose lines the values count; else the data set's own 19 classes.

    Raises:
        UserError: label_colors.txt gives two classes one colour.
    """
    table = read_class_file(export.source)
    files = partial(_cityscapes_files, export.source, own_classes=table is not None)
    if table is not None:
        return _annotations(export, files, table, _cityscapes_values)
    train_ids = [(index, name, color) for index, (_, name, color) in enumerate(CITYSCAPES)]
    # What is neither, the 19 and all above, never counts.
    rest = [(value, None, None) for value in range(len(CITYSCAPES), 256)]
    counted = {value for value, _, _ in CITYSCAPES}
    label_ids = [*CITYSCAPES, *((value, None, None) for value in range(256) if value not in counted)]
    by_kind = {"labelTrainIds": make_table([*train_ids, *rest]), "labelIds": make_table(label_ids)}
    return Annotations(partial(_cityscapes_images, export, files, by_kind), by_kind["labelIds"].declared, complete=True)


def _cityscapes_images(
    export: Export, files: Callable[[], Iterable[LabelFile]], by_kind: dict[str, LabelTable]
) -> Iterator[AnnotatedImage]:
    for file in files():
        table = by_kind["labelTrainIds" if "labelTrainIds" in file.labels else "labelIds"]
        yield from _images(export, lambda file=file: [file], table, _cityscapes_values)  # type: ignore[misc]


def _cityscapes_values(content: bytes, name: str) -> npt.NDArray[np.integer]:
    """Class values; instanceIds of single objects are a thousand times the class, and a number."""
    values = channels(decode(content, name))
    return np.where(values >= 1000, values // 1000, values) if "instanceIds" in name and values.ndim == 2 else values


def _cityscapes_files(source: ExportSource, own_classes: bool) -> list[LabelFile]:
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    for name in source.with_suffix(".png"):
        if found := CITYSCAPES_FILE.match(name):
            kinds[found[1]][found[2]] = name
    order = CITYSCAPES_KINDS[1:] + CITYSCAPES_KINDS[:1] if own_classes else CITYSCAPES_KINDS
    files = []
    for stem, names in kinds.items():
        labels = next(names[kind] for kind in order if kind in names)
        # …/gtFine/train/city/a -> train/city/a_leftImg8bit.png
        parts = PurePosixPath(stem).parts
        place = next((i for i, part in enumerate(parts) if part in {"gtFine", "gtCoarse"}), -1)
        files.append(LabelFile("/".join(parts[place + 1 :]) + "_leftImg8bit.png", labels, subset=subset_of(labels)))
    return files


# ADE20K.


def is_ade20k(source: ExportSource) -> bool:
    """Whether the export is ADE20K: the full set's ``*_seg.png``, or the scene parsing challenge's ``ADE_*.png``."""
    names = set(source.names)
    return any(
        re.search(r"(^|/)annotations/.*ADE_\w+\.png$", name)
        or (name.endswith("_seg.png") and {f"{name[:-8]}_atr.txt", f"{name[:-8]}.json"} & names)
        for name in source.with_suffix(".png")
    )


def read_ade20k(export: Export) -> Annotations:
    """Read it; 0 is not labelled there, and never counts."""
    if any(name.endswith("_seg.png") for name in export.source.names):
        return Annotations(partial(_ade_full_images, export), complete=True)
    names = _object_names(export)
    table = make_table(
        [(0, None, None), *((value, names.get(value, f"class_{value}"), None) for value in range(1, 151))]
    )
    return _annotations(export, partial(_paired_files, export.source), LabelTable(table.names, {}, ()))


def _object_names(export: Export) -> dict[int, str]:
    """The names in objectInfo150.txt, where that is there: number, shares, counts and names by tabs."""
    for name in export.source.with_suffix("objectinfo150.txt"):
        rows = [line.split("\t") for line in export.source.text(name).splitlines()]
        return {int(row[0]): row[-1].split(",")[0].strip() for row in rows if row[0].strip().isdigit()}
    return {}


def _ade_full_images(export: Export) -> Iterator[AnnotatedImage]:
    for name in export.source.with_suffix("_seg.png"):
        image = ImageBuilder(f"{name[:-8]}.jpg", subset=subset_of(name), file=name)
        with image.reading(""):
            pixels = channels(decode(export.source.read(name), name))
            if pixels.ndim != 3:
                raise BadAnnotation("it has one channel; ADE20K writes the class into red and green")
            names = _ade_names(export.source, name[:-8])
            # Blue counts the objects; red and green hold the class, which all of a class share.
            numbers = pixels[..., 2].astype(np.int64)
            add_regions(
                image, numbers, make_table([(0, None, None), *((n, label, None) for n, label in names.items())])
            )
        yield image.build()


def _ade_names(source: ExportSource, stem: str) -> dict[int, str]:
    """The class of each object of a picture: of the 2021 set's JSON, or of the 2016 set's text.

    Raises:
        BadAnnotation: The file is not as it should be.
    """
    try:
        if f"{stem}.json" in source.names:
            objects = source.json(f"{stem}.json")["annotation"]["object"]
            whole = [item for item in objects if int(item.get("parts", {}).get("part_level", 0) or 0) == 0]
            return {number: str(item["name"]).split(",")[0] for number, item in enumerate(whole, start=1)}
        rows = [line.split("#") for line in source.text(f"{stem}_atr.txt").splitlines() if line.strip()]
        return {int(row[0]): row[3].split(",")[0].strip() for row in rows if int(row[1]) == 0}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise BadAnnotation(f"its list of objects can't be read ({type(error).__name__}: {error})") from error


# Plain folders.


def is_mask_folder(source: ExportSource) -> bool:
    """Whether pictures and masks of the same names lie in folders beside each other, or with endings as '_mask'."""
    return bool(_paired_files(source))


def read_mask_folder(export: Export) -> Annotations:
    """Read plain folders of pictures and masks.

    Raises:
        UserError: The masks are coloured, and nothing says which class has which colour.
    """
    table = read_class_file(export.source)
    decoder = None if table is None else partial(_palette_or_plain, table=table)
    return _annotations(
        export, partial(_paired_files, export.source), table or _values_table(export, _paired_files), decoder
    )


def _values_table(export: Export, files: Callable[[ExportSource], list[LabelFile]]) -> LabelTable:
    """A table for masks that come without one: of the values that occur.

    Raises:
        UserError: They are coloured.
    """
    seen = np.zeros(256, np.bool_)
    palettes = set()
    colored: dict[Color, int] = defaultdict(int)
    for file in files(export.source):
        try:
            picture = decode(export.source.read(file.labels), file.labels)
            pixels = channels(picture)
        except (BadAnnotation, UserError):
            continue  # told when it is read as an annotation
        if pixels.ndim == 3:
            _count_colors(picture, colored)
        elif pixels.size and pixels.min() >= 0 and pixels.max() < 256:
            seen |= np.bincount(pixels.ravel(), minlength=256)[:256] > 0
            palettes.add(tuple(palette_colors(picture) or ()))
    if colored and {*colored} <= {*VOC_COLORS, VOC_BORDER}:
        return make_table([*zip(range(21), VOC_NAMES, VOC_COLORS, strict=True), (IGNORE, None, VOC_BORDER)])
    if colored:
        total = sum(colored.values())
        most = sorted(colored, key=lambda color: -colored[color])[:12]
        shares = [f"{color} {colored[color] / total:.1%}" for color in most]
        raise UserError(
            f"The label images of {export.source.path} are coloured, and no file says which class has which colour."
            f" They hold: {listed(shares, 12)}.",
            "Write a classes.yaml beside them, as: {classes: [{name: road, color: [128, 64, 128]}, …]}",
        )
    return _named_values([int(value) for value in np.flatnonzero(seen)], export.class_names, palettes)


def _count_colors(picture: Image.Image, counts: dict[Color, int]) -> None:
    for count, color in picture.convert("RGB").getcolors(4096) or []:
        counts[color] += count  # type: ignore[index]


def _named_values(values: list[int], names: tuple[str, ...], palettes: set[tuple[Color, ...]]) -> LabelTable:
    if set(values) == {0, IGNORE}:
        # A binary mask: were 255 ignored, nothing would be left to learn.
        background, thing = (
            (*names, "background", "object")[:2] if len(names) >= 2 else ("background", (*names, "object")[0])
        )
        return make_table([(0, background, distinct_color(0)), (IGNORE, thing, distinct_color(1))])
    ids = [value for value in values if value != IGNORE]
    if (
        not names
        and len(palettes) == 1
        and next(iter(palettes))[:21] == VOC_COLORS
        and max(ids, default=0) < len(VOC_NAMES)
    ):
        names = VOC_NAMES
    entries: list[tuple[int | None, str | None, Color | None]] = [
        (
            value,
            names[value] if value < len(names) else f"class_{value}",
            voc_color(value) if names is VOC_NAMES else None,
        )
        for value in (range(len(names)) if names else ids)
    ]
    entries += [(value, f"class_{value}", None) for value in ids if names and value >= len(names)]
    return make_table([*entries, (IGNORE, None, None)])


def _mask_stem(name: str) -> str | None:
    """The stem of the picture that a mask belongs to; None where the name is not a mask's."""
    path = PurePosixPath(name)
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return None
    found = MASK_ENDING.match(path.stem)
    if found:
        return found[1]
    return path.stem if any(MASK_FOLDERS.fullmatch(part) for part in path.parts[:-1]) else None


def _paired_files(source: ExportSource) -> list[LabelFile]:
    """Masks and their pictures, by name and by the folders that they share."""
    stems = {name: stem for name in source.names if (stem := _mask_stem(name)) is not None}
    pictures: dict[str, list[str]] = defaultdict(list)
    for name in source.names:
        if name not in stems and PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES:
            pictures[PurePosixPath(name).stem].append(name)
    files = []
    for name, stem in stems.items():
        candidates = pictures.get(stem) or [
            other for other in pictures.get(PurePosixPath(name).stem, []) if other != name
        ]
        if candidates:
            picture = max(candidates, key=lambda other: (_common_folders(name, other), other))
            files.append(LabelFile(picture, name, picture, subset_of(name) or subset_of(picture)))
    return files


def _common_folders(one: str, other: str) -> int:
    """How many of their folders' names two paths share; 'trainannot' counts as 'train'."""
    first, second = (
        {part.removesuffix("annot").lower() for part in PurePosixPath(name).parts[:-1]} for name in (one, other)
    )
    return len(first & second)
