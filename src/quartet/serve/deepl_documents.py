"""DeepL's interface for documents: one is sent, asked about until it is done, and fetched."""

import asyncio
import io
import logging
import secrets
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import PurePosixPath
from sqlite3 import Connection
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from quartet.serve.deepl import PREFIX, GlossaryOf, Usage, admit, options_of
from quartet.serve.files import KEPT_FOR, Files, translated_file
from quartet.serve.limits import hashed
from quartet.serve.openapi import (
    ASKED,
    BYTES,
    FILE,
    JSON,
    PARTS,
    STRING,
    WHOLE,
    answers,
    example,
    fields,
    one_of,
    takes,
)
from quartet.serve.service import Client, Service, TextOptions
from quartet.serve.web import ApiError, params_of, text_param, upload_param

MOST_AT_WORK = 32  # documents of all clients that are held in memory until they are translated

_AT_WORK = "result IS NULL AND error IS NULL"

log = logging.getLogger("quartet.serve")


@dataclass(frozen=True)
class Document:
    """One that somebody sent, as far as it is. Who knows its key may ask about it."""

    characters: int
    result: str | None = None  # the name of the translated file
    error: str | None = None

    @property
    def status(self) -> str:
        """As DeepL says it."""
        return "error" if self.error is not None else "done" if self.result is not None else "translating"


class Documents:
    """Those that were sent, by their ids, for as long as their translations are kept. All workers know of them."""

    def __init__(self, service: Service, files: Files, usage: Usage) -> None:
        self._service, self._files, self._usage = service, files, usage
        self._state, self._worker = service.state, service.worker.number
        self._tasks: set[asyncio.Task[None]] = set()
        columns = (
            "id TEXT PRIMARY KEY, key TEXT, until REAL, worker INTEGER, characters INTEGER, result TEXT, error TEXT"
        )
        self._state.table("documents", columns, _expire)
        with self._state.changing() as database:  # what a worker before this one did not end
            change = f"UPDATE documents SET error = ? WHERE worker = ? AND {_AT_WORK}"
            database.execute(change, ("the server was interrupted; send the document again", self._worker))

    def begin(
        self,
        request: Request,
        client: Client,
        name: str,
        content: bytes,
        source: str | None,
        target: str,
        options: TextOptions,
    ) -> tuple[str, str]:
        """Begin to translate a document; its id and its key. Raises `ApiError` with status 503."""
        found, key = secrets.token_hex(16).upper(), secrets.token_hex(32)
        characters = len(content.decode("utf-8", "replace"))
        row = found, hashed(key), time.monotonic() + KEPT_FOR, self._worker, characters
        with self._state.changing() as database:
            (at_work,) = database.execute(f"SELECT count(*) FROM documents WHERE {_AT_WORK}").fetchone()
            if at_work >= MOST_AT_WORK:
                raise ApiError(503, "too many documents are being translated; try again later", {"Retry-After": "10"})
            database.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, NULL, NULL)", row)
        upload = UploadFile(io.BytesIO(content), filename=name)
        asked = Request(request.scope, _never)
        work = translated_file(self._service, self._files, asked, client, upload, source, target, options)
        task = asyncio.create_task(self._end(found, client, characters, work))
        self._tasks.add(task)  # the loop itself does not keep it
        task.add_done_callback(self._tasks.discard)
        return found, key

    def find(self, name: str, key: str) -> Document:
        """A document by its id and key. Raises `ApiError` with status 404."""
        with self._state.changing() as database:
            query = "SELECT characters, result, error, key FROM documents WHERE id = ?"
            row = database.execute(query, (name,)).fetchone()
        if row is None or not secrets.compare_digest(row[3], hashed(key)):
            raise ApiError(404, "there is no such document, or not any more")
        return Document(*row[:3])

    async def _end(self, found: str, client: Client, characters: int, work: Awaitable[str]) -> None:
        """Translate a document, and tell what became of it."""
        result, error = None, None
        try:
            result = await work
        except ApiError as failed:
            error = failed.message
        except Exception:
            log.exception("translating a document failed")
            error = "something went wrong in the server"
        with self._state.changing() as database:
            change = "UPDATE documents SET result = ?, error = ?, until = ? WHERE id = ?"
            database.execute(change, (result, error, time.monotonic() + KEPT_FOR, found))
        if result is not None:
            self._usage.add(client, characters)


def _expire(database: Connection) -> None:
    database.execute(f"DELETE FROM documents WHERE until < ? AND NOT ({_AT_WORK})", (time.monotonic(),))


def router(service: Service, files: Files, usage: Usage, glossary_of: GlossaryOf) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix=f"{PREFIX}document", tags=["DeepL"])
    documents = Documents(service, files, usage)

    @routes.post("", openapi_extra=takes(_UPLOAD, PARTS) | answers({JSON: _SENT}, (*ASKED, 404)))
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
        found, key = documents.begin(request, client, name, await upload.read(), source, target, options)
        return JSONResponse({"document_id": found, "document_key": key})

    @routes.post("/{name}", openapi_extra=takes(_KEY) | answers({JSON: _STATE}, (*ASKED, 404)))
    async def _status(request: Request, name: str) -> JSONResponse:
        """How far a document is."""
        document = await _asked_for(request, name)
        answer: dict[str, Any] = {"document_id": name, "status": document.status}
        if document.error is not None:
            answer |= {"error_message": document.error}
        if document.result is not None:
            answer |= {"billed_characters": document.characters}
        return JSONResponse(answer)

    @routes.post("/{name}/result", openapi_extra=takes(_KEY) | answers({BYTES: FILE}, (*ASKED, 404)))
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


_UPLOAD = fields(
    {"file": FILE, "target_lang": example("FR")}, source_lang=example("EN"), filename=STRING, glossary_id=STRING
)
_KEY = fields({"document_key": STRING})
_SENT = fields({"document_id": STRING, "document_key": STRING})
_STATUS = one_of(("translating", "done", "error"))
_STATE = fields({"document_id": STRING, "status": _STATUS}, billed_characters=WHOLE, error_message=STRING)
