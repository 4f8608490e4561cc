"""DeepL's interface for glossaries: version 2 with one pair of languages in each, version 3 with several."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quartet.errors import OptionError
from quartet.serve.deepl import admit, given_key, language_of
from quartet.serve.glossaries import Dictionary, Glossaries, Kept, NoGlossaryError, Pair, TooManyError
from quartet.serve.openapi import (
    ASKED,
    FLAG,
    JSON,
    STRING,
    WHOLE,
    Schema,
    answers,
    asks,
    example,
    fields,
    many,
    one_of,
    takes,
)
from quartet.serve.service import Service
from quartet.serve.web import ApiError, Params, list_param, params_of, text_param
from quartet.text.glossary import Glossary, read_terms
from quartet.text.languages import find

FORMATS = ("tsv", "csv")
TABS = "text/tab-separated-values"
LONGEST_NAME = 1024
MOST_AT_ONCE = 5  # glossaries of a translation
Result = TypeVar("Result")
_FIELD = re.compile(r"dictionaries\[(\d+)\]\.(\w+)")


async def glossary_of(glossaries: Glossaries, request: Request, params: Params) -> Glossary | None:
    """The glossary that texts are to be translated with; of several, the first that has a term counts.

    Raises `ApiError`: 400 where it has nothing for the languages, 404 where there is none.
    """
    names = [name for given in list_param(params, "glossary_ids") for name in given.split(",")]
    names += [name] if (name := text_param(params, "glossary_id", "")) else []
    if not names:
        return None
    if len(names) > MOST_AT_ONCE:
        raise ApiError(400, f"{len(names)} glossaries are named; at most {MOST_AT_ONCE} are used", param="glossary_ids")
    pair = _pair(params)
    key = given_key(request, params)
    found = await _done(lambda: [glossaries.get(key, name.strip()) for name in names])
    used = [dictionary for one in found if (dictionary := one.of(pair)) is not None]
    if not used:
        raise ApiError(400, f"the glossary has no dictionary from {pair[0].upper()} to {pair[1].upper()}")
    if len(used) == 1:
        return used[0].glossary
    return Glossary({term: becomes for one in reversed(used) for term, becomes in one.terms.items()})


def router(service: Service, glossaries: Glossaries) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["DeepL"])
    _add_version_2(routes, service, glossaries)
    _add_version_3(routes, service, glossaries)
    return routes


def _add_version_2(routes: APIRouter, service: Service, glossaries: Glossaries) -> None:
    @routes.get("/v2/glossary-language-pairs", openapi_extra=_answers(_PAIRS))
    async def _pairs(request: Request) -> JSONResponse:
        """Pairs of languages that a glossary may be for."""
        await _asked(service, request)
        pairs = [{"source_lang": source, "target_lang": target} for source, target in _pairs_of(service)]
        return JSONResponse({"supported_languages": pairs})

    @routes.post("/v2/glossaries", openapi_extra=takes(_GIVEN, JSON) | _answers(_V2, 201))
    async def _create(request: Request) -> JSONResponse:
        """Keep a glossary for one pair of languages."""
        params, key = await _asked(service, request, 1)
        name, dictionary = _name(params), await _done(lambda: _dictionary(service, params))
        made = await _done(lambda: glossaries.create(key, name, (dictionary,)))
        return JSONResponse(_as_v2(made), 201)

    @routes.get("/v2/glossaries", openapi_extra=_answers(fields({"glossaries": many(_V2)})))
    async def _list(request: Request) -> JSONResponse:
        """Glossaries of one pair of languages."""
        _, key = await _asked(service, request)
        found = await _done(lambda: glossaries.all(key))
        return JSONResponse({"glossaries": [_as_v2(one) for one in found if len(one.dictionaries) == 1]})

    @routes.get("/v2/glossaries/{name}", openapi_extra=_answers(_V2))
    async def _details(request: Request, name: str) -> JSONResponse:
        """What a glossary is."""
        _, key = await _asked(service, request)
        return JSONResponse(_as_v2(await _done(lambda: _single(glossaries, key, name))))

    @routes.get("/v2/glossaries/{name}/entries", openapi_extra=_answers(STRING, kind=TABS))
    async def _entries(request: Request, name: str) -> Response:
        """The terms of a glossary, separated by tabs."""
        _, key = await _asked(service, request)
        found = await _done(lambda: _single(glossaries, key, name))
        return Response(_as_tsv(found.dictionaries[0]), media_type=f"{TABS}; charset=utf-8")

    @routes.delete("/v2/glossaries/{name}", openapi_extra=_answers(None, 204))
    async def _delete(request: Request, name: str) -> Response:
        """Forget a glossary."""
        _, key = await _asked(service, request)
        await _done(lambda: glossaries.delete(key, name))
        return Response(status_code=204)


def _add_version_3(routes: APIRouter, service: Service, glossaries: Glossaries) -> None:
    @routes.post("/v3/glossaries", openapi_extra=takes(_GIVEN, JSON) | _answers(_V3, 201))
    async def _create_several(request: Request) -> JSONResponse:
        """Keep a glossary for some pairs of languages."""
        params, key = await _asked(service, request, 1)
        name, dictionaries = _name(params), await _done(lambda: _dictionaries(service, params))
        return JSONResponse(_as_v3(await _done(lambda: glossaries.create(key, name, dictionaries))), 201)

    @routes.get("/v3/glossaries", openapi_extra=_answers(fields({"glossaries": many(_V3)})))
    async def _list_several(request: Request) -> JSONResponse:
        """All glossaries."""
        _, key = await _asked(service, request)
        return JSONResponse({"glossaries": [_as_v3(one) for one in await _done(lambda: glossaries.all(key))]})

    @routes.get("/v3/glossaries/{name}", openapi_extra=_answers(_V3))
    async def _details_of_several(request: Request, name: str) -> JSONResponse:
        """What a glossary is."""
        _, key = await _asked(service, request)
        return JSONResponse(_as_v3(await _done(lambda: glossaries.get(key, name))))

    @routes.patch("/v3/glossaries/{name}", openapi_extra=takes(_GIVEN, JSON) | _answers(_V3))
    async def _change(request: Request, name: str) -> JSONResponse:
        """Give a glossary another name, or add terms to it."""
        params, key = await _asked(service, request, 1)
        return JSONResponse(_as_v3(await _done(lambda: _changed(service, glossaries, key, name, params))))

    @routes.put("/v3/glossaries/{name}/dictionaries", openapi_extra=takes(_TERMS, JSON) | _answers(_INFO))
    async def _replace(request: Request, name: str) -> JSONResponse:
        """Put other terms in the place of those of a pair of languages."""
        params, key = await _asked(service, request, 1)

        def work() -> Dictionary:
            dictionary = _dictionary(service, params)
            glossaries.change(key, glossaries.get(key, name).with_dictionary(dictionary))
            return dictionary

        return JSONResponse(_info(await _done(work)))

    @routes.get(
        "/v3/glossaries/{name}/entries", openapi_extra=_PAIR | _answers(fields({"dictionaries": many(_ENTRIES)}))
    )
    async def _entries_of_several(request: Request, name: str) -> JSONResponse:
        """The terms of a pair of languages, separated by tabs; those of all pairs where none is named."""
        params, key = await _asked(service, request)
        found = await _done(lambda: glossaries.get(key, name))
        pair = _pair(params) if params.get("source_lang") or params.get("target_lang") else None
        some = [one for one in found.dictionaries if pair in (None, one.pair)]
        if not some:
            raise ApiError(404, "the glossary has no such dictionary")
        answers = [_pair_names(one) | {"entries": _as_tsv(one), "entries_format": "tsv"} for one in some]
        return JSONResponse({"dictionaries": answers})

    @routes.delete("/v3/glossaries/{name}/dictionaries", openapi_extra=_PAIR | _answers(None, 204))
    async def _delete_dictionary(request: Request, name: str) -> Response:
        """Forget the terms of a pair of languages."""
        params, key = await _asked(service, request)
        pair = _pair(params)

        def work() -> None:
            found = glossaries.get(key, name)
            others = tuple(one for one in found.dictionaries if one.pair != pair)
            if len(others) == len(found.dictionaries):
                raise ApiError(404, "the glossary has no such dictionary")
            glossaries.change(key, Kept(found.id, found.name, found.created, others))

        await _done(work)
        return Response(status_code=204)

    @routes.delete("/v3/glossaries/{name}", openapi_extra=_answers(None, 204))
    async def _delete_several(request: Request, name: str) -> Response:
        """Forget a glossary."""
        _, key = await _asked(service, request)
        await _done(lambda: glossaries.delete(key, name))
        return Response(status_code=204)


# ---- inside ---------------------------------------------------------------------------------------------------------


async def _asked(service: Service, request: Request, cost: int = 0) -> tuple[Params, str]:
    """What a request says, and the key that it comes with. Raises `ApiError`."""
    params = await params_of(request)
    admit(service, request, params, cost)
    return params, given_key(request, params)


async def _done(work: Callable[[], Result]) -> Result:
    """What `work` returns, off the event loop; its errors as `ApiError`."""
    try:
        return await run_in_threadpool(work)
    except NoGlossaryError:
        raise ApiError(404, "there is no such glossary") from None
    except TooManyError as error:
        raise ApiError(456, f"Quota exceeded: {error}") from None
    except OptionError as error:
        raise ApiError(400, f"Invalid glossary entries provided: {error}", param="entries") from None
    except OSError:
        raise ApiError(503, "glossaries cannot be kept at the moment", {"Retry-After": "60"}) from None


def _single(glossaries: Glossaries, key: str, name: str) -> Kept:
    """A glossary as version 2 knows it: with one dictionary."""
    found = glossaries.get(key, name)
    if len(found.dictionaries) != 1:
        raise NoGlossaryError(name)
    return found


def _changed(service: Service, glossaries: Glossaries, key: str, name: str, params: Params) -> Kept:
    found = glossaries.get(key, name)
    changed = Kept(found.id, _name(params) if params.get("name") else found.name, found.created, found.dictionaries)
    for new in _dictionaries(service, params) if _listed(params) else ():
        old = changed.of(new.pair)
        changed = changed.with_dictionary(Dictionary(*new.pair, {**(old.terms if old else {}), **new.terms}))
    glossaries.change(key, changed)
    return changed


def _name(params: Params) -> str:
    name = text_param(params, "name").strip()
    if not name or len(name) > LONGEST_NAME:
        raise ApiError(400, f"name has {len(name)} characters; expected 1 to {LONGEST_NAME}", param="name")
    return name


def _dictionaries(service: Service, params: Params) -> tuple[Dictionary, ...]:
    given = _listed(params)
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise ApiError(400, "dictionaries is no list of objects", param="dictionaries")
    found = tuple(_dictionary(service, one) for one in given)
    if len({one.pair for one in found}) < len(found):
        raise ApiError(400, "dictionaries has two of one pair of languages", param="dictionaries")
    return found


def _listed(params: Params) -> object:
    """The dictionaries of JSON, or of a form, where their fields are `dictionaries[0].entries` and so on."""
    of_form: dict[str, dict[str, Any]] = {}
    for name, value in params.items():
        if found := _FIELD.fullmatch(name):
            of_form.setdefault(found[1], {})[found[2]] = value
    return params.get("dictionaries") or list(of_form.values())


def _dictionary(service: Service, params: Params) -> Dictionary:
    """The dictionary of a request. Raises `ApiError` and `OptionError`."""
    pair = _pair(params)
    if pair not in _pairs_of(service):
        raise ApiError(400, f"the server does not translate from {pair[0].upper()} to {pair[1].upper()}")
    form = text_param(params, "entries_format", "tsv").lower()
    if form not in FORMATS:
        raise ApiError(400, f"entries_format is {form[:60]!r}; it is tsv or csv", param="entries_format")
    terms = read_terms(text_param(params, "entries"), "entries", commas=form == "csv")
    if not terms:
        raise ApiError(400, "Invalid glossary entries provided: there are none", param="entries")
    return Dictionary(*pair, Glossary(terms).terms)


def _pair(params: Params) -> Pair:
    """The languages of a request, without their regions: a glossary is for all of them."""
    source, target = text_param(params, "source_lang"), text_param(params, "target_lang")
    return language_of(source).lower(), language_of(target).lower()


def _pairs_of(service: Service) -> list[Pair]:
    pairs = {
        (language_of(source).lower(), language_of(target).lower())
        for source in service.models.sources()
        for target in service.models.targets(source)
        if find(target, [source]) is None
    }
    return sorted(pairs)


def _pair_names(one: Dictionary) -> dict[str, Any]:
    return {"source_lang": one.source, "target_lang": one.target}


def _info(one: Dictionary) -> dict[str, Any]:
    return _pair_names(one) | {"entry_count": len(one.terms)}


def _as_v2(kept: Kept) -> dict[str, Any]:
    return _head(kept) | {"ready": True} | _info(kept.dictionaries[0])


def _as_v3(kept: Kept) -> dict[str, Any]:
    return _head(kept) | {"dictionaries": [_info(one) for one in kept.dictionaries]}


def _head(kept: Kept) -> dict[str, Any]:
    return {"glossary_id": kept.id, "name": kept.name, "creation_time": kept.created}


def _as_tsv(one: Dictionary) -> str:
    return "\n".join(f"{term}\t{becomes}" for term, becomes in one.terms.items())


_FIELDS = {"source_lang": example("EN"), "target_lang": example("FR")}
_TERMS = fields(_FIELDS, entries=STRING, entries_format=one_of(FORMATS))
_GIVEN = fields({}, name=STRING, **_FIELDS, entries=STRING, entries_format=one_of(FORMATS), dictionaries=many(_TERMS))
_INFO = fields({"source_lang": STRING, "target_lang": STRING, "entry_count": WHOLE})
_HEAD: Mapping[str, Schema] = {"glossary_id": STRING, "name": STRING, "creation_time": STRING}
_V2 = fields({**_HEAD, "source_lang": STRING, "target_lang": STRING, "entry_count": WHOLE}, ready=FLAG)
_V3 = fields({**_HEAD, "dictionaries": many(_INFO)})
_PAIRS = fields({"supported_languages": many(fields({"source_lang": STRING, "target_lang": STRING}))})
_ENTRIES = fields({"source_lang": STRING, "target_lang": STRING, "entries": STRING, "entries_format": STRING})
_PAIR = asks(source_lang=STRING, target_lang=STRING)


def _answers(schema: Schema | None, status: int = 200, kind: str = JSON) -> dict[str, Any]:
    return answers({kind: schema} if schema else {}, (*ASKED, 404, 456), status)
