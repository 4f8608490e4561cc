"""Ways to have a sentence translated, one after the other until nothing of it is missing.

A sentence is sent whole at first, with stand-ins for what is to come out letter for letter. What the model loses is
tried in another way; the last one leaves out what must not change and translates what is around it.
"""

import re
from collections import Counter
from collections.abc import Callable, Generator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from quartet.text.coverage import missing, numbers
from quartet.text.cutting import parts_that_fit
from quartet.text.glossary import lacking
from quartet.text.kept import KeptSpan, between, kept_spans
from quartet.text.languages import iso639_1, script_of
from quartet.text.sentences import UNSPACED, masked_text
from quartet.text.stand_ins import NAMES, Style, joined_spans, left_out, put_back, replaced, restored
from quartet.text.tidy import dashes_as_typed, in_capitals, is_lone_word, lowered, plain, raised, without_added_end

AT_EDGES = frozenset({"emoji", "tag"})  # kinds that belong to no sentence where they stand before or after its words
AS_IT_IS: Style = "as it is"
FEWEST_TOKENS = 6  # of a part that is translated by itself, where a longer one failed
SMALLER = 2  # times that parts are halved
_WORD = re.compile(r"[^\W\d_]+")
_ALWAYS_BIG = re.compile(  # in English
    "I|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|April|June|July|August|(?:Septem|Octo|Novem|Decem)ber"
    "|English|French|German|Spanish|Italian|Russian|Chinese|Japanese"
)
_BEFORE = " \t\n.,;:!?…)]}»”’'\"/|-–—"  # what may stand between something kept and the words behind it
_BEHIND = " \t\n,;:([{«“„/|-–—=#"  # and what before it


@dataclass(frozen=True)
class Sentence:
    """What is translated by itself; spans are places of `text` that are to come out letter for letter."""

    text: str
    spans: tuple[KeptSpan, ...]
    source: str | None  # code of the language
    target: str | None
    is_in_capitals: bool = False  # all of its words
    terms: tuple[KeptSpan, ...] = ()  # of a glossary; not in what is kept


@dataclass(frozen=True)
class Part:
    """A stretch of a sentence, and what the model gets in its place."""

    text: str
    sent: str | None = None  # None: the stretch is kept as it is
    stand_ins: tuple[str, ...] = ()  # in `sent`, in the order of
    items: tuple[str, ...] = ()
    tidy: str = ""  # the stretch as it would be sent, with what was
    left_out: tuple[KeptSpan, ...] = ()


Attempt = tuple[Part, ...]


@dataclass(frozen=True)
class Faults:
    """What is wrong with the translation of a sentence."""

    lost: tuple[str, ...] = ()  # what was to come out letter for letter, and does not
    unfinished: bool = False  # a part of it ended without an end
    missing: tuple[str, ...] = ()  # what was looked for and not found
    untranslated: bool = False  # the sentence itself is missing: there is nothing, or far too little or too much
    unplaced: tuple[str, ...] = ()  # what terms of a glossary should have become, and is not there

    @property
    def weight(self) -> tuple[int, int]:
        """Least is best: a sentence that is missing or has no end is worse than any number of its items."""
        return self.untranslated + self.unfinished, len(self.lost) + len(self.missing) + len(self.unplaced)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self.weight != (0, 0)

    def named(self, sentence: "Sentence") -> tuple[str, ...]:
        """What is to be told: the whole sentence where its translation has no end."""
        whole = (sentence.text,) if self.unfinished or self.untranslated else ()
        return tuple(dict.fromkeys((*whole, *self.lost, *self.missing, *self.unplaced)))


def sentence_of(text: str, spans: Sequence[KeptSpan], source: str | None, target: str | None) -> Sentence:
    """A sentence of which is found out what is the same for all attempts."""
    return Sentence(text, tuple(spans), source, target, in_capitals(_without(text, spans)))


def with_stand_ins(count: Callable[[str], int]) -> Callable[[str], int]:
    """A count of tokens in which each item that is kept is as short as a stand-in."""

    def count_short(text: str) -> int:
        spans = kept_spans(text)
        return count("X1".join(between(text, spans)) if spans else text)

    return count_short


@dataclass(frozen=True)
class Ways:
    """What is the same for all sentences of a call."""

    count: Callable[[str], int]  # tokens
    max_tokens: int  # of a part
    styles: Sequence[Style]
    limited: bool = False  # the caller wants no more tokens: what ends by that is not tried again


def attempts(sentence: Sentence, ways: Ways) -> Generator[Attempt, Faults, None]:
    """One attempt after the other; is sent the faults of each, and ends where no other way is left."""
    faults, style = Faults(), AS_IT_IS
    for style in ways.styles if _inner(sentence) else (AS_IT_IS,):
        faults = yield _attempt(sentence, style, ways, ways.max_tokens)
        if not faults.lost:
            break
    else:
        faults = yield _apart(sentence, ways)
    limit = _count_of(sentence, ways.count)(sentence.text)
    for _ in range(SMALLER):
        limit //= 2
        if not (faults.unfinished or faults.untranslated or faults.missing) or limit < FEWEST_TOKENS or ways.limited:
            break
        faults = yield _attempt(sentence, style, ways, limit)
    if figures := _figures(sentence, faults.missing):
        spans = tuple(sorted((*sentence.spans, *figures), key=lambda span: span.start))
        with_figures = replace(sentence, spans=spans)
        faults = yield _attempt(with_figures, (*ways.styles, style)[0], ways, ways.max_tokens)
        if faults:
            faults = yield _apart(with_figures, ways)
    yield from _with_terms(sentence, ways, faults)


def _with_terms(sentence: Sentence, ways: Ways, faults: Faults) -> Generator[Attempt, Faults, None]:
    """What unplaced terms become in their places in the source, then stand-ins for those that are still not there.

    Models copy many words of the language that they write, and inflect what is around them. A stand-in comes out nearly
    always, but what is around it does not fit the term.
    """
    said = set(faults.unplaced)
    if said and _has_words_besides(sentence, said):
        faults = yield _attempt(_with_said(sentence, said), _first(ways), ways, ways.max_tokens)
    replaced_: set[str] = set()
    for style in ways.styles:
        if not faults.unplaced:
            break
        replaced_.update(faults.unplaced)
        faults = yield _attempt(_with_said(sentence, said - replaced_, replaced_), style, ways, ways.max_tokens)


def _has_words_besides(sentence: Sentence, said: Set[str]) -> bool:
    """Whether a sentence is more than terms that become something else, and items that are kept."""
    terms = [span for span in sentence.terms if span.becomes in said]
    spans = sorted((*sentence.spans, *terms), key=lambda span: span.start)
    is_new = any(sentence.text[span.start : span.end] != span.becomes for span in terms)
    return is_new and any(map(str.isalpha, _without(sentence.text, spans)))


def _with_said(sentence: Sentence, said: Set[str], replaced_: Set[str] = frozenset()) -> Sentence:
    """The sentence with what some terms become in their places, and others among the spans that get stand-ins."""
    terms = [span for span in sentence.terms if span.becomes in said or span.becomes in replaced_]
    text, spans, place = "", [], 0
    for span in sorted((*sentence.spans, *terms), key=lambda span: span.start):
        text += sentence.text[place : span.start]
        item = sentence.text[span.start : span.end]
        if span.kind == "term" and span.becomes in said:
            text += _as_big(span, sentence)
        else:
            becomes = _as_big(span, sentence) if sentence.is_in_capitals and span.becomes else span.becomes
            spans.append(KeptSpan(len(text), len(text) + len(item), span.kind, becomes))
            text += item
        place = span.end
    return replace(sentence, text=text + sentence.text[place:], spans=tuple(spans))


def _as_big(term: KeptSpan, sentence: Sentence) -> str:
    """What a term becomes, in capitals where the sentence is, and with one where it begins a sentence that does."""
    becomes = term.becomes or ""
    if sentence.is_in_capitals:
        return raised(becomes, sentence.target)
    begins = term.start == _words(sentence)[0] and sentence.text[term.start].isupper()
    return becomes[:1].upper() + becomes[1:] if begins and becomes[:2].islower() else becomes


def _first(ways: Ways) -> Style:
    return (*ways.styles, AS_IT_IS)[0]


def so_far(attempt: Attempt, translations: Sequence[str]) -> str:
    """A translation that is not complete, from those of the first parts."""
    found, whole = iter(translations), ""
    for part in attempt:
        text = part.text if part.sent is None else next(found, None)
        if text is None:
            break
        whole += _with_items(part, text) if part.stand_ins else text
    return whole


def _with_items(part: Part, text: str) -> str:
    """A beginning of a part's translation, up to its last space: behind that a stand-in may be in the making."""
    names = [stand_in.strip() for stand_in in part.stand_ins]
    item_of = dict(zip(names, part.items, strict=True))
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)")
    return pattern.sub(lambda found: item_of[found[0]], text.rpartition(" ")[0])


def reading(sentence: Sentence, attempt: Attempt, translations: Sequence[str]) -> str | None:
    """The translation of a sentence, from those of an attempt's parts that were sent; None where stand-ins are lost."""
    found = iter(translations)
    spaced = not _is_spaced(sentence.source) and _is_spaced(sentence.target)
    whole = ""
    for part in attempt:
        text = part.text if part.sent is None else _read(part, next(found), sentence)
        if text is None:
            return None
        whole += " " * (spaced and whole[-1:].isalnum() and text[:1].isalnum()) + text
    return _begun_big(sentence, whole) if sentence.terms else whole


def _begun_big(sentence: Sentence, translation: str) -> str:
    """The translation with a capital letter, where a term begins it and the sentence begins with one."""
    start, _ = _words(sentence)
    if not sentence.text[start : start + 1].isupper() or not translation.startswith(sentence.text[:start]):
        return translation
    becomes = next((s.becomes for s in sentence.terms if translation.startswith(s.becomes or "", start)), None)
    if becomes is None or any(map(str.isupper, becomes.split(" ")[0])):  # iPhone
        return translation
    return translation[:start] + translation[start].upper() + translation[start + 1 :]


def faults_of(sentence: Sentence, text: str | None, unfinished: bool) -> Faults:
    """What a translation of a sentence lacks."""
    items = [sentence.text[span.start : span.end] for span in sentence.spans]
    if text is None:
        unplaced = lacking(sentence.terms, "")
        return Faults(tuple(items) or (sentence.text,), unfinished, unplaced=unplaced)  # those of numbers are no spans
    lost = tuple(item for item, times in Counter(items).items() if text.count(item) < times)
    unplaced = lacking(sentence.terms, text) if sentence.terms else ()
    words = _without(sentence.text, sentence.spans)
    for item in items:
        text = text.replace(item, " ", 1)
    found = missing(words, text, sentence.source, sentence.target)
    if found == (words,):
        return Faults(lost, unfinished, untranslated=True, unplaced=unplaced)
    return Faults(lost, unfinished, found, unplaced=unplaced)


def as_typed(text: str) -> Attempt:
    """The text alone, unchanged."""
    return (Part(text, text),)


# ---- parts ----------------------------------------------------------------------------------------------------------


def _inner(sentence: Sentence) -> list[KeptSpan]:
    """The spans that stand between the words of a sentence, not before or after them."""
    start, end = _words(sentence)
    return [span for span in sentence.spans if start <= span.start and span.end <= end]


def _words(sentence: Sentence) -> tuple[int, int]:
    """Where a sentence begins and ends without the spans at its edges that belong to no sentence."""
    text, start, end = sentence.text, 0, len(sentence.text)
    for span in sentence.spans:
        if span.kind in AT_EDGES and not text[start : span.start].strip():
            start = span.end
    for span in reversed(sentence.spans):
        if span.kind in AT_EDGES and span.start >= start and not text[span.end : end].strip():
            end = span.start
    return start, end


def _attempt(sentence: Sentence, style: Style, ways: Ways, limit: int) -> Attempt:
    """All words, in as many parts as the limit of tokens wants, what is at the edges kept."""
    start, end = _words(sentence)
    kept = [(span.start - start, span.end - start) for span in _inner(sentence)]
    found = [Part(sentence.text[:start])] if start else []
    for text in _cut(sentence.text[start:end], limit, _count_of(sentence, ways.count), kept):
        found += _sent(sentence, start, start + len(text), sentence.spans, style)
        start += len(text)
    if end < len(sentence.text):
        found.append(Part(sentence.text[end:]))
    return tuple(found)


def _apart(sentence: Sentence, ways: Ways) -> Attempt:
    """The text between the spans, each stretch by itself."""
    found: list[Part] = []
    start = 0
    for span in sentence.spans:
        found += _stretch(sentence, start, span.start, ways)
        found.append(Part(sentence.text[span.start : span.end]))
        start = span.end
    return (*found, *_stretch(sentence, start, len(sentence.text), ways))


def _stretch(sentence: Sentence, start: int, end: int, ways: Ways) -> list[Part]:
    """Text without spans, in parts that fit, without the signs between it and its neighbours."""
    text = sentence.text[start:end]
    bare = text.lstrip(_BEFORE) if start else text
    first = end - len(bare)
    bare = bare.rstrip(_BEHIND) if end < len(sentence.text) else bare
    found = [Part(sentence.text[start:first])] if start < first else []
    start = first
    for part in _cut(bare, ways.max_tokens, ways.count, ()):
        found += _sent(sentence, start, start + len(part), (), AS_IT_IS)
        start += len(part)
    return [*found, Part(sentence.text[start:end])] if start < end else found


def _count_of(sentence: Sentence, count: Callable[[str], int]) -> Callable[[str], int]:
    return with_stand_ins(count) if sentence.spans else count


def _cut(text: str, limit: int, count: Callable[[str], int], kept: Sequence[tuple[int, int]]) -> list[str]:
    """Parts of at most so many tokens, cut neither in what is kept nor in numbers."""
    if not text or count(text) <= limit:
        return [text] if text else []
    masked = masked_text(text, kept)
    whole = sorted([*kept, *numbers(masked)])
    return [text[start:end] for start, end in parts_that_fit(text, masked, (0, len(text)), whole, limit, count)]


def _sent(sentence: Sentence, start: int, end: int, spans: Sequence[KeptSpan], style: Style) -> list[Part]:
    """A part to send, and the white space around it; what has no letter is kept."""
    whole = sentence.text[start:end]
    inside = [span for span in spans if start <= span.start and span.end <= end]
    text = whole.strip()
    if not any(map(str.isalpha, _without(whole, [span.from_place(start) for span in inside]))):
        return [Part(_with_becomes(sentence, start, end, inside))] if whole else []
    blank = len(whole) - len(whole.lstrip())
    begin = start + blank
    around = (Part(whole[:blank]), Part(whole[blank + len(text) :]))
    if is_lone_word(sentence.text, sentence.source) and not inside:
        return [Part(text, plain(text, sentence.source).lower())]
    tidy, places = _tidied(text, [span.from_place(begin) for span in inside], sentence.source, sentence.is_in_capitals)
    part = _replaced(Part(text), tidy, joined_spans(tidy, places), style)
    return [part for part in (around[0], part, around[1]) if part.text]


def _with_becomes(sentence: Sentence, start: int, end: int, spans: Sequence[KeptSpan]) -> str:
    """A stretch of a sentence that is not sent, with what its terms become."""
    found = between(sentence.text[start:end], [span.from_place(start) for span in spans])
    return "".join(chain.from_iterable(zip_longest(found, (span.item(sentence.text) for span in spans), fillvalue="")))


def _replaced(part: Part, tidy: str, places: Sequence[KeptSpan], style: Style) -> Part:
    """The part with what is sent of it."""
    if style in NAMES and places and all(span.kind in AT_EDGES for span in places):
        return replace(part, sent=left_out(tidy, places), tidy=tidy, left_out=tuple(places))
    sent, stand_ins = replaced(tidy, places, style)
    return replace(part, sent=sent, stand_ins=stand_ins, items=tuple(span.item(tidy) for span in places))


def _without(text: str, spans: Sequence[KeptSpan]) -> str:
    """The text with a space for each span."""
    return " ".join(between(text, spans))


def _tidied(
    text: str, spans: Sequence[KeptSpan], language: str | None, capitals: bool
) -> tuple[str, Sequence[KeptSpan]]:
    """The text in plain characters and ordinary case, and where the spans, which are unchanged, are in it."""
    found, places, start = "", [], 0
    for span in spans:
        found += _plain(text[start : span.start], language, capitals, first=not found)
        places.append(KeptSpan(len(found), len(found) + span.end - span.start, span.kind, span.becomes))
        found += text[span.start : span.end]
        start = span.end
    return found + _plain(text[start:], language, capitals, first=not found), places


def _plain(text: str, language: str | None, capitals: bool, first: bool) -> str:
    tidy = plain(text, language)
    if not capitals:
        return tidy
    return lowered(tidy, language) if first else lowered("X" + tidy, language)[1:]


def _read(part: Part, translation: str, sentence: Sentence) -> str | None:
    """A part's translation with its items in it."""
    text = dashes_as_typed(part.text, without_added_end(part.text, translation))
    if sentence.is_in_capitals:
        text = raised(text, sentence.target)
    elif _begins_small(part.text, text, sentence):
        text = text[:1].lower() + text[1:]
    elif is_lone_word(part.text, sentence.source):
        text = text[:1].upper() + (text[1:].lower() if text.isupper() else text[1:])
    if part.left_out:
        return put_back(text, part.tidy, part.left_out)
    return restored(text, part.stand_ins, part.items) if part.stand_ins else text


def _begins_small(source: str, translation: str, sentence: Sentence) -> bool:
    """Whether a translation's capital letter is only that of a beginning, where its source has none there.

    Not where it may be that of a name, which is in the source too, of a German noun, or of the English I.
    """
    language, (word, *_) = iso639_1(sentence.target or ""), [*_WORD.findall(translation), ""]
    is_special = language == "de" or word[1:2].isupper() or (language == "en" and _ALWAYS_BIG.fullmatch(word))
    return source[:1].islower() and not source[1:2].isupper() and not (is_special or word in sentence.text)


def _figures(sentence: Sentence, missing_: Sequence[str]) -> list[KeptSpan]:
    """Where the numbers of the sentence are, if a translation lacks one: the others would be next."""
    words = masked_text(sentence.text, [(span.start, span.end) for span in sentence.spans])
    found = [KeptSpan(start, end, "number") for start, end in numbers(words)]
    return found if any(words[span.start : span.end] in missing_ for span in found) else []


def _is_spaced(language: str | None) -> bool:
    return language is None or script_of(language) not in UNSPACED
