"""A `tokenizer.json` that its library cannot read is a plain error, whatever the library does about it."""

import base64
import json

import pytest

from quartet.text.json_tokenizer import json_tokenizer

VOCABULARY = {"type": "WordLevel", "vocab": {"a": 0, "<unk>": 1}, "unk_token": "<unk>"}


def test_a_sound_one_is_opened():
    assert json_tokenizer(json.dumps({"model": VOCABULARY})).encode("a").ids == [0]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        json.dumps({"model": {"type": "Nothing"}}),
        json.dumps({"model": VOCABULARY, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}),
        json.dumps(
            {
                "model": VOCABULARY,
                "normalizer": {
                    "type": "Precompiled",
                    "precompiled_charsmap": base64.b64encode(b"\xff" * 9).decode(),
                },
            }
        ),
    ],
)
def test_damage_is_a_value_error(content):
    with pytest.raises(ValueError, match=r"\w"):
        json_tokenizer(content)
