"""Taking a text apart into the sentences that are translated by themselves, such that nothing is lost.

A model that gets several sentences drops some: of 400 in lines of four, opus-mt-en-fr lost 98. So each is a piece.
What is no language stays between the pieces as it is: white space, list marks, lines of signs, numbers alone, and the
quotation marks around several sentences. A sentence that is too long for the model is cut further (`cutting.py`).
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from quartet.text.cutting import PAUSES, Count, parts_that_fit
from quartet.text.languages import iso639_1, script_of
from quartet.text.lines import Span, marks_end, paragraphs
from quartet.text.stops import CLOSERS, OPENERS, PICTURES, STOPS, is_written_without_spaces, sentence_starts
from quartet.text.tokenizer import valid_unicode

Mode = Literal["auto", "sentences", "none"]

UNSPACED = frozenset({"Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})  # no spaces between words
WIDE_STOPS = frozenset({"Hans", "Hant", "Jpan"})  # their stops have the space in them

_LEADING = re.compile(rf"(?:(?:[-–—―•·]|[{PICTURES}]+)\s+)+")
_TRAILING = re.compile(rf"[{PICTURES}\s=#*~_-]")
_PICTURES = re.compile(f"[{PICTURES}]+")
_FACE = re.compile("[:;=-][()]")
_FIRST_SPACE = re.compile(r"\S*\s*")
_CLOSES = {"(": ")", "[": "]", "（": "）", "「": "」", "『": "』", "“": "”", "„": "“”", "«": "»", "»": "«", '"': '"'}
_OPENS = {")": "(", "]": "[", "）": "（", "」": "「", "』": "『", "”": "“„”", "“": "„", "»": "«", "«": "»", '"': '"'}
_WIDE_MARKS = frozenset("。！？、，；：」』”’）】》…—")


@dataclass(frozen=True)
class Piece:
    """A part of a text that is translated by itself, and what is kept as it is around it."""

    text: str  # without outer white space
    before: str = ""
    after: str = ""
    start: int = 0  # where `text` begins in the whole text, in characters


def split_text(
    text: str,
    language: str | None,
    max_tokens: int,
    count: Count,
    *,
    mode: Mode = "auto",
    wrapped: bool = False,
    kept: Sequence[Span] = (),
) -> list[Piece]:
    """The sentences of a text; none where nothing is to be translated, as there is no letter outside of `kept`.

    `before + text + after` of all pieces, joined, is `valid_unicode(text)`, which `start` and `kept` count in.

    - language: of the text, in any spelling; its abbreviations and stops are heeded.
    - max_tokens, count: no piece has more tokens than this, by `count`, unless it is a single grapheme. A sentence
      that has is cut at stops, clauses, white space, at last anywhere between graphemes. Mode `none` does not.
    - mode: `auto` and `sentences` take every sentence by itself, `none` the whole text.
    - wrapped: a single line break is white space in a sentence, as in text broken at 80 characters.
    - kept: spans, sorted and disjoint, that are never cut, with no letters to translate: addresses, placeholders. A
      line break or a full stop in them ends nothing.
    """
    text = valid_unicode(text)
    masked = masked_text(text, kept)
    if mode == "none":
        spans: Iterable[Span] = [(0, len(text))]
    else:
        code = iso639_1(language or "") or language or ""
        spans = (
            part
            for paragraph in paragraphs(masked, wrapped)
            for sentence in _sentences(masked, paragraph, code)
            if _has_letters(text, sentence, kept)
            for part in parts_that_fit(text, masked, sentence, kept, max_tokens, count)
        )
    spans = (_stripped(text, *span) for span in spans)
    return _pieces(text, [span for span in spans if _has_letters(text, span, kept) and count(text[slice(*span)])])


def join_pieces(pieces: Sequence[Piece], translations: Sequence[str], target: str | None) -> str:
    """The translations with what is kept around the pieces.

    Where a sentence follows another without a space (`。` and the like) and the target language writes one, it gets
    one. A single space goes where the target is Chinese or Japanese and a sign there has the space in it.
    """
    script = script_of(target) if target else None
    joined: list[str] = []
    last = Piece("")
    for piece, translation in zip(pieces, translations, strict=True):
        gap = last.after + piece.before
        if (
            joined
            and not gap
            and script not in UNSPACED
            and _needs_space(last.text, piece.text, joined[-1], translation)
        ):
            gap = " "
        elif joined and gap == " " and script in WIDE_STOPS and _is_wide(joined[-1][-1:], translation[:1]):
            gap = ""
        joined += [gap, translation]
        last = piece
    return "".join([*joined, last.after])


def _needs_space(source: str, next_source: str, translation: str, next_translation: str) -> bool:
    """Whether two translations need a space between them, although their sources have none."""
    if not (next_translation[:1].isalnum() or next_translation[:1] in tuple(OPENERS)):
        return False
    cut_between_words = is_written_without_spaces(source[-1:]) and is_written_without_spaces(next_source[:1])
    return cut_between_words or translation[-1:] in tuple(STOPS + PAUSES + CLOSERS)


def _is_wide(left: str, right: str) -> bool:
    return left in _WIDE_MARKS or (is_written_without_spaces(left) and is_written_without_spaces(right))


def masked_text(text: str, kept: Sequence[Span]) -> str:
    """The text with letters in place of what is kept, pictures aside: they may stand between sentences."""
    parts: list[str] = []
    last = 0
    for start, end in kept:
        word = "가" if end - start == 1 else "X" + "x" * (end - start - 1)  # a single letter would be an initial
        parts += [text[last:start], text[start:end] if _PICTURES.fullmatch(text, start, end) else word]
        last = end
    return "".join([*parts, text[last:]])


def _sentences(masked: str, paragraph: Span, language: str) -> Iterator[Span]:
    """The sentences of a paragraph without what is kept around them."""
    start = marks_end(masked, *_stripped(masked, *paragraph))
    line = masked[start : paragraph[1]]
    begins = [start, *(start + begin for begin in sentence_starts(line, language)), paragraph[1]]
    for begin, end in pairwise(begins):
        yield _without_marks(masked, *_stripped(masked, begin, end))


def _without_marks(masked: str, start: int, end: int) -> Span:
    """A sentence without dashes and pictures around it, and quotation marks whose other one is not in it."""
    leading = _LEADING.match(masked, start, end)
    start = leading.end() if leading else start
    place = end
    while place > start and _TRAILING.match(masked, place - 1):
        place -= 1
        if masked[place].isspace():
            end = place
    first, last = masked[start : start + 1], masked[max(start, end - 1) : end]
    if first in _CLOSES and not any(mark in masked[start + 1 : end] for mark in _CLOSES[first]):
        start += 1
    elif (
        last in _OPENS
        and not _FACE.match(masked, end - 2)
        and not any(mark in masked[start : end - 1] for mark in _OPENS[last])
    ):
        end -= 1
    return _stripped(masked, start, end)


def _stripped(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())


def _has_letters(text: str, span: Span, kept: Sequence[Span]) -> bool:
    start, end = span
    for k in range(bisect_right(kept, start, key=lambda one: one[1]), len(kept)):
        if kept[k][0] >= end:
            break
        if any(map(str.isalpha, text[start : kept[k][0]])):
            return True
        start = kept[k][1]
    return any(map(str.isalpha, text[start:end]))


def _pieces(text: str, spans: Sequence[Span]) -> list[Piece]:
    """Pieces for spans of the text. What is between two belongs to the first up to the last line break, if any."""
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    cuts = [0, *(_between(text, end, start) for end, start in zip(ends, starts[1:], strict=False)), len(text)]
    return [
        Piece(text[start:end], text[cuts[i] : start], text[end : cuts[i + 1]], start)
        for i, (start, end) in enumerate(spans)
    ]


def _between(text: str, end: int, start: int) -> int:
    """Where what follows a piece ends, and what precedes the next one begins."""
    line = max(text.rfind("\n", end, start), text.rfind("\r", end, start)) + 1
    found = _FIRST_SPACE.match(text, end, start)
    return line or (found.end() if found else start)
