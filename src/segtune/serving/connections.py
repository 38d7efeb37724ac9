"""What uvicorn leaves unbounded in time: a connection that brings no request, and one that doesn't take its answer."""

import asyncio
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

PART = 1 << 16
"""Bytes of an answer that are sent at once: as many as uvicorn sends before it waits for the client."""

Seen = tuple[RequestResponseCycle | None, bool, bool]
"""The last request of a connection, whether it is closing, and whether the client is waited for."""


def timed_protocol(seconds: float) -> type[asyncio.Protocol]:
    """Uvicorn's HTTP, but that connections end on which nothing has happened between two looks, ``seconds`` apart.

    Uploads and predictions have bounds of their own.
    """

    class Timed(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._next_look = self.loop.call_later(seconds, self._look_again, self._look())

        def _look(self) -> Seen:
            return self.cycle, self.transport.is_closing(), self.flow.write_paused

        def _look_again(self, before: Seen) -> None:
            now = cycle, is_closing, is_waited_for = self._look()
            has_no_request = cycle is None or cycle.response_complete
            if now == before and (has_no_request or is_closing or is_waited_for):
                self.transport.abort()
            else:
                self._next_look = self.loop.call_later(seconds, self._look_again, now)

        def connection_lost(self, exc: Exception | None) -> None:
            self._next_look.cancel()
            super().connection_lost(exc)

    return Timed


class PartedResponse(Response):
    """An answer that is sent in parts, each when the client has taken the one before.

    Args:
        body: The whole.
        media_type: Its type.
        done: Called when all was sent, or the client has gone.
    """

    def __init__(self, body: bytes, media_type: str, done: Callable[[], None]) -> None:
        super().__init__(body, media_type=media_type)
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope, receive
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(self.body), PART):
                part = self.body[start : start + PART]
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._done()
