"""Label images by class values or colours -> Annotations; the other readers of label images build on this.

CVAT's "Segmentation mask 1.1", which is PASCAL VOC's layout, and plain folders of pictures and masks, as Roboflow and
many scripts write them. Sources: CVAT's and datumaro's exporters.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import AnnotatedImage, Annotations
from segtune.annotations.class_files import has_class_file, read_class_file
from segtune.annotations.export import Export
from segtune.annotations.image_builder import BadAnnotation, ImageBuilder, subset_named, subset_of
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
from segtune.annotations.picture_index import could_be_any_of
from segtune.annotations.source import ExportSource
from segtune.classes import IGNORE, Color, distinct_color
from segtune.errors import UserError, listed

VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

Decoder = Callable[[bytes, str], npt.NDArray[np.integer]]


def label_annotations(
    export: Export, files: Callable[[], Iterable[LabelFile]], table: LabelTable, pixels: Decoder | None = None
) -> Annotations:
    """Annotations of label images that share a table."""
    return Annotations(
        partial(label_images, export, files, table, pixels or _plain_channels), table.declared, complete=True
    )


def label_images(
    export: Export, files: Callable[[], Iterable[LabelFile]], table: LabelTable, pixels: Decoder
) -> Iterator[AnnotatedImage]:
    """The pictures of label images that share a table."""
    listed_files = list(files())
    masks = {file.labels for file in listed_files}
    for file in listed_files:
        image = ImageBuilder(file.name, picture=file.picture, subset=file.subset, file=file.labels)
        if file.candidates:
            image.problem(could_be_any_of(file.candidates))
        elif not file.picture and export.pictures.find(file.name, file.subset, file.labels) in masks:
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
        beside = [f"{found[1]}/JPEGImages/{stem}{suffix}".lstrip("/") for suffix in (".jpg", ".jpeg", ".png", ".bmp")]
        there = [path for path in beside if path in pictures]
        picture, candidates = (there[0], ()) if len(there) == 1 else ("", tuple(there))
        subset = subsets.pop(stem, "") or subset_of(found[1] + "/")
        files.append(LabelFile(stem, name, picture, subset, candidates))
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


def palette_or_plain(content: bytes, name: str, table: LabelTable) -> npt.NDArray[np.integer]:
    """The pixels of a label image; the colours of a palette picture where the table has them all."""
    picture = decode(content, name)
    values, colors = channels(picture), palette_colors(picture)
    if colors is None or not table.colors or table.by_value:
        return values
    value_of = {name: value for value, name in table.names.items()}
    value_of_color = {color: value_of[name] for color, name in table.colors.items() if name in value_of}
    used = np.flatnonzero(np.bincount(values.ravel()))
    used = used[used != IGNORE]  # which is no class, whatever its colour
    if any(index >= len(colors) or colors[index] not in value_of_color for index in used):
        return values
    lookup = np.full(256, IGNORE, np.int64)
    lookup[used] = [value_of_color[colors[index]] for index in used]
    return np.asarray(lookup[values])


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


# Plain folders.


def is_mask_folder(source: ExportSource) -> bool:
    """Whether pictures and masks of the same names lie in folders beside each other, or with endings as '_mask'."""
    files = pair_masks(source.names)
    return any(file.picture or file.candidates for file in files) or (bool(files) and has_class_file(source))


def read_mask_folder(export: Export) -> Annotations:
    """Read plain folders of pictures and masks.

    Raises:
        UserError: The masks are coloured, and nothing says which class has which colour.
    """
    return _with_table_or_values(export, partial(paired_files, export))


def _with_table_or_values(export: Export, files: Callable[[], list[LabelFile]]) -> Annotations:
    """Annotations of label images, by the export's table, or by the values that occur."""
    table = read_class_file(export.source)
    if table is None:
        return label_annotations(export, files, _values_table(export, files))
    if set(table.names) == {0, 1, IGNORE} and look_through(export, files).values == {0, IGNORE}:
        # A binary mask: were 255 ignored, nothing would be left to learn.
        table = replace(table, names={0: table.names[0], IGNORE: table.names[1]})
    return label_annotations(export, files, table, partial(palette_or_plain, table=table))


@dataclass
class Seen:
    """What label images hold: values, colours with their counts, and palettes.

    The empty palette stands for grey pictures;
    ``most`` is how many values one holds, and which; ``lossy`` one that is a JPEG, and holds more than two.
    """

    values: set[int] = field(default_factory=set)
    colors: Counter[Color] = field(default_factory=Counter)
    palettes: set[tuple[Color, ...]] = field(default_factory=set)
    most: tuple[int, str] = (0, "")
    lossy: str = ""


def look_through(export: Export, files: Callable[[], list[LabelFile]]) -> Seen:
    """Look at all label images; those that can't be read are left out."""
    seen = Seen()
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
            if picture.format == "JPEG" and len(found) > 2:
                seen.lossy = file.labels
            seen.values.update(found)
            seen.palettes.add(tuple(palette_colors(picture) or ()))
    return seen


MAX_VALUES = 150
"""Label images without a table that hold more are taken for photographs."""


def _values_table(export: Export, files: Callable[[], list[LabelFile]]) -> LabelTable:
    """A table for masks that come without one: of the values that occur.

    Raises:
        UserError: They are coloured, photographs, or JPEGs.
    """
    seen = look_through(export, files)
    if seen.most[0] > MAX_VALUES:
        raise UserError(
            f"{seen.most[1]} has {seen.most[0]} different values: it looks like a grey photograph, not a label image.",
            "If it is one, list its classes in a classes.yaml; if it was saved as JPEG, export it as PNG.",
        )
    if seen.lossy:
        raise UserError(
            f"{seen.lossy} is a JPEG, which changes values: each of its grey levels would become a class.",
            "Export the masks as PNG. If they are black and white: save them as PNG with a threshold at 128.",
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


def paired_files(export: Export) -> list[LabelFile]:
    """Masks and their pictures, by the names of files and folders."""
    return pair_masks(export.source.names, export.pictures.names)
