"""OpenAI's interface for speech: transcriptions, translations, models."""

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from quartet.audio.voice_activity import VadOptions
from quartet.serve.cues import CUE_FIELDS, cue_params
from quartet.serve.decoding import Caller
from quartet.serve.listening import (
    LONGEST,
    Heard,
    Listening,
    SpeechOptions,
    english_name,
    sound_of,
    text_of,
)
from quartet.serve.models import Model
from quartet.serve.openapi import (
    EVENTS,
    FILE,
    FLAG,
    JSON,
    PARTS,
    PLAIN,
    STRING,
    WHOLE,
    Schema,
    answers,
    example,
    fields,
    many,
    one_of,
    takes,
)
from quartet.serve.service import Client, Service, told
from quartet.serve.web import (
    ApiError,
    Params,
    flag_param,
    key_in_header,
    list_param,
    params_of,
    text_param,
    upload_param,
)
from quartet.text.languages import iso639_1
from quartet.transcription.cues import CueOptions
from quartet.transcription.segments import Segment, Word
from quartet.transcription.subtitles import Writer, needs_words, written

OF_OPENAI = ("whisper-1", "gpt-")  # beginnings of names that tools have built in: the first speech model is meant
RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
SUBTITLES = ("srt", "vtt")
STREAMED = ("json", "text", *SUBTITLES)
GRANULARITIES = ("word", "segment")
VAD_PARTS: dict[str, tuple[str, Callable[[Any], Any]]] = {  # of `server_vad`, and what they are here
    "threshold": ("threshold", float),
    "silence_duration_ms": ("min_silence_duration_ms", int),
    "prefix_padding_ms": ("speech_pad_ms", int),
}
POSITIONS_A_SECOND = 50  # of Whisper's encoder: what `input_tokens` counts
KINDS = {429: "requests", 503: "server_error"}
CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded", 503: "server_overloaded"}


@dataclass(frozen=True)
class Wanted:
    """What a request asks for."""

    options: SpeechOptions
    form: str
    granularities: Sequence[str]
    log_probs: bool
    streams: bool
    cues: CueOptions


def error_body(error: ApiError) -> dict[str, Any]:
    """What a client gets with a status that is no success."""
    kind = KINDS.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    code = error.code or CODES.get(error.status)
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}


def router(service: Service, listening: Listening) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI audio"])

    @routes.post("/audio/transcriptions", openapi_extra=takes(_RECORDING, PARTS) | answers(_HEARD, _ERRORS))
    async def _transcriptions(request: Request) -> Response:
        """What is said in a recording, in its language."""
        return await _answer(service, listening, request, lambda _: None)

    @routes.post("/audio/translations", openapi_extra=takes(_RECORDING_TO, PARTS) | answers(_HEARD, _ERRORS))
    async def _translations(request: Request) -> Response:
        """What is said in a recording, in English, or in the language `to_language`."""
        return await _answer(service, listening, request, _language_wanted)

    @routes.get("/models", openapi_extra=answers({JSON: _MODELS}, _REFUSALS))
    async def _models(request: Request) -> dict[str, Any]:
        """The models that are served, those of speech first."""
        admitted(service, request, 0)
        models = [*service.models.hearing, *service.models.translating]
        return {"object": "list", "data": [_model(one, one.id) for one in models]}

    @routes.get("/models/{name:path}", openapi_extra=answers({JSON: _MODEL}, (*_REFUSALS, 400, 404)))
    async def _one_model(request: Request, name: str) -> dict[str, Any]:
        """A model by its name."""
        admitted(service, request, 0)
        for one in service.models.all:
            if name == one.id:
                return _model(one, name)
        return _model(speech_model(listening, name), name)

    return routes


async def _answer(
    service: Service, listening: Listening, request: Request, target: Callable[[Params], str | None]
) -> Response:
    with _retries_told():
        params = await params_of(request)
        client = admitted(service, request)
        upload = upload_param(params, "file")
        wanted = _wanted(params, target(params))
        model = speech_model(listening, text_param(params, "model", OF_OPENAI[0]))
        caller = service.caller(client)
        segments = listening.heard(caller, model, sound_of(upload, caller), wanted.options)
        if wanted.streams:
            return await _streamed(service, listening, request, caller, segments, wanted)
        found = await service.run(request, caller, lambda: list(segments), LONGEST)
        return _whole(found, wanted)


async def _streamed(
    service: Service,
    listening: Listening,
    request: Request,
    caller: Caller,
    segments: Generator[Heard],
    wanted: Wanted,
) -> Response:
    """Events, once it is known that there will be any: what is wrong before that has a status of its own."""
    try:
        first = await service.run(request, caller, lambda: next(segments), LONGEST)
    except BaseException:
        segments.close()
        raise
    events = _events(first, listening.in_steps(caller, segments), wanted)
    return StreamingResponse(events, 200, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, "text/event-stream")


async def _events(first: Heard, heard: AsyncGenerator[Heard], wanted: Wanted) -> AsyncIterator[str]:
    target = wanted.options.target
    form = Writer(wanted.form, first.info, wanted.cues, target) if wanted.form in SUBTITLES else None
    begin = form.begin() if form else ""
    found, deltas = [first], [""]
    try:
        async with aclosing(heard):
            async for one in heard:
                found.append(one)
                said = "".join(map(form.add if form else _text, _segments([one])))
                if form and not said:
                    continue  # the cue waits for what follows
                deltas.append(said if any(deltas) else begin + said.lstrip())
                probs = {"logprobs": log_probs(_segments([one]))} if wanted.log_probs else {}
                yield _event({"type": "transcript.text.delta", "delta": deltas[-1]} | probs)
        if form and (said := form.end()):
            deltas.append(said if any(deltas) else begin + said)
            yield _event({"type": "transcript.text.delta", "delta": deltas[-1]})
    except ApiError as error:
        yield _event(error_body(error))
        return
    segments = _segments(found)
    done = {"type": "transcript.text.done", "text": "".join(deltas) or begin, "languages": languages_of(found)}
    probs = {"logprobs": log_probs(segments)} if wanted.log_probs else {}
    times = {"segments": [_segment(number, one) for number, one in enumerate(segments)]}  # which subtitles need
    yield _event(done | probs | times | {"usage": _tokens_used(found)})


def _whole(found: Sequence[Heard], wanted: Wanted) -> Response:
    segments, info = _segments(found), found[0].info
    if wanted.form in SUBTITLES:
        return PlainTextResponse(written(wanted.form, segments, info, wanted.cues, wanted.options.target))
    text = text_of(segments)
    if wanted.form == "text":
        return PlainTextResponse(text + "\n")
    usage = {"usage": {"type": "duration", "seconds": math.ceil(info.duration or 0)}}
    if wanted.form == "json":
        probs = {"logprobs": log_probs(segments)} if wanted.log_probs else {}
        return JSONResponse({"text": text, "languages": languages_of(found)} | probs | usage)
    target = wanted.options.target
    answer: dict[str, Any] = {
        "task": "transcribe" if target is None else "translate",
        "language": english_name(target or info.language),
        "duration": info.duration,
        "text": text,
    }
    if "word" in wanted.granularities:
        words = [word for segment in segments for word in segment.words or ()]
        answer["words"] = [{"word": one.word.strip(), "start": one.start, "end": one.end} for one in words]
    if "segment" in wanted.granularities:
        answer["segments"] = [_segment(number, one) for number, one in enumerate(segments)]
    return JSONResponse(answer | usage)


# ---- requests -------------------------------------------------------------------------------------------------------


def admitted(service: Service, request: HTTPConnection, cost: int = 1, key: str | None = None) -> Client:
    """Who asks; key: where it is not in the header. Raises `ApiError` with status 401 or 429."""
    try:
        return service.admit(request, key or key_in_header(request, "bearer"), cost)
    except ApiError as error:
        raise replace(error, status=401) if error.status in (400, 403) else error from None


def speech_model(listening: Listening, name: str) -> Model:
    """A speech model by its name; one of OpenAI's means the first. Raises `ApiError` with status 400 or 404."""
    try:
        return listening.model(name)
    except ApiError:
        if name.startswith(OF_OPENAI):
            return listening.model()
        raise


def _language_wanted(params: Params) -> str:
    return text_param(params, "to_language", text_param(params, "to", "en"))


def _wanted(params: Params, target: str | None) -> Wanted:
    form = text_param(params, "response_format", "json")
    streams = flag_param(params, "stream", False)
    if form == "diarized_json" or list_param(params, "known_speaker_names"):
        raise ApiError(400, "speakers are not told apart here", param="response_format", code="unsupported_value")
    _check("response_format", form, RESPONSE_FORMATS)
    if streams and form not in STREAMED:
        known = ", ".join(STREAMED)
        raise ApiError(400, f"{form} is not streamed; the response_format is one of {known}", param="response_format")
    granularities = list_param(params, "timestamp_granularities") or ["segment"]
    for one in granularities:
        _check("timestamp_granularities", one, GRANULARITIES)
    cues = cue_params(params)
    log_probs = "logprobs" in list_param(params, "include") and target is None
    languages = list_param(params, "language") or list_param(params, "languages")
    named = ",".join(one for one in languages if one.lower() != "auto")
    options = SpeechOptions(
        language=named or None,
        target=target,
        prompt=text_param(params, "prompt", "") or None,
        hotwords=", ".join([*list_param(params, "keywords"), *list_param(params, "hotwords")]) or None,
        temperature=_temperature(params),
        words=log_probs
        or (form == "verbose_json" and "word" in granularities)
        or (form in SUBTITLES and needs_words(form, cues)),
        voices=_voices(params),
    )
    return Wanted(options, form, granularities, log_probs, streams, cues)


def _check(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        message = f"{name} is {value[:60]!r}; it is one of {', '.join(known)}"
        raise ApiError(400, message, param=name, code="unsupported_value")


def _temperature(params: Params) -> float:
    given = text_param(params, "temperature", "0")
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ApiError(400, f"temperature is {given[:60]!r}; a number from 0 to 1 is expected", param="temperature")
    return value


def _voices(params: Params) -> VadOptions:
    """When a voice is heard, by `chunking_strategy`: `auto`, or an object, as JSON or with each part by itself."""
    given = text_param(params, "chunking_strategy", "auto")
    parts: Mapping[str, Any] = {name: params.get(f"chunking_strategy[{name}]") for name in VAD_PARTS}
    try:
        if given.lstrip().startswith("{"):
            parts = json.loads(given)
        elif given != "auto":
            raise ValueError(given)
        chosen = {own: kind(parts[name]) for name, (own, kind) in VAD_PARTS.items() if parts.get(name) is not None}
    except (ValueError, TypeError, RecursionError, OverflowError):
        message = f"chunking_strategy is {given[:60]!r}; auto, or server_vad with numbers, is expected"
        raise ApiError(400, message, param="chunking_strategy") from None
    with told():
        return VadOptions(**chosen)


@contextmanager
def _retries_told() -> Iterator[None]:
    """Clients try again by themselves, also what will go wrong again: they are told when that makes sense."""
    try:
        yield
    except ApiError as error:
        again = "true" if error.status in (408, 429, 503) else "false"
        raise replace(error, headers={**error.headers, "X-Should-Retry": again}) from None


# ---- answers --------------------------------------------------------------------------------------------------------


def _segments(found: Sequence[Heard]) -> list[Segment]:
    return [one.segment for one in found if one.segment is not None]


def _text(segment: Segment) -> str:
    return segment.text


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": segment.seek,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": segment.tokens,
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }


def languages_of(found: Sequence[Heard]) -> list[dict[str, str]]:
    """Those that were spoken, at least one."""
    codes = [segment.language for segment in _segments(found) if segment.language] or [found[0].info.language]
    return [{"code": iso639_1(code) or code} for code in dict.fromkeys(codes)]


def log_probs(segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """Those of words: the logarithm of the mean probability of a word's tokens."""
    return [_log_prob(word) for segment in segments for word in segment.words or ()]


def _log_prob(word: Word) -> dict[str, Any]:
    log_prob = math.log(max(word.probability, 1e-9))
    return {"token": word.word, "bytes": list(word.word.encode()), "logprob": log_prob}


def _tokens_used(found: Sequence[Heard]) -> dict[str, Any]:
    heard = math.ceil(POSITIONS_A_SECOND * (found[0].info.duration or 0))
    written = sum(len(segment.tokens) for segment in _segments(found))
    details = {"audio_tokens": heard, "text_tokens": 0}
    counts = {"input_tokens": heard, "output_tokens": written, "total_tokens": heard + written}
    return {"type": "tokens", **counts, "input_token_details": details}


def _event(data: Mapping[str, Any]) -> str:
    """An event as OpenAI writes it, named besides: some clients, as Subtitle Edit, know an event by its name alone."""
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _model(model: Model, name: str) -> dict[str, Any]:
    made = int((model.folder / "quartet.json").stat().st_mtime)
    task = "automatic-speech-recognition" if model.hears else "translation"
    return {"id": name, "object": "model", "created": made, "owned_by": "quartet", "task": task}


_RECORDING: Schema = fields(
    {"file": FILE},
    **{"keywords[]": many(STRING), "languages[]": many(STRING), "include[]": many(one_of(("logprobs",)))},
    **{"timestamp_granularities[]": many(one_of(GRANULARITIES))},
    model=example(OF_OPENAI[0]),
    language=example("en"),
    prompt=STRING,
    response_format=one_of(RESPONSE_FORMATS),
    temperature={"type": "number", "minimum": 0, "maximum": 1},
    stream=FLAG,
    chunking_strategy=example("auto"),
    **CUE_FIELDS,
)
_RECORDING_TO: Schema = {**_RECORDING, "properties": _RECORDING["properties"] | {"to_language": example("en")}}
_HEARD = {JSON: fields({"text": STRING}), PLAIN: STRING, EVENTS: STRING}
_REFUSALS = (401, 429, 500)
_ERRORS = (400, 401, 404, 408, 413, 429, 500, 503, 504)
_MODEL = fields({"id": STRING, "object": STRING, "created": WHOLE, "owned_by": STRING, "task": STRING})
_MODELS = fields({"object": STRING, "data": many(_MODEL)})
