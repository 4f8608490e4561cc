"""The server: interfaces on one service, errors in each one's shape, and a graceful end."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from quartet.errors import OptionError
from quartet.serve import (
    deepl,
    deepl_documents,
    deepl_glossaries,
    deepl_languages,
    immersive,
    libretranslate,
    openai_audio,
    openapi,
    page,
    realtime,
    whisper_asr,
)
from quartet.serve.discreet_logs import discreet
from quartet.serve.files import Files
from quartet.serve.glossaries import Glossaries
from quartet.serve.listening import Listening
from quartet.serve.metrics import Metrics
from quartet.serve.options import ServeOptions
from quartet.serve.request_log import Logged
from quartet.serve.service import Service
from quartet.serve.sockets import address
from quartet.serve.state import ALONE, State, Worker
from quartet.serve.web import ApiError, Forwarded, HeadAsGet, LimitedBody

MINUTE = 60  # seconds

log = logging.getLogger("quartet.serve")
SHAPES: dict[str, Callable[[ApiError], dict[str, Any]]] = {  # by the path's beginning
    "/": libretranslate.error_body,
    "/v1/": openai_audio.error_body,
    "/asr": whisper_asr.error_body,
    "/detect-language": whisper_asr.error_body,
    deepl.PREFIX: deepl.error_body,
    "/v3/": deepl.error_body,
}
KEYS = {"/v1/": "bearer", "/asr": "bearer", "/detect-language": "bearer", deepl.PREFIX: "deepl"}  # likewise
STATUS = openapi.fields({"status": openapi.STRING})


def create_app(options: ServeOptions, worker: Worker = ALONE) -> FastAPI:
    """The application for an ASGI server. Finds the models' folders, and converts what is not converted yet.

    options: what this worker has of them. Raises what finding the models raises.
    """
    service = Service(options, worker)
    files, usage, listening = Files(service.state), deepl.Usage(service.state), Listening(service)
    if options.wyoming_port is not None and not service.models.hearing:
        raise OptionError("--wyoming-port needs a model that hears; add --model whisper-base")
    glossaries = Glossaries(options.glossaries or service.state.folder / "glossaries")
    metrics = Metrics(service) if options.metrics else None

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        if options.preload:
            service.preload()
        keeping = asyncio.create_task(_keep_house(service.state, metrics))
        with discreet():
            async with _wyoming(service, listening):
                yield
            keeping.cancel()
            service.close()

    app = FastAPI(
        title="quartet",
        version=version("quartet-onnx"),
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.service = service
    app.add_middleware(LimitedBody, max_bytes=options.upload_limit, timeout=options.body_timeout)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    app.include_router(libretranslate.router(service, files))
    app.include_router(openai_audio.router(service, listening))
    app.include_router(realtime.router(service, listening))
    app.include_router(whisper_asr.router(service, listening))
    glossary_of = partial(deepl_glossaries.glossary_of, glossaries)
    app.include_router(deepl.router(service, usage, glossary_of))
    app.include_router(deepl_documents.router(service, files, usage, glossary_of))
    app.include_router(deepl_glossaries.router(service, glossaries))
    app.include_router(deepl_languages.router(service))
    app.include_router(immersive.router(service))
    app.include_router(page.router())

    @app.get("/health", tags=["operation"], openapi_extra=openapi.answers({openapi.JSON: STATUS}, ()))
    async def _alive() -> dict[str, str]:
        """That the server runs."""
        return {"status": "ok"}

    @app.get("/ready", tags=["operation"], openapi_extra=openapi.answers({openapi.JSON: STATUS}, (503,)))
    async def _ready() -> JSONResponse:
        """Whether the server takes requests: not while it is stopping, nor, with --preload, before models are open."""
        status = service.status
        return JSONResponse({"status": status}, 200 if status == "ok" else 503)

    if metrics:
        app.middleware("http")(metrics.measure)
        shown = openapi.answers({openapi.PLAIN: openapi.STRING}, ())
        app.get("/metrics", tags=["operation"], openapi_extra=shown)(metrics.page)

    app.add_middleware(HeadAsGet)
    app.add_middleware(Logged)
    app.add_middleware(Forwarded, trust=options.trust_forwarded_for)

    @cache
    def described() -> dict[str, Any]:
        return openapi.page(app, SHAPES, KEYS)

    @app.get("/openapi.json", include_in_schema=False)
    @app.get("/spec", include_in_schema=False)  # as LibreTranslate calls it
    async def _described() -> JSONResponse:
        """What this server understands."""
        return JSONResponse(described())

    app.add_exception_handler(ApiError, _told)
    app.add_exception_handler(HTTPException, _told_of_http)
    app.add_exception_handler(ClientDisconnect, _told_to_nobody)
    app.add_exception_handler(Exception, _told_of_a_fault)
    return app


async def _keep_house(state: State, metrics: Metrics | None) -> None:
    """Now and then, forget what is out of date; say every second how much waits, for workers that are asked."""
    for second in itertools.count(1):
        await asyncio.sleep(1)
        if metrics:
            metrics.refresh()
        if second % MINUTE == 0:
            await asyncio.to_thread(state.expire)


@asynccontextmanager
async def _wyoming(service: Service, listening: Listening) -> AsyncIterator[None]:
    """Speak Wyoming where a port is given. Raises `OptionError`."""
    if service.options.wyoming_port is None or service.worker.number:  # the first worker alone speaks it
        yield
        return
    try:
        from quartet.serve import wyoming  # noqa: PLC0415 - only who wants it needs its package
    except ModuleNotFoundError as error:
        raise OptionError(f"--wyoming-port needs {error.name}: pip install 'quartet-onnx[serve]'") from None
    async with wyoming.serving(service, listening, service.options.host, service.options.wyoming_port) as port:
        log.warning("speaking Wyoming on %s", address(service.options.host, port))
        yield


def _told(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    shape = max((path for path in SHAPES if request.url.path.startswith(path)), key=len)
    return JSONResponse(SHAPES[shape](error), error.status, dict(error.headers))


def _told_of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _told(request, ApiError(error.status_code, str(error.detail), dict(error.headers or {})))


def _told_to_nobody(request: Request, _: Exception) -> JSONResponse:
    return _told(request, ApiError(499, "the client hung up"))


def _told_of_a_fault(request: Request, _: Exception) -> JSONResponse:
    return _told(request, ApiError(500, "something went wrong in the server; its log says what"))
