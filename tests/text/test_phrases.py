"""Texts are broken where it disturbs least, and nowhere where it must not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.text.phrases import BOUND, LETTERS, SENTENCE, WORD, columns, divide, gap_between, gaps

PIECES = [" ", "the", "Yes.", "- ", "。", "今日は", "สวัสดี", "« ", " ?", "\u200b", "e\u0301"]
ANY = st.text(max_size=60) | st.lists(st.sampled_from(PIECES)).map("".join)
LANGUAGES = st.sampled_from([None, "en", "fra_Latn", "de", "ja", "xx"])


def pieces(text: str, language: str | None = None) -> list[str]:
    """What is between the places where a text may be broken."""
    found = gaps(text, language)
    begins, ends = [0, *(gap.start for gap in found)], [*(gap.end for gap in found), len(text)]
    return [text[begin:end] for begin, end in zip(begins, ends, strict=True)]


def cost(text: str, language: str | None = None) -> float:
    """Of a break at `|`."""
    place = len(text.partition("|")[0].rstrip())
    whole = text.replace("|", "")
    return next(gap.cost for gap in gaps(whole, language) if gap.end == place)


@given(ANY, LANGUAGES)
def test_gaps_are_in_order_and_hold_no_word(text, language):
    last = 0
    for gap in gaps(text, language):
        assert last < gap.end <= gap.start < len(text)
        assert not text[gap.end : gap.start].strip(" \t\r\n\u3000\u200b")
        last = gap.start


@given(ANY, st.lists(st.floats(0, 100), min_size=1, max_size=5), LANGUAGES)
def test_parts_are_the_text(text, weights, language):
    parts = divide(text, weights, language)
    assert len(parts) == len(weights)
    assert "".join("".join(parts).replace("\u200b", "").split()) == "".join(text.replace("\u200b", "").split())
    assert "" not in parts[: parts.index("")] if "" in parts else True
    assert not any(parts[parts.index("") :]) if "" in parts else True


@pytest.mark.parametrize(
    ("text", "weights", "language", "parts"),
    [
        (
            "le bateau revient avant le lever du soleil.",
            [30, 34],
            "fr",
            ["le bateau revient", "avant le lever du soleil."],
        ),
        ("Je pensais que tu ne reviendrais jamais.", [1, 1], "fr", ["Je pensais", "que tu ne reviendrais jamais."]),
        ("Oui.", [1, 1], "fr", ["Oui.", ""]),
        ("one two", [1, 1, 1], "en", ["one", "two", ""]),
        ("今日は東京に行きました", [1, 1], "ja", ["今日は東京に", "行きました"]),
        ("", [1, 2], "en", ["", ""]),
        ("a b", [0, 0], "en", ["a", "b"]),
    ],
)
def test_divided_by_length_at_phrases(text, weights, language, parts):
    assert divide(text, weights, language) == parts


@pytest.mark.parametrize(
    ("better", "worse", "language"),
    [
        ("He came. |She went", "He came, |she went", "en"),
        ("he came, |she went", "he came |and she went", "en"),
        ("he came |and she went", "he came |to the house", "en"),
        ("he came |to the house", "he saw |big houses", "en"),
        ("he saw |big houses", "he saw the |big houses", "en"),
        ("he saw |big houses", "he saw Ann |Smith", "en"),
        ("he saw |big houses", "he saw 40 |houses", "en"),
        ("he saw |big houses", "he saw Dr. |Smith", "en"),
        ("il vient |qu'il le veuille", "il vient |demain", "fr"),
        ("il vient |demain", "il vient de |Paris", "fr"),
        ("er sieht |große Häuser", "er sieht die |Häuser", "de"),
        ("東京に|行きました", "東|京に行きました", "ja"),
        ("東|京に行きました", "コン|ピューターを", "ja"),
    ],
)
def test_some_places_are_better(better, worse, language):
    assert cost(better, language) < cost(worse, language)


def test_german_nouns_are_no_names():
    assert cost("der Hafen |Hamburg", "de") == WORD < cost("Ann |Smith", "en")
    assert cost("yes. |No", "en") == SENTENCE
    assert cost("of |it", "en") == BOUND


def test_speakers_dashes_and_notes_stay_with_their_words():
    assert cost("Are you there? - |No.", "en") == LETTERS
    assert cost("♪ |Love is all ♪", "en") == cost("♪ Love is all |♪", "en") == LETTERS


def test_places_where_no_line_may_end():
    assert pieces("Fait-il « froid » ? Oui !", "fr") == ["Fait-il", "« froid » ?", "Oui !"]
    assert pieces("10\u00a0000 km") == ["10\u00a0000", "km"]
    assert pieces("「はい」と。ちょっと", "ja") == ["「は", "い」", "と。", "ちょっ", "と"]
    assert all(piece[0] not in "\u0e31\u0e35" for piece in pieces("สวัสดี"))  # vowels above a letter
    assert pieces("👩‍👧 한국어 글") == ["👩‍👧", "한국어", "글"]


def test_width():
    assert (columns("abc"), columns("今日"), columns("e\u0301"), columns("한"), columns("ｱ")) == (3, 4, 1, 2, 1)


@pytest.mark.parametrize(
    ("left", "right", "between"),
    [("a", "b", " "), ("", "b", ""), ("今日", "は", ""), ("。", "今", ""), ("今日", "abc", " "), (".", "今", " ")],
)
def test_what_is_between_parts(left, right, between):
    assert gap_between(left, right) == between
