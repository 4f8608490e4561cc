"""Patterns of the manifest as ids."""

import pytest

from quartet.spec import Language, Tokens
from quartet.text.prompts import prompt_ids

ENGLISH, FRENCH = Language("eng_Latn", 100), Language("fra_Latn", 101)
TOKENS = Tokens(eos=2, pad=1, decoder_start=3, space=4)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (("source", "text", "eos"), [100, 7, 8, 2]),
        (("decoder_start", "target"), [3, 101]),
        (("space", "target", "text", "eos"), [4, 101, 7, 8, 2]),
        ((), []),
    ],
)
def test_words_become_ids(pattern, expected):
    assert prompt_ids(pattern, TOKENS, ENGLISH, FRENCH, [7, 8]) == expected


def test_what_the_model_does_not_have_is_left_out():
    tokens = Tokens(eos=2, pad=1, decoder_start=3)
    assert prompt_ids(("space", "source", "target", "text", "eos"), tokens, None, Language("fr")) == [2]
