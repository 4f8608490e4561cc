"""DeepL's newer list of languages (https://developers.deepl.com/docs/languages/using-the-languages-api)."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from quartet.serve import deepl
from quartet.serve.openapi import FLAG, JSON, STRING, answers, asks, fields, many, one_of
from quartet.serve.service import Service
from quartet.serve.web import ApiError, params_of, text_param

TRANSLATED = ("translate_text", "translate_document", "glossary")  # what languages are for
SIDES = ("source", "target")
NOT_HERE = ("style_rules", "translation_memory", "voice", "write")


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["DeepL"])

    @routes.get("/v3/languages", openapi_extra=_ASKED)
    async def _languages(request: Request) -> JSONResponse:
        """Languages, and whether each is one to translate from or into; none for what this server does not do."""
        params = await params_of(request)
        deepl.admit(service, request, params, 0)
        resource = text_param(params, "resource")
        if resource not in (*TRANSLATED, *NOT_HERE):
            known = ", ".join((*TRANSLATED, *NOT_HERE))
            raise ApiError(400, f"resource is {resource[:60]!r}; it is one of {known}", param="resource")
        return JSONResponse(languages(service) if resource in TRANSLATED else [])

    return routes


def languages(service: Service) -> list[dict[str, Any]]:
    """Sources without regions, targets with those that they need; what is both is there once."""
    sources, targets = ({one["language"]: one["name"] for one in deepl.languages(service, side)} for side in SIDES)
    names = targets | sources
    return [
        {
            "lang": tag_of(code),
            "name": names[code],
            "usable_as_source": code in sources,
            "usable_as_target": code in targets,
            "status": "stable",
            "features": {"auto_detection": {"status": "stable"}} if code in sources else {},
        }
        for code in sorted(names)
    ]


def tag_of(code: str) -> str:
    """A language as BCP 47 spells it: `EN-GB` as `en-GB`, `ZH-HANS` as `zh-Hans`."""
    language, *rest = code.split("-")
    return "-".join([language.lower(), *(part.title() if len(part) == 4 else part for part in rest)])


_FEATURES = fields({}, auto_detection=fields({"status": STRING}))
_LANGUAGE = fields(
    {
        "lang": STRING,
        "name": STRING,
        "usable_as_source": FLAG,
        "usable_as_target": FLAG,
        "status": STRING,
        "features": _FEATURES,
    }
)
_ASKED = asks(resource=one_of((*TRANSLATED, *NOT_HERE))) | answers({JSON: many(_LANGUAGE)})
