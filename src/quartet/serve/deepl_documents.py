"""DeepL's interface for documents: one is sent, asked about until it is done, and fetched."""

import asyncio
import io
import logging
import secrets
import time
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from quartet.serve.deepl import PREFIX, GlossaryOf, Usage, admit, options_of
from quartet.serve.files import KEPT_FOR, Files, translated_file
from quartet.serve.service import Client, Service, TextOptions
from quartet.serve.web import ApiError, params_of, text_param, upload_param

MOST_AT_WORK = 32  # documents of all clients that are held in memory until they are translated

log = logging.getLogger("quartet.serve")


@dataclass
class Document:
    """One that somebody sent. Who knows its key may ask about it."""

    characters: int
    until: float  # it is forgotten, on the monotonic clock
    key: str = field(default_factory=lambda: secrets.token_hex(32))
    result: str | None = None  # the name of the translated file
    error: str | None = None
    task: asyncio.Task[None] | None = None

    @property
    def status(self) -> str:
        """As DeepL says it."""
        return "error" if self.error is not None else "done" if self.result is not None else "translating"


class Documents:
    """Those that were sent, by their ids, for as long as their translations are kept."""

    def __init__(self, service: Service, files: Files, usage: Usage) -> None:
        self._service, self._files, self._usage = service, files, usage
        self._all: dict[str, Document] = {}

    def begin(
        self,
        request: Request,
        client: Client,
        name: str,
        content: bytes,
        source: str | None,
        target: str,
        options: TextOptions,
    ) -> tuple[str, Document]:
        """Begin to translate a document; its id, and what is known of it. Raises `ApiError` with status 503."""
        if sum(one.status == "translating" for one in self._all.values()) >= MOST_AT_WORK:
            raise ApiError(503, "too many documents are being translated; try again later", {"Retry-After": "10"})
        now = time.monotonic()
        for gone in [name for name, one in self._all.items() if one.until < now and one.status != "translating"]:
            del self._all[gone]
        document = Document(len(content.decode("utf-8", "replace")), now + KEPT_FOR)
        request = Request(request.scope, _never)
        work = self._translate(document, request, client, name, content, source, target, options)
        document.task = asyncio.create_task(work)
        found = secrets.token_hex(16).upper()
        self._all[found] = document
        return found, document

    def find(self, name: str, key: str) -> Document:
        """A document by its id and key. Raises `ApiError` with status 404."""
        document = self._all.get(name)
        if document is None or not secrets.compare_digest(document.key.encode(), key.encode()):
            raise ApiError(404, "there is no such document, or not any more")
        return document

    async def _translate(
        self,
        document: Document,
        request: Request,
        client: Client,
        name: str,
        content: bytes,
        source: str | None,
        target: str,
        options: TextOptions,
    ) -> None:
        upload = UploadFile(io.BytesIO(content), filename=name)
        try:
            document.result = await translated_file(
                self._service, self._files, request, client, upload, source, target, options
            )
            self._usage.add(client, document.characters)
        except ApiError as error:
            document.error = error.message
        except Exception:
            log.exception("translating a document failed")
            document.error = "something went wrong in the server"


def router(service: Service, files: Files, usage: Usage, glossary_of: GlossaryOf) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix=f"{PREFIX}document", tags=["DeepL"])
    documents = Documents(service, files, usage)

    @routes.post("", openapi_extra=_body("target_lang", "source_lang", "glossary_id", file=True))
    async def _send(request: Request) -> JSONResponse:
        """Send a document that is to be translated into `target_lang`."""
        params = await params_of(request)
        client = admit(service, request, params, 1)
        target, source = text_param(params, "target_lang"), text_param(params, "source_lang", "") or None
        options_of(params)
        options = TextOptions(glossary=await glossary_of(request, params))
        upload = upload_param(params, "file")
        name = text_param(params, "filename", upload.filename or "")
        if PurePosixPath(name.lower()).suffix not in files.suffixes:
            raise ApiError(400, f"files of this kind are not translated; they end in {', '.join(files.suffixes)}")
        found, document = documents.begin(request, client, name, await upload.read(), source, target, options)
        return JSONResponse({"document_id": found, "document_key": document.key})

    @routes.post("/{name}", openapi_extra=_body("document_key"))
    async def _status(request: Request, name: str) -> JSONResponse:
        """How far a document is."""
        document = await _asked_for(request, name)
        answer: dict[str, Any] = {"document_id": name, "status": document.status}
        if document.error is not None:
            answer |= {"error_message": document.error}
        if document.result is not None:
            answer |= {"billed_characters": document.characters}
        return JSONResponse(answer)

    @routes.post("/{name}/result", openapi_extra=_body("document_key"))
    async def _result(request: Request, name: str) -> Response:
        """A document's translation."""
        document = await _asked_for(request, name)
        if document.error is not None:
            raise ApiError(400, document.error)
        if document.result is None:
            raise ApiError(503, "the document is not ready yet", {"Retry-After": "1"})
        return files.response(document.result)

    async def _asked_for(request: Request, name: str) -> Document:
        params = await params_of(request)
        admit(service, request, params, 0)
        return documents.find(name, text_param(params, "document_key"))

    return routes


async def _never() -> Message:
    """What comes from a client that need not wait: nothing, not even that it has gone."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def _body(*names: str, file: bool = False) -> dict[str, Any]:
    """What the API's page says of a form that is read by hand."""
    properties = {name: {"type": "string"} for name in names}
    if file:
        properties["file"] = {"type": "string", "format": "binary"}
    required = [name for name in properties if name not in ("source_lang", "glossary_id")]
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
