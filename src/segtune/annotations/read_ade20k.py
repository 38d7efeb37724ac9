"""ADE20K's label images -> Annotations: the full set, and the scene parsing challenge's."""

import re
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from segtune.annotations.annotated_image import AnnotatedImage, Annotations
from segtune.annotations.export import Export
from segtune.annotations.image_builder import BadAnnotation, ImageBuilder, subset_of, whole_number
from segtune.annotations.label_image import add_regions, channels, decode, make_table
from segtune.annotations.read_label_images import label_annotations, look_through, paired_files
from segtune.annotations.source import ExportSource
from segtune.classes import IGNORE


def is_ade20k(source: ExportSource) -> bool:
    """Whether the export is ADE20K: the full set's ``*_seg.png``, or the scene parsing challenge's ``ADE_*.png``."""
    names = set(source.names)
    # The folders' names alone may be those of a set with classes of its own.
    return any(
        re.search(r"(^|/)annotations/.*ADE_\w+\.png$", name)
        or (name.endswith("_seg.png") and {f"{name[:-8]}_atr.txt", f"{name[:-8]}.json"} & names)
        for name in source.with_suffix(".png")
    )


def read_ade20k(export: Export) -> Annotations:
    """Read it; 0 is not labelled there, and never counts."""
    if any(name.endswith("_seg.png") for name in export.source.names):
        return Annotations(partial(_ade_full_images, export), complete=True)
    files = partial(paired_files, export)
    names = _object_names(export)
    names = names or {value: f"class_{value}" for value in sorted(look_through(export, files).values - {0, IGNORE})}
    return label_annotations(
        export, files, make_table([(0, None, None), *((value, name, None) for value, name in names.items())])
    )


def _object_names(export: Export) -> dict[int, str]:
    """The names in objectInfo150.txt, where that is there: number, shares, counts and names by tabs."""
    for name in export.source.with_suffix("objectinfo150.txt"):
        rows = [line.split("\t") for line in export.source.text(name).splitlines()]
        return {int(row[0]): row[-1].split(",")[0].strip() for row in rows if row[0].strip().isdecimal()}
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
