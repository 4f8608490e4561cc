"""Where the sentences of a line end: rules, and sentencex for the full stops that they leave open.

sentencex knows the abbreviations of some thirty languages. It was the best of the splitters that are small, and still
cut a third of the texts in `tests/text/sentences.toml` wrongly: titles, ordinals, quotations. So it is asked about one
full stop at a time, with the words beside it, which also makes its time linear.

Quotations and parentheses of several sentences are cut, as models drop sentences in quotation marks as often as
elsewhere: of 239 short sentences in quotations of two to four, opus-mt-en-fr lost 57 in one piece, and none cut.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from quartet.text.abbreviations import before_numbers, ordinals, others, starters, titles, words

STOPS = ".!?…。！？｡؟۔।॥։።፧፨။།༎។៕᱾᱿꯫᠃᠉‼⁇⁈⁉\u037e"
OPENERS = "([{（［【〔「『《〈〖｢“„‚‘«‹»›\"'¿¡"
CLOSERS = ")]}）］】〕」』》〉〗｣”’»›\"'"
EITHER = "“‘«‹"  # closing marks in some languages, opening ones in others
PICTURES = "\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff\u200d\ufe0f"  # of a class of `re`
WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"  # letters that are syllables
NO_SPACES = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"

LONGEST_TOKEN = 40  # characters looked at before a full stop
LONGEST_ASIDE = 300  # characters of a parenthesis that is not cut

_FULL_STOP, _ELLIPSES, _UNSPACED = ".", frozenset(".…"), frozenset(STOPS) - frozenset(".!?…\u037e")
_MORE_STOPS = {"el": ";", "hy": ":"}
_ATTACHED = re.escape(CLOSERS) + "*_~`" + PICTURES
_CLOSING = re.compile(
    rf"(?:[{_ATTACHED}]|[{EITHER}](?=[\s{_ATTACHED}{EITHER},;:.!?]|$)|[ \u00a0\u202f][»”›](?=[\s,;:.!?)]|$))*"
)
_SPACE = re.compile(r"\s*")
_NEXT_WORD = re.compile(rf"[{re.escape(OPENERS)}*_\s–—―-]{{0,8}}(\w[\w'’-]{{0,30}})")
_DASHES = frozenset("-–—―")
_GOES_ON = frozenset(",;:)]}、，；：）%/=&+")
_PARTICLES = frozenset("とっはがをにのもかだでなやね")  # go on with a Japanese quotation that ends with a stop
_TOKEN = re.compile(r"[^\s(\[{\"'“„«»‘/—–]*$")
_INITIAL_BEFORE = re.compile(r"(?:^|\W)\w\.[\s-]*$")
_LETTERS = r"[^\W\d_]{1,2}(?:-[^\W\d_]{1,2})*"
_ABBREVIATED = re.compile(rf"(?:\w+-)?{_LETTERS}(?:\.-?{_LETTERS})+")  # U.S, p.m, Ph.D, C.-à-d
_NUMERAL = re.compile(r"\d{1,3}|[IVXLC]+")
_NUMBER = re.compile(r"\d|(?:[VX]|[IVXLC]{2,})\b")  # `I` is a word in English
_WIDE = re.compile(f"[{WIDE}]")
_NO_SPACES = re.compile(f"[{NO_SPACES}]")

_PAIRS = {"(": ")", "[": "]", "（": "）", "「": "」", "『": "』", "《": "》", "“": "”", "„": "“”", "«": "»", "»": "«"}
_PAIRS |= {'"': '"', "【": "】", "〈": "〉"}
_BRACKETS = frozenset("([（【")
_MARK = re.compile(f"[{re.escape(''.join({*_PAIRS, *''.join(_PAIRS.values())}))}]")


@dataclass(frozen=True)
class Stop:
    """Signs at which a sentence may end, and what stands beside them in the line."""

    line: str
    signs: str
    start: int  # of the signs
    closers: str  # closing marks after them
    begin: int  # of what follows after white space

    @property
    def spaced(self) -> bool:
        """Whether white space follows."""
        return self.begin > self.start + len(self.signs) + len(self.closers)

    @property
    def word(self) -> str:
        """The next word, without opening marks before it."""
        found = _NEXT_WORD.match(self.line, self.begin)
        return found[1] if found else ""

    @property
    def is_before_initial(self) -> bool:
        """Whether the next word is a single letter with a full stop."""
        return len(self.word) == 1 and self.line.startswith(f"{self.word}.", self.begin)

    @property
    def token(self) -> str:
        """What stands before the signs without a space, e.g. `Dr` or `p.m`."""
        found = _TOKEN.search(self.line, max(0, self.start - LONGEST_TOKEN), self.start)
        token = found[0] if found else ""
        is_contracted = len(token) == 1 and self.line.endswith("'", 0, self.start - 1)  # `isn't` ends with no initial
        return f"'{token}" if is_contracted else token


def sentence_starts(line: str, language: str) -> Iterator[int]:
    """Offsets at which the second and later sentences of a line begin. `language` is ISO 639-1, "" if unknown."""
    asides = _asides(line)
    begin, aside = 0, next(asides, None)
    for stop in _stops(line, language):
        while aside and aside[1] <= stop.start:
            aside = next(asides, None)
        in_aside = aside is not None and begin < aside[0] < stop.start
        if not in_aside and _ends_sentence(stop, language):
            begin = stop.begin
            yield begin


def is_written_without_spaces(character: str) -> bool:
    """Whether a letter is of a script that writes no spaces between words."""
    return bool(_NO_SPACES.match(character))


def _stops(line: str, language: str) -> Iterator[Stop]:
    """All signs that might end a sentence before the end of the line."""
    quotes, counted = 0, 0
    for found in re.finditer(f"[{STOPS}{_MORE_STOPS.get(language, '')}]+(?: [.!?…]+)*", line):
        quotes, counted = quotes + line.count('"', counted, found.end()), found.end()
        end = found.end()
        opens = line[end : end + 1]
        # where no space is written, a quotation may begin right after the stop
        if found[0][-1] not in _UNSPACED or not (opens in tuple(EITHER) or (opens == '"' and quotes % 2 == 0)):
            end = _end(_CLOSING, line, end)
        begin = _end(_SPACE, line, end)
        if begin < len(line):
            yield Stop(line, found[0], found.start(), line[found.end() : end], begin)


def _end(pattern: re.Pattern[str], line: str, place: int) -> int:
    found = pattern.match(line, place)
    return found.end() if found else place


def _ends_sentence(stop: Stop, language: str) -> bool:
    follows = stop.line[stop.begin]
    if follows in _GOES_ON:
        return False
    if not stop.spaced:
        return _ends_without_space(stop, follows)
    in_small_letters = stop.word[:1].islower()
    if in_small_letters and (follows in _DASHES or any(mark in CLOSERS + EITHER for mark in stop.closers)):
        return False  # "Stop!" he said
    if stop.signs == _FULL_STOP:
        return _full_stop_ends(stop, language)
    if _ELLIPSES.issuperset(stop.signs.replace(" ", "")):
        return not in_small_letters and not stop.word[:1].isdigit()
    return not in_small_letters or stop.signs != "!" or _sentencex_ends(stop, language)  # it knows `Yahoo! and`


def _ends_without_space(stop: Stop, follows: str) -> bool:
    sign, before = stop.signs[-1], stop.line[stop.start - 1 : stop.start]
    if sign in _UNSPACED:
        return not (stop.closers and follows in _PARTICLES)
    if sign == _FULL_STOP:
        return is_written_without_spaces(follows) and is_written_without_spaces(before)
    if sign in "!?":
        return is_written_without_spaces(follows) or (before.islower() and follows.isupper() and not stop.closers)
    return False


def _full_stop_ends(stop: Stop, language: str) -> bool:
    token, word = stop.token, stop.word
    small = token.lower()
    if not titles(language).isdisjoint((token, small)):
        return False
    if _NUMBER.match(word) and (small in before_numbers(language) or small in others(language)):
        return False
    if token == "I" and language == "en" and not _follows_initial(stop):
        return True
    if _may_go_on(token, language):
        return word in starters(language) and not stop.is_before_initial
    return small in words(language) or _sentencex_ends(stop, language)


def _may_go_on(token: str, language: str) -> bool:
    """Whether a token is an abbreviation, an initial or an ordinal number."""
    if not others(language).isdisjoint((token, token.lower())) or _ABBREVIATED.fullmatch(token):
        return True
    if language in ordinals() and _NUMERAL.fullmatch(token):
        return True
    return len(token) == 1 and token.isalpha() and not _WIDE.match(token)


def _follows_initial(stop: Stop) -> bool:
    return bool(_INITIAL_BEFORE.search(stop.line, max(0, stop.start - LONGEST_TOKEN), stop.start - len(stop.token)))


def _sentencex_ends(stop: Stop, language: str) -> bool:
    from sentencex import segment  # noqa: PLC0415 - many texts do without

    text = f"the {stop.token}{stop.signs}"
    return len(segment(language or "en", f"{text} {stop.word or 'Xx'}")[0]) <= len(text) + 1


def _asides(line: str) -> Iterator[tuple[int, int]]:
    """Where parentheses, and quotations that end without a stop, begin and end; the outermost ones, in order.

    They are not cut where they are part of a sentence: `I saw "Help! I need you" (twice! in a week) here`.
    """
    found: list[tuple[int, int]] = []
    opened: list[tuple[str, int]] = []
    for mark in _MARK.finditer(line):
        if opened and mark[0] in _PAIRS[opened[-1][0]]:
            opener, start = opened.pop()
            quoted = line[start + 1 : mark.start()].rstrip()[-1:] if mark.start() - start <= LONGEST_ASIDE else "."
            if mark.end() - start <= LONGEST_ASIDE and (opener in _BRACKETS or quoted not in STOPS + ",，、"):
                found.append((start, mark.end()))
        elif mark[0] in _PAIRS:
            opened.append((mark[0], mark.start()))
    last = 0
    for start, end in sorted(found):
        if start >= last:
            yield start, end
            last = end
