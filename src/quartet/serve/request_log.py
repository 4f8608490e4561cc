"""What the server writes about itself: a line for each request and each warning, without texts, addresses and keys."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

QUIET = ("/health", "/ready", "/metrics")  # asked every few seconds by machines
FACTS = "quartet.facts"  # of a request, in its scope

log = logging.getLogger("quartet.serve.requests")


def note(request: HTTPConnection, **facts: str | int | None) -> None:
    """Say something of a request in its line of the log. Nothing that a client may choose freely: no text, no key."""
    request.scope.setdefault(FACTS, {}).update({name: fact for name, fact in facts.items() if fact is not None})


def configure(form: str, worker: int | None = None) -> None:
    """Send this process' log to stderr, as `text` or as `json`. worker: its number, where there are several."""
    handler, ours = logging.StreamHandler(), logging.getLogger("quartet")
    ours.setLevel(logging.INFO)
    if form == "json":  # whatever is said in the process, by libraries too
        handler.setFormatter(AsJson(worker))
        logging.getLogger().handlers, ours.handlers, ours.propagate = [handler], [], True
        logging.captureWarnings(True)
    else:
        handler.setFormatter(logging.Formatter("%(message)s"))
        ours.handlers, ours.propagate = [handler], False


class AsJson(logging.Formatter):
    """Each record as one line: time, level, message, and what is known of a request."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
        }
        facts: Mapping[str, Any] | None = getattr(record, "facts", None)
        line |= facts if facts is not None else {"logger": record.name, "message": record.getMessage()}
        if self._worker is not None:
            line["worker"] = self._worker
        if record.exc_text:  # what `discreet` has left of it
            line["exception"] = record.exc_text
        elif record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


@dataclass(frozen=True)
class Logged:
    """An application each of whose requests is in the log when it is answered."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] != "http" or scope["path"] in QUIET:
            await self.app(scope, receive, send)
            return
        start, status = time.monotonic(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            _tell(scope, status, time.monotonic() - start)


def _tell(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "other")  # as it is declared: what stands in an address may be a text
    facts = {"event": "request", "method": scope["method"], "route": route, "status": status}
    facts |= {"seconds": round(seconds, 4)} | scope.get(FACTS, {})
    pair = f"{facts['source']}-{facts['target']}" if {"source", "target"} <= facts.keys() else None
    characters = f"{facts['characters']} characters" if "characters" in facts else None
    said = [
        facts["method"],
        route,
        str(status),
        f"{seconds:.3f} s",
        characters,
        pair,
        facts.get("model"),
        facts.get("key"),
    ]
    log.info("%s", " ".join(filter(None, said)), extra={"facts": facts})
