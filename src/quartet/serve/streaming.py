"""A text's translation as it grows, sent as events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import json
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from quartet.serve.decoding import Caller
from quartet.serve.request_log import note
from quartet.serve.service import Client, Service, Translated
from quartet.serve.web import ApiError
from quartet.text.detect import detect_all
from quartet.text.languages import find
from quartet.translation.translator import Translation

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy is to pass on each event
Body = Callable[[Translated], Mapping[str, Any]]
ErrorBody = Callable[[ApiError], Mapping[str, Any]]


async def streamed(
    service: Service,
    request: Request,
    client: Client,
    text: str,
    source: str | None,
    target: str,
    body: Body,
    error_body: ErrorBody,
) -> StreamingResponse:
    """Events with the whole text so far, each as `body` writes it; the last one is the translation.

    What is wrong before the first of them has a status of its own. Raises `ApiError`.
    """
    caller = service.caller(client, streams=True)
    note(request, characters=len(text))
    texts = _grown(service, caller, text, source, target)
    first = await service.run(request, caller, lambda: next(texts))

    async def events() -> AsyncIterator[str]:
        grown: Translated | None = first
        try:
            while grown is not None:
                yield _event(body(grown))
                grown = await service.run(request, caller, lambda: next(texts, None))
        except ApiError as error:
            yield _event(error_body(error))
        finally:
            caller.cancel()
            with suppress(ValueError):  # a thread is at it: it will see that nobody waits
                texts.close()

    return StreamingResponse(events(), 200, HEADERS, "text/event-stream")


def _grown(service: Service, caller: Caller, text: str, source: str | None, target: str) -> Generator[Translated]:
    """The translation so far, each time that there is more of it; at least once."""
    found = None
    if source is None:
        (found,) = detect_all([text], service.models.sources(), target)
        source = found.code
    if source is None or find(source, [target]) is not None:
        yield Translated(Translation(text, None, source, target), found)
        return
    with service.translating(caller, source, target) as (translator, *codes):
        grown = ""
        for grown in translator.stream(text, *codes, strict=False):
            yield Translated(Translation(grown, None, source, target), found)
    if not grown:
        yield Translated(Translation(text, None, source, target), found)


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
