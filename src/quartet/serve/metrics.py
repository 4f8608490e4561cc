"""Figures for Prometheus, without keys, addresses or texts."""

import os
import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.requests import Request
from starlette.responses import Response

from quartet.serve.service import Service
from quartet.serve.state import SHARED_FIGURES

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What a server counts, all its workers together."""

    def __init__(self, service: Service) -> None:
        """With several workers, the variable of `workers` was set before this module was imported."""
        self._service = service
        self._registry = self._all = CollectorRegistry()
        if service.worker.count > 1:
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry, os.environ[SHARED_FIGURES])  # type: ignore[no-untyped-call]
            if service.worker.instead_of is not None:
                mark_process_dead(service.worker.instead_of, os.environ[SHARED_FIGURES])  # type: ignore[no-untyped-call]
        self._seconds = Histogram(
            "quartet_http_request_duration_seconds",
            "Time to an answer",
            ("endpoint", "status"),
            registry=self._all,
            buckets=SECONDS,
        )
        self._in_flight = self._gauge("quartet_http_requests_in_flight", "Requests at work")
        self._tokens = self._gauge("quartet_queue_tokens", "Tokens of sources that wait")
        self._rows = self._gauge("quartet_queue_rows", "Sentences that wait")
        self._refused = Counter("quartet_refused_total", "Requests beyond a limit", ("status",), registry=self._all)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, registry=self._all, multiprocess_mode="livesum")

    async def measure(self, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        """Answer a request, and count it by its route: an address that has none is `other`."""
        start = time.monotonic()
        self._in_flight.inc()
        status = 500
        try:
            response = await answer(request)
            status = response.status_code
            return response
        finally:
            self._in_flight.dec()
            route = request.scope.get("route")
            self._seconds.labels(getattr(route, "path", "other"), str(status)).observe(time.monotonic() - start)
            if status in (429, 503):
                self._refused.labels(str(status)).inc()

    def page(self) -> Response:
        """All figures."""
        self.refresh()
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE)

    def refresh(self) -> None:
        """Say how much waits here: for others, who cannot look."""
        self._tokens.set(self._service.decoder.queued_tokens)
        self._rows.set(self._service.decoder.queued_rows)
