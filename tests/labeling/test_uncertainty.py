"""How unsure a model is, on probabilities that are written down."""

import numpy as np
import pytest

from segtune.arrays import NumpyArrays
from segtune.classes import class_table
from segtune.description import Description
from segtune.labeling.uncertainty import GRID, look_at, measure
from segtune.prediction.predictor import Predictor
from segtune.preprocessing import Preprocessing
from segtune.runtimes.backend import Interface, Workers


class Painted(NumpyArrays):
    """A network that answers with what was written down."""

    interface = Interface()
    workers = Workers()

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits.astype(np.float32)[None]

    def run(self, images: np.ndarray) -> np.ndarray:
        return self.logits[:, :, : images.shape[2], : images.shape[3]]


def look(logits: np.ndarray):
    table = class_table([f"c{index}" for index in range(len(logits))])
    predictor = Predictor(Description("painted", table, Preprocessing(size_multiple=1)), Painted(logits))
    return look_at(predictor, np.zeros((*logits.shape[1:], 3), np.uint8))


def two_halves(size: int = 64, sure: float = 20.0) -> np.ndarray:
    logits = np.zeros((3, size, size))
    logits[0, :, : size // 2] = logits[1, :, size // 2 :] = sure
    return logits


def test_scale_is_from_sure_to_clueless():
    assert look(two_halves()).uncertainty.max() < 0.01
    clueless = look(np.zeros((3, 16, 16)))
    assert clueless.entropy == pytest.approx(1, abs=0.01)
    assert clueless.margin == pytest.approx(1, abs=0.01)


def test_thin_borders_do_not_count():
    logits = two_halves()
    logits[:, :, 30:34] = 0
    logits[0, :, 30:32] = logits[1, :, 32:34] = 0.1
    measured = measure(look(logits))
    assert measured.plain_entropy > 0.05
    assert measured.score < 0.01


def test_small_regions_count_for_more_than_their_pixels():
    logits = two_halves()
    logits[:, 4:20, 4:20] = 0
    logits[2, 4:20, 4:20] = 0.3
    measured = measure(look(logits))
    assert measured.entropy > 2 * measured.plain_entropy


def test_what_is_all_border_counts_whole():
    logits = two_halves()
    logits[:, :, 10:12] = 0
    logits[2, :, 10:12] = 0.3
    assert measure(look(logits)).score > 0.05


def test_pooled_features_say_what_is_where():
    left, right = look(two_halves()), look(two_halves()[[1, 0, 2]])
    assert left.pooled.shape == (3 * GRID * GRID,)
    assert np.linalg.norm(left.pooled) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(left.pooled - right.pooled) > 1


def test_one_class_is_never_unsure():
    assert measure(look(np.zeros((1, 8, 8)))).score == 0
