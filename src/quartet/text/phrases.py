"""Where a text may be broken, and how much each place would disturb a reader.

The order is that of the broadcasters: after punctuation, before conjunctions, before prepositions; not between article
and noun, first and last name, subject pronoun and verb, auxiliary or negation and verb (Netflix, *Timed Text Style
Guide: General Requirements*, "Line Treatment"; BBC, *Subtitle Guidelines*, "Break at natural points").

In scripts without spaces a line may be broken between characters but for some that never begin or end one (JIS X 4051,
*kinsoku shori*); in Japanese best where hiragana end and other signs begin, as phrases do. Thai, Lao, Khmer and Burmese
are broken at their spaces, and between syllables' letters only where nothing else helps: that would need a dictionary.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quartet.text.cutting import PAUSES
from quartet.text.function_words import bound, conjunctions, prepositions
from quartet.text.languages import iso639_1
from quartet.text.stops import CLOSERS, NO_SPACES, OPENERS, STOPS, is_written_without_spaces, sentence_starts

SENTENCE, CLAUSE, CONJUNCTION, PREPOSITION, WORD, BOUND, LETTERS = 0.0, 1.0, 2.0, 3.0, 5.0, 9.0, 20.0

_NAMES_ARE_NOT_CAPITALS = frozenset({"de", "lb"})  # all nouns are
_SMALL_KANA = "ーぁぃぅぇぉっゃゅょァィゥェォッャュョヮヵヶ々〻ゝゞヽヾ"
_NEVER_FIRST = _SMALL_KANA + "、。，．・：；！？)]}）］｝〕〉》」』】〙〗〟’”｠»%％‰℃…‥,.!?:;"
_NEVER_LAST = "([{（［｛〔〈《「『【〘〖〝‘“｟«$￥＄"
_JOINED_AFTER, _JOINED_BEFORE = "ะาำๅๆฯະາຳ", "เแโใไເແໂໃໄ\u17d2\u1039\u0f0c"  # of Thai, Lao, Khmer, Burmese, Tibetan
_GAP = re.compile(
    r"(?<=[^\s\u200b«‹])[ \t\r\n\u3000\u200b]+(?=[^\s\u200b])(?! ?[?!:;»›%]+(?:\s|$))"
    rf"|(?<=[{NO_SPACES}、。！？…」』）：；，])(?=[^\s])|(?<=[^\s])(?=[{NO_SPACES}「『（《])"
)
_WORD_BEFORE = re.compile(r"([^\s\-–—/(\"“«¿¡]*?)[.,;:!?…\"”»)\]]*$")
_WORD_AFTER = re.compile(r"[(\[\"“«‘¿¡]*([^\s.,;:!?…\"”»)\]]*)")
_ENDS_CLAUSE = re.compile(rf"(?:[{PAUSES}]|[.!?…])[{re.escape(CLOSERS)}]*$")
_NOTES = ("♪", "♫", "♬", "♩", "#")
_MARKS = ("-", "‐", "–", "—", ">>", *_NOTES)
_LONGEST_WORD = 40  # characters looked at beside a gap


@dataclass(frozen=True)
class Gap:
    """A place where a line may be broken: what is between `end` and `start` is white space, or nothing."""

    end: int  # of the line before
    start: int  # of the line after
    cost: float  # SENTENCE to BOUND; LETTERS where no word ends


def gaps(text: str, language: str | None = None) -> list[Gap]:
    """All places where a text may be broken, in order. language: in any spelling; its small words are heeded."""
    code = iso639_1(language or "") or language or ""
    sentences = set(sentence_starts(text, code))
    return [
        Gap(end, start, SENTENCE if start in sentences else _cost(text, end, start, code)) for end, start in _all(text)
    ]


def divide(text: str, weights: Sequence[float], language: str | None = None) -> list[str]:
    """A text as so many parts, whose lengths are nearly in proportion to `weights`, broken at phrases where it can be.

    Joined by the white space between them they are the text. Where it cannot be broken so often, the last are empty.
    """
    text = text.strip()
    found = [gap for gap in gaps(text, language) if gap.cost < LETTERS] if len(weights) > 1 else []
    if len(found) < len(weights) - 1 and len(weights) > 1:
        found = gaps(text, language)
    count = min(len(weights), len(found) + 1)
    total = sum(weights) or 1.0
    parts, begin, used, goal = [], 0, 0, 0.0
    for number in range(1, count):
        goal += weights[number - 1] / total * len(text)
        slack = max(4.0, min(weights[number - 1 : number + 1]) / total * len(text))
        among = range(used, len(found) - (count - 1 - number))
        best = min(among, key=lambda k: found[k].cost + 10 * (abs(found[k].end - goal) / slack) ** 2)
        parts.append(text[begin : found[best].end])
        begin, used = found[best].start, best + 1
    return [*parts, text[begin:], *[""] * (len(weights) - count)]


def gap_between(left: str, right: str) -> str:
    """What is written between two parts of a text: a space, or nothing in scripts that have none."""
    if not left or not right:
        return ""
    wide = unicodedata.east_asian_width(left[-1]) in "WF" and left[-1] in STOPS + PAUSES + CLOSERS
    return "" if (wide or is_written_without_spaces(left[-1])) and is_written_without_spaces(right[0]) else " "


def columns(text: str) -> int:
    """How wide a text is: East Asian wide characters count double (UAX #11), combining ones not at all."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _all(text: str) -> Iterator[tuple[int, int]]:
    last = 0
    for found in _GAP.finditer(text):
        end, start = found.span()
        if start > last and (end < start or _may_be_broken(text[end - 1], text[start])):
            yield end, start
            last = start


def _may_be_broken(left: str, right: str) -> bool:
    """Whether a line may end between two characters that have no space between them."""
    if left in _NEVER_LAST + _JOINED_BEFORE or right in _NEVER_FIRST + _JOINED_AFTER:
        return False
    return not (unicodedata.category(right).startswith("M") or "\u200d" in (left, right))


def _cost(text: str, end: int, start: int, language: str) -> float:
    before = text[max(0, end - _LONGEST_WORD) : end]
    after = text[start : start + _LONGEST_WORD]
    if end == start or is_written_without_spaces(before[-1]):
        return _unspaced(before, after, spaced=end < start)
    if _opens(text, before, end) or after.split(maxsplit=1)[0] in _NOTES:
        return LETTERS
    if _ENDS_CLAUSE.search(before):
        return BOUND if before[-1] == "." else CLAUSE  # a full stop that ends no sentence is of an abbreviation
    if after[0] in "([{（«“„–—":
        return CLAUSE
    last, first = _WORD_BEFORE.search(before), _WORD_AFTER.match(after)
    return _between_words(last[1] if last else "", first[1] if first else "", language)


def _between_words(last: str, first: str, language: str) -> float:
    if _is_bound(last, language):
        return BOUND
    if _is_name(last, first, language) or (last[-1:].isdigit() and first[:1].isalpha()):
        return BOUND - 1
    begins = first.lower()
    stems = {begins, re.split("['’]", begins, maxsplit=1)[0]}  # qu'il, d'un
    if not conjunctions(language).isdisjoint(stems) or "qu" in stems:
        return CONJUNCTION
    return WORD if prepositions(language).isdisjoint(stems) else PREPOSITION


def _is_bound(word: str, language: str) -> bool:
    small = word.lower()
    return any(small in words(language) for words in (bound, prepositions, conjunctions))


def _opens(text: str, before: str, end: int) -> bool:
    """Whether a gap is behind a mark that belongs to what follows, such as the dash of a speaker."""
    mark = before.rsplit(maxsplit=1)[-1]
    if mark not in _MARKS:
        return False
    ahead = text[max(0, end - _LONGEST_WORD) : end - len(mark)].rstrip()[-1:]
    return mark in _NOTES or not ahead or ahead in tuple(STOPS + CLOSERS + "♪♫")


def _is_name(last: str, first: str, language: str) -> bool:
    return (
        language not in _NAMES_ARE_NOT_CAPITALS
        and last[:1].isupper()
        and first[:1].isupper()
        and len(last) > 1
        and not (last.isupper() and first.isupper())
    )


def _unspaced(before: str, after: str, spaced: bool) -> float:
    """Between characters of a script without spaces, or at one of its few spaces."""
    left, right = before[-1], after[0]
    if left in STOPS:
        return SENTENCE if right not in CLOSERS else CLAUSE
    if spaced or left in PAUSES + CLOSERS or right in OPENERS + "「『（《":
        return CLAUSE
    kinds = _kind(left), _kind(right)
    if kinds == ("hiragana", "hiragana"):
        return BOUND - 1
    if kinds[0] == "hiragana":
        return PREPOSITION + 1
    if kinds[0] == kinds[1]:
        return {"han": WORD + 1, "katakana": BOUND}.get(kinds[0], LETTERS)
    return BOUND - 2


def _kind(character: str) -> str:
    if "\u3040" <= character <= "\u309f":
        return "hiragana"
    if "\u30a0" <= character <= "\u30ff":
        return "katakana"
    if "\u0e00" <= character <= "\u109f" or "\u1780" <= character <= "\u17ff":
        return "letters"
    return "han" if is_written_without_spaces(character) else "other"
