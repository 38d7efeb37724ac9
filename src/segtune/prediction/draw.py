"""Pictures of predictions: overlays and panels that a person can look at."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segtune.arrays import Array
from segtune.classes import ClassTable

OVERLAY_STRENGTH = 0.5
MARGIN = 6
TEXT_SIZE = 14
PANEL_WIDTH = 480
INK, PAPER = (30, 30, 30), (255, 255, 255)


def overlay(picture: Array, class_ids: Array, table: ClassTable) -> Array:
    """The classes' colours laid over the picture, with their borders in white.

    Args:
        picture: uint8 (H, W, 3) RGB.
        class_ids: uint8 (H, W); ignored pixels show the picture alone.
        table: Gives the colours.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    mixed = cv2.addWeighted(picture, 1 - OVERLAY_STRENGTH, table.colored(class_ids), OVERLAY_STRENGTH, 0)
    ignored = class_ids >= table.num_classes
    if ignored.any():
        mixed[ignored] = picture[ignored]
    border = np.zeros(class_ids.shape, bool)
    border[1:] |= class_ids[1:] != class_ids[:-1]
    border[:, 1:] |= class_ids[:, 1:] != class_ids[:, :-1]
    mixed[border] = 255
    return mixed.astype(np.uint8, copy=False)


def panel(picture: Array, labels: Array, class_ids: Array, table: ClassTable) -> Array:
    """Picture, labels, prediction and overlay in one panel with a legend, uint8 (H, W, 3) RGB."""
    tiles = [
        ("picture", picture),
        ("labels", table.colored(labels)),
        ("prediction", table.colored(class_ids)),
        ("overlay", overlay(picture, class_ids, table)),
    ]
    height, width = picture.shape[:2]
    tile_height = min(2 * PANEL_WIDTH, max(1, round(height * PANEL_WIDTH / width)))
    text = ImageFont.load_default(TEXT_SIZE)
    line = TEXT_SIZE + MARGIN
    legend = _legend_rows(table, 2 * PANEL_WIDTH + 3 * MARGIN, text)
    size = 2 * PANEL_WIDTH + 3 * MARGIN, 2 * (tile_height + line + MARGIN) + line * len(legend) + MARGIN
    canvas = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(canvas)
    for index, (title, pixels) in enumerate(tiles):
        left = MARGIN + index % 2 * (PANEL_WIDTH + MARGIN)
        top = MARGIN + index // 2 * (tile_height + line + MARGIN)
        draw.text((left, top), title, INK, text)
        # Nearest pixels keep the colours of labels true.
        resample = Image.Resampling.NEAREST if title in {"labels", "prediction"} else Image.Resampling.BILINEAR
        canvas.paste(Image.fromarray(pixels).resize((PANEL_WIDTH, tile_height), resample), (left, top + line))
    for row, names in enumerate(legend):
        left, top = MARGIN, size[1] - line * (len(legend) - row)
        for name in names:
            color = table.colors[table.names.index(name)]
            draw.rectangle((left, top, left + TEXT_SIZE, top + TEXT_SIZE), color, INK)
            draw.text((left + TEXT_SIZE + MARGIN, top), name, INK, text)
            left += _entry_width(name, text)
    return np.asarray(canvas)


def _entry_width(name: str, text: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    return int(text.getlength(name)) + TEXT_SIZE + 3 * MARGIN


def _legend_rows(
    table: ClassTable, width: int, text: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> Sequence[Sequence[str]]:
    """Class names broken into rows that fit ``width`` pixels."""
    rows: list[list[str]] = [[]]
    used = MARGIN
    for name in table.names:
        if rows[-1] and used + _entry_width(name, text) > width:
            rows.append([])
            used = MARGIN
        rows[-1].append(name)
        used += _entry_width(name, text)
    return rows
