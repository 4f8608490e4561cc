"""Sentences: found in many languages, none lost, and what is no language between them."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.text.sentences import Mode, Piece, join_pieces, split_text
from quartet.text.tokenizer import valid_unicode

MODES: tuple[Mode, ...] = ("auto", "sentences", "none")
TABLE: dict[str, list[str]] = tomllib.loads(Path(__file__).with_name("sentences.toml").read_text("utf-8"))
ALPHABET = (
    st.sampled_from("aBz.!?,;\"'()«»“”「」 \t\n\r\u00a0\u2028。，！؟।éé😀👍🏽\u200d\u0301\ud800\0-•*#>1279[]")
    | st.characters()
)


def words(text: str) -> int:
    """A token per word, and per ten characters of it."""
    return sum(1 + len(word) // 10 for word in text.split())


def whole(pieces: list[Piece]) -> str:
    return "".join(piece.before + piece.text + piece.after for piece in pieces)


def texts(text: str, language: str | None = "en", *, wrapped: bool = False, kept: tuple[str, ...] = ()) -> list[str]:
    """The pieces of a text in which the `kept` parts, in their order, are to be kept."""
    spans, place = [], 0
    for part in kept:
        start = text.index(part, place)
        place = start + len(part)
        spans.append((start, place))
    pieces = split_text(text, language, 10**6, len, wrapped=wrapped, kept=spans)
    assert not pieces or whole(pieces) == text
    return [piece.text for piece in pieces]


@st.composite
def kept_spans(draw: st.DrawFn, text: str) -> list[tuple[int, int]]:
    edges = draw(st.lists(st.integers(0, len(text)), max_size=8, unique=True).map(sorted))
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=False)]


@given(st.data(), st.text(ALPHABET, max_size=200), st.integers(1, 12), st.sampled_from(MODES), st.booleans())
def test_nothing_is_lost_and_pieces_fit(data: st.DataObject, text: str, limit: int, mode: Mode, wrapped: bool) -> None:
    clean = valid_unicode(text)
    kept = data.draw(kept_spans(clean))
    language = data.draw(st.sampled_from([*TABLE, None, "??", ""]))
    pieces = split_text(text, language, limit, words, mode=mode, wrapped=wrapped, kept=kept)
    assert whole(pieces) == (clean if pieces else "")
    letters = {i for i, letter in enumerate(clean) if letter.isalpha()} - {i for s, e in kept for i in range(s, e)}
    assert pieces or sum(len(word) > 5 for word in clean.split() if word.isalpha()) == 0 or kept
    for piece in pieces:
        start, end = piece.start, piece.start + len(piece.text)
        assert clean[start:end] == piece.text == piece.text.strip()
        assert not letters.isdisjoint(range(start, end))
        letters.difference_update(range(start, end))
        if mode != "none":
            whole_spans = any(start < e and s < end for s, e in kept)
            assert words(piece.text) <= limit or whole_spans
            inner = [edge for s, e in kept for edge in (start, end) if s < edge < e]
            assert all(clean[edge - 1].isspace() or clean[edge : edge + 1].isspace() for edge in inner)
    assert not {i for i in letters if mode == "none"}


@given(st.lists(st.text(ALPHABET, max_size=20), max_size=20), st.booleans())
def test_every_letter_is_in_a_piece_or_in_a_list_mark(lines: list[str], wrapped: bool) -> None:
    text = valid_unicode("\n".join(lines))
    pieces = split_text(text, "en", 10**6, len, wrapped=wrapped)
    between = [piece.before + piece.after for piece in pieces]
    for gap in between:
        for word in gap.split():
            assert sum(map(str.isalpha, word)) <= 5  # `iii)`


@pytest.mark.parametrize(("language", "text"), [(name, text) for name, rows in TABLE.items() for text in rows])
def test_sentences_of_many_languages(language: str, text: str) -> None:
    expected = [part.strip() for part in text.split("|")]
    assert texts(text.replace("|", ""), None if language == "none" else language) == expected


def test_the_table_is_large() -> None:
    assert sum(map(len, TABLE.values())) >= 120
    assert len(TABLE) >= 20


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", ["", "  ", "\n\n", "\u3000", "102", "***", "42 %", "10:30", "- - -", "€ 5,00", "😀"])
def test_nothing_to_translate(text: str, mode: Mode) -> None:
    assert split_text(text, "en", 5, len, mode=mode) == []


def test_what_has_no_letters_is_kept_between_the_pieces() -> None:
    assert split_text("12\none\n***\n42 %\ntwo\n", "en", 5, words) == [
        Piece("one", "12\n", "\n***\n42 %\n", 3),
        Piece("two", "", "\n", 16),
    ]


def test_text_without_tokens_is_kept_between_the_pieces() -> None:
    pieces = split_text("one\nxxx\ntwo", "en", 5, lambda text: 0 if text == "xxx" else 1)
    assert pieces == [Piece("one", after="\nxxx\n"), Piece("two", start=8)]


def test_none_takes_the_whole_text() -> None:
    assert split_text(" - a b. c\nd ", "en", 1, words, mode="none") == [Piece("- a b. c\nd", " ", " ", 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- Milk", "Milk"),
        (" * Milk", "Milk"),
        ("• Milk", "Milk"),
        ("– Milk", "Milk"),
        ("\t1. Milk", "Milk"),
        ("1) Milk", "Milk"),
        ("a) Milk", "Milk"),
        ("b. Milk", "Milk"),
        ("(iii) Milk", "Milk"),
        ("IV. Milk", "Milk"),
        ("# Milk", "Milk"),
        ("### Milk ###", "Milk"),
        ("=== Milk ===", "Milk"),
        ("> Milk", "Milk"),
        (">> > - [x] Milk", "Milk"),
        ("[ ] Milk", "Milk"),
        ("— Bonjour.", "Bonjour."),
        ("- 5 degrees", "5 degrees"),
        ("😀 Hello 👍🏽", "Hello"),
        ("→ Next", "Next"),
        ("-5 degrees", "-5 degrees"),
        ("1984 was a year.", "1984 was a year."),
        ("1984. A year.", "A year."),
        ("3. Mai 2020", "3. Mai 2020"),
        ("z. B. heute", "z. B. heute"),
        ("A. Smith came.", "A. Smith came."),
        ("#tag is here", "#tag is here"),
        ("il) y a", "il) y a"),
        ("-", None),
    ],
)
def test_list_marks_are_kept(text: str, expected: str | None) -> None:
    assert texts(text, "de") == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"I came. I saw. I won."', ["I came.", "I saw.", "I won."]),
        ("(One is here. Two is there.) Done.", ["One is here.", "Two is there.", "Done."]),
        ('He said: "Stop. Go." Then he left.', ['He said: "Stop.', "Go.", "Then he left."]),
        ("« Viens. Pars. » dit-il.", ["Viens.", "Pars. » dit-il."]),
        ("「はい。行きます。」と言った。", ["はい。", "行きます。」と言った。"]),
        ('He read "Help! I need you" aloud. Yes.', ['He read "Help! I need you" aloud.', "Yes."]),
        ("He came (it was late. Very late) to us.", ["He came (it was late. Very late) to us."]),
        ('"Stop!"', ['"Stop!"']),
        ("Nice :)", ["Nice :)"]),
        ("Nice (here)! Yes) it is.)", ["Nice (here)!", "Yes) it is."]),
    ],
)
def test_quotations_of_several_sentences_are_cut_and_their_marks_kept(text: str, expected: list[str]) -> None:
    assert texts(text, "fr" if "«" in text else "ja" if "「" in text else "en") == expected


def test_dialogue_and_pictures_between_sentences() -> None:
    assert texts("- Hi. - Hello there!😀 How are you? 👍 Fine.") == ["Hi.", "Hello there!😀", "How are you?", "Fine."]


def test_cells_between_tabs_are_pieces() -> None:
    assert texts("\tName\tHow old? Tell me.\t42\n") == ["Name", "How old?", "Tell me."]


def test_kept_spans_are_not_cut_and_end_nothing() -> None:
    text = "See https://a.org/x?y=1. Next one. {a. B} is here!\nUse `x.\ny? Z` now. {b}. {c} came. 5 {d}"
    kept = ("https://a.org/x?y=1", "{a. B}", "`x.\ny? Z`", "{b}", "{c}", "{d}")
    expected = ["See https://a.org/x?y=1.", "Next one.", "{a. B} is here!", "Use `x.\ny? Z` now.", "{c} came."]
    assert texts(text, kept=kept) == expected
    assert texts("https://a.org", kept=("https://a.org",)) == []
    assert texts("I am 😀. We are %. You too.", kept=("😀", "%")) == ["I am 😀.", "We are %.", "You too."]


WRAPPED = """\
I will give you the book
that I bought yesterday. It is
good.

- a list, with an
  item of two lines
- another
1. one
2. two
A heading
=========
# Another
It was in
1984. He came
– as always – late, with J.
R. Smith.
— Who?
— Me.
> a quotation
> of two
"""


def test_lines_of_wrapped_text_are_put_together() -> None:
    assert texts(WRAPPED, wrapped=True) == [
        "I will give you the book\nthat I bought yesterday.",
        "It is\ngood.",
        "a list, with an\n  item of two lines",
        "another",
        "one",
        "two\nA heading",
        "Another",
        "It was in\n1984.",
        "He came\n– as always – late, with J.\nR. Smith.",
        "Who?",
        "Me.",
        "a quotation",
        "of two",
    ]


def test_line_ends_of_windows_are_line_ends() -> None:
    assert texts("One\r\ntwo.\r\n\r\nThree", wrapped=True) == ["One\r\ntwo.", "Three"]
    assert texts("One\r\ntwo.\r\n\r\nThree") == ["One", "two.", "Three"]


def test_joining_puts_a_space_where_the_target_writes_one() -> None:
    pieces = split_text("你好。今天，天气很好！ 再见。\n好。", "zh", 9, len)
    english = ["Hello.", "The weather is nice today!", "Bye.", "Good."]
    assert join_pieces(pieces, english, "eng_Latn") == "Hello. The weather is nice today! Bye.\nGood."
    assert join_pieces([Piece("aa"), Piece("aa", start=2)], ["aa", "aa"], None) == "aaaa"
    cut = [Piece("天"), Piece("地", start=1)]
    assert join_pieces(cut, ["sky", "earth"], "fr") == "sky earth"
    assert join_pieces(cut, ["天", "地"], "ja") == "天地"


def test_joining_takes_a_space_away_where_the_sign_has_it() -> None:
    pieces = split_text("Hello. How are you? OK.", "en", 9, words)
    assert join_pieces(pieces, ["你好。", "你好吗？", "OK."], "zho_Hans") == "你好。你好吗？OK."
    assert join_pieces(pieces, ["OK.", "你好吗？", "好。"], "ja") == "OK. 你好吗？好。"
    assert join_pieces(pieces, ["สวัสดี", "สบายดีไหม", "ดี"], "th") == "สวัสดี สบายดีไหม ดี"


@given(st.text(ALPHABET, max_size=100), st.sampled_from(["fr", None]))
def test_joining_sources_gives_the_text(text: str, target: str | None) -> None:
    pieces = split_text(text, "en", 10**6, len)
    joined = join_pieces(pieces, [piece.text for piece in pieces], target)
    assert "".join(joined.split()) == ("".join(valid_unicode(text).split()) if pieces else "")


LONG = ["." * 40_000, "a" * 10**6, "a. " * 10**5, " " * 10**6, "“" * 10**5, '"' * 10**5, "(a" * 10**5, "你好。" * 10**5]


@pytest.mark.parametrize("text", LONG, ids=lambda text: ascii(text[:3]))
def test_long_texts_are_counted_a_few_times_only(text: str) -> None:
    counted = []

    def count(part: str) -> int:
        counted.append(len(part))
        return -(-len(part) // 4)

    pieces = split_text(text, "en", 200, count)
    assert not pieces or whole(pieces) == text
    assert sum(counted) <= 5 * len(text)


def test_flores_lines_keep_their_letters(shared: Path) -> None:
    for name in ("en", "fr", "de", "es"):
        lines = (shared / "data" / "flores-dev" / f"{name}.txt").read_text("utf-8").splitlines()
        cut = [line for line in lines if len(split_text(line, name, 10**6, len)) > 1]
        assert len(cut) <= 0.16 * len(lines)
        for line in lines:
            assert whole(split_text(line, name, 20, words)) == line
