"""OpenAI's realtime sessions over WebSockets: speech in pieces becomes text while it is spoken.

A session reads events in their order, and a task beside it writes what is said, turn after turn. While a turn goes on,
what is new of it is looked at again and again, as `quartet listen` does; what looks agree on is sent and never taken
back. When the turn has ended, it is transcribed as a recording is.
"""

import asyncio
import base64
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from quartet.audio.audio import RATE
from quartet.audio.decode import as_float
from quartet.live.events import LiveText
from quartet.live.growing_text import rest
from quartet.live.phrase import PhraseText, looked
from quartet.live.sound import LiveSound, Pcm, Turn
from quartet.live.utterances import Began
from quartet.serve.decoding import Caller
from quartet.serve.fair_queue import Lane
from quartet.serve.listening import LONGEST, Heard, Listening, SpeechOptions, text_of, translates_by_itself
from quartet.serve.openai_audio import OF_OPENAI, admitted, error_body, languages_of, log_probs, speech_model
from quartet.serve.realtime_settings import (
    DELAYS,
    TRANSCRIPTION,
    TRANSLATION,
    Changes,
    Settings,
    checked_language,
    first_settings,
    session_told,
)
from quartet.serve.service import Client, Service, told
from quartet.serve.web import ApiError, unless_gone
from quartet.text.languages import script_of
from quartet.text.sentences import UNSPACED
from quartet.transcription.segments import Segment

MOST_SESSIONS = 32  # each has a turn in memory, and may wait for the decoder
MOST_IDLE = 900.0  # seconds without an event
MOST_HELD = 600.0  # seconds of sound before it is committed, where the client says when
MOST_WAITING = 120.0  # seconds of turns that wait for their text: no more is read until then
MOST_TURNS = 32  # that wait so
SHORTEST = RATE // 10  # samples that can be committed, as OpenAI has it
PATIENCE = 3.0  # times as long as the last guess took, of sound, before the next: a session guesses a third of the time
KEY = "openai-insecure-api-key."  # what browsers, which set no headers, put before their key
FRAME = 200  # milliseconds, the steps of `elapsed_ms`
Result = TypeVar("Result")

log = logging.getLogger("quartet.serve")


def router(service: Service, listening: Listening) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI realtime"])
    sessions: set[WebSocket] = set()

    @routes.websocket("/realtime")
    async def _transcription(socket: WebSocket) -> None:
        """What is said, in its language."""
        await _serve(service, listening, sessions, socket, TRANSCRIPTION)

    @routes.websocket("/realtime/translations")
    async def _translation(socket: WebSocket) -> None:
        """What is said, in another language."""
        await _serve(service, listening, sessions, socket, TRANSLATION)

    @routes.get("/realtime", include_in_schema=False)
    @routes.get("/realtime/translations", include_in_schema=False)
    async def _plain() -> None:
        raise ApiError(426, "this is a WebSocket; connect to it with ws:// or wss://", {"Upgrade": "websocket"})

    return routes


async def _serve(
    service: Service, listening: Listening, sessions: set[WebSocket], socket: WebSocket, kind: str
) -> None:
    """A session from its beginning to its end. Raises `ApiError`, which refuses the connection."""
    protocols: list[str] = socket.scope["subprotocols"]
    key = next((one.removeprefix(KEY) for one in protocols if one.startswith(KEY)), None)
    client = admitted(service, socket, key=key)
    settings = _asked(listening, socket.query_params, kind)
    if len(sessions) >= MOST_SESSIONS:
        message = f"{MOST_SESSIONS} realtime sessions are open, which is the most; try again later"
        raise ApiError(503, message, {"Retry-After": "10"}, code="too_many_sessions")
    sessions.add(socket)
    try:
        sound = await _off_the_loop(service, lambda: LiveSound(settings.form, settings.detection))
        await socket.accept(next((one for one in protocols if not one.startswith(KEY)), None))
        await _Session(service, listening, socket, client, settings, sound).run()
    finally:
        sessions.remove(socket)


def _asked(listening: Listening, params: Mapping[str, str], kind: str) -> Settings:
    """What the address says. Raises `ApiError`."""
    if params.get("intent", TRANSCRIPTION) != TRANSCRIPTION and kind == TRANSCRIPTION:
        message = f"intent is {params['intent'][:60]!r}; transcription is expected, nothing is spoken here"
        raise ApiError(400, message, param="intent", code="unsupported_value")
    if "call_id" in params:
        raise ApiError(400, "call_id: calls are not answered here", param="call_id", code="unsupported_value")
    model = params.get("model") or OF_OPENAI[0]
    speech_model(listening, model)
    return first_settings(kind, model, checked_language(listening, model, params.get("language")))


async def _off_the_loop(service: Service, work: Callable[[], Result]) -> Result:
    """What `work` returns, computed in a thread. Raises `ApiError`."""
    with told():
        return await asyncio.get_running_loop().run_in_executor(service.pool, work)


@dataclass
class _Item:
    """A turn on its way to its text."""

    id: str
    previous: str | None  # the one before
    samples: int = 0  # that have come
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)  # it has ended, or is not wanted any more
    turn: Turn | None = None  # once it has ended
    sent: str = ""  # text of it
    language: str | None = None  # once it is sure

    def end(self, turn: Turn | None) -> None:
        """Nothing more of it comes."""
        self.turn = turn
        self.over.set()
        self.changed.set()


class _Session:
    """A connection."""

    def __init__(
        self,
        service: Service,
        listening: Listening,
        socket: WebSocket,
        client: Client,
        settings: Settings,
        sound: LiveSound,
    ) -> None:
        self._service, self._listening, self._socket, self._client = service, listening, socket, client
        self._settings, self._sound = settings, sound
        self._id, self._expires_at = _new_id("sess"), time.time() + LONGEST
        self._using_sound = asyncio.Lock()
        self._item: _Item | None = None  # that goes on
        self._last: str | None = None  # item that was committed
        self._items: asyncio.Queue[_Item | None] = asyncio.Queue()  # to be written, None for the end
        self._waiting = 0  # samples of those that have ended
        self._written = asyncio.Event()
        self._has_said = {"input": False, "output": False}  # of a translation, by its side
        self._is_closing = False

    async def run(self) -> None:
        """Answer until the client goes."""
        code = 1000
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write())
                await self._tell("session.created", {"session": self._told()})
                await self._read()
                if self._is_closing:
                    self._items.put_nowait(None)
                    await writing
                    await self._tell("session.closed", {})
                writing.cancel()
        except* WebSocketDisconnect:
            pass
        except* Exception:
            log.exception("a realtime session failed")
            code = 1011
        with suppress(RuntimeError, WebSocketDisconnect):  # the client was first
            await self._socket.close(code)

    # ---- what the client sends --------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while not self._is_closing:
            left = self._expires_at - time.time()
            try:
                message = await asyncio.wait_for(self._socket.receive(), max(0.0, min(MOST_IDLE, left)))
            except TimeoutError:
                why = "it has lasted for too long" if left < MOST_IDLE else f"nothing came for {MOST_IDLE:g} s"
                await self._tell_error(ApiError(408, f"the session is over: {why}", code="session_expired"))
                return
            if message["type"] == "websocket.disconnect":
                return
            await self._take(message)

    async def _take(self, message: Message) -> None:
        event: Mapping[str, Any] = {}
        try:
            event = await _off_the_loop(self._service, lambda: _event_of(message))
            await self._handler(event["type"])(event)
        except ApiError as error:
            given = event.get("event_id")
            await self._tell_error(error, given if isinstance(given, str) else None)

    def _handler(self, kind: Any) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
        known: dict[str, Callable[[Mapping[str, Any]], Awaitable[None]]]
        if self._settings.kind == TRANSCRIPTION:
            known = {
                "session.update": self._update,
                "transcription_session.update": self._update_as_before,
                "input_audio_buffer.append": self._append,
                "input_audio_buffer.commit": self._commit,
                "input_audio_buffer.clear": self._clear,
            }
        else:
            known = {
                "session.update": self._update,
                "session.input_audio_buffer.append": self._append,
                "session.close": self._close,
            }
        if not isinstance(kind, str) or kind not in known:
            message = f"type: it is {str(kind)[:60]!r}; a {self._settings.kind} session takes {', '.join(known)}"
            raise ApiError(400, message, param="type", code="invalid_value")
        return known[kind]

    async def _update(self, event: Mapping[str, Any]) -> None:
        changes = Changes(self._listening, self._service.models)
        await self._change(changes.updated(self._settings, event.get("session")))
        await self._tell("session.updated", {"session": self._told()})

    async def _update_as_before(self, event: Mapping[str, Any]) -> None:
        changes = Changes(self._listening, self._service.models)
        await self._change(changes.updated_as_before(self._settings, event.get("session")))
        await self._tell("transcription_session.updated", {"session": self._told()})

    async def _change(self, settings: Settings) -> None:
        async with self._using_sound:
            await _off_the_loop(self._service, lambda: self._sound.change(settings.form, settings.detection))
        self._settings = settings

    async def _append(self, event: Mapping[str, Any]) -> None:
        if self._settings.detection is None and len(self._sound) >= MOST_HELD * RATE:
            message = f"audio: {MOST_HELD:g} s wait already, which is the most; commit or clear them"
            raise ApiError(400, message, param="audio", code="input_audio_buffer_full")
        piece = await _off_the_loop(self._service, lambda: _sound_of(event.get("audio")))
        async with self._using_sound:
            happened = await _off_the_loop(self._service, lambda: list(self._sound.add(piece)))
            for one in happened:
                await (self._begin(one) if isinstance(one, Began) else self._stopped(one))
            if self._item is not None:
                self._item.samples = len(self._sound)
                self._item.changed.set()
        while self._waiting > MOST_WAITING * RATE or self._items.qsize() > MOST_TURNS:
            self._written.clear()
            await self._written.wait()

    async def _commit(self, event: Mapping[str, Any]) -> None:
        del event
        async with self._using_sound:
            turn = self._sound.commit() if self._item is not None and len(self._sound) >= SHORTEST else None
        if turn is None:
            has = 1000 * len(self._sound) // RATE if self._item is not None else 0
            message = f"there is nothing to commit: {has} ms of a turn have come, 100 ms are the least"
            raise ApiError(400, message, code="input_audio_buffer_commit_empty")
        await self._finished(turn)

    async def _clear(self, event: Mapping[str, Any]) -> None:
        del event
        async with self._using_sound:
            self._sound.clear()
        if self._item is not None:
            self._item.end(None)
            self._item = None
        await self._tell("input_audio_buffer.cleared", {})

    async def _close(self, event: Mapping[str, Any]) -> None:
        del event
        async with self._using_sound:
            turn = self._sound.commit()
        if turn is not None:
            await self._finished(turn)
        self._is_closing = True

    # ---- turns ------------------------------------------------------------------------------------------------------

    async def _begin(self, began: Began) -> None:
        self._item = _Item(_new_id("item"), self._last)
        self._items.put_nowait(self._item)
        if self._settings.detection is not None and self._settings.kind == TRANSCRIPTION:
            where = {"audio_start_ms": _milliseconds(began.at), "item_id": self._item.id}
            await self._tell("input_audio_buffer.speech_started", where)

    async def _stopped(self, turn: Turn) -> None:
        if self._settings.kind == TRANSCRIPTION:
            assert self._item is not None
            where = {"audio_end_ms": _milliseconds(turn.end), "item_id": self._item.id}
            await self._tell("input_audio_buffer.speech_stopped", where)
        await self._finished(turn)

    async def _finished(self, turn: Turn) -> None:
        assert self._item is not None
        item, self._item = self._item, None
        self._last = item.id
        self._waiting += len(turn.sound)
        if self._settings.kind == TRANSCRIPTION:
            where = {"item_id": item.id, "previous_item_id": item.previous}
            await self._tell("input_audio_buffer.committed", where)
            await self._tell("conversation.item.added", _item_told(item, "in_progress", None))
        item.end(turn)

    # ---- text -------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while (item := await self._items.get()) is not None:
            self._written.set()
            await self._follow(item)
            if item.turn is None:
                continue
            try:
                self._service.take(self._client)
                await (self._transcribe if self._settings.kind == TRANSCRIPTION else self._translate)(item, item.turn)
            except WebSocketDisconnect:
                raise
            except ApiError as error:
                await self._tell_failed(item, error)
            except Exception:
                log.exception("a turn failed")
                await self._tell_failed(item, ApiError(500, "something went wrong in the server; its log says what"))
            self._waiting -= len(item.turn.sound)
            self._written.set()

    async def _follow(self, item: _Item) -> None:
        """Send what is sure of a turn while it goes on."""
        growing: PhraseText | None = None
        sure, heard, pause = "", 0, DELAYS[self._settings.transcription.delay] * RATE
        while not item.over.is_set():
            await item.changed.wait()
            item.changed.clear()
            if not self._settings.transcribes or item.samples - heard < pause:
                continue
            async with self._using_sound:
                if item.over.is_set():
                    return
                sound, first = self._sound.so_far(), self._sound.first
            start = time.monotonic()
            found = await self._look(item, growing, sound, first)
            taken = time.monotonic() - start
            heard, pause = len(sound), max(DELAYS[self._settings.transcription.delay], PATIENCE * taken) * RATE
            if found is not None:
                growing, told = found
                sure += "".join(one.text for one in told if one.is_final)
                if told:
                    await self._tell_more(item, sure.strip(), told[-1].language)

    async def _look(
        self, item: _Item, growing: PhraseText | None, sound: Pcm, first: int
    ) -> tuple[PhraseText, list[LiveText]] | None:
        """What the turn so far sounds like; None where it has ended before that is known, or nothing can be said."""
        caller = self._service.caller(self._client, Lane.REALTIME)
        model, options = speech_model(self._listening, self._settings.transcription.model), self._spoken(item)

        def look() -> tuple[PhraseText, list[LiveText]]:
            with self._listening.recognizer(caller, model, options) as recognizer:
                return looked(growing, recognizer, as_float(sound), first)

        try:
            with told():
                found = await unless_gone(_wait(item.over), self._service.pool, caller, look, LONGEST)
        except ApiError:
            return None
        except Exception:  # the whole turn will tell, if it is more than a guess
            log.exception("a guess failed")
            return None
        language = found[0].language
        if language is not None and not self._settings.transcription.languages:
            item.language = language.code
        return found

    async def _transcribe(self, item: _Item, turn: Turn) -> None:
        found, text = [], ""
        async with aclosing(self._whole(item, turn, None)) as heard:
            async for one in heard:
                found.append(one)
                if one.segment is not None:
                    text = text_of(_segments(found))
                    await self._tell("conversation.item.input_audio_transcription.segment", _segment(item, one.segment))
                    await self._tell_more(item, text, one.info.language)
        done = {"item_id": item.id, "content_index": 0, "transcript": text, "languages": languages_of(found)}
        done["usage"] = {"type": "duration", "seconds": round(len(turn.sound) / RATE, 2)}
        if self._settings.log_probs:
            done["logprobs"] = log_probs(_segments(found))
        await self._tell("conversation.item.input_audio_transcription.completed", done)
        await self._tell("conversation.item.done", _item_told(item, "completed", text))

    async def _translate(self, item: _Item, turn: Turn) -> None:
        target, said = self._settings.target, ""
        async with aclosing(self._whole(item, turn, target)) as heard:
            async for one in heard:
                if one.said is not None and self._settings.transcribes:
                    said += one.said.text
                    await self._tell_more(item, said.strip(), one.info.language, turn)
                if one.segment is not None:
                    await self._tell_side("output", one.segment.text.strip(), target, turn)
        if self._settings.transcribes and translates_by_itself(target):  # then it was not told what was said
            async with aclosing(self._whole(item, turn, None)) as heard:
                found = [one async for one in heard]
            await self._tell_more(item, text_of(_segments(found)), found[0].info.language, turn)

    def _whole(self, item: _Item, turn: Turn, target: str | None) -> AsyncGenerator[Heard]:
        caller = self._service.caller(self._client, Lane.REALTIME)
        return self._listening.in_steps(caller, self._heard(caller, item, turn.sound, target))

    def _heard(self, caller: Caller, item: _Item, sound: Pcm, target: str | None) -> Any:
        options = replace(self._spoken(item), target=target, words=self._settings.log_probs)
        model = speech_model(self._listening, self._settings.transcription.model)
        return self._listening.heard(caller, model, sound, options)

    def _spoken(self, item: _Item) -> SpeechOptions:
        asked = self._settings.transcription
        return SpeechOptions(
            language=item.language or asked.language or ",".join(asked.languages) or None,
            prompt=asked.prompt,
            hotwords=", ".join(asked.keywords) or None,
            voices=None,  # a turn is speech
        )

    # ---- what the server tells --------------------------------------------------------------------------------------

    async def _tell(self, kind: str, fields: Mapping[str, Any]) -> None:
        event = {"type": kind, "event_id": _new_id("event"), **fields}
        try:
            await self._socket.send_text(json.dumps(event, ensure_ascii=False))
        except RuntimeError:  # it was closed meanwhile
            raise WebSocketDisconnect(1006) from None

    async def _tell_error(self, error: ApiError, event_id: str | None = None) -> None:
        await self._tell("error", {"error": error_body(error)["error"] | {"event_id": event_id}})

    async def _tell_failed(self, item: _Item, error: ApiError) -> None:
        if self._settings.kind == TRANSLATION:
            await self._tell_error(error)
            return
        failed = {"item_id": item.id, "content_index": 0, "error": error_body(error)["error"]}
        await self._tell("conversation.item.input_audio_transcription.failed", failed)

    async def _tell_more(self, item: _Item, text: str, language: str, turn: Turn | None = None) -> None:
        """Send what is new in the text of a turn."""
        new = rest(item.sent, text)
        if not new:
            return
        is_first = not item.sent
        item.sent += new
        if self._settings.kind == TRANSCRIPTION:
            more = {"item_id": item.id, "content_index": 0, "delta": new}
            await self._tell("conversation.item.input_audio_transcription.delta", more)
        elif is_first:
            await self._tell_side("input", new, language, turn)
        else:
            await self._tell_delta("input", new, turn)

    async def _tell_side(self, side: str, text: str, language: str, turn: Turn | None) -> None:
        """Send a part of a translation, or of what was said, which stands by itself."""
        if text:
            space = " " if self._has_said[side] and script_of(language) not in UNSPACED else ""
            self._has_said[side] = True
            await self._tell_delta(side, space + text, turn)

    async def _tell_delta(self, side: str, text: str, turn: Turn | None) -> None:
        elapsed = _milliseconds(self._sound.position if turn is None else turn.end) // FRAME * FRAME
        await self._tell(f"session.{side}_transcript.delta", {"delta": text, "elapsed_ms": elapsed})

    def _told(self) -> dict[str, Any]:
        return session_told(self._settings, self._id, round(self._expires_at))


# ---- events ---------------------------------------------------------------------------------------------------------


def _event_of(message: Message) -> Mapping[str, Any]:
    text = message.get("text")
    if text is None:
        raise ApiError(400, "a binary message is no event; events are JSON, with sound as Base64", code="invalid_event")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise ApiError(400, "the event is not JSON", code="invalid_json") from None
    if not isinstance(event, dict) or "type" not in event:
        raise ApiError(400, "the event has no type; an object with one is expected", param="type", code="invalid_event")
    return event


def _sound_of(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ApiError(400, "audio: sound as Base64 is expected", param="audio", code="invalid_value")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise ApiError(400, f"audio: it is no Base64: {error}", param="audio", code="invalid_value") from None


def _item_told(item: _Item, status: str, transcript: str | None) -> dict[str, Any]:
    content = {"type": "input_audio", "transcript": transcript}
    told_of = {"id": item.id, "object": "realtime.item", "type": "message", "status": status, "role": "user"}
    return {"previous_item_id": item.previous, "item": told_of | {"content": [content]}}


def _segment(item: _Item, segment: Segment) -> dict[str, Any]:
    """With times in seconds of the turn; speakers are not told apart."""
    place = {"item_id": item.id, "content_index": 0, "id": _new_id("seg"), "speaker": ""}
    return place | {"text": segment.text.strip(), "start": segment.start, "end": segment.end}


def _segments(found: list[Heard]) -> list[Segment]:
    return [one.segment for one in found if one.segment is not None]


def _milliseconds(samples: int) -> int:
    return samples * 1000 // RATE


def _new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
