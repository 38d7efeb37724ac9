"""What is refused, how that is said, and what never happens."""

import asyncio
import io
import socket
import tempfile
import threading
import time
import urllib.request
import zlib
from contextlib import ExitStack

import pytest
from PIL import Image

from segtune.errors import UserError
from segtune.models.catalog import model_preprocessing
from segtune.prediction.predictor import PredictOptions, Predictor
from segtune.serving.app import Limits
from segtune.serving.problems import MEDIA_TYPE, Problem
from segtune.serving.uploads import size_of
from segtune.serving.worker import Job, Worker


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 pixels in a few kilobytes: a head that says so, and zeros."""
    side = (30_000).to_bytes(4, "big")
    head = chunk(b"IHDR", side + side + bytes([8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


def gif() -> bytes:
    file = io.BytesIO()
    Image.new("P", (8, 8)).save(file, "GIF")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        pytest.param(lambda _: bomb(), 413, "more than 178,956,970 pixels", id="bomb"),
        pytest.param(lambda make: make(300, 300), 413, "90,000 pixels; at most 50,000", id="too many pixels"),
        pytest.param(lambda make: make() + bytes(200_000), 413, "100,000 bytes", id="too many bytes"),
        pytest.param(lambda _: b"", 422, "0 bytes", id="empty"),
        pytest.param(lambda _: b"no picture", 422, "Expected: JPEG, PNG", id="no picture"),
        pytest.param(lambda _: gif(), 422, "Expected: JPEG, PNG", id="a format that is not read"),
        pytest.param(lambda make: make(kind="JPEG")[:-400], 422, "can't be decoded", id="cut off"),
        pytest.param(lambda make: make(66_000, 1), 413, "a side has at most 65500", id="a long side"),
    ],
)
@pytest.mark.parametrize("how", ["form", "raw"])
def test_bad_pictures_are_told(client_of, picture_file, content, status, told, how):
    client = client_of(Limits(max_bytes=100_000, max_pixels=50_000))
    content = content(picture_file)
    if how == "form":
        answer = client.post("/v1/predict", files={"image": ("secret-name.png", content)})
    else:
        answer = client.post("/v1/predict", content=content, headers={"Content-Type": "image/png"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem = answer.json()
    assert problem["status"] == status
    assert told in problem["detail"]
    assert "/" not in problem["detail"].replace("multipart/form-data", "").replace("image/", "")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({}, 415),
        ({"json": {"image": "x"}}, 415),
        ({"data": {"other": "x"}, "files": {"file": ("x", b"x")}}, 422),
        ({"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"content": b"garbage", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400),
        ({"files": {"image": ("x", b"x")}, "params": {"format": "gif"}}, 422),
        ({"files": {"image": ("x", b"x")}, "params": {"include": "everything"}}, 422),
    ],
)
def test_bad_requests_are_told(client, request_, status):
    answer = client.post("/v1/predict", **request_)
    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/v1/predict", 405), ("/../pyproject.toml", 404)])
def test_other_paths_are_problems_too(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/model", "/nothing"])
def test_every_answer_forbids_what_a_page_does_not_need(client, path):
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_token_is_asked_for(client_of, picture_file):
    client = client_of(token="right")
    image = {"image": ("x", picture_file())}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic right"}):
        answer = client.post("/v1/predict", files=image, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics", headers=headers).status_code == 401
    right = {"Authorization": "Bearer right"}
    assert client.post("/v1/predict", files=image, headers=right).status_code == 200
    assert client.get("/").status_code == 200
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(("host", "status"), [("localhost:8000", 200), ("127.0.0.1", 200), ("evil.example", 421)])
def test_only_its_own_names_are_answered(client_of, host, status):
    client = client_of(hosts=("localhost", "127.0.0.1", "[::1]"))
    assert client.get("/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("site", "hosts", "status"),
    [("cross-site", True, 403), ("same-site", True, 403), ("same-origin", True, 200), ("cross-site", False, 200)],
)
def test_pages_of_others_can_not_make_it_compute(client_of, picture_file, site, hosts, status):
    client = client_of(hosts=("localhost",) if hosts else ())
    headers = {"Sec-Fetch-Site": site, "Content-Type": "image/png"}
    assert client.post("/v1/predict", content=picture_file(), headers=headers).status_code == status
    assert client.get("/", headers={"Sec-Fetch-Site": site}).status_code == 200  # a link leads there


def ask_in_threads(client, contents: list[bytes]) -> tuple[list[threading.Thread], list[int]]:
    statuses: list[int] = []

    def ask(content: bytes) -> None:
        statuses.append(client.post("/v1/predict", files={"image": ("x", content)}).status_code)

    threads = [threading.Thread(target=ask, args=[content]) for content in contents]
    for thread in threads:
        thread.start()
    return threads, statuses


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_more_than_may_wait_are_sent_away(client_of, network, picture_file):
    client = client_of(Limits(max_waiting=2, max_batch=1))
    network.go_on.clear()
    threads, statuses = ask_in_threads(client, [picture_file()] * 3)
    wait_for(lambda: client.get("/readyz").status_code == 503)
    refused = client.post("/v1/predict", files={"image": ("x", picture_file())})
    network.go_on.set()
    for thread in threads:
        thread.join()
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert statuses == [200] * 3
    assert client.post("/v1/predict", files={"image": ("x", picture_file())}).status_code == 200


def test_those_who_wait_are_predicted_together(client_of, network, picture_file):
    client = client_of(Limits(max_batch=3))
    network.go_on.clear()
    first, _ = ask_in_threads(client, [picture_file()])
    wait_for(lambda: "segtune_waiting 0.0" in client.get("/metrics").text)
    others, _ = ask_in_threads(client, [picture_file(), picture_file(40, 50), picture_file(), picture_file()])
    wait_for(lambda: "segtune_waiting 4.0" in client.get("/metrics").text)
    network.go_on.set()
    for thread in (*first, *others):
        thread.join()
    assert sorted(network.batches) == [1, 1, 3]


def test_who_waits_too_long_is_told(client_of, network, picture_file):
    client = client_of(Limits(seconds=0.5))
    network.go_on.clear()
    assert client.post("/v1/predict", files={"image": ("x", picture_file())}).status_code == 504
    assert client.post("/v1/predict", files={"image": ("x", picture_file())}).status_code == 504
    assert "segtune_waiting 0.0" in client.get("/metrics").text  # nobody waits for the second any longer
    network.go_on.set()
    wait_for(lambda: client.post("/v1/predict", files={"image": ("x", picture_file())}).status_code == 200)


def test_a_batch_that_nobody_waits_for_is_not_predicted(predictor, network, picture_file):
    with Worker(Predictor(predictor.model, network), 4, 1) as worker:
        left = Job(picture_file(), (72, 96), lambda _: (b"", ""))
        left.is_left.set()
        with worker._changed:
            worker._waiting.append(left)
            worker._changed.notify()
        assert isinstance(left.done.exception(60), TimeoutError)
        content, size = picture_file(), (72, 96)
        assert asyncio.run(worker.predict(content, size, lambda _: (b"answer", "x"), 60)).body == b"answer"
    assert network.batches == [1]


def test_a_large_picture_that_nobody_waits_for_is_not_predicted_to_its_end(predictor, network, picture_file):
    with Worker(Predictor(predictor.model, network, PredictOptions(tile=64, overlap=0)), 4, 1) as worker:
        network.go_on.clear()
        left = Job(picture_file(640, 640), (640, 640), lambda _: (b"", ""))
        with worker._changed:
            worker._waiting.append(left)
            worker._changed.notify()
        wait_for(lambda: worker._under_way)
        left.is_left.set()
        network.go_on.set()
        assert left.done.exception(60) is not None
    assert len(network.batches) <= 1  # of a hundred tiles


def test_who_goes_away_is_not_predicted_for(trained_run, serving, picture_file):
    with serving(trained_run / "model.safetensors", "--backend", "eager", "--max-batch", "1") as (address, _):
        host, port = address.removeprefix("http://").split(":")
        content = picture_file(1600, 1600)  # which this model sees enlarged, for seconds
        head = f"POST /v1/predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/png\r\nContent-Length: {len(content)}"

        def figures() -> str:
            return urllib.request.urlopen(f"{address}/metrics").read().decode()

        with ExitStack() as stack:
            for _ in range(4):
                connection = stack.enter_context(socket.create_connection((host, int(port))))
                connection.sendall(f"{head}\r\n\r\n".encode() + content)
            wait_for(lambda: "segtune_waiting 3.0" in figures())
        wait_for(lambda: 'segtune_requests_total{status="400"} 4.0' in figures())
        assert "segtune_waiting 0.0" in figures()


def test_what_a_network_cannot_compute_is_told_without_its_file(client_of, network, picture_file, caplog):
    client = client_of()
    network.error = UserError("/secret/model.pt2 can't compute values of 1 x 3 x 32 x 32")
    answer = client.post("/v1/predict", files={"image": ("x", picture_file())})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "The model can't predict a picture of 96 x 72 pixels."
    assert "/secret/model.pt2" in caplog.text


def test_what_goes_wrong_inside_is_not_shown(client_of, network, picture_file):
    client = client_of()
    network.error = RuntimeError("/secret/path")
    answer = client.post("/v1/predict", files={"image": ("x", picture_file())})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert 'segtune_requests_total{status="500"} 1.0' in client.get("/metrics").text


def test_memory_that_is_out_is_told(client_of, network, picture_file):
    client = client_of()
    network.error = MemoryError()
    answer = client.post("/v1/predict", files={"image": ("x", picture_file())})
    assert (answer.status_code, "memory" in answer.json()["detail"]) == (503, True)
    network.error = None
    assert client.post("/v1/predict", files={"image": ("x", picture_file())}).status_code == 200


def test_the_size_is_told_without_decoding_even_where_exif_stands_behind_the_pixels():
    head = chunk(b"IHDR", (3_000).to_bytes(4, "big") + (2_000).to_bytes(4, "big") + bytes([8, 2, 0, 0, 0]))
    exif = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\0")
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"no pixels") + exif + chunk(b"IEND", b"")
    assert size_of(content, 10**7, model_preprocessing("fcn_resnet50", 1024)) == (2_000, 3_000)
    with pytest.raises(Problem) as told:
        size_of(content, 10**7, model_preprocessing("fcn_resnet50", 0, 4))
    assert "enlarged, with 96,000,000 pixels" in told.value.detail


def test_uploads_never_touch_the_disk(client, picture_file, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was written to the disk")

    # Above a megabyte, forms would go on in a temporary file.
    large = picture_file(kind="BMP", height=900, width=900)
    assert len(large) > 2_000_000
    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    # What is kept in memory until it is large is made to go to the disk by this.
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    assert client.post("/v1/predict?format=labels", files={"image": ("x", large)}).status_code == 200
