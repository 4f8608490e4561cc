"""Whether a JSON document fits a JSON Schema (draft 2020-12), as far as `manifest.schema.json` uses one.

A quartet is opened by every process that translates, and the libraries for this cost more than all else that is done
with its manifest: milliseconds of CPU to import and to check once, of Python 3.11: jsonschema 55 (five packages),
fastjsonschema 40, pydantic-core 23 (2.2 MB) and pydantic 97, mashumaro 38, msgspec 13; this one 2, with the schema. A
test holds its verdicts against jsonschema's.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

# what a schema may say; a `title` says in errors what is expected
KEYWORDS = {
    *("type", "enum", "minimum", "maximum", "exclusiveMinimum", "pattern", "minLength", "maxLength"),
    *(
        "minItems",
        "maxItems",
        "items",
        "required",
        "properties",
        "additionalProperties",
        "propertyNames",
        "oneOf",
        "$ref",
    ),
}
NOTES = {"$schema", "$defs", "title", "description"}
LONGEST_SHOWN = 60  # characters of a value in an error

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_NAMES = {"object": "an object", "array": "a list", "string": "text", "boolean": "true or false", "null": "null"}


def first_fault(document: object, schema: Schema) -> str | None:
    """The first place where a document does not fit, in one line: `field x.y is -3; expected an integer of 1 or more`.

    None where it fits. Stricter than the standard in this: 1.0 is no integer, and numbers are finite.
    """
    return next(_faults(document, schema, schema.get("$defs", {}), ""), None)


def shown(value: object) -> str:
    """A value in an error, shortened."""
    if isinstance(value, (list, dict)):
        return f"a list of {len(value)}" if isinstance(value, list) else "an object"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return "an integer of more than 128 bits"
    text = ascii(value[: LONGEST_SHOWN + 1]) if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def _faults(value: object, schema: Schema, definitions: Mapping[str, Schema], place: str) -> Iterator[str]:
    schema = _resolved(value, schema, definitions)
    if not _fits(value, schema):
        yield f"{_field(place)} is {shown(value)}; expected {_expected(schema, definitions)}"
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _faults(item, schema.get("items", {}), definitions, f"{place}[{i}]")
    elif isinstance(value, dict):
        yield from _faults_of_object(value, schema, definitions, place)


def _faults_of_object(
    value: Mapping[str, object], schema: Schema, definitions: Mapping[str, Schema], place: str
) -> Iterator[str]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    others: Schema = schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            expected = _expected(properties.get(name, others), definitions)
            yield f"{_field(_inside(place, name))} is missing; expected {expected}"
    for name, part in value.items():
        if "propertyNames" in schema:
            names = _resolved(name, schema["propertyNames"], definitions)
            if not _fits(name, names):
                yield f"{_field(place)} has the name {shown(name)}; expected {_expected(names, definitions)}"
        yield from _faults(part, properties.get(name, others), definitions, _inside(place, name))


def _resolved(value: object, schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """The schema without references and choices: of several branches, the one for the value's type, else the last."""
    while "$ref" in schema or "oneOf" in schema:
        if "$ref" in schema:
            schema = definitions[schema["$ref"].removeprefix("#/$defs/")]
        else:
            branches = [_resolved(value, branch, definitions) for branch in schema["oneOf"]]
            schema = next(
                (branch for branch in branches if _has_type(value, branch)), {**branches[-1], "nullable": True}
            )
    return schema


def _types(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _has_type(value: object, schema: Schema) -> bool:
    types = _types(schema)
    if isinstance(value, bool):  # which Python takes for an integer
        return not types or "boolean" in types
    return not types or any(isinstance(value, _TYPES[name]) for name in types)


def _fits(value: object, schema: Schema) -> bool:
    """Whether a value fits, what is inside of it aside."""
    if not _has_type(value, schema) or ("enum" in schema and value not in schema["enum"]):
        return False
    if isinstance(value, str):
        has_length = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return bool(has_length) and _matches(value, schema.get("pattern", ""))
    if isinstance(value, list):
        return bool(schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        in_range = schema.get("minimum", value) <= value <= schema.get("maximum", value)
        return bool(in_range and math.isfinite(value) and value > schema.get("exclusiveMinimum", -math.inf))
    return True


def _matches(text: str, pattern: str) -> bool:
    r"""Whether a pattern is found. Its `$` is the end, as in ECMA 262; Python's matches before a last `\n` too."""
    return re.search(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), text) is not None


def _expected(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    """What a schema wants, in words."""
    if "$ref" in schema:
        return _expected(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    if "oneOf" in schema:
        return " or ".join(sorted((_expected(branch, definitions) for branch in schema["oneOf"]), key="null".__eq__))
    if "title" in schema:
        words = [schema["title"]]
    elif "enum" in schema:
        words = ["one of " + ", ".join("null" if value is None else str(value) for value in schema["enum"])]
    else:
        words = [_named(name, schema) for name in _types(schema)]
    return " or ".join([*words, *(["null"] if schema.get("nullable") else [])]) or "anything"


def _named(type_name: str, schema: Schema) -> str:
    if type_name not in ("integer", "number"):
        items = {"minItems": "at least", "maxItems": "at most"}
        sizes = [f"{words} {schema[key]}" for key, words in items.items() if key in schema and type_name == "array"]
        return " ".join([_NAMES[type_name], *(["of", " and ".join(sizes)] if sizes else [])])
    noun = "an integer" if type_name == "integer" else "a number"
    if "exclusiveMinimum" in schema:
        noun += f" above {schema['exclusiveMinimum']}"
        return noun + (f" and of {schema['maximum']} or less" if "maximum" in schema else "")
    if "minimum" in schema and "maximum" in schema:
        return f"{noun} from {schema['minimum']} to {schema['maximum']}"
    return noun + (f" of {schema['minimum']} or more" if "minimum" in schema else "")


def _inside(place: str, name: str) -> str:
    name = name if len(name) <= LONGEST_SHOWN and name.isprintable() and name.isascii() else shown(name)
    return f"{place}.{name}" if place else name


def _field(place: str) -> str:
    return f"field {place}" if place else "the document"
