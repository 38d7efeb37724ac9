"""Predictions at the picture's own size."""

import numpy as np
import pytest
import torch
from PIL import Image

import segtune
from segtune.arrays import NumpyArrays
from segtune.classes import numbered_classes
from segtune.description import Description
from segtune.errors import UserError
from segtune.model_file import Model
from segtune.models.catalog import build_model, model_preprocessing
from segtune.prediction.predictor import PredictOptions, Predictor
from segtune.prediction.test_time_augmentation import augmented
from segtune.preprocessing import Preprocessing
from segtune.runtimes.backend import Interface, Workers
from segtune.runtimes.eager import Eager, choose_device

MODEL = "deeplabv3plus:efficientnet_lite0"


@pytest.fixture(scope="module")
def predictor():
    net = build_model(MODEL, 4)
    model = Model(net, MODEL, numbered_classes(4), model_preprocessing(MODEL, 100))
    return Predictor(model.description, Eager(net, torch.device("cpu")))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 300), (33, 47), (64, 64), (150, 230)])
def test_every_size_is_predicted_at_its_own(predictor, height, width):
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    prediction = predictor.predict(picture)
    assert prediction.class_ids.shape == prediction.confidence.shape == (height, width)
    assert (prediction.class_ids.dtype, prediction.confidence.dtype) == (np.uint8, np.float32)
    assert prediction.class_ids.max() < 4
    assert 0.25 <= prediction.confidence.min() <= prediction.confidence.max() <= 1
    assert prediction.colors.shape == (height, width, 3)


def test_file_and_array_are_the_same_to_it(predictor, tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "x.png")
    from_file = predictor.predict(str(tmp_path / "x.png"))
    assert (from_file.confidence == predictor.predict(picture).confidence).all()


def test_public_load_predicts(trained_run):
    picture = next((trained_run.parent / "dataset" / "val" / "Images").iterdir())
    prediction = segtune.load(trained_run / "model.safetensors").predict(picture)
    assert prediction.class_ids.shape == (72, 96)
    assert prediction.classes.names == ("floor", "wall", "box")


def test_openvino_has_no_cuda(tmp_path):
    (tmp_path / "m.xml").touch()
    with pytest.raises(UserError, match="OpenVINO has no CUDA"):
        segtune.load(tmp_path / "m.xml", "cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_cuda_is_told():
    with pytest.raises(UserError, match="no CUDA device"):
        choose_device("cuda")


@pytest.mark.parametrize("tta", ["none", "flip", "flip+scale"])
@pytest.mark.parametrize("tile", ["auto", 0, 64])
def test_tiles_and_augmentation_keep_size_and_range(predictor, tile, tta):
    picture = np.random.default_rng(0).integers(0, 255, (70, 130, 3)).astype(np.uint8)
    prediction = Predictor(predictor.model, predictor.backend, PredictOptions(tile, tta=tta)).predict(picture)
    assert prediction.class_ids.shape == prediction.confidence.shape == (70, 130)
    assert 0.25 <= prediction.confidence.min() <= prediction.confidence.max() <= 1


class Noting(NumpyArrays):
    """A network that notes the sizes that it is shown, and answers each time with other logits."""

    interface = Interface()
    workers = Workers()

    def __init__(self):
        self.sizes: list[tuple[int, int]] = []

    def run(self, images):
        self.sizes.append(images.shape[2:])
        logits = np.zeros((1, 3, *images.shape[2:]), np.float32)
        logits[:, len(self.sizes) % 3] = len(self.sizes)
        return logits


@pytest.mark.parametrize(
    ("picture", "sizes", "crop", "options", "expected"),
    [
        ((2048, 2048), {}, 224, {}, (2048, 2048)),
        ((2080, 2048), {}, 224, {}, (1280, 1280)),
        ((2080, 2048), {}, 512, {}, (2048, 2048)),
        ((2080, 2048), {}, 224, {"tile": 0}, (2080, 2048)),
        ((200, 100), {"longest_side": 100}, 224, {}, (128, 64)),
        ((200, 100), {"longest_side": 100}, 224, {"tile": 0}, (128, 64)),
        ((200, 100), {"longest_side": 100}, 224, {"tile": 128}, (128, 128)),
        ((100, 200), {"enlarge": 2}, 224, {}, (224, 416)),
        ((100, 200), {"enlarge": 2}, 224, {"tile": 128}, (128, 128)),
        ((700, 700), {"enlarge": 3}, 224, {}, (1280, 1280)),
    ],
)
def test_large_pictures_are_shrunk_or_cut(picture, sizes, crop, options, expected):
    """docs/prediction.md: cut above 2048 x 2048 into tiles of four crops, at least 1280; --tile does not shrink."""
    backend, rule = Noting(), Preprocessing(size_multiple=32, **sizes)
    model = Description("noting", numbered_classes(3), rule, training={"crop": crop})
    Predictor(model, backend, PredictOptions(**options)).predict(np.zeros((*picture, 3), np.uint8))
    largest = max(backend.sizes, key=lambda size: size[0] * size[1])
    assert tuple(largest) == expected


@pytest.mark.parametrize(
    ("kind", "sides"), [("none", [128]), ("flip", [128] * 2), ("flip+scale", [96, 96, 128, 128, 160, 160])]
)
def test_augmentation_is_the_mean_of_the_probabilities(kind, sides):
    backend = Noting()
    answer = augmented(backend.run, kind, 32, NumpyArrays())(np.zeros((1, 3, 128, 128), np.float32))
    assert [size[0] for size in backend.sizes] == sides
    seen = np.zeros((len(sides), 3, 1, 1), np.float32)
    for number in range(1, len(sides) + 1):
        seen[number - 1, number % 3] = number
    mean = NumpyArrays().softmax(seen).mean(axis=0)
    np.testing.assert_allclose(NumpyArrays().softmax(answer)[0, :, :1, :1], mean, rtol=1e-5)


def test_flip_makes_the_mirrored_picture_the_mirrored_prediction(predictor):
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    flip = Predictor(predictor.model, predictor.backend, PredictOptions(tta="flip"))
    mirrored = flip.predict(np.ascontiguousarray(picture[:, ::-1])).confidence[:, ::-1]
    np.testing.assert_allclose(flip.predict(picture).confidence, mirrored, atol=1e-5)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda images: images[:, :, ::4, ::4], "an array of 1 x 3 x 16 x 24"),
        (lambda images: images[0], "an array of 3 x 64 x 96"),
        (lambda images: images.new_zeros(5), "an array of 5"),
        (lambda images: images[:, :2], "knows 2 classes; the file names 3"),
    ],
)
def test_what_a_network_may_not_answer_is_told(answer, told):
    """A file may describe itself rightly, and hold another network."""
    backend = Eager(answer, torch.device("cpu"))
    odd = Predictor(Description("odd", numbered_classes(3), Preprocessing(size_multiple=32)), backend)
    with pytest.raises(UserError, match=told):
        odd.predict(np.zeros((64, 96, 3), np.uint8))


def test_overlap_must_leave_something_of_the_tile(predictor):
    with pytest.raises(UserError, match="leaves nothing"):
        Predictor(predictor.model, predictor.backend, PredictOptions(64, 64))
