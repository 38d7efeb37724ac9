"""What the API answers, and that it is what ``predict`` says."""

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from segtune.pictures import read_picture
from segtune.runtimes.backend import Interface


def png(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_labels_are_what_predict_says(client, predictor, picture_file, kind):
    content = picture_file(kind=kind)
    answer = client.post("/v1/predict?format=labels", files={"image": ("x", content)})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    expected = predictor.predict(read_picture(content)).class_ids
    assert len(np.unique(expected)) > 1
    assert np.array_equal(png(answer.content), expected)


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream"])
def test_raw_bytes_give_the_same_as_a_form(client, picture_file, content_type):
    content = picture_file()
    raw = client.post("/v1/predict", content=content, headers={"Content-Type": content_type}).json()
    form = client.post("/v1/predict", files={"image": ("x.png", content)}).json()
    assert raw["classes"] == form["classes"]
    assert raw["polygons"] == form["polygons"]


def test_json_has_what_was_asked_for(client, predictor, picture_file):
    content = picture_file()
    include = "class_ids,confidence,labels,picture,polygons"
    answer = client.post(f"/v1/predict?include={include}", files={"image": ("x", content)}).json()
    prediction = predictor.predict(read_picture(content))
    assert (answer["height"], answer["width"]) == (72, 96)
    ids = np.frombuffer(zlib.decompress(base64.b64decode(answer["class_ids"])), np.uint8).reshape(72, 96)
    assert np.array_equal(ids, prediction.class_ids)
    assert np.array_equal(png(base64.b64decode(answer["labels"])), prediction.class_ids)
    sure = np.frombuffer(zlib.decompress(base64.b64decode(answer["confidence"])), np.uint8).reshape(72, 96)
    assert np.abs(sure / 255 - prediction.confidence).max() < 0.01
    assert png(base64.b64decode(answer["picture"])).shape == (72, 96, 3)
    assert [entry["name"] for entry in answer["classes"]] == ["floor", "wall", "box"]
    assert sum(entry["pixels"] for entry in answer["classes"]) == 72 * 96
    assert answer["polygons"]["type"] == "FeatureCollection"


def test_models_without_a_confidence_tell_none(client_of, network, picture_file):
    network.interface = Interface(output="class_ids")
    network.answer = lambda logits: logits.argmax(dim=1)
    answer = client_of().post("/v1/predict?include=class_ids,confidence", files={"image": ("x", picture_file())}).json()
    assert {entry["mean_confidence"] for entry in answer["classes"]} == {None}
    assert "class_ids" in answer
    assert "confidence" not in answer


def test_what_was_not_asked_for_is_left_out(client, picture_file):
    answer = client.post("/v1/predict?include=", files={"image": ("x", picture_file())}).json()
    assert set(answer) == {"width", "height", "seconds", "classes"}


def test_overlay_lies_over_the_picture(client, picture_file):
    content = picture_file()
    answer = client.post("/v1/predict?format=overlay", files={"image": ("x", content)})
    assert png(answer.content).shape == (72, 96, 3)
    assert not np.array_equal(png(answer.content), read_picture(content))


def test_turned_pictures_come_as_viewers_show_them(client, picture_file):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    content = picture_file(kind="JPEG", exif=exif)
    answer = client.post("/v1/predict", files={"image": ("x", content)}).json()
    assert (answer["height"], answer["width"]) == (96, 72)


def test_model_says_what_it_knows_and_takes(client):
    model = client.get("/v1/model").json()
    assert model["architecture"] == "deeplabv3plus:efficientnet_lite0"
    assert [entry["name"] for entry in model["classes"]] == ["floor", "wall", "box"]
    assert model["max_bytes"] == 20_000_000
    assert 0 < model["scores"]["mean_iou"] <= 1


def test_operations(client, picture_file):
    assert client.get("/healthz").text == "ok"
    client.post("/v1/predict", files={"image": ("x", picture_file())})
    client.post("/v1/predict")
    assert client.get("/readyz").text == "ready"
    metrics = client.get("/metrics").text
    assert 'segtune_requests_total{status="200"} 1.0' in metrics
    assert 'segtune_requests_total{status="415"} 1.0' in metrics
    assert "segtune_waiting 0.0" in metrics


def test_openapi_has_examples_and_problems(client):
    api = client.get("/openapi.json").json()
    predict = api["paths"]["/v1/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {"multipart/form-data", "image/*", "application/octet-stream"}
    assert {"200", "400", "401", "408", "413", "415", "422", "503", "504"} <= set(predict["responses"])
    assert api["components"]["schemas"]["PredictionContent"]["properties"]["width"]["examples"] == [480]
