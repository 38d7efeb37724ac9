"""What goes wrong with a request, as application/problem+json.

Source: RFC 9457, https://www.rfc-editor.org/rfc/rfc9457.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"

MISTAKE = "The server made a mistake; its log says which."
TOO_LITTLE_MEMORY = "The server's memory does not suffice for this picture now: send a smaller one, or try again later."


class ProblemDetails(BaseModel):
    """The body of an answer to a request that failed."""

    status: int = Field(examples=[413])
    title: str = Field(examples=["Content Too Large"])
    detail: str = Field(examples=["The picture has 120,000,000 pixels; at most 50,000,000 are taken."])


class Problem(Exception):
    """A request that can't be answered as it is.

    Args:
        status: The HTTP status.
        detail: What was found, what was expected, what to do next; nothing of the server's disk.
        headers: Of the answer.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The answers of these statuses, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {int(status): {"description": status.phrase, "content": content} for status in statuses}


def tell_problems(app: FastAPI) -> None:
    """Make an app answer all that goes wrong in this form."""

    @app.exception_handler(Problem)
    async def tell(_: Request, problem: Problem) -> JSONResponse:
        return _answer(problem.status, problem.detail, problem.headers)

    @app.exception_handler(HTTPException)
    async def tell_http(_: Request, error: HTTPException) -> JSONResponse:
        return _answer(HTTPStatus(error.status_code), error.detail, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def tell_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        told = "; ".join(f"{'.'.join(map(str, entry['loc'][1:]))}: {entry['msg']}" for entry in error.errors())
        return _answer(HTTPStatus.UNPROCESSABLE_ENTITY, told, {})

    @app.exception_handler(Exception)
    async def tell_unexpected(_: Request, __: Exception) -> JSONResponse:
        # What it says may hold paths; the server's log has it all.
        return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, MISTAKE, {})


def _answer(status: HTTPStatus, detail: str, headers: dict[str, str]) -> JSONResponse:
    sentence = detail[:1].upper() + detail[1:]
    problem = ProblemDetails(status=int(status), title=status.phrase, detail=sentence)
    return JSONResponse(problem.model_dump(), int(status), headers, media_type=MEDIA_TYPE)
