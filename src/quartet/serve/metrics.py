"""Figures for Prometheus, without keys, addresses or texts."""

import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from quartet.serve.service import Service

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What a server counts."""

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        labels = ("endpoint", "status")
        self._seconds = Histogram(
            "quartet_http_request_duration_seconds",
            "Time to an answer",
            labels,
            registry=self._registry,
            buckets=SECONDS,
        )
        self._in_flight = Gauge("quartet_http_requests_in_flight", "Requests at work", registry=self._registry)
        waiting = Gauge("quartet_queue_tokens", "Tokens of sources that wait", registry=self._registry)
        waiting.set_function(lambda: service.decoder.queued_tokens)
        rows = Gauge("quartet_queue_rows", "Sentences that wait", registry=self._registry)
        rows.set_function(lambda: service.decoder.queued_rows)
        self._refused = Counter(
            "quartet_refused_total", "Requests beyond a limit", ("status",), registry=self._registry
        )

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
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE)
