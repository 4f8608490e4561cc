"""Sentences over several texts are found, and their translations come back in as many parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.text.spread import LONGEST, MOST_PARTS, Sentence, goes_on, is_aside, is_turn, spread

WORDS = st.sampled_from(["the", "boat", "Yes.", "and", "comes", "今日は", "。", "Mr.", "“No!”"])
TEXTS = st.lists(st.lists(WORDS, min_size=1).map(" ".join), min_size=1, max_size=8)


def letters(text: str) -> str:
    return "".join(text.split())


@given(TEXTS)
def test_every_word_is_in_a_sentence(texts):
    found = spread(texts, "en")
    assert letters("".join(one.text for one in found.sentences)) == letters("".join(texts))
    for one in found.sentences:
        assert 0 <= one.first < one.first + len(one.lengths) <= len(texts)


@given(TEXTS, st.sampled_from(["en", "ja", None]))
def test_no_word_of_a_translation_is_lost(texts, target):
    found = spread(texts, "en")
    translations = [one.text.upper() for one in found.sentences]
    divided = found.divided(translations, target)
    assert len(divided) == len(texts)
    assert letters("".join(divided)) == letters("".join(translations))


@given(TEXTS, st.lists(st.sampled_from(["un", "deux mots", ""]), max_size=4))
def test_any_number_of_translations_is_put(texts, translations):
    found = spread(texts, "en")
    assert letters("".join(found.divided(translations, "fr"))) == letters("".join(translations))


def test_a_sentence_over_two_texts():
    found = spread(["It is early. The boats", "come back at dawn. Good."], "en")
    assert found.sentences == (
        Sentence("It is early.", 0, (12,)),
        Sentence("The boats come back at dawn.", 0, (9, 18)),
        Sentence("Good.", 1, (5,)),
    )
    translations = ["Il est tôt.", "Les bateaux reviennent à l'aube.", "Bien."]
    assert found.divided(translations, "fr") == ["Il est tôt. Les bateaux", "reviennent à l'aube. Bien."]


def test_text_without_stops_is_taken_text_by_text():
    for texts in (["so it goes"] * (MOST_PARTS + 1), ["a" * LONGEST, "b"]):
        assert [one.lengths for one in spread(texts, "en").sentences] == [(1,)] * len(texts)


GOES_ON = [
    ("every morning the boats", "come back before dawn", True),
    ("Well,", "Martha is here.", True),
    ("and the", "Martha sails", True),
    ("I saw Mr. Smith and", "Ann Lee there", True),
    ("The sun is up.", "come back", False),
    ("The sun is up!”", "come back", False),
    ("Is this the real life", "Is this just fantasy", False),
    ("Directed by", "STEVEN SPIELBERG", False),
    ("I think that we", "- should go", False),
    ("I think that we", "should go", True),
    ("I was going to—", "Stop!", False),
    ("I was thinking...", "that we could go", True),
    ("I was thinking...", "...that we could go", False),
    ("I was thinking", "...", False),
    ("[door opens]", "and so he came", False),
    ("and so he", "(sighs) came", True),
    ("and so he", "(sighs)", False),
    ("♪ love is", "all you need ♪", False),
    ("NO SMOKING", "and so he came", False),
    ("and the", "JOHN: yes, he", False),
    ("and the", ">> yes, he", False),
    ("", "and so", False),
    ("and so", "", False),
    ("...", "came", False),
    ("我们今天", "去北京。", True),
]


@pytest.mark.parametrize(("text", "following", "joined"), GOES_ON)
def test_where_a_sentence_goes_on(text, following, joined):
    assert goes_on(text, following, "en") is joined


def test_a_capital_begins_no_sentence_where_all_sentences_have_stops():
    assert goes_on("the thing that worries", "Martha is", "en", punctuated=True)
    assert not goes_on("the thing that worries", "Martha is", "en")
    assert goes_on("elle parle avec", "Martha", None), "a small word of any usual language"


def test_signs():
    assert [is_aside(text) for text in ("(sighs)", "♪ la", "la ♪", "# la la", "Yes (no)", "(a) b")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert [is_turn(text) for text in ("- No", ">> No", "-5", "No - yes")] == [True, True, False, False]
