"""Tiles cover a picture once in sum, and give what the whole picture gives where a network looks at single pixels."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from segtune.arrays import NumpyArrays
from segtune.errors import UserError
from segtune.prediction.predictor import PredictOptions
from segtune.prediction.sliding_window import ALIGNMENT, Enlarged, sliding_window, tile_starts, tile_weights
from segtune.preprocessing import Preprocessing
from segtune.runtimes.eager import TorchArrays


@pytest.mark.parametrize("length", [1, 63, 64, 65, 96, 200, 1000, 1023])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 0), (64, 32), (128, 32), (128, 64), (128, 96)])
def test_tiles_cover_a_side_and_overlap_as_asked(length, tile, overlap):
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert all(start % ALIGNMENT == 0 for start in starts)
    assert starts[-1] < length <= starts[-1] + tile
    assert all(ALIGNMENT <= b - a <= tile - overlap for a, b in pairwise(starts))
    total = np.zeros(length, np.float32)
    for start, weight in zip(starts, tile_weights(length, starts, tile, overlap), strict=True):
        assert (weight > 0).all()
        total[start : start + len(weight)] += weight
    np.testing.assert_allclose(total, 1, rtol=1e-5)


@pytest.mark.parametrize("arrays", [NumpyArrays(), TorchArrays(torch.device("cpu"))], ids=["numpy", "torch"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (10, 300), (300, 10), (64, 64), (150, 230), (257, 129)])
def test_logits_of_single_pixels_are_those_of_the_whole(height, width, arrays):
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    whole = picture.transpose(2, 0, 1)[None].astype(np.float32)

    def logits_of(pixels):
        return arrays.array(pixels.transpose(2, 0, 1)[None].astype(np.float32))

    bands = [np.array(band) for band in sliding_window(logits_of, picture, 96, 32, arrays)]
    np.testing.assert_allclose(np.concatenate(bands, axis=2), whole, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "place", [(0, 9, 0, 13), (0, 3, 0, 4), (5, 9, 7, 13), (2, 6, 3, 11), (4, 5, 6, 7), (8, 99, 1, 99)]
)
def test_a_part_of_an_enlarged_picture_is_that_of_the_whole(factor, place):
    picture = np.random.default_rng(0).integers(0, 255, (9, 13, 3)).astype(np.uint8)
    whole = Preprocessing(enlarge=factor).resized(picture)
    top, bottom, left, right = (factor * side + shift for side, shift in zip(place, (0, 1, 0, -1), strict=True))
    enlarged = Enlarged(picture, factor)
    assert enlarged.shape == whole.shape
    assert np.array_equal(enlarged[top:bottom, left:right], whole[top:bottom, left:right])


@pytest.mark.parametrize("options", [{"tile": -1}, {"tile": 5}, {"overlap": -3}])
def test_impossible_tiles_are_refused(options):
    with pytest.raises(UserError, match=r"too small|no overlap"):
        PredictOptions(**options)
