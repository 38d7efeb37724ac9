"""Who may ask, and what browsers may do with the answers."""

import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from segtune.serving.problems import MEDIA_TYPE, Problem, ProblemDetails

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

OTHER_SITES = ("cross-site", "same-site")
"""What browsers say of requests by pages that this server has not sent (Fetch Metadata, W3C)."""

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def guard_hosts(app: FastAPI, hosts: tuple[str, ...]) -> None:
    """Answer only requests for these names, where there are any, and add the security headers to all answers.

    Others' pages can't reach a server on this machine by a name of their own then (DNS rebinding), nor make it compute:
    browsers say where a request comes from.
    """

    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        host = request.headers.get("host", "")
        # A port follows the last colon, but for those of an IPv6 address without one.
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        is_others = request.method != "GET" and request.headers.get("sec-fetch-site") in OTHER_SITES
        if hosts and name not in hosts:
            response = _refused(HTTPStatus.MISDIRECTED_REQUEST, "This server has another name.")
        elif hosts and is_others:
            response = _refused(HTTPStatus.FORBIDDEN, "Without a token, other sites' pages may not ask.")
        else:
            response = await answer(request)
        response.headers.update(SECURITY_HEADERS)
        return response


def _refused(status: HTTPStatus, detail: str) -> Response:
    problem = ProblemDetails(status=status, title=status.phrase, detail=detail)
    return Response(problem.model_dump_json(), status, media_type=MEDIA_TYPE)


def token_check(token: str) -> Callable[[HTTPAuthorizationCredentials | None], None]:
    """A dependency that refuses requests without the token, where there is one."""

    def check(
        sent: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))] = None,
    ) -> None:
        if token and (sent is None or not secrets.compare_digest(sent.credentials.encode(), token.encode())):
            raise Problem(
                HTTPStatus.UNAUTHORIZED, "Expected: Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"}
            )

    return check
