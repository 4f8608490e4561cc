"""What all interfaces share: parameters from wherever clients put them, work off the event loop, errors."""

import asyncio
import ipaddress
import json
import logging
import os
import re
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quartet.errors import OptionError
from quartet.options.kinds import FLAGS, Option, checked
from quartet.serve.decoding import Caller

CLOSE = {"Connection": "close"}  # what is left of the body is not for long read
MOST_TEXT = 4_000_000  # bytes of a body that is no form with files: as JSON it may take 25 times as much memory
MOST_FILES = 8  # in a form: each may be an open file, and one is asked for at most
SLOWEST = 500  # bytes a second of a body, after the first seconds
LINGER = 5.0  # seconds for what is left of a body that is not wanted
LONGEST_MESSAGE = 500  # characters: values are named in it
CHARSETS = (
    "",
    "utf-8",
    "utf8",
    "us-ascii",
    "ascii",
    "iso-8859-1",
    "latin-1",
)  # of forms; others may take long
_FORMS = "quartet.forms"  # in a scope: what is to be closed with the request
_HALVES = re.compile("[\ud800-\udfff]")  # of a character beyond 16 bits
Params = Mapping[str, Any]
Result = TypeVar("Result")
log = logging.getLogger("quartet.serve")


@dataclass
class ApiError(Exception):
    """What a request gets instead of an answer; each interface has its own shape for it."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    param: str | None = None  # that is wrong
    code: str | None = None  # for programs

    def __post_init__(self) -> None:
        if len(self.message) > LONGEST_MESSAGE:
            self.message = self.message[:LONGEST_MESSAGE] + "..."


@dataclass(frozen=True)
class LimitedBody:
    """An application whose requests have bodies of at most `max_bytes`; files of a form are closed with the request.

    Each part of a body comes within `timeout` s, and all of it at no less than `SLOWEST`. Reading more, or waiting for
    longer, raises `ApiError` with status 413 or 408 where the body is read.
    """

    app: ASGIApp
    max_bytes: int
    timeout: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        has_parts = headers.get("content-type", "").lower().startswith("multipart/")
        most = self.max_bytes if has_parts else min(self.max_bytes, MOST_TEXT)
        too_large = f"the body is larger than {most} bytes"
        read, is_read, start = 0, False, time.monotonic()

        async def receive_some() -> Message:
            nonlocal read, is_read
            if is_read:
                return await receive()
            if _announced(headers) > most:
                raise ApiError(413, too_large, CLOSE)
            try:
                left = start + self.timeout + read / SLOWEST - time.monotonic()
                message = await asyncio.wait_for(receive(), min(self.timeout, left))
            except TimeoutError:
                raise ApiError(408, f"the body did not come within {self.timeout:g} s", CLOSE) from None
            read += len(message.get("body", b""))
            is_read = not message.get("more_body", False)
            if read > most:
                raise ApiError(413, too_large, CLOSE)
            return message

        async def send_after_all(message: Message) -> None:
            """A client that still sends when its connection is closed may not see the answer."""
            is_asked = "expect" not in headers or read > 0  # else it waits to be told to send
            if message["type"] == "http.response.start" and message["status"] != 408 and not is_read and is_asked:
                await _drop(receive)
            await send(message)

        forms = scope[_FORMS] = list[FormData]()
        try:
            await self.app(scope, receive_some, send_after_all)
        finally:
            for form in forms:
                await form.close()


@dataclass(frozen=True)
class Forwarded:
    """An application behind a proxy, or not: what is the client's address is only believed where that is wanted.

    Whether the client speaks to the proxy by TLS is always believed: nobody but this client gets the addresses with it.
    """

    app: ASGIApp
    trust: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            if scope["type"] == "http" and headers.get("x-forwarded-proto") in ("http", "https"):
                scope["scheme"] = headers["x-forwarded-proto"]
            last = headers.getlist("x-forwarded-for")[-1:] if self.trust else []
            if last and _is_address(address := last[0].rpartition(",")[2].strip()):
                scope["client"] = (address, 0)
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class HeadAsGet:
    """An application that answers HEAD as it answers GET; the server leaves out the body."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self.app({**scope, "method": "GET"} if is_head else scope, receive, send)


def _is_address(text: str) -> bool:
    """Whether it is an IP address. What else a proxy passes on may be of any length, and anybody's invention."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


async def _drop(receive: Receive) -> None:
    """Take what is left of a body, as long as it keeps coming, but not for long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while (await asyncio.wait_for(receive(), LINGER / 5)).get("more_body", False):
                pass


def _announced(headers: Headers) -> int:
    """Bytes of the body, as the request says."""
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


async def params_of(request: Request) -> dict[str, Any]:
    """Parameters of a request: a JSON object, else those of the address and of the form together.

    Of a name with several values there is a list, except where the form's and the address' values meet: the form's
    counts. Raises `ApiError` with status 400.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return _object(await request.body())
    found = _grouped(request.query_params.multi_items())
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        found |= _grouped((await _form(request)).multi_items())
        if any(name.lstrip().startswith("{") for name in found):  # as curl sends what it is given
            raise ApiError(400, "the body is JSON but not said to be; add the header Content-Type: application/json")
    return found


async def _form(request: Request) -> FormData:
    charset = parse_options_header(request.headers.get("content-type"))[1].get(b"charset", b"").decode("latin-1")
    if charset.lower() not in CHARSETS:
        raise ApiError(400, f"the form's charset is {charset[:60]!r}; utf-8 is expected")
    try:
        form = await request.form(max_files=MOST_FILES)
    except (ApiError, ClientDisconnect):
        raise
    except OSError as error:
        log.error("a file that was sent could not be kept: %s", os.strerror(error.errno or 0))
        raise ApiError(503, "the server has no room for the file", {"Retry-After": "60"}) from None
    except HTTPException as error:
        raise ApiError(400, f"the form cannot be read: {error.detail}") from None
    except Exception as error:  # whatever the parser makes of a broken body
        raise ApiError(400, f"the form cannot be read: {error}") from None
    request.scope.get(_FORMS, []).append(form)
    return form


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
        if b"\\ud" in body.lower() or not body.isascii():
            found = _whole(found)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON") from None
    if not isinstance(found, dict):
        raise ApiError(400, f"the body is {_shown(found)}; an object is expected")
    return found


def _whole(value: Any) -> Any:
    """JSON without halves of characters, as programs send them that cut texts: they cannot be written as UTF-8."""
    if isinstance(value, str):
        return _HALVES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return {_whole(name): _whole(one) for name, one in value.items()} if isinstance(value, dict) else value


def _shown(value: Any) -> str:
    """A value for a message."""
    if isinstance(value, list | dict | UploadFile):
        return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "a file"
    return repr(value[:60]) if isinstance(value, str) else json.dumps(value)[:60]


def _grouped(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in items:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def key_in_header(request: HTTPConnection, scheme: str) -> str | None:
    """The key in `Authorization: SCHEME KEY`, however the scheme is capitalised; None where there is no such one."""
    given, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if given.lower() == scheme.lower() else None


def source_param(params: Params, name: str, default: str | None = None) -> str | None:
    """A source language; None where it is to be detected. Raises `ApiError` where it is missing and has no default."""
    value = text_param(params, name, default)
    return None if value.strip().lower() == "auto" else value


def text_param(params: Params, name: str, default: str | None = None) -> str:
    """A parameter that is a text. Raises `ApiError` where it is missing and has no default, or is something else."""
    value = params.get(name)
    if value is None or value == "":
        if default is None:
            raise ApiError(400, f"Invalid request: missing {name} parameter", param=name)
        return default
    if not isinstance(value, str):
        raise ApiError(400, f"{name} is {_shown(value)}; a string is expected", param=name)
    return value


def option_param(params: Params, option: Option) -> Any:
    """A parameter that is one of our options; None where it is missing. Raises `ApiError` for what it may not be."""
    given = text_param(params, option.name, "")
    try:
        return checked(option, option.kind.read(given)) if given else None
    except OptionError as error:
        raise ApiError(400, str(error), param=option.name) from None


def number_param(params: Params, name: str, default: int) -> int:
    """A parameter that is a whole number. Raises `ApiError` for anything else."""
    value = params.get(name, default)
    if value is None or value == "":
        return default
    try:
        if isinstance(value, bool):
            raise TypeError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise ApiError(400, f"{name} is {_shown(value)}; a whole number is expected", param=name) from None


def flag_param(params: Params, name: str, default: bool) -> bool:
    """A parameter that is true or false. Raises `ApiError` for anything else."""
    value = params.get(name)
    if value is None or value == "":
        return default
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word not in FLAGS:
        raise ApiError(400, f"{name} is {_shown(value)}; true or false is expected", param=name)
    return FLAGS[word]


def list_param(params: Params, name: str) -> list[str]:
    """A parameter that is a list of texts, each sent as `name` or as `name[]`. Raises `ApiError`."""
    given = [params.get(name), params.get(f"{name}[]")]
    values = [one for value in given for one in (value if isinstance(value, list) else [value])]
    return [text_param({name: value}, name) for value in values if value not in (None, "")]


def upload_param(params: Params, name: str) -> UploadFile:
    """A parameter that is a file. Raises `ApiError`."""
    value = params.get(name)
    if not isinstance(value, UploadFile):
        raise ApiError(400, f"Invalid request: missing {name} parameter", param=name)
    return value


async def off_the_loop(
    request: Request, pool: ThreadPoolExecutor, caller: Caller, work: Callable[[], Result], timeout: float
) -> Result:
    """What `work` returns for a request; see `unless_gone`."""
    return await unless_gone(_hung_up(request), pool, caller, work, timeout)


async def unless_gone(
    hung_up: Coroutine[Any, Any, None],
    pool: ThreadPoolExecutor,
    caller: Caller,
    work: Callable[[], Result],
    timeout: float,
) -> Result:
    """What `work` returns, computed in a thread; whoever hangs up, or waits too long, frees its rows.

    hung_up: ends when the client has gone. Raises what `work` raises, and `ApiError` with status 499 or 504.
    """
    job = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(pool, work))
    gone = asyncio.ensure_future(hung_up)
    try:
        done, _ = await asyncio.wait((job, gone), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if job in done:
            return _result(job)
        caller.cancel()
        raise ApiError(499, "the client hung up") if gone in done else ApiError(504, f"no answer within {timeout:g} s")
    except asyncio.CancelledError:
        caller.cancel()
        raise
    finally:
        gone.cancel()
        job.add_done_callback(_seen)


def _result(job: "asyncio.Future[Result]") -> Result:
    """What a job returns. That its rows are not decoded any more asyncio tells as if the job itself was cancelled."""
    try:
        return job.result()
    except asyncio.CancelledError:
        raise ApiError(503, "the server is stopping") from None


def _seen(job: "asyncio.Future[Any]") -> None:
    """Nobody waits for it any more: what it raises has been told, or is that it was cancelled."""
    if not job.cancelled():
        job.exception()


async def _hung_up(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
