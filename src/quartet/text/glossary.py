"""Glossaries: terms of one language, and what each of them is to be in another.

A term is found where it stands as a whole word or as several, in any case, the longest first. Inflection is not known:
`river` is not found in `rivers`, and what it becomes comes out as it is written, whatever the grammar around it.
"""

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from quartet.errors import OptionError
from quartet.json_schema import shown
from quartet.text.kept import KeptSpan, between
from quartet.text.stops import is_written_without_spaces

LONGEST_TERM = 1024  # bytes, as DeepL has it
ENTRY = "a term, a tab, and what it becomes"
ENTRY_IN_CSV = "a term, a comma, and what it becomes"


@dataclass(frozen=True)
class Glossary:
    """Terms, and what each becomes; one that becomes itself is not translated.

    terms: neither a term nor what it becomes may be blank or have control characters. Raises `OptionError`.
    """

    terms: Mapping[str, str]

    def __post_init__(self) -> None:
        """Check all terms, and give them their plain form."""
        if not isinstance(self.terms, Mapping):
            raise OptionError(f"glossary is {shown(self.terms)}; expected a dict of terms and what they become")
        for term, becomes in self.terms.items():
            if problem := _problem(term) or _problem(becomes):
                raise OptionError(f"glossary: {shown(term)} becomes {shown(becomes)}, {problem}")
        plain = {" ".join(term.split()): " ".join(becomes.split()) for term, becomes in self.terms.items()}
        object.__setattr__(self, "terms", plain)

    def found(self, text: str, taken: Sequence[KeptSpan] = ()) -> list[KeptSpan]:
        """Where terms are in a text, outside of what is taken (sorted, disjoint), each with what it becomes."""
        small = _small("".join(_blanked(text, taken)))
        spans: list[KeptSpan] = []
        place = 0
        while place < len(small):
            term = self._at(small, place)
            if term is not None:
                spans.append(KeptSpan(place, place + len(term), "term", self._becomes[term]))
            place += len(term or " ")
        return spans

    def _at(self, small: str, place: int) -> str | None:
        """The longest term that begins there."""
        lengths = self._lengths.get(small[place], ())
        if not lengths or _is_inside(small, place):
            return None
        terms = (small[place : place + length] for length in lengths)
        return next(
            (term for term in terms if term in self._becomes and not _is_inside(small, place + len(term))), None
        )

    @cached_property
    def _becomes(self) -> dict[str, str]:
        """By terms in small letters; of several that differ in case, the first counts."""
        return {_small(term): becomes for term, becomes in reversed(list(self.terms.items()))}

    @cached_property
    def _lengths(self) -> dict[str, list[int]]:
        """Of the terms that begin with a small letter, longest first."""
        found: dict[str, set[int]] = {}
        for term in self._becomes:
            found.setdefault(term[0], set()).add(len(term))
        return {letter: sorted(lengths, reverse=True) for letter, lengths in found.items()}


def lacking(spans: Iterable[KeptSpan], translation: str) -> tuple[str, ...]:
    """What terms of a sentence should have become and is not in its translation as often, as whole words.

    Capitals count where a term has some, unless all of the translation is in capitals.
    """
    wanted = Counter(span.becomes or "" for span in spans)
    return tuple(becomes for becomes, times in wanted.items() if _times(becomes, translation) < times)


def read_glossary(path: Path) -> Glossary:
    """The glossary in a file: a term, a tab and what it becomes in each line, or in `.csv` a comma.

    Blank lines are passed over. Raises `OptionError` that names the line.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise OptionError(f"the glossary {path} cannot be read: {reason}") from None
    return Glossary(read_terms(text, str(path), commas=path.suffix.lower() == ".csv"))


def read_terms(text: str, name: str, *, commas: bool = False) -> dict[str, str]:
    """The terms in a text, and what they become; `name` is that of the text in errors. Raises `OptionError`."""
    terms: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, cells in _rows_with_commas(text, name) if commas else _rows_with_tabs(text):
        place = f"{name}, line {number}"
        if len(cells) < 2 or (len(cells) > 2 and not commas):
            raise OptionError(f"{place}: {shown(cells[0])}; expected {ENTRY_IN_CSV if commas else ENTRY}")
        term, becomes = cells[0].strip(), cells[1].strip()
        if problem := _problem(term) or _problem(becomes):
            raise OptionError(f"{place}: {shown(term)} becomes {shown(becomes)}, {problem}")
        if terms.get(term, becomes) != becomes:
            raise OptionError(f"{place}: {shown(term)} becomes something else in line {lines[term]}")
        terms[term], lines[term] = becomes, lines.get(term, number)
    return terms


# ---- inside ---------------------------------------------------------------------------------------------------------


def _rows_with_tabs(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line.strip():
            yield number, line.split("\t")


def _rows_with_commas(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                yield rows.line_num, cells
    except csv.Error as error:
        raise OptionError(f"{name}, line {rows.line_num}: {error}") from None


def _problem(text: object) -> str:
    """What is wrong with a term; nothing where it is good."""
    if not isinstance(text, str):
        return "which is no text"
    if not text.strip():
        return "and one of them is empty"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text if not character.isspace()):
        return "and one of them has a control character"
    return f"and one of them has more than {LONGEST_TERM} bytes" if len(text.encode()) > LONGEST_TERM else ""


def _blanked(text: str, taken: Sequence[KeptSpan]) -> Iterator[str]:
    """The text with signs that no term has in place of what is taken, and plain white space."""
    lengths = iter([span.end - span.start for span in taken])
    for part in between(text, taken):
        yield "".join(" " if character.isspace() else character for character in part)
        yield "\0" * next(lengths, 0)


def _small(text: str) -> str:
    """In small letters, and of the same length."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _is_inside(text: str, place: int) -> bool:
    """Whether a place is inside a word: between two letters, digits or marks of scripts that write spaces."""
    return 0 < place < len(text) and _is_of_word(text[place - 1]) and _is_of_word(text[place])


def _is_of_word(character: str) -> bool:
    is_sign = not character.isalnum() and not unicodedata.category(character).startswith("M")
    return not is_sign and not is_written_without_spaces(character)


def _times(term: str, text: str) -> int:
    """How often a term is in a text as whole words."""
    if term == _small(term) or text.isupper():
        term, text = _small(term), _small(text)
    count, place = 0, text.find(term)
    while place >= 0:
        end = place + len(term)
        is_whole = not _is_inside(text, place) and not _is_inside(text, end)
        count += is_whole
        place = text.find(term, end if is_whole else place + 1)
    return count
