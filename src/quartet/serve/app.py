"""The server: interfaces on one service, errors in each one's shape, and a graceful end."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from quartet.errors import OptionError
from quartet.serve import deepl, deepl_documents, immersive, libretranslate, openai_audio, page, realtime, whisper_asr
from quartet.serve.files import Files
from quartet.serve.listening import Listening
from quartet.serve.metrics import Metrics
from quartet.serve.options import ServeOptions
from quartet.serve.service import Service
from quartet.serve.web import ApiError, LimitedBody

log = logging.getLogger("quartet.serve")
SHAPES: dict[str, Callable[[ApiError], dict[str, Any]]] = {  # by the path's beginning
    "/": libretranslate.error_body,
    "/v1/": openai_audio.error_body,
    "/asr": whisper_asr.error_body,
    "/detect-language": whisper_asr.error_body,
    deepl.PREFIX: deepl.error_body,
    "/v3/": deepl.error_body,  # whose newer routes are not here
}


def create_app(options: ServeOptions) -> FastAPI:
    """The application for an ASGI server. Opens the models' folders, and converts what is not converted yet.

    Raises what opening them raises.
    """
    service, files = Service(options), Files()
    listening = Listening(service)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with _wyoming(service, listening):
            yield
        service.close()
        files.close()

    app = FastAPI(
        title="quartet",
        version=version("quartet-onnx"),
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.service = service
    app.add_middleware(LimitedBody, max_bytes=options.upload_limit, timeout=options.body_timeout)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    app.include_router(libretranslate.router(service, files))
    app.include_router(openai_audio.router(service, listening))
    app.include_router(realtime.router(service, listening))
    app.include_router(whisper_asr.router(service, listening))
    usage = deepl.Usage()
    app.include_router(deepl.router(service, usage))
    app.include_router(deepl_documents.router(service, files, usage))
    app.include_router(immersive.router(service))
    app.include_router(page.router())

    @app.get("/health", tags=["operation"])
    async def _alive() -> dict[str, str]:
        """That the server runs."""
        return {"status": "ok"}

    @app.get("/ready", tags=["operation"])
    async def _ready() -> JSONResponse:
        """Whether the server takes requests: not while it is stopping."""
        status = "stopping" if service.stopping else "ok"
        return JSONResponse({"status": status}, 503 if service.stopping else 200)

    if options.metrics:
        metrics = Metrics(service)
        app.middleware("http")(metrics.measure)
        app.get("/metrics", tags=["operation"])(metrics.page)

    app.add_exception_handler(ApiError, _told)
    app.add_exception_handler(HTTPException, _told_of_http)
    app.add_exception_handler(ClientDisconnect, _told_to_nobody)
    app.add_exception_handler(Exception, _told_of_a_fault)
    return app


@asynccontextmanager
async def _wyoming(service: Service, listening: Listening) -> AsyncIterator[None]:
    """Speak Wyoming where a port is given. Raises `OptionError`."""
    if service.options.wyoming_port is None:
        yield
        return
    try:
        from quartet.serve import wyoming  # noqa: PLC0415 - only who wants it needs its package
    except ModuleNotFoundError as error:
        raise OptionError(f"--wyoming-port needs {error.name}: pip install 'quartet-onnx[serve]'") from None
    async with wyoming.serving(service, listening, service.options.host, service.options.wyoming_port) as port:
        log.warning("speaking Wyoming on %s:%d", service.options.host, port)
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
