"""Predictions at the picture's own size."""

import numpy as np
import pytest
import torch
from PIL import Image

import segtune
from segtune.classes import numbered_classes
from segtune.errors import UserError
from segtune.model_file import Model
from segtune.models.catalog import build_model, model_preprocessing
from segtune.prediction.predictor import PredictOptions, Predictor
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


def test_flip_makes_the_mirrored_picture_the_mirrored_prediction(predictor):
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    flip = Predictor(predictor.model, predictor.backend, PredictOptions(tta="flip"))
    mirrored = flip.predict(np.ascontiguousarray(picture[:, ::-1])).confidence[:, ::-1]
    np.testing.assert_allclose(flip.predict(picture).confidence, mirrored, atol=1e-5)


def test_overlap_must_leave_something_of_the_tile(predictor):
    with pytest.raises(UserError, match="leaves nothing"):
        Predictor(predictor.model, predictor.backend, PredictOptions(64, 64))
