"""Connections on which nothing happens end; what is taken comes whole."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from segtune.serving.connections import PartedResponse, timed_protocol

BODY = bytes(range(256)) * 100_000
"""More than the buffers of two sockets hold."""
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Server:
    """A server in a thread of its own, whose connections are looked at twice a second."""

    def __init__(self) -> None:
        self.num_done = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._answer, http=timed_protocol(0.5), interface="asgi3", lifespan="off", log_level="warning"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
        self._thread.start()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PartedResponse(BODY, "application/octet-stream", self._count)(scope, receive, send)

    def _count(self) -> None:
        self.num_done += 1

    def connect(self) -> socket.socket:
        connection = socket.create_connection(self._listener.getsockname())
        connection.settimeout(20)
        return connection

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def is_ended(connection: socket.socket, sends: bytes = b"") -> bool:
    """Whether the other side ends a connection on which nothing but ``sends`` is sent, again and again."""
    connection.settimeout(0.1)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            connection.sendall(sends)
            return connection.recv(1) == b""
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize("drips", [b"", b"x"])
def test_a_connection_without_a_request_ends(server, drips):
    with server.connect() as connection:
        connection.sendall(b"GET /")
        assert is_ended(connection, drips)


def test_a_connection_that_is_not_used_again_ends(server):
    with server.connect() as connection:
        connection.sendall(REQUEST)
        received(connection)
        assert is_ended(connection, b"G")


def test_an_answer_that_is_not_taken_ends(server):
    done = server.num_done
    with server.connect() as connection:
        connection.sendall(REQUEST)
        deadline = time.monotonic() + 20
        while server.num_done == done and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.num_done == done + 1
        assert len(received(connection)) < len(BODY)


def test_an_answer_that_is_taken_comes_whole(server):
    done = server.num_done
    with server.connect() as connection:
        for _ in range(2):
            connection.sendall(REQUEST)
            assert received(connection) == BODY
    assert server.num_done == done + 2


def received(connection: socket.socket) -> bytes:
    """The body of an answer, as far as it comes."""
    parts = [b""]
    with connection.makefile("rb") as file:
        while file.readline() not in {b"\r\n", b""}:
            pass
        try:
            while sum(map(len, parts)) < len(BODY) and (part := file.read1(1 << 16)):
                parts.append(part)
        except ConnectionError:
            pass
    return b"".join(parts)
