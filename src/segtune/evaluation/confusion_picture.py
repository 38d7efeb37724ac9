"""The confusion matrix as a picture: for each labelled class, as what its pixels were predicted."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from segtune.evaluation.scores import Scores

CELL, MARGIN, TEXT_SIZE, TITLE_SIZE = 44, 10, 13, 16
MOST_CLASSES_WITH_NUMBERS = 40
TITLE = "Rows: labels. Columns: predictions. Percent of the row."
INK, PAPER, FULL = (30, 30, 30), (255, 255, 255), (23, 78, 166)


def confusion_picture(scores: Scores) -> npt.NDArray[np.uint8]:
    """Rows are labels, columns predictions, numbers percent of the row; uint8 (H, W, 3) RGB."""
    text, title = ImageFont.load_default(TEXT_SIZE), ImageFont.load_default(TITLE_SIZE)
    names = [_shortened(name) for name in scores.classes.names]
    longest = int(max(text.getlength(name) for name in names)) + MARGIN
    count = len(names)
    cell = CELL if count <= MOST_CLASSES_WITH_NUMBERS else CELL // 2
    left, top = longest + 2 * MARGIN + TITLE_SIZE, longest + 3 * MARGIN + 2 * TITLE_SIZE
    width = max(left + count * cell + MARGIN, round(title.getlength(TITLE)) + 2 * MARGIN)
    canvas = Image.new("RGB", (width, top + count * cell + MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), TITLE, INK, title)
    labelled = scores.confusion.sum(axis=1, keepdims=True)
    shares = scores.confusion / np.maximum(labelled, 1)
    for row, name in enumerate(names):
        y = top + row * cell
        draw.text((left - MARGIN, y + cell / 2), name, INK, text, anchor="rm")
        _write_upwards(canvas, (left + row * cell + cell // 2, top - MARGIN), name, text)
        for column in range(count):
            x = left + column * cell
            share = float(shares[row, column])
            color = tuple(round(paper + share * (full - paper)) for paper, full in zip(PAPER, FULL, strict=True))
            draw.rectangle((x, y, x + cell - 2, y + cell - 2), color if labelled[row] else (238, 238, 238))
            if share >= 0.005 and count <= MOST_CLASSES_WITH_NUMBERS:
                ink = PAPER if share > 0.5 else INK
                draw.text((x + cell / 2, y + cell / 2), f"{100 * share:.0f}", ink, text, anchor="mm")
    return np.asarray(canvas)


def _shortened(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


def _write_upwards(
    canvas: Image.Image, bottom: tuple[int, int], name: str, text: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    width, height = int(text.getlength(name)) + 2, TEXT_SIZE + 4
    label = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(label).text((0, 0), name, INK, text)
    turned = label.rotate(90, expand=True)
    canvas.paste(turned, (bottom[0] - height // 2, bottom[1] - width))
