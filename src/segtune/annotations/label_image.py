"""Label images of all kinds -> shapes: palette, grey and colour pictures, read through a table of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from segtune.annotations.annotated_image import DeclaredClass, Region
from segtune.annotations.image_builder import BadAnnotation, ImageBuilder
from segtune.classes import Color
from segtune.errors import listed
from segtune.pictures import DECODE_ERRORS, grey_step, open_picture

MAX_CLASSES_IN_PICTURE = 254
"""As many values as a picture's classes may have."""

CLOSE = 24
"""A colour no further than this, in each channel, from a known one is probably it, changed by JPEG or by resizing."""


@dataclass(frozen=True)
class LabelTable:
    """What the values or colours of label images mean.

    Attributes:
        names: The class of each value; None for pixels that never count.
        colors: The class of each colour, likewise.
        declared: The classes in their order.
        by_value: Whether the indices of palette pictures count, whatever their colours.
    """

    names: Mapping[int, str | None] = field(default_factory=dict)
    colors: Mapping[Color, str | None] = field(default_factory=dict)
    declared: Sequence[DeclaredClass] = ()
    by_value: bool = False


def make_table(entries: Sequence[tuple[int | None, str | None, Color | None]]) -> LabelTable:
    """A table of (value, name, colour); None where there is none. The name None is for pixels that never count."""
    return LabelTable(
        {value: name for value, name, _ in entries if value is not None},
        {color: name for _, name, color in entries if color is not None},
        list({name: DeclaredClass(name, color) for _, name, color in entries if name is not None}.values()),
    )


def decode(content: bytes, name: str) -> Image.Image:
    """A label image, decoded to its end, its values as the file has them.

    Raises:
        UserError: It is no picture.
        BadAnnotation: It is broken.
    """
    picture = open_picture(content, name)
    step = grey_step(picture)
    try:
        picture.load()
    except DECODE_ERRORS as error:
        raise BadAnnotation(f"{name} can't be decoded ({error})") from error
    return picture.point(lambda value: value // step) if step > 1 else picture


def channels(picture: Image.Image) -> npt.NDArray[np.integer]:
    """What ``decode`` gave, the values of one channel (palette: the indices), int (H, W), or RGB, uint8 (H, W, 3).

    Raises:
        BadAnnotation: It has a mode that label images don't have.
    """
    if picture.mode in {"L", "P", "1"}:
        return np.asarray(picture).astype(np.uint8)
    if picture.mode not in {"RGB", "RGBA", "RGBX", "LA", "PA"} and not picture.mode.startswith("I"):
        raise BadAnnotation(f"it has the mode {picture.mode}, which no label image has")
    if picture.mode.startswith("I"):
        return np.asarray(picture).astype(np.int64)
    colors = np.asarray(picture.convert("RGB"))
    if (colors[..., 0] == colors[..., 1]).all() and (colors[..., 0] == colors[..., 2]).all() and picture.mode == "LA":
        return colors[..., 0]
    return colors


def palette_colors(picture: Image.Image) -> list[Color] | None:
    """The colours of a palette picture by index; None for other pictures."""
    if picture.mode != "P":
        return None
    flat = (picture.getpalette("RGB") or [])[:768]
    return [(flat[place], flat[place + 1], flat[place + 2]) for place in range(0, len(flat) - 2, 3)]


def add_regions(image: ImageBuilder, pixels: npt.NDArray[np.integer], table: LabelTable) -> None:
    """Add a shape for each class that a label image has.

    Args:
        image: The picture; its size becomes the label image's.
        pixels: As from ``channels``.
        table: What they mean.

    Raises:
        BadAnnotation: It has values or colours that the table does not.
    """
    image.size = pixels.shape[0], pixels.shape[1]
    if pixels.ndim == 3 and _holds_values(table, plain_if_grey(pixels)):
        pixels = plain_if_grey(pixels)
    if pixels.ndim == 2:
        found = [int(value) for value in np.flatnonzero(_counts(pixels))]
        unknown = [value for value in found if value not in table.names]
        if unknown:
            raise BadAnnotation(_unknown_values(pixels, unknown, table))
        kinds = {value: table.names[value] for value in found}
        codes = pixels
    else:
        codes, colors = _color_codes(pixels, table)
        kinds = {index: table.colors[colors[index]] for index in np.flatnonzero(np.bincount(codes.ravel())).tolist()}
    # One number a class: label images may use several for one, and numbers beyond a byte.
    labels = list(dict.fromkeys(kinds.values()))
    if len(labels) > MAX_CLASSES_IN_PICTURE:
        raise BadAnnotation(f"it has {len(labels)} classes; at most {MAX_CLASSES_IN_PICTURE} can be held")
    lookup = np.zeros(max(kinds, default=0) + 1, np.uint8)
    for value, label in kinds.items():
        lookup[value] = labels.index(label)
    numbers = lookup[codes]
    for number, label in enumerate(labels):
        image.add(label, Region(numbers, number), "mask")


def plain_if_grey(pixels: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """The values of a picture whose channels are all the same, as many tools save masks; any other picture as it is."""
    same = pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all())
    return pixels[..., 0] if same else pixels


def _holds_values(table: LabelTable, grey: npt.NDArray[np.integer]) -> bool:
    """Whether the greys of a picture are a table's values, and not its colours."""
    if grey.ndim == 3:
        return False
    found = np.flatnonzero(_counts(grey)).tolist()
    return not table.colors or (
        all(value in table.names for value in found) and not all((value,) * 3 in table.colors for value in found)
    )


def _counts(values: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """How often each value occurs."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 2**16:
        raise BadAnnotation(f"its values reach from {low} to {high}: they are no class ids")
    return np.bincount(values.ravel())


def _unknown_values(values: npt.NDArray[np.integer], unknown: Sequence[int], table: LabelTable) -> str:
    described = []
    for value in unknown[:5]:
        places = np.argwhere(values == value)
        described.append(f"{value} ({len(places)} pixels, the first at x {places[0][1]}, y {places[0][0]})")
    more = f" and {len(unknown) - 5} more values" if len(unknown) > 5 else ""
    known = listed(sorted(table.names), 30)
    looks = "; these look like grey levels of a JPEG or resized picture, not class ids" if len(unknown) > 16 else ""
    return f"it holds {listed(described)}{more}, but the classes have the values {known}{looks}"


def _color_codes(pixels: npt.NDArray[np.integer], table: LabelTable) -> tuple[npt.NDArray[np.uint16], list[Color]]:
    """The place of each pixel's colour in the table, and the table's colours."""
    if not table.colors:
        raise BadAnnotation("it is a colour picture, and no table says which class has which colour")
    colors = list(table.colors)
    wide = pixels.astype(np.int32)
    codes = _color_lookup(tuple(colors))[wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]]
    unknown = codes == len(colors)
    if unknown.any():
        raise BadAnnotation(_unknown_colors(pixels, unknown, colors))
    return codes, colors


@lru_cache(maxsize=2)
def _color_lookup(colors: tuple[Color, ...]) -> npt.NDArray[np.uint16]:
    """The place of each of the 2**24 colours in a list, its length where it isn't there; faster than a search."""
    lookup = np.full(2**24, len(colors), np.uint16)
    lookup[[red << 16 | green << 8 | blue for red, green, blue in colors]] = np.arange(len(colors))
    return lookup


def _unknown_colors(pixels: npt.NDArray[np.integer], unknown: npt.NDArray[np.bool_], colors: Sequence[Color]) -> str:
    found, first, counts = np.unique(pixels[unknown], axis=0, return_index=True, return_counts=True)
    places = np.argwhere(unknown)
    described = [
        f"{tuple(int(channel) for channel in found[at])} ({counts[at]} pixels, the first at x {places[first[at]][1]},"
        f" y {places[first[at]][0]})"
        for at in np.argsort(-counts)[:4]
    ]
    distance = np.abs(found[:, None].astype(np.int64) - np.array(colors)[None]).max(axis=2).min(axis=1)
    looks = ""
    if len(found) > 8 and (distance <= CLOSE).mean() > 0.5:
        looks = (
            "; most lie close to known colours: the picture was saved as JPEG or resized. Export it as PNG at full size"
        )
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    return f"it holds the colour {listed(described)}{more}, which no class has{looks}"
