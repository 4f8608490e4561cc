"""Files to be translated, and their translations, which are kept for half an hour."""

import asyncio
import logging
import os
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse

from quartet.serve.fair_queue import Lane
from quartet.serve.service import Client, Service, TextOptions
from quartet.serve.web import ApiError
from quartet.text.line_formats import Form, Part, parts

KEPT_FOR = 30 * 60.0  # seconds
LOOK = 60.0  # seconds after which it is looked what has expired
MOST_BYTES = 1_000_000_000  # of all kept files
FORMS: dict[str, Form] = {".txt": "text", ".srt": "srt", ".vtt": "vtt", ".tsv": "tsv"}
LONGEST_NAME = 100
log = logging.getLogger("quartet.serve")
_UNSAFE = re.compile(r"[^\w.\- ]+")


class Files:
    """Translated files, each under a name that nobody can guess."""

    suffixes = tuple(FORMS)

    def __init__(self, kept_for: float = KEPT_FOR) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="quartet-files-"))
        self._kept_for = kept_for
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def put(self, name: str, text: str) -> str:
        """Keep a file; returns the name under which it can be fetched. Raises `ApiError` where the disk is full."""
        kept, content = f"{uuid.uuid4()}.{_plain_name(name)}", text.encode()
        with self._lock:
            self._expire()
            self._make_room(len(content))
            self._write(self._folder / kept, content)
            self._until[kept] = time.monotonic() + self._kept_for
        return kept

    def response(self, name: str) -> FileResponse:
        """A kept file, to be saved. Raises `ApiError` with status 404."""
        with self._lock:
            self._expire()
            if name not in self._until:
                raise ApiError(404, "there is no such file, or not any more")
        return FileResponse(self._folder / name, filename=name.partition(".")[2], media_type="application/octet-stream")

    def close(self) -> None:
        """Forget all."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def expiring(self) -> None:
        """Forget what has expired, also while nobody asks for anything, until cancelled."""
        while True:
            await asyncio.sleep(min(LOOK, self._kept_for))
            with self._lock:
                self._expire()

    def _make_room(self, wanted: int) -> None:
        """Forget the oldest ones where all together have more than `MOST_BYTES`."""
        sizes = {name: (self._folder / name).stat().st_size for name in self._until}
        total = sum(sizes.values()) + wanted
        for name in list(self._until):
            if total <= MOST_BYTES:
                break
            self._forget(name)
            total -= sizes[name]

    def _write(self, file: Path, content: bytes) -> None:
        try:
            file.write_bytes(content)
        except OSError as error:
            file.unlink(missing_ok=True)
            log.error("a translated file could not be kept: %s", os.strerror(error.errno or 0))
            raise ApiError(503, "the server has no room for the file", {"Retry-After": "60"}) from None

    def _forget(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        del self._until[name]

    def _expire(self) -> None:
        now = time.monotonic()
        for name in [name for name, until in self._until.items() if until < now]:
            self._forget(name)


async def translated_file(
    service: Service,
    files: Files,
    request: Request,
    client: Client,
    upload: UploadFile,
    source: str | None,
    target: str,
) -> str:
    """Translate a file; the name under which the translation can be fetched. Raises `ApiError`."""
    name = upload.filename or "file.txt"
    form = FORMS.get(PurePosixPath(name.lower()).suffix)
    if form is None:
        raise ApiError(400, f"Invalid request: file format not supported; it is one of {', '.join(FORMS)}")
    content, caller = await upload.read(), service.caller(client, Lane.FILE)
    items = await service.run(request, caller, lambda: _items(content, name, form))
    texts = [item.text for item in items if isinstance(item, Part)]
    options = TextOptions(wrapped=form in ("srt", "vtt"))
    found = await service.translate(request, caller, texts, source, target, options)
    translations = iter(one.translation.text for one in found)
    done = "".join(item.put(next(translations)) if isinstance(item, Part) else item for item in items)
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    return files.put(f"{stem}_{target}{suffix}", done)


def _items(content: bytes, name: str, form: Form) -> list[Part | str]:
    """What is to be translated, and what is around it."""
    text = _decoded(content, name)
    return list(parts(text.splitlines(keepends=True) if form != "text" else _lines(text), form))


def _lines(text: str) -> Iterable[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"byte {error.start} is {content[error.start]:#04x}"
        raise ApiError(400, f"{_plain_name(name)} is not UTF-8: {place}") from None


def _plain_name(name: str) -> str:
    """A file's name without folders and signs that matter to a system, and not too long."""
    plain = _UNSAFE.sub("_", PurePosixPath(name.replace("\\", "/")).name).strip(". ") or "file"
    return plain[-LONGEST_NAME:]
