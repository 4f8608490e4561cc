"""What is new in a text after one that was sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.live.growing_text import rest

WORDS = st.lists(st.sampled_from(["and", "so,", "my", "fellow", "Americans.", "ask", "—", "你", "好。"]), max_size=8)
TEXTS = WORDS.map(" ".join)


@pytest.mark.parametrize(
    ("sent", "text", "new"),
    [
        ("", "And so.", "And so."),
        ("And so", "And so, my", ", my"),
        ("And so", "And so", ""),
        ("And so my", "And so", ""),
        ("And so I", "And so my fellow", " fellow"),
        ("and so", "And So, my", ", my"),
        ("fore score", "Four score and seven", " and seven"),
        ("one one two", "one two three", " three"),
        ("我", "你好吗", "好吗"),
        ("quite other words", "nothing", ""),
        ("four score, and seven.", "Fore score, and seven.", ""),
        ("four score.", "Fore score, and", " and"),
        ("four score", "…", ""),
    ],
)
def test_what_is_new_comes_after_what_was_sent(sent, text, new):
    assert rest(sent, text) == new


@given(TEXTS, TEXTS)
def test_what_was_sent_and_what_is_new_is_the_text_where_nothing_changed(begin, end):
    assert begin + rest(begin, begin + end) == begin + end


@given(TEXTS, TEXTS)
def test_what_is_new_ends_the_text(sent, text):
    assert text.rstrip().endswith(rest(sent, text).rstrip())


@given(TEXTS, TEXTS)
def test_nothing_is_new_twice(sent, text):
    assert rest(sent + rest(sent, text), text) == ""


def test_long_texts_that_differ_are_quick():
    words = [f"w{i}" for i in range(5000)]
    assert rest("W " + " ".join(words), " ".join(words) + " end") == " end"
    assert rest(" ".join(words), "only this") == ""
