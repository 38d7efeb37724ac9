"""What those who run the server ask: does it live, does it take pictures, how much does it do."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from segtune.serving.problems import documented
from segtune.serving.worker import Worker


class Metrics:
    """What /metrics tells."""

    def __init__(self, worker: Worker) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "segtune_requests", "Requests to predict, by the status of the answer.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "segtune_seconds", "Seconds of a prediction, by phase: waiting, network, whole.", ["phase"],
            registry=self.registry, buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
        )  # fmt: skip
        self.batch = Histogram(
            "segtune_batch_size", "Pictures predicted together.", registry=self.registry, buckets=(1, 2, 4, 8, 16)
        )
        waiting = Gauge("segtune_waiting", "Pictures that wait for their turn.", registry=self.registry)
        waiting.set_function(lambda: worker.num_waiting)
        answering = Gauge("segtune_answering", "Requests between upload and answer.", registry=self.registry)
        answering.set_function(lambda: worker.num_taken)


def operation_routes(worker: Worker, metrics: Metrics, check_token: Callable[..., None]) -> APIRouter:
    """/healthz and /readyz, which anyone may ask, and /metrics."""
    routes = APIRouter()

    @routes.get("/healthz", response_class=PlainTextResponse, summary="Whether the server runs")
    def health() -> str:
        return "ok"

    @routes.get(
        "/readyz", response_class=PlainTextResponse, summary="Whether it takes pictures",
        responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
    )  # fmt: skip
    def readiness() -> str:
        worker.refuse_full()
        return "ready"

    @routes.get(
        "/metrics", dependencies=[Depends(check_token)], response_class=PlainTextResponse,
        summary="Figures for Prometheus", responses=documented(HTTPStatus.UNAUTHORIZED),
    )  # fmt: skip
    def tell_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return routes
