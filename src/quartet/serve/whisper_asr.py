"""The interface of whisper-asr-webservice, version 1.9, as Bazarr and others use it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from quartet.audio.audio import Source
from quartet.audio.voice_activity import VadOptions
from quartet.options.declared import TRANSCRIPTION
from quartet.serve.cues import CUE_FIELDS, cue_params
from quartet.serve.decoding import Caller
from quartet.serve.fair_queue import Lane
from quartet.serve.listening import (
    LONGEST,
    Heard,
    Listening,
    SpeechOptions,
    english_name,
    samples_of,
    sound_of,
    text_of,
)
from quartet.serve.openapi import (
    ASKED,
    FILE,
    FLAG,
    JSON,
    NUMBER,
    PARTS,
    PLAIN,
    STRING,
    answers,
    asks,
    fields,
    one_of,
    takes,
)
from quartet.serve.service import Service, told
from quartet.serve.web import (
    ApiError,
    Params,
    flag_param,
    key_in_header,
    option_param,
    params_of,
    text_param,
    upload_param,
)
from quartet.text.languages import iso639_1
from quartet.transcription.cues import CueOptions
from quartet.transcription.subtitles import needs_words, written

OUTPUTS = {"txt": "text", "vtt": "vtt", "srt": "srt", "tsv": "tsv", "json": "json"}


def error_body(error: ApiError) -> dict[str, Any]:
    """What a client gets with a status that is no success."""
    return {"detail": error.message}


def router(service: Service, listening: Listening) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["whisper-asr-webservice"])

    @routes.post("/asr", openapi_extra=_ASKED | takes(_RECORDING, PARTS) | answers({PLAIN: STRING}, (*ASKED, 404)))
    async def _asr(request: Request) -> Response:
        """What is said in a recording, as text or subtitles."""
        params = await params_of(request)
        caller = service.caller(service.admit(request, _key(request, params)), Lane.FILE)
        output = text_param(params, "output", "txt")
        if output not in OUTPUTS:
            raise ApiError(400, f"output is {output[:60]!r}; it is one of {', '.join(OUTPUTS)}", param="output")
        cues = cue_params(params)
        options, upload = _options(params, needs_words(OUTPUTS[output], cues)), upload_param(params, "audio_file")
        segments = listening.heard(caller, listening.model(), _sound(params, upload, caller), options)
        found = await service.run(request, caller, lambda: list(segments), LONGEST)
        name = quote(f"{(upload.filename or 'audio')[:100]}.{output}")
        headers = {"Asr-Engine": "quartet", "Content-Disposition": f'attachment; filename="{name}"'}
        return PlainTextResponse(_written(found, output, cues, options.target), headers=headers)

    @routes.post(
        "/detect-language",
        openapi_extra=asks(encode=FLAG) | takes(_RECORDING, PARTS) | answers({JSON: _LANGUAGE}, (*ASKED, 404)),
    )
    async def _detect_language(request: Request) -> JSONResponse:
        """The language that is spoken in a recording."""
        params = await params_of(request)
        caller = service.caller(service.admit(request, _key(request, params)))
        sound = _sound(params, upload_param(params, "audio_file"), caller)
        model = listening.model()
        code, confidence = await service.run(request, caller, lambda: listening.language(caller, model, sound), LONGEST)
        short = iso639_1(code) or code
        found = {"detected_language": english_name(code), "language_code": short, "confidence": confidence}
        return JSONResponse(found)

    return routes


def _options(params: Params, words: bool) -> SpeechOptions:
    task = option_param(params, TRANSCRIPTION["task"]) or "transcribe"
    target = text_param(params, "to_language", text_param(params, "to", "")) or None
    return SpeechOptions(
        language=text_param(params, "language", "") or None,
        target=target or ("en" if task == "translate" else None),
        prompt=text_param(params, "initial_prompt", "") or None,
        words=flag_param(params, "word_timestamps", False) or words,
        voices=VadOptions() if flag_param(params, "vad_filter", True) else None,
    )


def _sound(params: Params, upload: UploadFile, caller: Caller) -> Source:
    """What `encode` says: a file of any kind, or samples as they are."""
    with told():
        return sound_of(upload, caller) if flag_param(params, "encode", True) else samples_of(upload)


def _written(found: Sequence[Heard], output: str, cues: CueOptions, target: str | None) -> str:
    segments, info = [one.segment for one in found if one.segment is not None], found[0].info
    if output == "json":
        facts = {"language": info.language, "segments": [asdict(one) for one in segments], "text": text_of(segments)}
        return json.dumps(facts, ensure_ascii=False)
    return written(OUTPUTS[output], segments, info, cues, target)


def _key(request: Request, params: Params) -> str | None:
    """A key in a parameter, or as other interfaces have it."""
    return text_param(params, "api_key", "") or key_in_header(request, "bearer")


_RECORDING = fields({"audio_file": FILE})
_ASKED = asks(
    encode=FLAG,
    task=one_of(("transcribe", "translate")),
    language=STRING,
    to_language=STRING,
    initial_prompt=STRING,
    word_timestamps=FLAG,
    vad_filter=FLAG,
    output=one_of(tuple(OUTPUTS)),
    **CUE_FIELDS,
)
_LANGUAGE = fields({"detected_language": STRING, "language_code": STRING, "confidence": NUMBER})
