"""What all interfaces share: parameters from wherever clients put them, work off the event loop, errors."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quartet.serve.decoding import Caller

_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
CLOSE = {"Connection": "close"}  # what is left of the body is not read
Params = Mapping[str, Any]
Result = TypeVar("Result")


@dataclass
class ApiError(Exception):
    """What a request gets instead of an answer; each interface has its own shape for it."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    param: str | None = None  # that is wrong
    code: str | None = None  # for programs


@dataclass(frozen=True)
class LimitedBody:
    """An application whose requests have bodies of at most `max_bytes`, each part of which comes within `timeout` s.

    Reading more, or waiting for longer, raises `ApiError` with status 413 or 408 where the body is read.
    """

    app: ASGIApp
    max_bytes: int
    timeout: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        read, is_read = 0, False

        async def receive_some() -> Message:
            nonlocal read, is_read
            if is_read:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self.timeout)
            except TimeoutError:
                raise ApiError(408, f"the body did not come within {self.timeout:g} s", CLOSE) from None
            read += len(message.get("body", b""))
            is_read = not message.get("more_body", False)
            if max(read, _announced(scope)) > self.max_bytes:
                raise ApiError(413, f"the body is larger than {self.max_bytes} bytes", CLOSE)
            return message

        await self.app(scope, receive_some, send)


def _announced(scope: Scope) -> int:
    """Bytes of the body, as the request says."""
    length = Headers(scope=scope).get("content-length", "")
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
    return found


async def _form(request: Request) -> FormData:
    try:
        return await request.form()
    except (ApiError, ClientDisconnect):
        raise
    except Exception as error:  # whatever the parser makes of a broken body
        raise ApiError(400, f"the form cannot be read: {error}") from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON") from None
    if not isinstance(found, dict):
        raise ApiError(400, f"the body is a JSON {type(found).__name__}; an object is expected")
    return found


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
        raise ApiError(400, f"{name} is {json.dumps(value, default=str)[:60]}; a string is expected", param=name)
    return value


def number_param(params: Params, name: str, default: int) -> int:
    """A parameter that is a whole number. Raises `ApiError` for anything else."""
    value = params.get(name, default)
    if value is None or value == "":
        return default
    try:
        if isinstance(value, bool | list | dict):
            raise TypeError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise ApiError(400, f"{name} is {str(value)[:60]!r}; a whole number is expected", param=name) from None


def flag_param(params: Params, name: str, default: bool) -> bool:
    """A parameter that is true or false. Raises `ApiError` for anything else."""
    value = params.get(name)
    if value is None or value == "":
        return default
    word = str(value).strip().lower()
    if word not in _FLAGS:
        raise ApiError(400, f"{name} is {word[:60]!r}; true or false is expected", param=name)
    return _FLAGS[word]


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
            return job.result()
        caller.cancel()
        raise ApiError(499, "the client hung up") if gone in done else ApiError(504, f"no answer within {timeout:g} s")
    except CancelledError:
        raise ApiError(503, "the server is stopping") from None
    except asyncio.CancelledError:
        caller.cancel()
        raise
    finally:
        gone.cancel()
        job.add_done_callback(_seen)


def _seen(job: "asyncio.Future[Any]") -> None:
    """Nobody waits for it any more: what it raises has been told, or is that it was cancelled."""
    if not job.cancelled():
        job.exception()


async def _hung_up(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
