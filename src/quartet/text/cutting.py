"""Cutting a sentence that is too long for the model into parts of about the same size.

The best place near the middle is taken: after a stop inside (in a quotation), then after a clause, then after white
space, at last between two graphemes. A span that is to be kept whole is never cut, however long it is.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from quartet.text.stops import CLOSERS, STOPS

Count = Callable[[str], int]  # tokens of a text

PAUSES = ",;:،؛、，；：፣፤၊—–"
LONGEST_GRAPHEME = 32  # a cut moves by so many characters at most to keep a grapheme whole
CHARACTERS_PER_TOKEN = 16  # a text with more than this per token that fits is taken for too long without counting
NEAR = 80  # a cut moves by so many characters at most to keep a word whole
_USUAL_CHARACTERS_PER_TOKEN = 4
_ZERO_WIDTH_JOINER = "\u200d"

_BOUNDARIES = (
    re.compile(rf"[{STOPS}]+[{re.escape(CLOSERS)}]*(?:\s+|(?<=[。！？｡」』]))"),
    re.compile(r"(?:[;:؛；：፤]+\s+|(?<=[؛；：፤])|\s(?=[—–(])|[—)]\s+|(?<=——))"),
    re.compile(r"(?:[,،、，፣၊]+\s+|(?<=[、，፣၊]))"),
    (_SPACE := re.compile(r"\s+")),
)


def parts_that_fit(
    text: str, masked: str, span: tuple[int, int], kept: Sequence[tuple[int, int]], max_tokens: int, count: Count
) -> Iterator[tuple[int, int]]:
    """Spans of `text` that together are `span`, each of at most `max_tokens` tokens, or one grapheme, or one of `kept`.

    `masked` is the text with letters in place of the `kept` spans, so that no boundary is found in them.
    """
    waiting = [span]
    while waiting:
        start, end = waiting.pop()
        parts = -(-_tokens(text[start:end].strip(), max_tokens, count) // max(1, max_tokens))
        place = _place(masked, start, end, parts, kept) if parts > 1 else None
        if place is None:
            yield start, end
        else:
            waiting += [(place, end), (start, place)]


def _tokens(part: str, max_tokens: int, count: Count) -> int:
    """Tokens of a part. They are not counted where they are certainly too many: that takes long in a long text."""
    if len(part) > CHARACTERS_PER_TOKEN * max_tokens:
        return max(max_tokens + 1, len(part) // _USUAL_CHARACTERS_PER_TOKEN)
    return count(part)


def _place(masked: str, start: int, end: int, parts: int, kept: Sequence[tuple[int, int]]) -> int | None:
    """Where to cut first what needs so many parts: near the end of the middle one. None where there is no place."""
    length = end - start
    ideal = start + length * (parts // 2) // parts
    slack = length // (2 * parts)
    low, high = max(start + 1, ideal - slack), min(end - 1, ideal + slack)
    for boundary in _BOUNDARIES:
        places = [m.end() for m in boundary.finditer(masked, low, high) if m.end() >= low]
        if places:
            return min(places, key=lambda place: abs(place - ideal))
    if spaces := list(_SPACE.finditer(masked, max(start + 1, ideal - NEAR), min(end - 1, ideal + NEAR))):
        return min((space.end() for space in spaces), key=lambda place: abs(place - ideal))
    return _anywhere(masked, start, end, min(max(ideal, start + 1), end - 1), kept)


def _anywhere(masked: str, start: int, end: int, ideal: int, kept: Sequence[tuple[int, int]]) -> int | None:
    """A place between two graphemes, outside of what is kept."""
    before = bisect_right(kept, (ideal, -1)) - 1
    if before >= 0 and kept[before][0] < ideal < kept[before][1]:
        edges = [edge for edge in kept[before] if start < edge < end]
        return min(edges, key=lambda edge: abs(edge - ideal)) if edges else None
    least = max(start + 1, ideal - LONGEST_GRAPHEME, kept[before][1] if before >= 0 else 0)
    most = min(end - 1, ideal + LONGEST_GRAPHEME, kept[before + 1][0] if before + 1 < len(kept) else end)
    for place in chain(range(ideal, least - 1, -1), range(ideal + 1, most + 1)):
        if not _joins(masked[place - 1], masked[place]):
            return place
    return ideal if end - start > LONGEST_GRAPHEME else None


def _joins(left: str, right: str) -> bool:
    """Whether two characters belong to one grapheme (nearly Unicode's rules GB9, GB9a and GB11, UAX #29)."""
    skin_tone = "\U0001f3fb" <= right <= "\U0001f3ff"
    return skin_tone or _ZERO_WIDTH_JOINER in (left, right) or unicodedata.category(right).startswith("M")
