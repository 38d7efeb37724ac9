"""What happens to a picture before the network, and to logits behind it."""

import numpy as np
import pytest
import torch
from torchvision import transforms

from segtune.arrays import NumpyArrays
from segtune.errors import UserError
from segtune.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from segtune.runtimes.eager import TorchArrays


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def restored(preprocessing, logits, height, width):
    rows = preprocessing.restore_rows([logits], height, width, NumpyArrays())
    return np.concatenate([part for _, part in rows], axis=2)


def test_normalization_is_torchvisions_to_the_bit():
    picture = noise(17, 23)
    expected = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)(transforms.ToTensor()(picture))
    assert torch.equal(torch.from_numpy(Preprocessing().prepare(picture)[0]), expected)


@pytest.mark.parametrize(
    ("mean", "std"), [(IMAGENET_MEAN, IMAGENET_STD), ((0.5,) * 3, (0.5,) * 3), ((0.1, 0, 1), (3, 0.7, 1))]
)
def test_prediction_and_training_prepare_alike_to_the_bit(mean, std):
    preprocessing = Preprocessing(mean, std, size_multiple=32)
    picture = noise(70, 90)
    in_training = preprocessing.normalize(torch.from_numpy(picture).permute(2, 0, 1)[None])
    assert np.array_equal(preprocessing.prepare(picture), in_training.numpy())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (31, 33), (64, 96), (500, 20)])
@pytest.mark.parametrize(("longest_side", "enlarge"), [(0, 1), (48, 1), (0, 3)])
def test_prepare_and_restore_keep_the_pictures_size(height, width, longest_side, enlarge):
    preprocessing = Preprocessing(size_multiple=32, longest_side=longest_side, enlarge=enlarge)
    images = preprocessing.prepare(noise(height, width))
    assert images.shape[2] % 32 == images.shape[3] % 32 == 0
    assert restored(preprocessing, images, height, width).shape == (1, 3, height, width)


def test_padding_is_cut_away_again():
    preprocessing = Preprocessing(size_multiple=32)
    picture = noise(20, 40)
    images = preprocessing.prepare(picture)
    assert np.array_equal(restored(preprocessing, images, 20, 40), Preprocessing().prepare(picture))
    assert not images[:, :, 20:].any()


def test_labels_shrink_with_their_picture_and_keep_their_values():
    preprocessing = Preprocessing(longest_side=50)
    labels = np.repeat(np.array([[3, 255]], np.uint8), 50, axis=1).repeat(30, axis=0)
    small = preprocessing.resized_labels(labels)
    assert small.shape == preprocessing.resized(noise(30, 100)).shape[:2] == (15, 50)
    assert set(np.unique(small)) == {3, 255}


@pytest.mark.parametrize(
    "change",
    [
        {"std": (0, 1, 1)},
        {"size_multiple": 0},
        {"mean": (1, 2)},
        {"longest_side": "x"},
        {"std": None},
        {"std": (float("nan"), 1, 1)},
        {"longest_side": float("inf")},
        {"enlarge": 0},
        {"enlarge": 9},
        {"enlarge": 2, "longest_side": 512},
    ],
)
def test_impossible_values_are_refused(change):
    with pytest.raises(UserError, match="preprocessing"):
        Preprocessing.from_dict({**Preprocessing().to_dict(), **change}, "file")


@pytest.mark.parametrize("sizes", [(32, 1024, 1), (32, 0, 3)])
def test_values_read_back(sizes):
    preprocessing = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), *sizes)
    assert Preprocessing.from_dict(preprocessing.to_dict(), "file") == preprocessing


def test_files_that_say_nothing_of_it_enlarge_nothing():
    values = Preprocessing().to_dict()
    del values["enlarge"]
    assert Preprocessing.from_dict(values, "file") == Preprocessing()


def test_enlarged_labels_lie_under_their_picture():
    preprocessing = Preprocessing(enlarge=3)
    labels = np.array([[3, 255]], np.uint8)
    assert np.array_equal(preprocessing.resized_labels(labels), np.repeat(np.repeat(labels, 3, axis=1), 3, axis=0))
    assert preprocessing.resized(noise(30, 40)).shape == (90, 120, 3)


@pytest.mark.parametrize(("height", "width"), [(50, 40), (333, 200), (1, 400), (400, 1)])
@pytest.mark.parametrize("band", [1, 7, 1000])
@pytest.mark.parametrize("arrays", [NumpyArrays(), TorchArrays(torch.device("cpu"))], ids=["numpy", "torch"])
@pytest.mark.parametrize("preprocessing", [Preprocessing(longest_side=100), Preprocessing(enlarge=3)])
def test_restoring_by_bands_is_bilinear(monkeypatch, height, width, band, arrays, preprocessing):
    monkeypatch.setattr("segtune.preprocessing.MAX_RESTORED_VALUES", 5 * 3 * width)
    logits = torch.rand(1, 3, *preprocessing.working_size(height, width))
    expected = torch.nn.functional.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
    bands = [arrays.array(part.numpy()) for part in logits.split(band, dim=2)]
    parts = list(preprocessing.restore_rows(bands, height, width, arrays))
    assert [row for rows, _ in parts for row in range(rows.start, rows.stop)] == list(range(height))
    joined = np.concatenate([np.asarray(part) for _, part in parts], axis=2)
    np.testing.assert_allclose(joined, expected.numpy(), atol=1e-5)
