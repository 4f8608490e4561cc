"""Splitting: pieces fit, and together with the white space between them they are the text."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.text.sentences import Mode, Piece, join_pieces, split_text
from quartet.text.tokenizer import valid_unicode

MODES: tuple[Mode, ...] = ("auto", "sentences", "none")


def words(text: str) -> int:
    """A token per word, and per ten characters of it."""
    return sum(1 + len(word) // 10 for word in text.split())


def whole(pieces: list[Piece]) -> str:
    return "".join(piece.before + piece.text + piece.after for piece in pieces)


def texts(text: str, limit: int, mode: Mode = "auto", language: str | None = "en") -> list[str]:
    pieces = split_text(text, language, limit, limit, words, mode)
    assert whole(pieces) == text
    return [piece.text for piece in pieces]


ALPHABET = st.sampled_from("ab.!?,;\"'()«» \t\n\r\u00a0\u2028。，！؟।éé😀👍🏽\u200d\u0301\ud800\0")


@given(st.text(ALPHABET | st.characters(), max_size=200), st.integers(1, 12), st.sampled_from(MODES))
def test_nothing_is_lost_and_pieces_fit(text: str, limit: int, mode: Mode) -> None:
    pieces = split_text(text, "en", limit, limit, words, mode)
    assert whole(pieces) == (valid_unicode(text) if pieces else "")
    assert pieces or not valid_unicode(text).strip()
    for piece in pieces:
        assert piece.text == piece.text.strip() != ""
        assert mode == "none" or words(piece.text) <= limit


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", ["", "  ", "\n\n", "\u3000"])
def test_nothing_to_translate(text: str, mode: Mode) -> None:
    assert split_text(text, "en", 5, 5, words, mode) == []


def test_text_without_tokens_is_kept_between_the_pieces() -> None:
    pieces = split_text("one\n***\ntwo\n***", "en", 5, 5, lambda text: 0 if text == "***" else 1)
    assert pieces == [Piece("one", after="\n***\n"), Piece("two", after="\n***")]


def test_auto_keeps_a_line_that_fits_whole() -> None:
    assert texts(" One two. Three!\tFour?  ", 4) == ["One two. Three!\tFour?"]


def test_auto_takes_lines_one_by_one_and_splits_only_long_ones() -> None:
    assert texts("A b. C d.\n\n  E f g. H i j.\r\nK", 4) == ["A b. C d.", "E f g.", "H i j.", "K"]


def test_sentences_are_never_merged() -> None:
    assert texts("One. Two. Three four five six seven.", 5) == ["One.", "Two.", "Three four five six seven."]
    assert texts("One. Two.", 99, "sentences") == ["One.", "Two."]


def test_none_does_not_split() -> None:
    assert split_text(" a b. c\nd ", "en", 1, 1, words, "none") == [Piece("a b. c\nd", " ", " ")]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["Mr. Smith met Dr. Who in the U.S. at 5 p.m. today.", "He paid $3.50, i.e. too much.", "Really?"]),
        ("fra_Latn", ["M. Dupont est parti.", "C'est tout, etc. !"]),
        ("zh", ["今天天气很好。", "你呢？", "我也很好！"]),
        ("jpn_Jpan", ["元気ですか？", "はい、元気です。"]),
        ("arb_Arab", ["كيف حالك؟", "أنا بخير."]),
        ("hin_Deva", ["नमस्ते।", "आप कैसे हैं?"]),
        ("hye_Armn", ["Բարև։", "Լավ եմ։"]),
        ("amh_Ethi", ["ሰላም።", "ደህና ነኝ።"]),
        (None, ["No language.", "Is named."]),
        ("??", ["An unknown one.", "Is named."]),
    ],
)
def test_sentences_of_many_languages(language: str | None, expected: list[str]) -> None:
    space = "" if language in ("zh", "jpn_Jpan") else " "
    assert texts(space.join(expected), 99, "sentences", language) == expected


def test_a_long_sentence_is_cut_after_clauses_then_at_spaces_then_anywhere() -> None:
    assert texts("one two, three four, five six", 4) == ["one two, three four,", "five six"]
    assert texts("one two three four five", 2) == ["one two", "three four", "five"]
    assert texts("一二三，四五六，七八九", 1, language="zh") == ["一二三，", "四五六，", "七八九"]
    assert max(map(words, texts("a" * 100, 3))) <= 3


def test_a_quotation_of_several_sentences_is_cut_at_their_ends() -> None:
    text = '"One two three. Four five six. Seven eight nine," she said.'
    assert texts(text, 5) == ['"One two three.', "Four five six.", 'Seven eight nine," she said.']


@pytest.mark.parametrize("unit", ["e\u0301", "👩\u200d👧", "👍🏽", "नि"])
def test_graphemes_stay_whole(unit: str) -> None:
    for piece in texts(unit * 200, 3):
        assert piece == unit * (len(piece) // len(unit))


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**5,
        "😀" * 10**5,
        "\u0301" * 10**5,
        "ab " * 30_000,
        "a,b," * 20_000,
        "你好。" * 20_000,
        "One two. " * 20_000,
    ],
    ids=ascii,
)
def test_long_texts_are_split_quickly(text: str) -> None:
    start = time.perf_counter()
    assert max(map(words, texts(text, 50))) <= 50
    assert time.perf_counter() - start < 5


def test_a_token_longer_than_the_limit_stays_a_piece() -> None:
    assert [piece.text for piece in split_text("ab", "en", 1, 1, lambda text: 5 * len(text))] == ["a", "b"]


def test_joining_puts_a_space_where_the_target_writes_one() -> None:
    pieces = split_text("你好。今天，天气很好！ 再见。\n好。", "zh", 9, 9, words, "sentences")
    english = ["Hello.", "The weather is nice today!", "Bye.", "Good."]
    assert join_pieces(pieces, english, "eng_Latn") == "Hello. The weather is nice today! Bye.\nGood."
    assert join_pieces(pieces, [piece.text for piece in pieces], "yue_Hant") == whole(pieces)
    assert join_pieces([Piece("aa"), Piece("aa")], ["aa", "aa"], None) == "aaaa"


def test_flores_lines_stay_whole(shared: Path) -> None:
    for name in ("en", "fr", "de", "es"):
        for line in (shared / "data" / "flores-dev" / f"{name}.txt").read_text("utf-8").splitlines():
            assert [piece.text for piece in split_text(line, name, 200, 200, words)] == [line.strip()]


def test_a_long_sentence_is_cut_only_where_it_exceeds_the_window():
    sentence = "One two three four five six, seven eight nine ten."
    assert [piece.text for piece in split_text(f"Yes. {sentence}", "en", 4, 12, words)] == ["Yes.", sentence]
    assert len(split_text(f"Yes. {sentence}", "en", 4, 6, words)) == 3
