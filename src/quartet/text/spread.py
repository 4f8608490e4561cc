"""Sentences that are spread over several texts, such as cues: put together to be translated, and divided again.

A half of a sentence is translated wrongly: `come back before the sun is up` becomes an order. So texts that go on in
each other are joined, each of their sentences is translated whole, and its translation is put in the places of the
sentence's parts: in proportion to their lengths, broken at the ends of phrases.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from quartet.text.function_words import bound, conjunctions, prepositions
from quartet.text.languages import iso639_1
from quartet.text.phrases import divide, gap_between
from quartet.text.stops import CLOSERS, STOPS, sentence_starts

MOST_PARTS = 6  # of a sentence; more are no sentence, but text without punctuation, and each is taken by itself
LONGEST = 300  # characters of a sentence, likewise
MOST_TEXTS = 40  # that are joined, and their characters
MOST_CHARACTERS = 2000

_LONGEST_END = 40  # characters
_USUAL = ("en", "fr", "es")  # languages whose small words are looked for where a text's language is not known
_NOTES = "♪♫♬♩"
_ASIDE = re.compile(rf"\s*(?:[{_NOTES}#]|[\[(（【*].*[\])）】*]\s*$)|.*[{_NOTES}]\s*$", re.DOTALL)
_TURN = re.compile(r"\s*(?:[-‐–—]\s|>>)")
_NAMED = re.compile(r"\s*[A-ZÀ-ÖØ-Þ][A-ZÀ-ÖØ-Þ .'’-]+:\s")  # `JOHN: Yes.`
_STOPPED = re.compile(rf"[{STOPS}][{re.escape(CLOSERS)}]*\s*$")
_BROKEN_OFF = re.compile(rf"(?:…|\.\.+|[-‐–—]|--)[{re.escape(CLOSERS)}]*\s*$")
_PAUSED = re.compile(r"[,،、，;；]\s*$")
_FIRST_LETTER = re.compile(r"[^\W_]")
_LAST_WORD = re.compile(r"([^\W\d_]+(?:['’][^\W\d_]+)?)\s*$")


@dataclass(frozen=True)
class Sentence:
    """A sentence, the text that it begins in, and how long its part in that and in each following one is."""

    text: str
    first: int
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Spread:
    """The sentences of so many texts, in order."""

    sentences: tuple[Sentence, ...]
    count: int

    def divided(self, translations: Sequence[str], target: str | None) -> list[str]:
        """The translations of the sentences in the places of the texts; "" where there are too few words.

        Of another number of translations than there are sentences, all together are divided.
        """
        sentences: Sequence[Sentence] = self.sentences
        if len(translations) != len(sentences):
            lengths = [0] * self.count
            for sentence in sentences:
                for k, length in enumerate(sentence.lengths, sentence.first):
                    lengths[k] += length
            sentences, translations = [Sentence("", 0, tuple(lengths))], [" ".join(translations)]
        found = [""] * self.count
        for sentence, translation in zip(sentences, translations, strict=True):
            parts = divide(translation, sentence.lengths, target)
            for k, part in enumerate(parts, sentence.first):
                found[k] += gap_between(found[k], part) + part
        return found


def spread(texts: Sequence[str], language: str | None = None) -> Spread:
    """The sentences of texts that go on in each other."""
    joined, edges = texts[0], [0]
    for text in texts[1:]:
        joined += gap_between(joined, text)
        edges.append(len(joined))
        joined += text
    code = iso639_1(language or "") or language or ""
    begins = [0, *sentence_starts(joined, code), len(joined)]
    sentences: list[Sentence] = []
    for begin, end in pairwise(begins):
        first = bisect_right(edges, begin) - 1
        inner = [edge for edge in edges[first + 1 :] if edge < end]
        stretches = list(pairwise([begin, *inner, end]))
        lengths = tuple(max(1, len(joined[a:b].strip())) for a, b in stretches)
        if len(lengths) > MOST_PARTS or (len(lengths) > 1 and end - begin > LONGEST):
            parts = ((first + k, joined[a:b].strip()) for k, (a, b) in enumerate(stretches))
            sentences += [Sentence(part, place, (1,)) for place, part in parts if part]
        elif text := joined[begin:end].strip():
            sentences.append(Sentence(text, first, lengths))
    return Spread(tuple(sentences), len(texts))


def has_room(texts: Sequence[str]) -> bool:
    """Whether one more text may be joined to these."""
    return len(texts) < MOST_TEXTS and sum(map(len, texts)) < MOST_CHARACTERS


def may_go_on(text: str) -> bool:
    """Whether a sentence may go on behind a text, as far as the text says."""
    if is_aside(text) or not _FIRST_LETTER.search(text):
        return False
    end = _end(text)
    return not _STOPPED.search(end) or bool(_BROKEN_OFF.search(end))


def goes_on(text: str, following: str, language: str | None = None, punctuated: bool = False) -> bool:
    """Whether the last sentence of a text goes on in the following one.

    punctuated: every sentence ends with a stop, as Whisper writes; else a capital letter begins a sentence, unless the
    text ends with a comma, or with a word behind which none ends.
    """
    if not may_go_on(text) or is_aside(following) or is_turn(following) or _NAMED.match(following):
        return False
    begin = following.lstrip().lstrip("\"'“‘«„¿¡([")
    if not begin or not _FIRST_LETTER.match(begin):  # dots, dashes, signs: no word that goes on
        return False
    if _in_capitals(text) != _in_capitals(following):
        return False
    is_small = not begin[0].isupper()  # letters of most scripts are neither small nor large
    end = _end(text)
    if _BROKEN_OFF.search(end):
        return begin[0].islower()
    return is_small or punctuated or bool(_PAUSED.search(end)) or _ends_within_phrase(end, language)


def is_aside(text: str) -> bool:
    """Whether a text is no speech: a sound in brackets, or a song between notes."""
    return bool(_ASIDE.match(text))


def is_turn(text: str) -> bool:
    """Whether somebody else begins to speak, as a dash or `>>` says."""
    return bool(_TURN.match(text))


def _end(text: str) -> str:
    """As much of the end as is looked at."""
    return text.rstrip()[-_LONGEST_END:]


def _in_capitals(text: str) -> bool:
    return text.isupper() and sum(map(str.isalpha, text)) > 3


def _ends_within_phrase(text: str, language: str | None) -> bool:
    """Whether the last word is one that belongs to the next; in any language where it is not known."""
    found = _LAST_WORD.search(text)
    if found is None:
        return False
    codes = (iso639_1(language) or language,) if language else _USUAL
    return any(found[1].lower() in words(code) for code in codes for words in (bound, conjunctions, prepositions))
