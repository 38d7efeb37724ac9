"""The picture in a request: bounded in bytes, pixels and time, and never on the disk."""

import asyncio
import math
from collections.abc import AsyncGenerator, Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from segtune.errors import UserError
from segtune.pictures import FORMATS, PictureTooLarge, open_picture
from segtune.preprocessing import Preprocessing
from segtune.serving.problems import Problem

T = TypeVar("T")

FIELD = "image"
RAW_TYPES = ("image/", "application/octet-stream")
MAX_SIDE = 65_500
"""Pixels of a side that a JPEG can have, as which pictures go back."""
ROOM_FOR_HEADERS = 65_536
"""Bytes of a multipart body that are not the picture's."""


async def read_upload(request: Request, max_bytes: int, seconds: float) -> bytes:
    """The bytes of the picture that a request brings, as its body or as the field ``image`` of a form.

    Raises:
        Problem: There is none, it is too large, or it takes too long.
    """
    content_type = request.headers.get("content-type", "").lower()
    try:
        async with asyncio.timeout(seconds):
            if content_type.startswith("multipart/form-data"):
                content = await _field(request, max_bytes)
            elif content_type.startswith(RAW_TYPES):
                content = b"".join([part async for part in _bounded(request, max_bytes)])
            else:
                raise Problem(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"Expected: a picture as the body (Content-Type: image/…), or as the field {FIELD!r} of a"
                    " multipart/form-data form.",
                )
    except TimeoutError as error:
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, f"The picture did not come within {seconds:g} seconds.") from error
    except ClientDisconnect as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "The connection was closed before the picture was whole.") from error
    if not content:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The picture is empty: 0 bytes.")
    return content


async def _bounded(request: Request, max_bytes: int, room: int = 0) -> AsyncGenerator[bytes, None]:
    """The body, refused as soon as it is known to be too large; ``room`` is for what is not the picture."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit():
        _refuse_above(max_bytes, int(announced), room)
    read = 0
    async for part in request.stream():
        read += len(part)
        _refuse_above(max_bytes, read, room)
        yield part


def _refuse_above(max_bytes: int, found: int, room: int = 0) -> None:
    if found > max_bytes + room:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The picture has more than the {max_bytes:,} bytes that are taken."
        )


async def _field(request: Request, max_bytes: int) -> bytes:
    body = _bounded(request, max_bytes, ROOM_FOR_HEADERS)
    parser = MultiPartParser(request.headers, body, max_files=1, max_fields=8)
    # Above this size starlette would go on in a temporary file.
    parser.spool_max_size = max_bytes + ROOM_FOR_HEADERS + 1
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"The form can't be read: {error}.") from error
    try:
        picture = form.get(FIELD)
        if not isinstance(picture, UploadFile):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"The form has no file in a field called {FIELD!r}.")
        content = await picture.read()
        _refuse_above(max_bytes, len(content))
        return content
    finally:
        await form.close()


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` gives; it is cancelled when the one who asked for it goes away.

    Raises:
        Problem: The connection was closed.
    """

    async def closed() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(closed())
    working.add_done_callback(lambda task: task.cancelled() or task.exception())  # it counts as seen
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        leaving.cancel()
        working.cancel()
    raise Problem(HTTPStatus.BAD_REQUEST, "The connection was closed before the answer.")


def size_of(content: bytes, max_pixels: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Height and width that a picture's head states; nothing is decoded.

    How it is turned is not asked: EXIF may stand behind the pixels, and Pillow decodes them to see.

    Args:
        content: The file.
        max_pixels: What the picture, and what the network sees of it, may have.
        preprocessing: Tells how large that is.

    Raises:
        Problem: It is no picture, or has more pixels.
    """
    try:
        width, height = open_picture(content).size
    except PictureTooLarge as error:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.message) from error
    except UserError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error.message} Expected: {', '.join(FORMATS)}.") from error
    if max(height, width) > MAX_SIDE:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The picture has {width} x {height} pixels; a side has at most {MAX_SIDE}.",
        )
    if height * width > max_pixels:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The picture has {height * width:,} pixels; at most {max_pixels:,} are taken.",
        )
    seen = math.prod(preprocessing.working_size(height, width))
    if seen > max_pixels:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The model sees the picture enlarged, with {seen:,} pixels; at most {max_pixels:,} are taken.",
        )
    return height, width
