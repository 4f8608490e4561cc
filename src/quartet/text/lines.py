"""The lines of a text, or its paragraphs where it is wrapped, and the list marks that lines begin with."""

import re
from collections.abc import Iterator

from quartet.text.stops import CLOSERS, PICTURES, STOPS

Span = tuple[int, int]

_BULLET = rf"[-*+•◦‣∙·▪■●○–—―☐☑☒✓✔✗\u2043\ufe0e{PICTURES}]+"
_MONTHS = "jan|feb|mär|mar|maa|apr|mai|maj|máj|may|jun|jul|jún|júl|aug|avg|sep|okt|oct|nov|dez|dec|des"
_MARK = re.compile(
    rf"""
    (?: {_BULLET} | [=\#*~_]{{2,}}
      | \d{{1,3}} [.)] (?! \s+ (?i:{_MONTHS}) \w* \b )  # `3. Mai` is a date
      | \(? (?: \d{{1,3}} | [^\W\d_] | (?=[ivx]) x{{0,3}} (?: ix | iv | v?i{{0,3}} ) ) \)
      | [a-z] \. (?! \s+ \w{{1,3}} \. )                          # `z. B.` is an abbreviation
      | (?: I{{2,3}} | IV | V I{{1,3}} | IX | X I{{1,3}} ) \.
      | \#{{1,6}} | >+ | \[ [ xX] \]
    ) \s+
    """,
    re.VERBOSE,
)
_FIRST_OF_LIST = re.compile(r"\s*\(?(?:[1aAiI][.)]|[-*+•◦‣∙·▪■●○☐☑☒✓✔✗#>\[])")
_DASH = re.compile(r"\s*[–—―]")
_HEADING = re.compile(r"\s*#{1,6}\s")
_ENDED = re.compile(rf"[{STOPS}:][{re.escape(CLOSERS)}]*\s*$")
_SPACE = re.compile(r"\s*")
_CELL = re.compile(r"\t")  # what is between cells
_TABLE = re.compile(r"[ \t]*\|.*\|\s*$")
_CELL_OF_TABLE = re.compile(r"[\t|]")
_LONGEST_END = 20  # characters looked at before a line break
_PARAGRAPH_ENDS = "\f\u2029\x1c\x1d\x1e"


def paragraphs(text: str, wrapped: bool) -> Iterator[Span]:
    """Spans that no sentence reaches beyond; together they are the text.

    They are the cells of each line, between tabs or, in Markdown's tables, between bars; of a `wrapped` text, of lines
    that follow each other. There a blank line, a line without letters and digits, a list mark, a heading and a
    quotation mark `> ` separate.
    """
    for first, end in _wrapped(text) if wrapped else _lines(text):
        start = first
        for cell in (_CELL_OF_TABLE if _TABLE.match(text, first, end) else _CELL).finditer(text, first, end):
            yield from ((start, cell.start()), cell.span())
            start = cell.end()
        yield start, end


def marks_end(text: str, start: int, end: int) -> int:
    """Where the list marks at the start of a line end: `- `, `1. `, `(a) `, `## `, `> - [x] `."""
    while (found := _MARK.match(text, start, end)) and found.end() < end:
        start = found.end()
    return start


def _lines(text: str) -> Iterator[Span]:
    start = 0
    for line in text.splitlines(keepends=True):
        yield start, start + len(line)
        start += len(line)


def _wrapped(text: str) -> Iterator[Span]:
    """Lines put together to paragraphs."""
    begin, previous = 0, (0, 0)
    for line in _lines(text):
        if line[0] > begin and not _continues(text, begin, previous, line):
            yield begin, line[0]
            begin = line[0]
        previous = line
    if begin < len(text):
        yield begin, len(text)


def _continues(text: str, begin: int, previous: Span, line: Span) -> bool:
    """Whether a line belongs to the paragraph that began at `begin` and had the `previous` line last."""
    if not _has_words(text, previous) or not _has_words(text, line) or _HEADING.match(text, *previous):
        return False
    if text[previous[1] - 1] in _PARAGRAPH_ENDS:
        return False
    start = _after_space(text, *line)
    if marks_end(text, start, line[1]) == start:
        return True
    if _DASH.match(text, *line):  # of dialogue, or in the midst of a sentence
        return not _ENDED.search(text, max(previous[0], previous[1] - _LONGEST_END), previous[1])
    # a line may happen to begin with a number or initial; so a list begins with the first, or goes on
    opening = _after_space(text, begin, previous[1])
    return not _FIRST_OF_LIST.match(text, *line) and marks_end(text, opening, previous[1]) == opening


def _has_words(text: str, line: Span) -> bool:
    return any(map(str.isalnum, text[slice(*line)]))


def _after_space(text: str, start: int, end: int) -> int:
    found = _SPACE.match(text, start, end)
    return found.end() if found else start
