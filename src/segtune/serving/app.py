"""The web application: a page, and an API under /v1. Everything is in memory, and bounded."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response

from segtune.prediction.predictor import Predictor
from segtune.serving.answers import Format, Part, encoded
from segtune.serving.connections import PartedResponse
from segtune.serving.guard import guard_hosts, token_check
from segtune.serving.operations import Metrics, operation_routes
from segtune.serving.page import page_routes
from segtune.serving.problems import Problem, ProblemDetails, documented, tell_problems
from segtune.serving.schemas import REQUEST_BODY, ClassDescription, ModelDescription, PredictionContent
from segtune.serving.uploads import read_upload, size_of, while_connected
from segtune.serving.worker import Worker
from segtune.web_page import css_color


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        max_bytes: Of an upload.
        max_pixels: Of a picture.
        max_waiting: Pictures that wait.
        max_batch: Pictures that are predicted together.
        seconds: That an upload, and then a prediction, may take.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    max_waiting: int = 16
    max_batch: int = 4
    seconds: float = 60.0


def make_app(
    predictor: Predictor, name: str, sample: bytes, limits: Limits, token: str = "", hosts: tuple[str, ...] = ()
) -> FastAPI:
    """The application.

    Args:
        predictor: The model.
        name: What to call it.
        sample: A picture for those who have none at hand, JPEG.
        limits: What a request may ask for.
        token: Where given, the API answers only to those who send it.
        hosts: The names that requests must be for, where given.
    """
    worker = Worker(predictor, limits.max_waiting, limits.max_batch)
    metrics = Metrics(worker)
    check_token = token_check(token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with worker:
            yield

    app = FastAPI(
        title="segtune", version=version("segtune"), lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Semantic segmentation of pictures. Errors are application/problem+json (RFC 9457).",
    )  # fmt: skip
    tell_problems(app)

    @app.middleware("http")
    async def count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        if request.url.path == "/v1/predict":
            metrics.requests.labels(str(response.status_code)).inc()
        return response

    guard_hosts(app, hosts)
    app.include_router(page_routes(sample))
    app.include_router(operation_routes(worker, metrics, check_token))
    app.include_router(_model_routes(predictor, name, limits), dependencies=[Depends(check_token)])
    predictions = _prediction_routes(worker, metrics, limits, predictor.has_confidence)
    app.include_router(predictions, dependencies=[Depends(check_token)])
    app.openapi()["components"]["schemas"][ProblemDetails.__name__] = ProblemDetails.model_json_schema()
    return app


def _model_routes(predictor: Predictor, name: str, limits: Limits) -> APIRouter:
    routes = APIRouter()

    @routes.get(
        "/v1/model", summary="The model, its classes and limits",
        responses=documented(HTTPStatus.UNAUTHORIZED),
    )  # fmt: skip
    def describe() -> ModelDescription:
        model = predictor.model
        max_pixels = limits.max_pixels // model.preprocessing.enlarge**2
        classes = [
            ClassDescription(id=index, name=class_name, color=css_color(color))
            for index, (class_name, color) in enumerate(zip(model.classes.names, model.classes.colors, strict=True))
        ]
        return ModelDescription(
            name=name, architecture=model.architecture, classes=classes, scores=model.scores or {},
            max_bytes=limits.max_bytes, max_pixels=max_pixels, segtune_version=version("segtune"),
        )  # fmt: skip

    return routes


def _prediction_routes(worker: Worker, metrics: Metrics, limits: Limits, has_confidence: bool) -> APIRouter:
    routes = APIRouter()

    @routes.post(
        "/v1/predict", summary="Segment a picture", response_model=PredictionContent,
        openapi_extra={"requestBody": REQUEST_BODY},
        responses={
            200: {
                "description": "The prediction",
                "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            },
            **documented(
                HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INTERNAL_SERVER_ERROR,
                HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT,
            ),
        },
    )  # fmt: skip
    async def predict(
        request: Request,
        format: Annotated[  # the name that people look for
            Literal["json", "labels", "overlay"],
            Query(description="json; labels: a PNG of class ids; overlay: a PNG of the colours over the picture."),
        ] = "json",
        include: Annotated[
            str,
            Query(
                description="What JSON holds beside the classes, separated by commas: "
                + ", ".join(part.value for part in Part),
                pattern="^[a-z_,]*$",
                max_length=100,
            ),
        ] = "polygons",
    ) -> Response:
        start = time.monotonic()
        encode = partial(encoded, format_=Format(format), parts=_parts(include), has_confidence=has_confidence)
        with ExitStack() as stack:
            stack.enter_context(worker.place())
            content = await read_upload(request, limits.max_bytes, limits.seconds)
            size = await run_sync(size_of, content, limits.max_pixels, worker.predictor.preprocessing)
            done = await while_connected(request, worker.predict(content, size, encode, limits.seconds))
            leave_place = stack.pop_all().close
        whole = time.monotonic() - start
        for phase, seconds in (("waiting", done.waited), ("network", done.computed), ("whole", whole)):
            metrics.seconds.labels(phase).observe(seconds)
        metrics.batch.observe(done.batch)
        return PartedResponse(done.body, done.media_type, leave_place)

    return routes


def _parts(include: str) -> set[Part]:
    """The parts that a list names.

    Raises:
        Problem: There is no such part.
    """
    names = {name for name in include.split(",") if name}
    unknown = names - {part.value for part in Part}
    if unknown:
        known = ", ".join(part.value for part in Part)
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"include: {', '.join(sorted(unknown))} is unknown; expected: {known}."
        )
    return {Part(name) for name in names}
