"""numpy's and torch's operations give the same."""

import numpy as np
import pytest
import torch

from segtune.arrays import NumpyArrays
from segtune.runtimes.eager import TorchArrays

NUMPY, TORCH = NumpyArrays(), TorchArrays(torch.device("cpu"))


def noise(*shape):
    return np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)


@pytest.mark.parametrize("size", [(20, 30), (40, 60), (20, 61), (15, 22), (10, 15), (1, 1), (26, 38), (7, 90)])
@pytest.mark.parametrize("own", [(20, 30), (1, 1), (1, 30), (20, 1)])
def test_resizing_is_that_of_torch(own, size):
    values = noise(2, 3, *own)
    expected = TORCH.resized(torch.from_numpy(values), *size).numpy()
    np.testing.assert_allclose(NUMPY.resized(values, *size), expected, atol=1e-4)


@pytest.mark.parametrize(("num_classes", "height", "width"), [(1, 3, 4), (2, 1, 1), (11, 70, 50), (255, 5, 3000)])
def test_best_class_and_its_probability_are_those_of_torch(num_classes, height, width):
    logits = noise(num_classes, height, width)
    class_ids, confidence = NUMPY.best(logits)
    expected_ids, expected_confidence = TORCH.best(torch.from_numpy(logits))
    assert (class_ids == expected_ids).all()
    np.testing.assert_allclose(confidence, expected_confidence, atol=1e-5)


def test_first_of_equal_classes_wins_in_both():
    logits = np.zeros((4, 2, 2), np.float32)
    assert not NUMPY.best(logits)[0].any()
    assert not TORCH.best(torch.from_numpy(logits))[0].any()


@pytest.mark.parametrize("name", ["softmax", "log", "mirrored"])
def test_other_operations_are_those_of_torch(name):
    values = np.abs(noise(2, 3, 4, 5)) + 0.1
    expected = getattr(TORCH, name)(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(getattr(NUMPY, name)(values), expected, atol=1e-6)
