"""Files to be translated, and their translations, which are kept for half an hour."""

import logging
import os
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from sqlite3 import Connection

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse

from quartet.serve.fair_queue import Lane
from quartet.serve.service import Client, Service, TextOptions
from quartet.serve.state import State
from quartet.serve.web import ApiError
from quartet.text.html_encoding import html_of
from quartet.text.line_formats import Form, Text, parts

KEPT_FOR = 30 * 60.0  # seconds
MOST_BYTES = 1_000_000_000  # of all kept files
FORMS: dict[str, Form] = {
    ".txt": "text",
    ".srt": "srt",
    ".vtt": "vtt",
    ".tsv": "tsv",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
}
LONGEST_NAME = 100
log = logging.getLogger("quartet.serve")
_UNSAFE = re.compile(r"[^\w.\- ]+")


class Files:
    """Translated files, each under a name that nobody can guess."""

    suffixes = tuple(FORMS)

    def __init__(self, state: State, kept_for: float = KEPT_FOR) -> None:
        self._state, self._kept_for = state, kept_for
        self._folder = state.folder / "files"
        self._folder.mkdir(exist_ok=True)
        state.table("files", "name TEXT PRIMARY KEY, until REAL, bytes INTEGER", self._expire)

    def put(self, name: str, text: str) -> str:
        """Keep a file; returns the name under which it can be fetched. Raises `ApiError` where the disk is full."""
        kept, content = f"{uuid.uuid4()}.{_plain_name(name)}", text.encode()
        until = time.monotonic() + self._kept_for
        with self._state.changing() as database:  # first, so that what a killed worker leaves expires too
            self._make_room(database, len(content))
            database.execute("INSERT INTO files VALUES (?, ?, ?)", (kept, until, len(content)))
        self._write(kept, content)
        return kept

    def response(self, name: str) -> FileResponse:
        """A kept file, to be saved. Raises `ApiError` with status 404."""
        with self._state.changing() as database:
            row = database.execute("SELECT until FROM files WHERE name = ?", (name,)).fetchone()
        if row is None or row[0] < time.monotonic() or not (self._folder / name).is_file():
            raise ApiError(404, "there is no such file, or not any more")
        return FileResponse(self._folder / name, filename=name.partition(".")[2], media_type="application/octet-stream")

    def _make_room(self, database: Connection, wanted: int) -> None:
        """Forget the oldest ones where all together have more than `MOST_BYTES`."""
        kept = database.execute("SELECT name, bytes FROM files ORDER BY until").fetchall()
        total = sum(size for _, size in kept) + wanted
        for name, size in kept:
            if total <= MOST_BYTES:
                break
            self._forget(database, name)
            total -= size

    def _write(self, name: str, content: bytes) -> None:
        try:
            (self._folder / name).write_bytes(content)
        except OSError as error:
            with self._state.changing() as database:
                self._forget(database, name)
            log.error("a translated file could not be kept: %s", os.strerror(error.errno or 0))
            raise ApiError(503, "the server has no room for the file", {"Retry-After": "60"}) from None

    def _forget(self, database: Connection, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        database.execute("DELETE FROM files WHERE name = ?", (name,))

    def _expire(self, database: Connection) -> None:
        for (name,) in database.execute("SELECT name FROM files WHERE until < ?", (time.monotonic(),)).fetchall():
            self._forget(database, name)


async def translated_file(
    service: Service,
    files: Files,
    request: Request,
    client: Client,
    upload: UploadFile,
    source: str | None,
    target: str,
    options: TextOptions,
) -> str:
    """Translate a file; the name under which the translation can be fetched. Raises `ApiError`."""
    name = upload.filename or "file.txt"
    form = FORMS.get(PurePosixPath(name.lower()).suffix)
    if form is None:
        raise ApiError(400, f"Invalid request: file format not supported; it is one of {', '.join(FORMS)}")
    content, caller = await upload.read(), service.caller(client, Lane.FILE)
    items = await service.run(request, caller, lambda: _items(content, name, form, source, target))
    texts = [item.text for item in items if not isinstance(item, str)]
    options = replace(options, wrapped=form in ("srt", "vtt"))
    found = await service.translate(request, caller, texts, source, target, options)
    translations = iter(one.translation.text for one in found)
    done = "".join(item if isinstance(item, str) else item.put(next(translations)) for item in items)
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    return files.put(f"{stem}_{target}{suffix}", done)


def _items(content: bytes, name: str, form: Form, source: str | None, target: str) -> list[str | Text]:
    """What is to be translated, and what is around it."""
    text = _decoded(content, name, form)
    lines = text.splitlines(keepends=True) if form != "text" else _lines(text)
    return list(parts(lines, form, target=target, source=source, joined=True))


def _lines(text: str) -> Iterable[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _decoded(content: bytes, name: str, form: Form) -> str:
    if form == "html":
        return html_of(content, _plain_name(name))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"byte {error.start} is {content[error.start]:#04x}"
        raise ApiError(400, f"{_plain_name(name)} is not UTF-8: {place}") from None


def _plain_name(name: str) -> str:
    """A file's name without folders and signs that matter to a system, and not too long."""
    plain = _UNSAFE.sub("_", PurePosixPath(name.replace("\\", "/")).name).strip(". ") or "file"
    return plain[-LONGEST_NAME:]
