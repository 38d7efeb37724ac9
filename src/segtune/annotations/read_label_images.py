"""Exports whose annotations are label images -> Annotations.

CVAT's "Segmentation mask 1.1", which is PASCAL VOC's layout; CamVid; Cityscapes; ADE20K; and plain folders of pictures
and masks, as Roboflow and many scripts write them. Sources: CVAT's and datumaro's exporters; the data sets' own
descriptions.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import AnnotatedImage, Annotations
from segtune.annotations.class_files import has_class_file, parse_label_colors, read_class_file
from segtune.annotations.export import Export
from segtune.annotations.image_builder import BadAnnotation, ImageBuilder, subset_named, subset_of, whole_number
from segtune.annotations.label_image import (
    LabelTable,
    add_regions,
    channels,
    decode,
    make_table,
    palette_colors,
    plain_if_grey,
)
from segtune.annotations.mask_pairs import LabelFile, pair_masks
from segtune.annotations.source import ExportSource
from segtune.classes import IGNORE, Color, distinct_color
from segtune.errors import UserError, listed

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
"""The classes that count, with their labelIds; all other ids are void. Source:
https://github.com/mcordts/cityscapesScripts, helpers/labels.py."""

Decoder = Callable[[bytes, str], npt.NDArray[np.integer]]


def _annotations(
    export: Export, files: Callable[[], Iterable[LabelFile]], table: LabelTable, pixels: Decoder | None = None
) -> Annotations:
    """Annotations of label images that share a table."""
    return Annotations(partial(_images, export, files, table, pixels or _plain_channels), table.declared, complete=True)


def _images(
    export: Export, files: Callable[[], Iterable[LabelFile]], table: LabelTable, pixels: Decoder
) -> Iterator[AnnotatedImage]:
    listed_files = list(files())
    masks = {file.labels for file in listed_files}
    for file in listed_files:
        image = ImageBuilder(file.name, picture=file.picture, subset=file.subset, file=file.labels)
        if not file.picture and export.pictures.find(file.name, file.subset, file.labels) in masks:
            # By its name alone the mask itself would be taken for it.
            image.problem("its picture is not there")
        if file.labels:
            with image.reading(""):
                add_regions(image, pixels(export.source.read(file.labels), file.labels), table)
        yield image.build()


def _plain_channels(content: bytes, name: str) -> npt.NDArray[np.integer]:
    return channels(decode(content, name))


# CVAT's Segmentation mask 1.1, and PASCAL VOC.


VOC_FILE = re.compile(r"(.*)/SegmentationClass(?:PNG)?/(.+)\.png$", re.IGNORECASE)
"""labelme2voc once wrote SegmentationClassPNG."""


def is_segmentation_mask(source: ExportSource) -> bool:
    """Whether the export is a "Segmentation mask 1.1" or a PASCAL VOC with segmentation."""
    return any(VOC_FILE.match(f"/{name}") for name in source.names)


def read_segmentation_mask(export: Export) -> Annotations:
    """Read it; without a labelmap.txt, the values are PASCAL VOC's classes where the palette is, too.

    Raises:
        UserError: The labelmap gives two classes one colour.
    """
    return _with_table_or_values(export, partial(_voc_files, export))


def _voc_files(export: Export) -> list[LabelFile]:
    subsets = _voc_subsets(export.source)
    masks = {name: found for name in export.source.names if (found := VOC_FILE.match(f"/{name}"))}
    pictures = set(export.pictures.names) - masks.keys()
    files = []
    for name, found in masks.items():
        stem = found[2]
        beside = (f"{found[1]}/JPEGImages/{stem}{suffix}".lstrip("/") for suffix in (".jpg", ".jpeg", ".png", ".bmp"))
        picture = next((path for path in beside if path in pictures), "")
        files.append(LabelFile(stem, name, picture, subsets.pop(stem, "") or subset_of(found[1] + "/")))
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
                    stem = line.strip().strip('"').replace("\\", "/")  # datumaro quotes names with blanks
                    subsets[stem] = subset or subsets.get(stem, "")
    return subsets


def _palette_or_plain(content: bytes, name: str, table: LabelTable) -> npt.NDArray[np.integer]:
    """The pixels of a label image; the colours of a palette picture where the table has them all."""
    picture = decode(content, name)
    colors = palette_colors(picture)
    if colors is not None and table.colors and not table.by_value:
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
        is_colored = any(_is_colored(export, file) for file in _paired_files(export))
        table = colors if is_colored else make_table([(value, name, None) for value, name in values.items()])
    return _annotations(export, partial(_paired_files, export), table, partial(_palette_or_plain, table=table))


def _is_colored(export: Export, file: LabelFile) -> bool:
    """Whether a label image has colours; one that can't be read is told of later."""
    try:
        return decode(export.source.read(file.labels), file.labels).mode in {"RGB", "RGBA"}
    except (BadAnnotation, UserError):
        return False


# Cityscapes.

CITYSCAPES_VOID: tuple[Color, ...] = (
    (0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180), (150, 100, 100),
    (150, 120, 90), (0, 0, 90), (0, 0, 110),
)  # fmt: skip
"""The colours of classes that don't count."""

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
    table = read_class_file(export.source, r"label_colors?\.txt")
    files = partial(_cityscapes_files, export, own_classes=table is not None)
    if table is not None:
        return _annotations(export, files, table, _cityscapes_values)
    train_ids = [(index, name, color) for index, (_, name, color) in enumerate(CITYSCAPES)]
    # What is neither, the 19 and all above, never counts.
    rest = [(value, None, None) for value in range(len(CITYSCAPES), 256)]
    counted = {value for value, _, _ in CITYSCAPES}
    label_ids = [*CITYSCAPES, *((value, None, None) for value in range(256) if value not in counted)]
    by_kind = {
        "labelTrainIds": make_table([*train_ids, *rest]),
        "labelIds": make_table([*label_ids, *((None, None, color) for color in CITYSCAPES_VOID)]),
    }
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


def _cityscapes_files(export: Export, own_classes: bool) -> list[LabelFile]:
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    for name in export.source.with_suffix(".png"):
        if found := CITYSCAPES_FILE.match(name):
            kinds[found[1]][found[2]] = name
    order = CITYSCAPES_KINDS[1:] + CITYSCAPES_KINDS[:1] if own_classes else CITYSCAPES_KINDS
    files = []
    for stem, names in kinds.items():
        labels = next(names[kind] for kind in order if kind in names)
        # …/gtFine/train/city/a -> train/city/a_leftImg8bit.png
        parts = PurePosixPath(stem).parts
        place = next((i for i, part in enumerate(parts) if part in {"gtFine", "gtCoarse"}), -1)
        frame, subset = "/".join(parts[place + 1 :]), subset_of(labels)
        own = f"{frame}_leftImg8bit.png"
        # Pictures from elsewhere have the names that CVAT's task has.
        plain = export.pictures.find(own, subset, labels) is None and export.pictures.find(frame, subset, labels)
        files.append(LabelFile(frame if plain else own, labels, subset=subset))
    return files


# ADE20K.


def is_ade20k(source: ExportSource) -> bool:
    """Whether the export is ADE20K: the full set's ``*_seg.png``, or the scene parsing challenge's ``ADE_*.png``."""
    names = set(source.names)
    # The folders' names alone may be those of a set with classes of its own.
    scene = (
        r"(^|/)annotations/.*ADE_\w+\.png$"
        if has_class_file(source)
        else r"(^|/)annotations/(training|validation)/.*\.png$"
    )
    return any(
        re.search(scene, name) or (name.endswith("_seg.png") and {f"{name[:-8]}_atr.txt", f"{name[:-8]}.json"} & names)
        for name in source.with_suffix(".png")
    )


def read_ade20k(export: Export) -> Annotations:
    """Read it; 0 is not labelled there, and never counts."""
    if any(name.endswith("_seg.png") for name in export.source.names):
        return Annotations(partial(_ade_full_images, export), complete=True)
    files = partial(_paired_files, export)
    names = _object_names(export)
    names = names or {value: f"class_{value}" for value in sorted(_count_values(export, files).values - {0, IGNORE})}
    return _annotations(
        export, files, make_table([(0, None, None), *((value, name, None) for value, name in names.items())])
    )


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
            wide = pixels.astype(np.int64)
            # Red and green hold the class, and blue counts the objects; nothing is there where all are 0.
            classes = wide[..., 0] // 10 * 256 + wide[..., 1]
            names, by_class = _ade_names(export.source, name[:-8])
            codes = np.where(wide.any(axis=2), classes + 1 if by_class else _ranks(wide[..., 2], names), 0)
            add_regions(
                image,
                codes,
                make_table([(0, None, None), *((code + by_class, label, None) for code, label in names.items())]),
            )
        yield image.build()


def _ranks(objects: npt.NDArray[np.int64], names: Mapping[int, str]) -> npt.NDArray[np.int64]:
    """The objects' numbers in the list: the picture's own, or, as in ADE20K's loadAde20K.m, the ranks of its values."""
    values = np.unique(objects[objects > 0])
    return objects if set(values.tolist()) <= names.keys() else np.searchsorted(values, objects) + 1


def _ade_names(source: ExportSource, stem: str) -> tuple[dict[int, str], bool]:
    """Names by class, as in the 2021 set's JSON, and True; or by object, as in the 2016 set's text, and False.

    Raises:
        BadAnnotation: The file is not as it should be.
    """
    try:
        if f"{stem}.json" in source.names:
            objects = source.json(f"{stem}.json")["annotation"]["object"]
            return {whole_number(item["name_ndx"]): str(item["name"]).split(",")[0] for item in objects}, True
        rows = [line.split("#") for line in source.text(f"{stem}_atr.txt").splitlines() if line.strip()]
        return {int(row[0]): row[3].split(",")[0].strip() for row in rows if int(row[1]) == 0}, False
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise BadAnnotation(f"its list of objects can't be read ({type(error).__name__}: {error})") from error


# Plain folders.


def is_mask_folder(source: ExportSource) -> bool:
    """Whether pictures and masks of the same names lie in folders beside each other, or with endings as '_mask'."""
    files = pair_masks(source.names)
    return any(file.picture for file in files) or (bool(files) and has_class_file(source))


def read_mask_folder(export: Export) -> Annotations:
    """Read plain folders of pictures and masks.

    Raises:
        UserError: The masks are coloured, and nothing says which class has which colour.
    """
    return _with_table_or_values(export, partial(_paired_files, export))


def _with_table_or_values(export: Export, files: Callable[[], list[LabelFile]]) -> Annotations:
    """Annotations of label images, by the export's table, or by the values that occur."""
    table = read_class_file(export.source)
    if table is None:
        return _annotations(export, files, _values_table(export, files))
    if set(table.names) == {0, 1, IGNORE} and _count_values(export, files).values == {0, IGNORE}:
        # A binary mask: were 255 ignored, nothing would be left to learn.
        table = replace(table, names={0: table.names[0], IGNORE: table.names[1]})
    return _annotations(export, files, table, partial(_palette_or_plain, table=table))


@dataclass
class _Seen:
    """What label images hold: values, colours with their counts, and palettes.

    The empty palette stands for grey pictures;
    ``most`` is how many values one holds, and which.
    """

    values: set[int] = field(default_factory=set)
    colors: Counter[Color] = field(default_factory=Counter)
    palettes: set[tuple[Color, ...]] = field(default_factory=set)
    most: tuple[int, str] = (0, "")


def _count_values(export: Export, files: Callable[[], list[LabelFile]]) -> _Seen:
    seen = _Seen()
    for file in files():
        if not file.labels:
            continue
        try:
            picture = decode(export.source.read(file.labels), file.labels)
            pixels = plain_if_grey(channels(picture))
        except (BadAnnotation, UserError):
            continue  # told when it is read as an annotation
        if pixels.ndim == 3:
            for count, color in picture.convert("RGB").getcolors(4096) or []:
                seen.colors[color] += count  # type: ignore[index]
        elif pixels.size and pixels.min() >= 0 and pixels.max() < 2**16:
            found = np.flatnonzero(np.bincount(pixels.ravel())).tolist()
            seen.most = max(seen.most, (len(found), file.labels))
            seen.values.update(found)
            seen.palettes.add(tuple(palette_colors(picture) or ()))
    return seen


MAX_VALUES = 150
"""Label images without a table that hold more are taken for photographs."""


def _values_table(export: Export, files: Callable[[], list[LabelFile]]) -> LabelTable:
    """A table for masks that come without one: of the values that occur.

    Raises:
        UserError: They are coloured, or photographs.
    """
    seen = _count_values(export, files)
    if seen.most[0] > MAX_VALUES:
        raise UserError(
            f"{seen.most[1]} has {seen.most[0]} different values: it looks like a grey photograph, not a label image.",
            "If it is one, list its classes in a classes.yaml; if it was saved as JPEG, export it as PNG.",
        )
    colored = seen.colors
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
    return _named_values(sorted(seen.values), export.class_names, seen.palettes)


def _named_values(values: list[int], names: tuple[str, ...], palettes: set[tuple[Color, ...]]) -> LabelTable:
    of_voc = len(palettes) == 1 and next(iter(palettes))[: len(VOC_COLORS)] == VOC_COLORS
    if set(values) == {0, IGNORE} and not of_voc:
        # A binary mask: were 255 ignored, nothing would be left to learn.
        background, thing = (
            (*names, "background", "object")[:2] if len(names) >= 2 else ("background", (*names, "object")[0])
        )
        return make_table([(0, background, distinct_color(0)), (IGNORE, thing, distinct_color(1))])
    ids = [value for value in values if value != IGNORE]
    if not names and of_voc and max(ids, default=0) < len(VOC_NAMES):
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


def _paired_files(export: Export) -> list[LabelFile]:
    """Masks and their pictures, by the names of files and folders."""
    return pair_masks(export.source.names, export.pictures.names)
