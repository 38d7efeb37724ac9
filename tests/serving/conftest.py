"""A real server process for the tests that need one, and the application in this process for the others."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from segtune.prediction.predictor import Predictor, load
from segtune.runtimes.backend import Backend
from segtune.serving.app import Limits, make_app


@pytest.fixture(scope="session")
def picture_file():
    """Makes a picture of coloured areas, as a file."""

    def make(height: int = 72, width: int = 96, kind: str = "PNG", **options: object) -> bytes:
        rows, columns = np.mgrid[:height, :width]
        pixels = np.stack([rows * 3, columns * 2, (rows // 16 + columns // 16) * 90], axis=2).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def predictor(trained_run):
    return load(trained_run / "model.safetensors", "cpu", backend="eager")


class HeldUp:
    """A network that computes when it is told to go on, or fails: what that does to a queue can be seen at leisure."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.go_on = threading.Event()
        self.go_on.set()
        self.error: Exception | None = None
        self.answer = lambda logits: logits
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def run(self, images: np.ndarray) -> object:
        assert self.go_on.wait(60)
        if self.error:
            raise self.error
        self.batches.append(len(images))
        return self.answer(self._backend.run(images))


@pytest.fixture
def network(predictor):
    return HeldUp(predictor.backend)


@pytest.fixture
def client_of(predictor, network, picture_file):
    """Makes a client of an application with these limits, once it is ready."""
    with ExitStack() as stack:

        def client(limits: Limits | None = None, token: str = "", hosts: tuple[str, ...] = ()) -> TestClient:
            model = Predictor(predictor.model, network)
            app = make_app(model, "model.safetensors", picture_file(kind="JPEG"), limits or Limits(), token, hosts)
            made = stack.enter_context(TestClient(app, base_url="http://localhost", raise_server_exceptions=False))
            deadline = time.monotonic() + 60
            while made.get("/readyz").status_code != 200 and time.monotonic() < deadline:
                time.sleep(0.02)
            assert made.get("/readyz").status_code == 200
            network.batches.clear()
            return made

        yield client
        network.go_on.set()


@pytest.fixture
def client(client_of):
    return client_of()


@contextmanager
def server(model: Path, *options: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server on a port of its own: its address, and the process. What it prints after that stays in the pipe."""
    command = [sys.executable, "-m", "segtune", "serve", str(model), "--port", "0", "--device", "cpu", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )  # fmt: skip
    printed = ""
    try:
        while not (address := re.search(r"http://\S+", printed)):
            line = process.stdout.readline()
            assert line, f"the server ended: {printed}"
            printed += line
        yield address[0], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def serving():
    """The function above."""
    return server


@pytest.fixture(scope="session")
def address(trained_run):
    with server(trained_run / "model.safetensors", "--backend", "eager") as (address, _):
        yield address
