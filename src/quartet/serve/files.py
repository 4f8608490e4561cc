"""Files to be translated, and their translations, which are kept for half an hour."""

import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse

from quartet.serve.fair_queue import Lane
from quartet.serve.service import Client, Service, TextOptions, told
from quartet.serve.web import ApiError
from quartet.text.html_encoding import html_of
from quartet.text.line_formats import Form, parts

KEPT_FOR = 30 * 60.0  # seconds
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
        """Keep a file; returns the name under which it can be fetched."""
        kept = f"{uuid.uuid4()}.{_plain_name(name)}"
        with self._lock:
            self._expire()
            (self._folder / kept).write_text(text, "utf-8", newline="")
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

    def _expire(self) -> None:
        now = time.monotonic()
        for name in [name for name, until in self._until.items() if until < now]:
            (self._folder / name).unlink(missing_ok=True)
            del self._until[name]


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
    text = _decoded(await upload.read(), name, form)
    lines = text.splitlines(keepends=True) if form != "text" else _lines(text)
    items = await run_in_threadpool(lambda: list(parts(lines, form, target=target)))
    texts = [item.text for item in items if not isinstance(item, str)]
    options = replace(options, wrapped=form in ("srt", "vtt"))
    found = await service.translate(request, service.caller(client, Lane.FILE), texts, source, target, options)
    translations = iter(one.translation.text for one in found)
    done = "".join(item if isinstance(item, str) else item.put(next(translations)) for item in items)
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    return files.put(f"{stem}_{target}{suffix}", done)


def _lines(text: str) -> Iterable[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _decoded(content: bytes, name: str, form: Form) -> str:
    if form == "html":
        with told():
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
