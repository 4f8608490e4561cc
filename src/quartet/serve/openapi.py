"""What `/openapi.json` says (https://spec.openapis.org/oas/v3.1.1.html).

Routes read their bodies by hand, since one parameter comes in three ways. So each says here, once, what it takes and
what it answers; errors have the shape that the interface gives them.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from quartet.serve.web import ApiError

Schema = Mapping[str, Any]
Shape = Callable[[ApiError], Mapping[str, Any]]
JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
EVENTS, PLAIN, BYTES = "text/event-stream", "text/plain", "application/octet-stream"

STRING: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
FILE: Schema = {"type": "string", "format": "binary"}
OBJECT: Schema = {"type": "object"}

ASKED = (400, 403, 408, 413, 429, 500, 503, 504)  # what a request with a body may get instead of an answer
ERRORS = {
    400: "Something in the request is missing or wrong.",
    401: "A key is missing or wrong.",
    403: "The key is wrong, or this is not done here.",
    404: "There is none.",
    408: "The body did not come in time.",
    413: "The body or a text is too large.",
    429: "The client's own limit is reached.",
    456: "No more is kept for the key.",
    500: "Something went wrong in the server.",
    503: "The server has too much to do, or is stopping.",
    504: "It took too long.",
}
SCHEMES = {  # how a key comes where it is no parameter
    "bearer": {"type": "http", "scheme": "bearer"},
    "deepl": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "DeepL-Auth-Key KEY"},
}
UNSENT = ("HTTPValidationError", "ValidationError")  # FastAPI's own errors
RETRY = {"Retry-After": {"schema": WHOLE, "description": "seconds"}}
_ANSWERS = "x-answers"  # of an operation: they replace what FastAPI guesses


def example(value: Any, schema: Schema = STRING) -> Schema:
    """A schema with an example of what fits it."""
    return {**schema, "examples": [value]}


def one_of(values: Sequence[str]) -> Schema:
    """One of some strings."""
    return {"type": "string", "enum": list(values)}


def many(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def fields(needed: Mapping[str, Schema], **optional: Schema) -> Schema:
    """An object with these fields."""
    return {"type": "object", "properties": {**needed, **optional}, "required": list(needed)}


def takes(body: Schema, *kinds: str) -> dict[str, Any]:
    """For `openapi_extra`: a body, and the types in which it may come; without any, all that parameters come in."""
    content = {kind: {"schema": body} for kind in kinds or (JSON, FORM, PARTS)}
    return {"requestBody": {"required": True, "content": content}}


def asks(**query: Schema) -> dict[str, Any]:
    """For `openapi_extra`: parameters in the address, which may be left out."""
    return {"parameters": [{"name": name, "in": "query", "schema": query[name]} for name in query]}


def answers(content: Mapping[str, Schema], errors: Sequence[int] = ASKED, status: int = 200) -> dict[str, Any]:
    """For `openapi_extra`: types of the answer, and the statuses of errors. status: of the answer."""
    good = {"description": "The answer.", "content": {kind: {"schema": content[kind]} for kind in content}}
    return {_ANSWERS: {str(status): good} | {str(error): {} for error in errors}}


def page(app: FastAPI, shapes: Mapping[str, Shape], keys: Mapping[str, str]) -> dict[str, Any]:
    """The whole page. Both by the beginning of a path; shapes: of the bodies of errors; keys: a name in `SCHEMES`."""
    with warnings.catch_warnings(action="ignore"):  # of two methods of a route, whose ids are made here
        found = get_openapi(title=app.title, version=app.version, routes=app.routes)
    for path, operations in found["paths"].items():
        shape = shapes[max(filter(path.startswith, shapes), key=len)]
        schemes: list[Schema] = [{keys[start]: []} for start in keys if path.startswith(start)]
        for method, operation in operations.items():
            _complete(operation, f"{method}{path}", _schema_of(shape(ApiError(400, "what is wrong"))), schemes)
    schemas = found.get("components", {}).get("schemas", {})
    own = {name: schemas[name] for name in schemas if name not in UNSENT}
    return found | {"components": {"schemas": own, "securitySchemes": SCHEMES}}


def _complete(operation: dict[str, Any], name: str, error: Schema, schemes: Sequence[Schema]) -> None:
    operation["operationId"] = re.sub(r"\W+", "_", name).strip("_")
    operation["summary"], _, description = operation.pop("description", "").partition("\n")
    if description:
        operation["description"] = description.strip()
    if schemes:
        operation["security"] = [{}, *schemes]  # or none
    guessed = {status: one for status, one in operation["responses"].items() if status != "422"}
    given = operation.pop(_ANSWERS, guessed)
    operation["responses"] = {status: one or _error(int(status), error) for status, one in sorted(given.items())}


def _error(status: int, schema: Schema) -> dict[str, Any]:
    found = {"description": ERRORS[status], "content": {JSON: {"schema": schema}}}
    return found | ({"headers": RETRY} if status in (429, 503) else {})


def _schema_of(value: Any) -> Schema:
    """A schema of a value; None is a string that may be missing."""
    if isinstance(value, Mapping):
        return fields({name: _schema_of(part) for name, part in value.items()})
    return STRING if isinstance(value, str) else {"type": ["string", "null"]}
