"""Cutting: parts fit, are of about the same size, and end at clauses where there are some."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.text.cutting import parts_that_fit


def words(text: str) -> int:
    """A token per word, and per ten characters of it."""
    return sum(1 + len(word) // 10 for word in text.split())


def parts(text: str, limit: int, kept: tuple[tuple[int, int], ...] = ()) -> list[str]:
    masked = text
    for start, end in kept:
        masked = masked[:start] + "x" * (end - start) + masked[end:]
    spans = list(parts_that_fit(text, masked, (0, len(text)), kept, limit, words))
    assert "".join(text[start:end] for start, end in spans) == text
    return [text[start:end].strip() for start, end in spans]


def test_a_sentence_that_fits_is_left_whole() -> None:
    assert parts("One two, three. Four", 4) == ["One two, three. Four"]


def test_a_long_sentence_is_cut_after_clauses_then_at_spaces_then_anywhere() -> None:
    assert parts("one two, three four, five six", 4) == ["one two,", "three four, five six"]
    assert parts("one two three; four, five six", 5) == ["one two three;", "four, five six"]
    assert parts("one two three four five six", 2) == ["one two", "three four", "five six"]
    assert parts("一二三四五，六七八九十", 1) == ["一二三四五，", "六七八九十"]
    assert parts('"One two three. Four five six, seven," he said.', 6) == [
        '"One two three.',
        'Four five six, seven," he said.',
    ]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=300), st.integers(4, 60))
def test_parts_are_of_about_the_same_size(clauses: list[int], limit: int) -> None:
    text = ", ".join(" ".join(["w"] * length) for length in clauses)
    sizes = [words(part) for part in parts(text, limit)]
    assert max(sizes) <= limit
    assert len(sizes) == 1 or min(sizes) >= limit // 8


def test_a_list_of_goods_is_cut_after_its_commas() -> None:
    text = "On Saturday my sister bought " + ", ".join(f"{n} loaves of bread" for n in range(2, 90))
    found = parts(text, 100)
    assert all(part.endswith(",") for part in found[:-1])
    assert len(found) <= 6
    assert min(map(words, found)) > 40


@pytest.mark.parametrize("unit", ["e\u0301", "👩\u200d👧", "👍🏽", "नि"])
def test_graphemes_stay_whole(unit: str) -> None:
    for part in parts(unit * 200, 3):
        assert part == unit * (len(part) // len(unit))


@given(st.integers(1, 60), st.integers(0, 40), st.integers(1, 3))
def test_what_is_kept_stays_whole(length: int, start: int, limit: int) -> None:
    text = "a" * start + "b" * length + "a" * 30
    assert any("b" * length in part for part in parts(text, limit, ((start, start + length),)))


def test_a_token_longer_than_the_limit_stays_a_part() -> None:
    assert list(parts_that_fit("ab", "ab", (0, 2), (), 1, lambda text: 5 * len(text))) == [(0, 1), (1, 2)]


@pytest.mark.parametrize("text", ["\u0301" * 10**4, "a\u200d" * 10**4, "x" * 10**5, " " * 10**5])
def test_texts_without_a_boundary_end(text: str) -> None:
    assert max(map(words, parts(text, 50))) <= 50
