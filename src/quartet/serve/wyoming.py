"""The Wyoming protocol over TCP, by which Home Assistant asks for text of what was said."""

import asyncio
import logging
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, cast

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.server import AsyncEventHandler

from quartet.errors import OptionError
from quartet.serve.listening import LONGEST, Listening, SpeechOptions, Upload, text_of
from quartet.serve.models import Model
from quartet.serve.service import Client, Service, told
from quartet.serve.web import ApiError, unless_gone
from quartet.text.languages import iso639_1

MOST_CONNECTIONS = 64
LONGEST_PART = 1 << 20  # bytes of an event's data or sound: a second has 32,000
IN_MEMORY = 1 << 20  # bytes of a recording; more of it is in a file
QUARTET = Attribution(name="quartet", url="https://pypi.org/project/quartet-onnx/")

log = logging.getLogger("quartet.serve")


@asynccontextmanager
async def serving(service: Service, listening: Listening, host: str, port: int) -> AsyncIterator[int]:
    """Answer on a port, 0 for a free one, as long as the `with` statement lasts; gives the port.

    What was asked is answered then, within the time of grace. Raises `OptionError`.
    """
    talks: dict[asyncio.Task[None], _Talk] = {}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(talks) >= MOST_CONNECTIONS:
            writer.close()
            return
        talks[task] = _Talk(service, listening, reader, writer)
        try:
            await talks[task].run()
        except Exception as error:  # whatever the package makes of broken events, and of clients that are gone
            log.info("a Wyoming client was not understood: %s", type(error).__name__)
        finally:
            del talks[task]

    try:
        server = await asyncio.start_server(talk, host, port)
    except OSError as error:
        raise OptionError(f"{host}:{port} cannot be listened on for Wyoming: {error.strerror or error}") from None
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, one in talks.items():
            if not one.is_at_work:
                task.cancel()
        if talks:
            _, late = await asyncio.wait(list(talks), timeout=service.options.grace)
            for task in late:
                task.cancel()


@dataclass(frozen=True)
class _Bounded:
    """What a client sends, with parts of a bounded length, each within a bounded time. Raises `ValueError`."""

    reader: asyncio.StreamReader
    timeout: float

    async def readline(self) -> bytes:
        """A line."""
        return await self._in_time(self.reader.readline())

    async def readexactly(self, size: int) -> bytes:
        """So many bytes."""
        if size > LONGEST_PART:
            raise ValueError(f"a part of {size} bytes; {LONGEST_PART} is the most")
        return await self._in_time(self.reader.readexactly(size))

    async def end(self) -> None:
        """Returns when the client has gone, or says more than is asked."""
        await self.reader.read(1)

    async def _in_time(self, reading: Any) -> bytes:
        try:
            return cast(bytes, await asyncio.wait_for(reading, self.timeout))
        except TimeoutError:
            raise ValueError(f"nothing came within {self.timeout:g} s") from None


class _Talk(AsyncEventHandler):
    """A connection, on which one recording is transcribed."""

    def __init__(
        self, service: Service, listening: Listening, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._bounded = _Bounded(reader, service.options.body_timeout)
        super().__init__(cast(asyncio.StreamReader, self._bounded), writer)
        self._service, self._listening = service, listening
        self._asked = Transcribe()
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed in `disconnect`
        self._sound: wave.Wave_write | None = None
        self.is_at_work = False

    async def handle_event(self, event: Event) -> bool:
        """Take an event; False ends the connection."""
        try:
            if Describe.is_type(event.type):
                await self.write_event(_info(self._service.models.hearing).event())
            elif Transcribe.is_type(event.type):
                self._asked = Transcribe.from_event(event)
            elif AudioChunk.is_type(event.type):
                self._add(AudioChunk.from_event(event))
            elif AudioStop.is_type(event.type):
                self.is_at_work = True
                await self.write_event((await self._transcript()).event())
                return False
        except ApiError as error:
            await self.write_event(Error(error.message, str(error.status)).event())
            return False
        return True

    async def disconnect(self) -> None:
        """Let go of the recording."""
        if self._sound is not None:
            with suppress(wave.Error):  # where nothing was written
                self._sound.close()
        self._file.close()

    def _add(self, chunk: AudioChunk) -> None:
        if self._sound is None:
            self._sound = wave.open(cast(Any, self._file), "wb")  # noqa: SIM115 - closed in `disconnect`
            try:
                self._sound.setparams((chunk.channels, chunk.width, chunk.rate, 0, "NONE", "NONE"))
            except wave.Error as error:
                raise ApiError(400, f"the sound cannot be read: {error}") from None
        if (chunk.channels, chunk.width, chunk.rate) != self._sound.getparams()[:3]:
            raise ApiError(400, "the sound changes its rate, width or channels; all chunks are to be alike")
        self._sound.writeframesraw(chunk.audio)
        if self._file.tell() > self._service.options.upload_limit:
            raise ApiError(413, f"the sound is larger than {self._service.options.upload_limit} bytes")

    async def _transcript(self) -> Transcript:
        if self._sound is None:
            return Transcript("")
        self._sound.close()
        self._file.seek(0)
        address = self.writer.get_extra_info("peername")
        client = Client(address[0] if address else "unknown")
        self._service.take(client)
        caller = self._service.caller(client)
        model = self._listening.model(self._asked.name)
        words = [*(self._asked.transcript_names or ()), *(self._asked.transcript_terms or ())]
        options = SpeechOptions(self._asked.language or None, hotwords=", ".join(map(str, words)) or None)
        sound = cast(Any, Upload(cast(Any, self._file), "the sound", caller))
        segments = self._listening.heard(caller, model, sound, options)
        with told():
            work = unless_gone(self._bounded.end(), self._service.pool, caller, lambda: list(segments), LONGEST)
            found = await work
        said = [one.segment for one in found if one.segment is not None]
        language = found[0].info.language
        return Transcript(text_of(said), language=iso639_1(language) or language)


def _info(models: list[Model]) -> Info:
    ours = version("quartet-onnx")
    speech = [
        AsrModel(
            name=model.id,
            attribution=QUARTET,
            installed=True,
            description=model.id,
            version=ours,
            languages=[iso639_1(code) or code for code in model.codes("source")] or ["en"],
        )
        for model in models
    ]
    about = "Speech to text by small models on plain CPUs"
    program = AsrProgram(
        name="quartet", attribution=QUARTET, installed=True, description=about, version=ours, models=speech
    )
    return Info(asr=[program] if models else [])
