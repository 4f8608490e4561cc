"""DeepL's interface, version 2, as its clients use it: texts, languages, what was used."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from sqlite3 import Connection
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from quartet.serve.libretranslate import code_of
from quartet.serve.openapi import (
    ASKED,
    FLAG,
    FORM,
    JSON,
    STRING,
    WHOLE,
    answers,
    asks,
    example,
    fields,
    many,
    one_of,
    takes,
)
from quartet.serve.service import Client, Service, TextOptions, Translated
from quartet.serve.state import State
from quartet.serve.web import ApiError, Params, flag_param, key_in_header, list_param, params_of, text_param
from quartet.text.glossary import Glossary
from quartet.text.html_documents import Rules
from quartet.text.languages import display_name

PREFIX = "/v2/"
SCHEME = "deepl-auth-key"  # of the header `Authorization`
NO_LIMIT = 1_000_000_000_000  # of characters: what DeepL names where there is none
MOST_CLIENTS = 100_000  # whose characters are remembered
VARIANTS = {  # of targets, for DeepL's clients refuse the plain codes
    "EN": {"EN-GB": "English (British)", "EN-US": "English (American)"},
    "PT": {"PT-BR": "Portuguese (Brazilian)", "PT-PT": "Portuguese (European)"},
}
SPLITS = {  # by `split_sentences`
    "0": TextOptions(split="none"),
    "1": TextOptions(),
    "nonewlines": TextOptions(wrapped=True),
}
REFUSED = ("style_id", "translation_memory_id", "custom_instructions")
GlossaryOf = Callable[[Request, Params], Awaitable[Glossary | None]]
FORMALITIES = ("default", "prefer_more", "prefer_less")  # a wish may be left unfulfilled


class Usage:
    """Characters by client, since the server was started."""

    def __init__(self, state: State) -> None:
        self._state = state
        state.table("usage", "client TEXT PRIMARY KEY, characters INTEGER, last REAL", _forget_some)

    def add(self, client: Client, characters: int) -> None:
        """Count some."""
        with self._state.changing() as database:
            database.execute(
                "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT (client) "
                "DO UPDATE SET characters = characters + excluded.characters, last = excluded.last",
                (client.name, characters, time.monotonic()),
            )

    def of(self, client: Client) -> int:
        """A client's characters."""
        with self._state.changing() as database:
            row = database.execute("SELECT characters FROM usage WHERE client = ?", (client.name,)).fetchone()
        return row[0] if row else 0


def _forget_some(database: Connection) -> None:
    """Forget the clients that were counted longest ago where there are too many."""
    kept = "SELECT client FROM usage ORDER BY last DESC LIMIT ?"
    database.execute(f"DELETE FROM usage WHERE client NOT IN ({kept})", (MOST_CLIENTS,))


def error_body(error: ApiError) -> dict[str, Any]:
    """What a client gets with a status that is no success."""
    return {"message": error.message}


def router(service: Service, usage: Usage, glossary_of: GlossaryOf) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix=PREFIX.rstrip("/"), tags=["DeepL"])

    @routes.post("/translate", openapi_extra=takes(_TEXTS, JSON, FORM) | answers({JSON: _TRANSLATED}, (*ASKED, 404)))
    async def _translate(request: Request) -> JSONResponse:
        """Translate each `text` into `target_lang`."""
        params = await params_of(request)
        texts = _texts(params)
        client = admit(service, request, params, max(1, len(texts)))
        target, source = text_param(params, "target_lang"), text_param(params, "source_lang", "") or None
        options = replace(options_of(params), glossary=await glossary_of(request, params))
        _check_size(service, texts, client)
        found = await service.translate(request, service.caller(client), texts, source, target, options)
        usage.add(client, sum(map(len, texts)))
        pairs = zip(texts, found, strict=True)
        return JSONResponse({"translations": [_answer(text, one, source) for text, one in pairs]})

    kind_asked = asks(type=one_of(("source", "target"))) | answers({JSON: many(_LANGUAGE)})

    @routes.api_route("/languages", methods=["GET", "POST"], openapi_extra=kind_asked)
    async def _languages(request: Request) -> JSONResponse:
        """Languages that text can be in (`type=source`, the default) or be translated into (`type=target`)."""
        params = await params_of(request)
        admit(service, request, params, 0)
        kind = text_param(params, "type", "source")
        if kind not in ("source", "target"):
            raise ApiError(400, f"type is {kind[:60]!r}; it is source or target", param="type")
        return JSONResponse(languages(service, kind))

    @routes.api_route("/usage", methods=["GET", "POST"], openapi_extra=answers({JSON: _USED}))
    async def _usage(request: Request) -> dict[str, int]:
        """Characters that were translated for this client since the server was started."""
        client = admit(service, request, await params_of(request), 0)
        return {"character_count": usage.of(client), "character_limit": NO_LIMIT}

    return routes


def languages(service: Service, kind: str) -> list[dict[str, Any]]:
    """Languages as DeepL lists them: sources without region and script, targets with what they need."""
    if kind == "source":
        names = {language_of(code): display_name(code).partition(" (")[0] for code in service.models.sources()}
        return [{"language": code, "name": names[code]} for code in sorted(names)]
    found: dict[str, str] = {}
    for code in service.models.targets():
        spelled = code_of(code).upper()
        found |= VARIANTS.get(spelled, {spelled: display_name(code)})
    return [{"language": code, "name": found[code], "supports_formality": False} for code in sorted(found)]


def language_of(code: str) -> str:
    """A source as DeepL spells it: the language alone, in capitals."""
    return code_of(code).partition("-")[0].upper()


def admit(service: Service, request: Request, params: Params, cost: int) -> Client:
    """Who asks. A key comes in the header `Authorization`, or, as older clients have it, as a parameter.

    Raises `ApiError`: 403 where a key is missing or wrong, 429 where the client's own limit is reached.
    """
    try:
        return service.admit(request, given_key(request, params) or None, cost)
    except ApiError as error:
        if error.status == 400:
            raise ApiError(403, "Authorization failed: send the header Authorization: DeepL-Auth-Key KEY") from None
        raise


def given_key(request: Request, params: Params) -> str:
    """The key that a request comes with, whether it is needed or not; empty where there is none."""
    key = key_in_header(request, SCHEME)
    given = params.get("auth_key") if key is None else key
    return given if isinstance(given, str) else ""


def options_of(params: Params) -> TextOptions:
    """How a request's texts are translated. Raises `ApiError` with status 400 for what this server has not."""
    for name in REFUSED:
        if params.get(name):
            raise ApiError(400, f"{name} is not supported by this server", param=name)
    formality = text_param(params, "formality", "default").lower()
    if formality not in FORMALITIES:
        raise ApiError(400, f"formality is {formality[:60]!r}; this server knows {_listed(FORMALITIES)}")
    tags = text_param(params, "tag_handling", "xml").lower()
    if tags not in ("xml", "html"):
        raise ApiError(400, f"tag_handling is {tags[:60]!r}; it is xml or html", param="tag_handling")
    given = params.get("split_sentences")
    split = "1" if given in (None, "") else str(given).lower()
    if split not in SPLITS:
        raise ApiError(400, f"split_sentences is {split[:60]!r}; it is {_listed(SPLITS)}", param="split_sentences")
    return replace(SPLITS[split], markup=_rules(params) if params.get("tag_handling") else None)


def _rules(params: Params) -> Rules:
    """How the tags of a request's texts are read."""

    def tags(name: str) -> frozenset[str]:
        given = ",".join(list_param(params, name)).split(",")
        return frozenset(tag.strip() for tag in given if tag.strip())

    return Rules(
        xml=text_param(params, "tag_handling").lower() == "xml",
        kept=tags("ignore_tags"),
        splitting=tags("splitting_tags"),
        joining=tags("non_splitting_tags"),
        outline=flag_param(params, "outline_detection", True),
    )


def _texts(params: Params) -> list[str]:
    given = params.get("text", params.get("text[]"))
    texts = [given] if isinstance(given, str) else given
    if not texts:
        raise ApiError(400, "text is missing: send one or several", param="text")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ApiError(400, "text is no list of strings", param="text")
    return texts


def _check_size(service: Service, texts: Sequence[str], client: Client) -> None:
    try:
        service.check_texts(texts, client)
    except ApiError as error:
        raise ApiError(413, error.message, param="text") from None


def _answer(text: str, one: Translated, source: str | None) -> dict[str, Any]:
    code = source or (one.detected.code if one.detected else None) or "en"
    return {
        "detected_source_language": language_of(code),
        "text": one.translation.text,
        "billed_characters": len(text),
    }


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"


_TEXTS = fields(
    {"text": many(example("Good morning.")), "target_lang": example("FR")},
    source_lang=example("EN"),
    split_sentences=one_of(tuple(SPLITS)),
    formality=one_of(FORMALITIES),
    tag_handling=one_of(("xml", "html")),
    ignore_tags=many(STRING),
    splitting_tags=many(STRING),
    non_splitting_tags=many(STRING),
    outline_detection=FLAG,
    glossary_id=STRING,
    context=STRING,
)
_TRANSLATION = fields({"detected_source_language": STRING, "text": STRING, "billed_characters": WHOLE})
_TRANSLATED = fields({"translations": many(_TRANSLATION)})
_LANGUAGE = fields({"language": STRING, "name": STRING}, supports_formality=FLAG)
_USED = fields({"character_count": WHOLE, "character_limit": WHOLE})
