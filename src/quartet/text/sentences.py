"""Splitting text that is too long for the model, such that nothing is lost and the lines stay lines.

Every line is translated by itself: models know no line breaks, and would drop them. A line that is safe stays in one
piece, so that it is translated as the model would without us; a longer one is taken apart into sentences, each a
piece of its own, since models of this kind drop sentences when they get several. A sentence that is still too long
is cut at full stops that the splitter left (in quotations), then after clauses, then at white space, at last anywhere.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from quartet.text.languages import iso639_1, script_of
from quartet.text.tokenizer import valid_unicode

Mode = Literal["auto", "sentences", "none"]
Count = Callable[[str], int]  # tokens of a text

STOPS = ".!?…。！？｡؟۔।॥։።။‼⁇⁈⁉"
PAUSES = ",;:،؛、，；：፣፤—–"
_SENTENCE_END = re.compile(rf"[{STOPS}]+[\"'”’»)\]」』]*(?:\s+|(?<=[。！？｡」』]))")
_CLAUSE_END = re.compile(rf"[{PAUSES}]+(?:\s+|(?<=[、，；：]))")
_SPACE = re.compile(r"\s+")
_TITLE_END = re.compile(r"(?:^|\W)(?:Mr|Mrs|Ms|Dr|Prof|M|MM|Mme|Mlle|Sr|Sra)\.\s+$")  # no sentence ends here

UNSPACED = frozenset({"Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})  # no spaces between sentences
LONGEST_GRAPHEME = 32  # a cut moves left by so many characters at most to keep a grapheme whole
BLOCK = 2000  # characters that the splitter gets at once
_ZERO_WIDTH_JOINER = "\u200d"


@dataclass(frozen=True)
class Piece:
    """A part of a text that is translated by itself, and the white space around it that is kept."""

    text: str
    before: str = ""
    after: str = ""


def split_text(
    text: str, language: str | None, safe_tokens: int, max_tokens: int, count: Count, mode: Mode = "auto"
) -> list[Piece]:
    """Pieces of at most `max_tokens` tokens (or of one character); none where there is nothing to translate.

    `auto` takes only lines apart that are longer than `safe_tokens`, `sentences` every line, `none` nothing, whatever
    its length. `before + text + after` of all pieces, joined, is the text (with lone surrogates replaced).
    """
    text = valid_unicode(text)
    if mode == "none":
        return _pieces([text], count)
    lines = text.splitlines(keepends=True)
    whole = min(safe_tokens, max_tokens) if mode == "auto" else 0
    return _pieces((part for line in lines for part in _split_line(line, language, whole, max_tokens, count)), count)


def join_pieces(pieces: Sequence[Piece], translations: Sequence[str], target: str | None) -> str:
    """The translations with the pieces' white space around them.

    Where a sentence followed another without a space (`。` and the like) and the target language writes one, it gets
    one.
    """
    spaced = target is None or script_of(target) not in UNSPACED
    joined = ""
    for piece, translation in zip(pieces, translations, strict=True):
        glued = not piece.before and joined[-1:] in tuple(STOPS + PAUSES) and translation[:1].isalnum()
        joined += " " * (spaced and glued) + piece.before + translation + piece.after
    return joined


def _split_line(line: str, language: str | None, whole: int, max_tokens: int, count: Count) -> Iterator[str]:
    """A line of up to `whole` tokens as it is, else its sentences, these cut only where they exceed `max_tokens`."""
    if count(line) <= whole:
        yield line
        return
    for sentence in _sentences(line, language):
        yield from _fit(sentence, max_tokens, count)


def _sentences(line: str, language: str | None) -> list[str]:
    """The sentences of a line, each with the white space after it."""
    from sentencex import segment  # noqa: PLC0415 - only long texts need it

    found: list[str] = []
    code = iso639_1(language or "en") or "en"
    for sentence in (sentence for block in _blocks(line) for sentence in segment(code, block)):
        if found and _TITLE_END.search(found[-1]):
            found[-1] += sentence
        else:
            found.append(sentence)
    return found if "".join(found) == line else [line]


def _blocks(line: str) -> Iterator[str]:
    """A long line in parts that end with a sentence: the splitter's time grows with the square of the length."""
    start = 0
    while len(line) - start > BLOCK and (end := _SENTENCE_END.search(line, start + BLOCK)):
        yield line[start : end.end()]
        start = end.end()
    yield line[start:]


def _fit(text: str, max_tokens: int, count: Count) -> Iterator[str]:
    """Cut a sentence into parts that fit, at the strongest boundary that it has."""
    if count(text) <= max_tokens:
        yield text
        return
    for boundary in (_SENTENCE_END, _CLAUSE_END, _SPACE):
        parts = _cut_after(boundary, text)
        if len(parts) > 1:
            if boundary is not _SENTENCE_END:
                parts = _packed(parts, max_tokens, count)
            break
    else:
        yield from _cut_anywhere(text, max_tokens, count)
        return
    for part in parts:
        # a part as long as the whole would be cut at the same place for ever
        yield from _fit(part, max_tokens, count) if len(part) < len(text) else _cut_anywhere(part, max_tokens, count)


def _cut_after(boundary: re.Pattern[str], text: str) -> list[str]:
    ends = [found.end() for found in boundary.finditer(text) if found.start() > 0 and found.end() < len(text)]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def _packed(parts: list[str], max_tokens: int, count: Count) -> list[str]:
    """Join neighbours as long as their tokens add up to no more than the limit."""
    packed, total = parts[:1], count(parts[0])
    for part in parts[1:]:
        tokens = count(part)
        if total + tokens <= max_tokens:
            packed[-1] += part
            total += tokens
        else:
            packed.append(part)
            total = tokens
    return packed


def _cut_anywhere(text: str, max_tokens: int, count: Count) -> Iterator[str]:
    """Cut text without any boundary into even slices, and those that do not fit into halves."""
    tokens = count(text)
    if tokens <= max_tokens or len(text) == 1:
        yield text
        return
    length = min(max(1, len(text) * max_tokens // tokens), len(text) // 2)
    start = 0
    while start < len(text):
        end = _grapheme_end(text, start, min(start + length, len(text)))
        yield from _cut_anywhere(text[start:end], max_tokens, count)
        start = end


def _grapheme_end(text: str, start: int, end: int) -> int:
    """`end`, or a place shortly before it that cuts no combining marks off and no emoji in two."""
    for place in range(end, max(start, end - LONGEST_GRAPHEME), -1):
        if place == len(text) or not _joins(text[place - 1], text[place]):
            return place
    return end


def _joins(left: str, right: str) -> bool:
    """Whether two characters belong to one grapheme (nearly Unicode's rules GB9, GB9a and GB11, UAX #29)."""
    skin_tone = "\U0001f3fb" <= right <= "\U0001f3ff"
    return skin_tone or _ZERO_WIDTH_JOINER in (left, right) or unicodedata.category(right).startswith("M")


def _pieces(parts: Iterable[str], count: Count) -> list[Piece]:
    """Move outer white space, and parts that make no tokens, from the text of the pieces to between them."""
    pieces: list[Piece] = []
    blank = ""
    for part in parts:
        text = part.strip()
        if not text or not count(text):
            blank += part
            continue
        start = part.index(text)
        before, after = blank + part[:start], part[start + len(text) :]
        if pieces:
            pieces[-1] = replace(pieces[-1], after=pieces[-1].after + before)
            before = ""
        pieces.append(Piece(text, before, after))
        blank = ""
    if pieces and blank:
        pieces[-1] = replace(pieces[-1], after=pieces[-1].after + blank)
    return pieces
