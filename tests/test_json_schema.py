"""The verdicts of our checks, against those of jsonschema."""

import json
import math
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet import json_schema
from quartet.json_schema import first_fault

SCHEMA = json.loads(files("quartet").joinpath("manifest.schema.json").read_text("utf-8"))
MATRIX = {"file": "a.data", "rows": 3, "columns": 4, "bits": 32, "codes": 0}
MANIFEST: dict[str, Any] = {
    "format_version": "2.2",
    "family": "marian",
    "name": "a",
    "revision": None,
    "license": "mit",
    "precision": "fp32",
    "layout": "quartet",
    "shapes": {
        "d_model": 4,
        "vocab_size": 3,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "decoder_heads": 2,
        "head_size": 2,
        "max_source_length": 8,
        "max_target_length": 8,
        "source_vocab_size": None,
        "embed_scale": 1.0,
    },
    "tokens": {"eos": 0, "pad": 1, "decoder_start": 1, "unk": None},
    "generation": {
        "max_length": 8,
        "forced_bos": None,
        "forced_eos": 0,
        "bad_words_ids": [[1]],
        "suppress_tokens": [2],
        "begin_suppress_tokens": [],
        "renormalize_logits": True,
        "no_repeat_ngram_size": 0,
        "repetition_penalty": 1.0,
        "length_penalty": 1,
    },
    "source_prompt": ["text", "eos"],
    "target_prompt": ["decoder_start"],
    "safe_length": 5,
    "languages": [{"code": "en", "token_id": None, "source": True, "target": False}],
    "tokenizer": {
        "kind": "sentencepiece",
        "source_model": "a.spm",
        "unk_id": 1,
        "target_model": None,
        "vocab": None,
        "target_vocab": None,
        "offset": 0,
        "special_tokens": {"</s>": 0},
        "clean_up_spaces": False,
    },
    "embedding": MATRIX,
    "lm_head": MATRIX | {"bits": 4, "block_size": 16, "scales": 9},
    "report": {
        "inputs": "text",
        "sentences": 3,
        "outputs": [{"file": "a", "output": "b", "layer": None, "largest": 0, "mean": 0.5, "magnitude": 2.0}],
        "layers": [],
    },
    "speech": {
        "mel_bins": 80,
        "sampling_rate": 16000,
        "fft_size": 400,
        "hop_length": 160,
        "window_frames": 3000,
        "timestamp_seconds": 0.02,
        "timestamp_begin": 2,
        "no_timestamps": 1,
        "no_speech": 1,
        "previous": 1,
        "transcribe": None,
        "translate": None,
        "multilingual": False,
        "max_initial_timestamp": 1.0,
        "alignment_heads": [[0, 1]],
    },
    "files": {"a.data": {"bytes": 48, "sha256": "0" * 64}},
}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not value.is_integer()),
    st.sampled_from(["", "text", "a/b", "..", ".", "a\n", "\x1b[2J", "C:", "0" * 64, "9" * 300, "rtn", "\ud800", "é"]),
    st.text(max_size=3),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where the values of a document are."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inside for place in places(part, (*path, key)))]


def changed(path: tuple[str | int, ...], value: object, extra: bool) -> dict[str, Any]:
    """The manifest with another value at a place, or with one more beside it."""
    document = json.loads(json.dumps(MANIFEST))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if not path:
        return value if not extra else document | {"more": value}
    if extra and isinstance(inner, dict):
        inner[f"{path[-1]}x"] = value
    else:
        inner[path[-1]] = value
    return document


def test_the_manifest_fits():
    assert first_fault(MANIFEST, SCHEMA) is None
    jsonschema.validate(MANIFEST, SCHEMA)


@given(path=st.sampled_from(places(MANIFEST)), value=VALUES, extra=st.booleans())
def test_verdicts_are_those_of_jsonschema(path, value, extra):
    document = changed(path, value, extra)
    fault = first_fault(document, SCHEMA)
    fits = jsonschema.Draft202012Validator(SCHEMA).is_valid(document)
    if isinstance(value, str) and value.endswith("\n") and fault is not None:
        return  # Python's `$`, which is not that of the standard
    assert (fault is None) == fits, fault
    assert fault is None or ("\n" not in fault and len(fault) < 500 and fault.isascii())


@pytest.mark.parametrize("path", places(MANIFEST)[1:], ids=lambda path: ".".join(map(str, path)))
def test_no_field_takes_what_is_right_nowhere(path):
    for value in (object(), [[[]]], {"a": {}}, math.inf, math.nan, "\n"):
        assert first_fault(changed(path, value, extra=False), SCHEMA) is not None, value


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("shapes", "d_model"), -3, r"field shapes.d_model is -3; expected an integer from 1 to 2147483647"),
        (("shapes", "d_model"), True, "field shapes.d_model is true; expected an integer from 1 to 2147483647"),
        (("shapes", "d_model"), 4.0, "field shapes.d_model is 4.0; expected an integer from 1 to 2147483647"),
        (
            ("languages", 0, "code"),
            5,
            "field languages[0].code is 5; expected text in one line, without control characters",
        ),
        (("tokenizer",), 1, "field tokenizer is 1; expected an object or null"),
        (
            ("tokenizer", "vocab"),
            "../x",
            "field tokenizer.vocab is '../x'; expected the plain name of a file in this folder",
        ),
        (("layout",), None, "field layout is null; expected one of quartet, rtranslator"),
        (("safe_length",), "é" * 99, "field safe_length is '" + "\\xe9" * 14 + "\\xe..."),
        (
            ("generation", "repetition_penalty"),
            0,
            "field generation.repetition_penalty is 0; expected a number above 0",
        ),
        (
            ("languages", 0, "token_id"),
            [1, 2],
            "field languages[0].token_id is a list of 2; expected an integer from 0 to",
        ),
        (("speech", "alignment_heads", 0), [1], "field speech.alignment_heads[0] is a list of 1; expected a list of"),
        (("files",), {"../a": {}}, "field files has the name '../a'; expected the plain name of a file in this folder"),
        (("files", "a.data"), {"bytes": 1}, "field files.a.data.sha256 is missing; expected a SHA-256 of 64"),
    ],
)
def test_faults_name_the_field_the_value_and_what_is_right(path, value, fault):
    assert first_fault(changed(path, value, extra=False), SCHEMA).startswith(fault)


def test_the_schema_says_nothing_that_is_not_checked():
    def of(schema: dict[str, Any]) -> set[str]:
        inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("oneOf", [])]
        inner += [schema[key] for key in ("items", "additionalProperties", "propertyNames") if key in schema]
        return set(schema).union(*map(of, inner))

    assert of(SCHEMA) <= json_schema.KEYWORDS | json_schema.NOTES
