"""A sentence's markup: elements as stretches of its plain text, and their stretches of a translation.

A model gets marks in the elements' places, `<1>`, `</1>` and `<2/>`, and `{3}` for one that stands for words. They are
kept as all tags and placeholders are, and where they come out says which words an element has. Whatever comes out,
each element is there once, and nested as it was. Who knows better which words are which (an alignment) gives `written`
other stretches.
"""

import bisect
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

Stretch = tuple[int, int]
Children = Mapping[int | None, Sequence[int]]  # numbers of elements, by their parent's; None: those without

_MARK = re.compile(r"<(?P<close>/?)(?P<tag>[1-9]\d{0,8})/?>|\{(?P<word>[1-9]\d{0,8})\}")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Segment:
    """A piece of a sentence's source: a text, a tag, or what is an element by itself, with words or without."""

    kind: Literal["text", "open", "close", "void", "word"]
    source: str
    name: str = ""  # of a tag
    text: str = ""  # that the source stands for


@dataclass(frozen=True)
class Element:
    """An element in a text. One that begins or ends outside of the text lacks a tag, and so does a void one."""

    start: int
    end: int
    opening: str = ""
    closing: str = ""
    is_void: bool = False
    is_word: bool = False  # void for us, and read as one
    parent: int | None = None  # its number


@dataclass(frozen=True)
class Marked:
    """A plain text, and elements in it."""

    text: str
    elements: tuple[Element, ...]

    @cached_property
    def with_marks(self) -> str:
        """The text as a model gets it."""
        children = _in_order(self.elements, [(one.start, one.end) for one in self.elements])
        parts: list[str] = []
        place = 0
        for number, is_end in _walk(children):
            one, name = self.elements[number], self._names[number]
            at = one.end if is_end else one.start
            parts.append(self.text[place:at])
            place = at
            if one.is_void:
                parts.append("" if is_end else f"{{{name}}}" if one.is_word else f"<{name}/>")
            elif one.closing if is_end else one.opening:
                parts.append(f"</{name}>" if is_end else f"<{name}>")
        return "".join([*parts, self.text[place:]])

    def stretches(self, translation: str) -> tuple[str, list[Stretch]]:
        """The plain text of a translation of `with_marks`, and the stretch of each element in it."""
        number_of = {name: number for number, name in enumerate(self._names)}
        found: dict[tuple[int, bool], int] = {}
        plain, place = "", 0
        for mark in _MARK.finditer(translation):
            number = number_of.get(_name_in(mark))
            if number is None:
                continue
            plain += translation[place : mark.start()]
            place = mark.end()
            if plain[-1:].isspace() and translation[place : place + 1].isspace():  # one of these is enough
                if mark["close"]:
                    plain = plain.rstrip()
                elif not self.elements[number].is_void:
                    place += 1
            found.setdefault((number, bool(mark["close"])), len(plain))
        plain += translation[place:]
        same_share = _shares(self.text, plain)
        return plain, [self._stretch(number, found, len(plain), same_share) for number in range(len(self.elements))]

    def written(
        self, text: str, stretches: Sequence[Stretch], encode: Callable[[str], str], openings: Sequence[str] = ()
    ) -> str:
        """A text with the elements in it, one inside of another as here. openings: other start tags."""
        fitted, children = _fitted(self.elements, stretches, len(text))
        parts: list[str] = []
        place = 0
        for number, is_end in _walk(children):
            one, at = self.elements[number], fitted[number][is_end]
            opening = openings[number] if openings else one.opening
            parts += [encode(text[place:at]), one.closing if is_end else opening]
            place = at
        return "".join([*parts, encode(text[place:])])

    @cached_property
    def _names(self) -> list[int]:
        """A number for each element that is in no mark which the text itself has."""
        taken = {_name_in(mark) for mark in _MARK.finditer(self.text)}
        free = (name for name in range(1, len(self.elements) + len(taken) + 1) if name not in taken)
        return [name for name, _ in zip(free, self.elements, strict=False)]

    def _stretch(
        self, number: int, found: Mapping[tuple[int, bool], int], length: int, same_share: Callable[[int, bool], int]
    ) -> Stretch:
        """Where an element's marks came out; one that is lost is behind the same share of words as in the text."""
        one = self.elements[number]
        start = found.get((number, False)) if one.opening else 0
        end = start if one.is_void else found.get((number, True)) if one.closing else length
        start = same_share(one.start, False) if start is None else start
        end = same_share(one.end, not one.is_void) if end is None else end
        return min(start, end), max(start, end)


def marked(segments: Iterable[Segment]) -> Marked:
    """A sentence's plain text and elements. An end tag of what began before the sentence ends an element of its own."""
    parts: list[str] = []
    elements: list[Element] = []
    begun: list[int] = []
    names: list[str] = []
    known: Counter[str] = Counter()  # of the names of what has begun
    outermost: list[int] = []
    length = 0

    def add(one: Element) -> None:
        elements.append(replace(one, parent=begun[-1] if begun else None))
        if not begun:
            outermost.append(len(elements) - 1)

    def end_last(closing: str) -> None:
        known[names.pop()] -= 1
        number = begun.pop()
        elements[number] = replace(elements[number], end=length, closing=closing)

    for segment in segments:
        if segment.kind == "text":
            parts.append(segment.text)
            length += len(segment.text)
        elif segment.kind == "open":
            add(Element(length, length, segment.source))
            begun.append(len(elements) - 1)
            names.append(segment.name)
            known[segment.name] += 1
        elif segment.kind != "close" or (begun and not known[segment.name]):
            add(Element(length, length, segment.source, is_void=True, is_word=segment.kind == "word"))
        elif not begun:
            elements.append(Element(0, length, "", segment.source))
            for number in outermost:
                elements[number] = replace(elements[number], parent=len(elements) - 1)
            outermost = [len(elements) - 1]
        else:
            while names[-1] != segment.name:
                end_last("")
            end_last(segment.source)
    while begun:
        end_last("")
    return Marked("".join(parts), tuple(elements))


# ---- inside ---------------------------------------------------------------------------------------------------------


def _name_in(mark: re.Match[str]) -> int:
    return int(mark["tag"] or mark["word"])


def _in_order(elements: Sequence[Element], stretches: Sequence[Stretch]) -> Children:
    """The elements by their parents, first those that begin first; of several at one place, as they were."""
    children: dict[int | None, list[int]] = defaultdict(list)
    for number in sorted(range(len(elements)), key=lambda number: (stretches[number][0], number)):
        children[elements[number].parent].append(number)
    return children


def _walk(children: Children) -> Iterator[tuple[int, bool]]:
    """Beginnings and ends of all elements, as they are written."""
    todo = [(number, False) for number in reversed(children.get(None, ()))]
    while todo:
        number, is_end = todo.pop()
        yield number, is_end
        if not is_end:
            todo.append((number, True))
            todo += [(child, False) for child in reversed(children.get(number, ()))]


def _fitted(elements: Sequence[Element], stretches: Sequence[Stretch], length: int) -> tuple[list[Stretch], Children]:
    """The stretches cut to what their parents and the elements before them leave."""
    children = _in_order(elements, stretches)
    fitted: list[Stretch] = [(0, 0)] * len(elements)
    todo: list[tuple[int | None, int, int]] = [(None, 0, length)]
    while todo:
        parent, place, end = todo.pop()
        for number in children.get(parent, ()):
            start = min(max(stretches[number][0], place), end)
            place = min(max(stretches[number][1], start), end)
            fitted[number] = start, place
            todo.append((number, start, place))
    return fitted, children


def _shares(text: str, other: str) -> Callable[[int, bool], int]:
    """From places in a text to those in another before which there is the same share of all words.

    The place is at the beginning of a word, or for an end at that of the word before.
    """
    words, others = ([word.span() for word in _WORD.finditer(whole)] for whole in (text, other))
    starts = [start for start, _ in words]

    def same_share(place: int, is_end: bool) -> int:
        index = round(bisect.bisect_left(starts, place) / max(1, len(words)) * len(others))
        if is_end and index:
            return others[index - 1][1]
        return others[index][0] if index < len(others) else len(other)

    return same_share
