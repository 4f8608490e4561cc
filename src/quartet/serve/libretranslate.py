"""LibreTranslate's interface, version 1.9, as its clients use it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quartet.serve.files import Files, translated_file
from quartet.serve.openapi import (
    BYTES,
    EVENTS,
    FILE,
    FLAG,
    JSON,
    NUMBER,
    OBJECT,
    PARTS,
    STRING,
    WHOLE,
    answers,
    example,
    fields,
    many,
    one_of,
    takes,
)
from quartet.serve.service import Client, Service, TextOptions, Translated
from quartet.serve.streaming import streamed
from quartet.serve.web import ApiError, Params, number_param, params_of, source_param, text_param, upload_param
from quartet.text.detect import language_guesses
from quartet.text.html_documents import Rules
from quartet.text.languages import display_name, find, iso639_1, script_of

MOST_ALTERNATIVES = 8
GUESSES = 3  # languages that `/detect` names at most
FORMATS = ("text", "html")
LINE_END = "<br />"  # of a line of subtitles, as Subtitle Edit sends it in a text


def error_body(error: ApiError) -> dict[str, Any]:
    """What a client gets with a status that is no success."""
    return {"error": error.message}


def code_of(code: str) -> str:
    """A language as LibreTranslate spells it: `fr`, `pt-BR`, `zh-Hans`."""
    short = iso639_1(code) or code
    if short == "zh":
        return f"zh-{'Hant' if script_of(code) == 'Hant' else 'Hans'}"
    return "pt-BR" if find(code, ["pt-PT", "pt-BR"]) == "pt-BR" and code not in ("pt", "por") else short


def languages(service: Service) -> list[dict[str, Any]]:
    """All languages that text can be in, and those that each can be translated into."""
    return [
        {
            "code": code_of(code),
            "name": display_name(code),
            "targets": sorted({code_of(code), *map(code_of, service.models.targets(code))}),
        }
        for code in service.models.sources()
    ]


def router(service: Service, files: Files) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["LibreTranslate"])

    @routes.get("/languages", openapi_extra=answers({JSON: many(_LANGUAGE)}, (500,)))
    async def _languages() -> list[dict[str, Any]]:
        """Languages, and what each can be translated into."""
        return languages(service)

    @routes.post("/translate", openapi_extra=takes(_TEXTS) | answers({JSON: _TRANSLATED, EVENTS: STRING}))
    async def _translate(request: Request) -> Response:
        """Translate `q`, a text or in JSON a list of texts, from `source` (or `auto`) to `target`.

        With `"stream": true` in JSON, a text without alternatives is answered by events as it grows.
        """
        params = await params_of(request)
        texts, client = await _texts(service, request, params)
        source, target = source_param(params, "source"), text_param(params, "target")
        form = text_param(params, "format", "text")
        if form not in FORMATS:
            raise ApiError(400, f"{form} format is not supported", param="format")
        wanted = 0 if form == "html" else min(max(number_param(params, "alternatives", 0), 0), MOST_ALTERNATIVES)
        if form == "text" and isinstance(params["q"], str) and is_cue(texts[0]):
            options = TextOptions(alternatives=wanted, wrapped=True)
            lines = [texts[0].replace(LINE_END, "\n")]
            found = await service.translate(request, service.caller(client), lines, source, target, options)
            return JSONResponse(_with_line_ends(_answer(found, False, source is None, wanted)))
        if _streams(params) and form == "text" and not wanted and len(texts) == 1:
            body = partial(_answer_to_one, detected=source is None)
            return await streamed(service, request, client, texts[0], source, target, body, error_body)
        options = TextOptions(alternatives=wanted, markup=Rules() if form == "html" else None)
        found = await service.translate(request, service.caller(client), texts, source, target, options)
        return JSONResponse(_answer(found, isinstance(params["q"], list), source is None, wanted))

    @routes.post("/detect", openapi_extra=takes(_TEXT) | answers({JSON: many(_GUESS)}))
    async def _detect(request: Request) -> JSONResponse:
        """The likeliest languages of `q`, best first, with a confidence from 0 to 100."""
        params = await params_of(request)
        text = text_param(params, "q")
        service.admit(request, _key(params))
        return JSONResponse(detections(service, text))

    @routes.post("/translate_file", openapi_extra=takes(_UPLOAD, PARTS) | answers({JSON: _ADDRESS}))
    async def _translate_file(request: Request) -> JSONResponse:
        """Translate a file; its translation is at the address in the answer, for half an hour."""
        params = await params_of(request)
        upload = upload_param(params, "file")
        source, target = source_param(params, "source"), text_param(params, "target")
        client = service.admit(request, _key(params))
        found = await translated_file(service, files, request, client, upload, source, target, TextOptions())
        return JSONResponse({"translatedFileUrl": str(request.url_for("download", name=found))})

    @routes.get("/download_file/{name}", name="download", openapi_extra=answers({BYTES: FILE}, (404, 500)))
    async def _download(name: str) -> Any:
        """A translated file."""
        return files.response(name)

    @routes.post("/suggest", openapi_extra=takes(_SUGGESTION) | answers({JSON: OBJECT}, (403,)))
    async def _suggest() -> JSONResponse:
        """Suggestions are not taken here."""
        raise ApiError(403, "Suggestions are disabled on this server.")

    @routes.get("/frontend/settings", openapi_extra=answers({JSON: _SETTINGS}, (500,)))
    async def _settings() -> dict[str, Any]:
        """What a page that talks to this server has to know."""
        return settings(service)

    return routes


def settings(service: Service) -> dict[str, Any]:
    """Limits, and the languages to begin with."""
    sources = service.models.sources()
    source = find("en", sources) or next(iter(sources), "en")
    targets = [code for code in service.models.targets(source) if code != source] or [source]
    begin = {"source": source, "target": targets[0]}
    return {
        "apiKeys": service.keys is not None,
        "charLimit": service.options.char_limit,
        "filesTranslation": True,
        "frontendTimeout": 500,
        "keyRequired": service.keys is not None,
        "language": {side: {"code": code_of(code), "name": display_name(code)} for side, code in begin.items()},
        "suggestions": False,
        "supportedFilesFormat": list(Files.suffixes),
    }


def detections(service: Service, text: str) -> list[dict[str, Any]]:
    """The likeliest languages that the server has, best first."""
    codes = service.models.sources()
    guesses = language_guesses(text) if any(map(str.isalpha, text)) else []
    named = [(find(label, codes), share) for label, share in guesses]
    best: dict[str, float] = {}
    for code, share in named:
        if code is not None:
            best[code_of(code)] = best.get(code_of(code), 0.0) + share
    ranked = sorted(best.items(), key=lambda one: -one[1])[:GUESSES]
    return [{"confidence": _percent(share), "language": code} for code, share in ranked] or [
        {"confidence": 0.0, "language": "en"}
    ]


async def _texts(service: Service, request: Request, params: Params) -> tuple[list[str], Client]:
    """The texts of a request, and who asks; each text counts."""
    given = params.get("q")
    if isinstance(given, list):
        if not all(isinstance(text, str) for text in given):
            raise ApiError(400, "q is a list with something else than strings", param="q")
        texts = list(given)
    else:
        texts = [text_param(params, "q")]
    client = service.admit(request, _key(params), max(1, len(texts)))
    service.check_texts(texts, client)
    return texts, client


def _key(params: Params) -> str | None:
    key = params.get("api_key") or params.get("apiKey")  # as the package `libretranslate` of npm sends it
    return key if isinstance(key, str) else None


def _answer(found: Sequence[Translated], is_list: bool, detected: bool, alternatives: int) -> dict[str, Any]:
    """As many of everything as there are texts: one, or a list."""
    answer: dict[str, Any] = {"translatedText": [one.translation.text for one in found]}
    if detected:
        answer["detectedLanguage"] = [_detected(one) for one in found]
    if alternatives:
        answer["alternatives"] = [_others(one, alternatives) for one in found]
    return answer if is_list else {name: values[0] for name, values in answer.items()}


def is_cue(text: str) -> bool:
    """Whether a text is lines of subtitles, as Subtitle Edit sends them: tags for ends of lines, without white space.

    A text about HTML has spaces around its tags.
    """
    lines = text.split(LINE_END)
    return len(lines) > 1 and "\n" not in text and all(line and line == line.strip() for line in lines)


def _with_line_ends(answer: dict[str, Any]) -> dict[str, Any]:
    texts = {"translatedText": answer["translatedText"].replace("\n", LINE_END)}
    others = [text.replace("\n", LINE_END) for text in answer.get("alternatives", [])]
    return answer | texts | ({"alternatives": others} if "alternatives" in answer else {})


def _answer_to_one(one: Translated, detected: bool) -> dict[str, Any]:
    return _answer([one], False, detected, 0)


def _streams(params: Params) -> bool:
    return params.get("stream") is True and isinstance(params["q"], str)


def _detected(one: Translated) -> dict[str, Any]:
    code, confidence = (one.detected.code, one.detected.probability) if one.detected else (None, 0.0)
    return {"confidence": _percent(confidence), "language": code_of(code) if code else "en"}


def _others(one: Translated, most: int) -> list[str]:
    texts = dict.fromkeys(other.text for other in one.translation.alternatives)
    return [text for text in texts if text != one.translation.text][:most]


def _percent(share: float) -> float:
    return round(100 * share, 1)


_KEY = {"api_key": STRING}
_PAIR = {"source": example("en"), "target": example("fr")}
_CODE = fields({"code": STRING, "name": STRING})
_LANGUAGE = fields({"code": STRING, "name": STRING, "targets": many(STRING)})
_Q = {"q": {"anyOf": [example("Good morning."), many(STRING)]}}
_TEXTS = fields(_Q | _PAIR, format=one_of(FORMATS), alternatives=WHOLE, stream=FLAG, **_KEY)
_GUESS = fields({"confidence": NUMBER, "language": STRING})
_TRANSLATED = {
    "anyOf": [
        fields({"translatedText": STRING}, detectedLanguage=_GUESS, alternatives=many(STRING)),
        fields({"translatedText": many(STRING)}, detectedLanguage=many(_GUESS), alternatives=many(many(STRING))),
    ]
}
_TEXT = fields({"q": example("Good morning.")}, **_KEY)
_UPLOAD = fields({"file": FILE} | _PAIR, **_KEY)
_ADDRESS = fields({"translatedFileUrl": STRING})
_SUGGESTION = fields({"q": STRING, "s": STRING, "source": STRING, "target": STRING}, **_KEY)
_SETTINGS = fields(
    {
        "apiKeys": FLAG,
        "charLimit": WHOLE,
        "filesTranslation": FLAG,
        "frontendTimeout": WHOLE,
        "keyRequired": FLAG,
        "language": fields({"source": _CODE, "target": _CODE}),
        "suggestions": FLAG,
        "supportedFilesFormat": many(STRING),
    }
)
