"""What a model gets in place of an item that is kept letter for letter, and the item in its place again.

Models that were not trained for placeholders translate `{name}`, spell `example.org` in French or lose an emoji, but
copy what looks like a name or a code. So an item is replaced by a stand-in, and each stand-in has to come out exactly
once. Which ones a model copies, `benchmarks/stand_ins.py` measures, and `survival` tries in a moment.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Literal, get_args

from quartet.text.kept import KeptSpan

Style = Literal["as it is", "X1", "§1"]
STYLES: tuple[Style, ...] = get_args(Style)


def joined_spans(text: str, spans: Sequence[KeptSpan]) -> list[KeptSpan]:
    """Spans with nothing but white space between them as one: `<b>{file}</b>` is one item for the model."""
    joined: list[KeptSpan] = []
    for span in spans:
        if joined and not text[joined[-1].end : span.start].strip():
            span = KeptSpan(joined.pop().start, span.end, span.kind)
        joined.append(span)
    return joined


def placed(text: str, spans: Sequence[KeptSpan], names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """The text with a name in place of each span, and the names; those that occur in the text are passed over.

    A name that would touch a word gets a space, which is part of it in the answer: `" X1"` for what follows a word
    without a space, so that `restored` takes the space away again. `names` must not run out.
    """
    squeezed = _squeezed(text)
    fresh = (name for name in names if _squeezed(name) not in squeezed)
    parts, used, place = [], [], 0
    for number, span in enumerate(spans):
        touches = number > 0 and span.start == place
        before = " " * (touches or text[span.start - 1 : span.start].isalnum())
        followed = number + 1 < len(spans) and spans[number + 1].start == span.end
        after = " " * (not followed and text[span.end : span.end + 1].isalnum())
        used.append(before + next(fresh) + after)
        parts += [text[place : span.start], used[-1]]
        place = span.end
    return "".join([*parts, text[place:]]), tuple(used)


def restored(translation: str, stand_ins: Sequence[str], items: Sequence[str]) -> str | None:
    """The translation with the items in place of the stand-ins; None unless each stand-in is in it exactly once.

    Capitals and spaces inside a stand-in may have changed (`x 1`); it must not be part of a word.
    """
    wanted = {_squeezed(stand_in): number for number, stand_in in enumerate(stand_ins)}
    if not wanted:
        return translation
    shapes = sorted({_shape(stand_in.strip()) for stand_in in stand_ins}, key=len, reverse=True)
    parts, seen, place = [], set(), 0
    for found in re.finditer(rf"{_NO_WORD_BEFORE}(?:{'|'.join(shapes)}){_NO_WORD_AFTER}", translation, re.IGNORECASE):
        number = wanted.get(_squeezed(found.group()))
        if number is None:
            continue
        if number in seen:
            return None
        seen.add(number)
        before, after = translation[place : found.start()], translation[found.end() : found.end() + 1]
        place = found.end()
        if stand_ins[number].startswith(" "):
            before = before[:-1] if before[-1:].isspace() else before
        if stand_ins[number].endswith(" ") and after.isspace():
            place += 1
        item = items[number]
        if item[-1:] in _STOPS and translation[place : place + 1] in _STOPS:
            place += 1
        parts += [before, item]
    return "".join([*parts, translation[place:]]) if len(seen) == len(wanted) else None


_STOPS = (".", "…", "!", "?", "。")
_LATIN = r"0-9A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u052f\u1e00-\u1fff"
_NO_WORD_BEFORE = rf"(?<![{_LATIN}])"
_NO_WORD_AFTER = rf"(?![{_LATIN}\u0300-\u036f])"


def _squeezed(text: str) -> str:
    """Small letters without spaces; thousands are apart in some languages (`73 519`)."""
    return re.sub(r"(?<=\d)[.,](?=\d{3})|\s+", "", text).lower()


def _shape(name: str) -> str:
    """A pattern of all names of this kind: any number for a number, spaces where letters, digits and signs meet."""
    if name.isdigit() and len(name) > 3:
        return r"\d{1,3}(?:[\s.,]?\d{3})*+"
    return r"\s?".join(r"\d+" if run.isdigit() else re.escape(run) for run in re.findall(r"\d+|[^\W\d_]+|[\W_]", name))
