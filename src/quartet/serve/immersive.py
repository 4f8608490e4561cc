"""The custom interface of Immersive Translate, a browser's extension: lists of texts, a key in the address."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from quartet.serve.libretranslate import code_of
from quartet.serve.openapi import JSON, STRING, answers, asks, example, fields, many, takes
from quartet.serve.service import Service
from quartet.serve.web import ApiError, params_of, source_param, text_param


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["Immersive Translate"])

    @routes.post("/imme", openapi_extra=asks(token=STRING) | takes(_TEXTS, JSON) | answers({JSON: _TRANSLATED}))
    async def _translate(request: Request) -> JSONResponse:
        """Translate each of `text_list`. Where keys are needed, the extension is given `/imme?token=KEY`."""
        params = await params_of(request)
        texts = params.get("text_list")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ApiError(400, "text_list is missing, or no list of strings", param="text_list")
        client = service.admit(request, request.query_params.get("token"), max(1, len(texts)))
        service.check_texts(texts, client)
        target, source = text_param(params, "target_lang"), source_param(params, "source_lang", "auto")
        found = await service.translate(request, service.caller(client), texts, source, target)
        codes = [source or (one.detected.code if one.detected else None) or "en" for one in found]
        pairs = zip(codes, found, strict=True)
        answers = [{"detected_source_lang": code_of(code), "text": one.translation.text} for code, one in pairs]
        return JSONResponse({"translations": answers})

    return routes


_TEXTS = fields({"text_list": many(example("Good morning.")), "target_lang": example("fr")}, source_lang=example("en"))
_TRANSLATED = fields({"translations": many(fields({"detected_source_lang": STRING, "text": STRING}))})
