"""The sheet of augmented samples: what the network is shown, for a person to look at before hours are spent on it."""

import math

import cv2
import numpy as np

from segtune.arrays import Array
from segtune.classes import IGNORE, ClassTable
from segtune.data.augment import as_bytes
from segtune.data.loader import AugmentedPictures
from segtune.data.sample import Sample
from segtune.prediction.draw import overlay

TILE, MARGIN, COLUMNS = 224, 4, 6
STRIPES = 8
"""Width in pixels of the stripes over what is ignored."""


def augmented_sheet(pictures: AugmentedPictures, table: ClassTable, count: int = 24) -> Array:
    """Samples with their labels laid over them, in rows of six; ignored pixels, padding above all, are striped.

    Args:
        pictures: What the training sees; the first epoch's samples are drawn, then those of the next ones.
        table: Gives the colours.
        count: How many samples, at least 1.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        UserError: A picture can't be read.
    """
    num_pictures = len(pictures)
    stride = max(1, num_pictures // count)
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    step = TILE + MARGIN
    sheet = np.full((rows * step + MARGIN, columns * step + MARGIN, 3), 255, np.uint8)
    for number in range(count):
        epochs, index = divmod(number * stride, num_pictures)
        top, left = (place * step + MARGIN for place in divmod(number, columns))
        sheet[top : top + TILE, left : left + TILE] = _tile(pictures[1 + epochs, index], table)
    return sheet


def _tile(sample: Sample, table: ClassTable) -> Array:
    drawn = overlay(sample.image, sample.labels, table)
    rows, columns = np.indices(sample.labels.shape)
    striped = (sample.labels == IGNORE) & ((rows + columns) // STRIPES % 2 == 0)
    drawn[striped] = 255
    shrink = cv2.INTER_AREA if len(drawn) > TILE else cv2.INTER_LINEAR
    return as_bytes(cv2.resize(drawn, (TILE, TILE), interpolation=shrink))
