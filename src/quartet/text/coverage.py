"""Is everything of a sentence in its translation? Numbers are looked for, and whether its length is likely.

Nothing here understands the text, and it costs microseconds. What people change when they translate (`2` to `deux`,
`9:30 p.m.` to `21 h 30`, `1.5 billion` to `1500 millones`) is not reported. Words in capitals are not looked for:
people leave only half of them as they are (`EU` becomes `UE`, `HIV` `VIH`). How often a report is wrong, and how many
losses are found: `benchmarks/coverage.py`. All functions take any string, and time linear in its length.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from quartet.text.languages import iso639_1


def missing(source: str, translation: str, source_language: str | None, target_language: str | None) -> tuple[str, ...]:
    """What of a sentence is looked for in its translation and not found: numbers as typed, or the whole sentence.

    source: one sentence without the white space around it. Languages are codes in any spelling, or None where they
    are unknown: then less is looked for.

    The sentence itself is the one entry where the translation has no letters although the sentence has, or is far
    shorter or longer than people's translations are.
    """
    target = iso639_1(target_language) if target_language else None
    if not _is_likely(source, translation, iso639_1(source_language) if source_language else None, target):
        return (source,)
    return _missing_numbers(source, translation, target)


def numbers(text: str) -> list[tuple[int, int]]:
    """Where numbers are in a text, as starts and ends."""
    return [found.span() for found in _NUMBER.finditer(_with_ascii_digits(text))]


# ---- numbers ------------------------------------------------------------------------------------------------------

# 3.14, 1,000,000, 10:30, 24/12: groups with a sign between; after a space only thousands
_NUMBER = re.compile("[0-9]+(?:[.,:'’٫٬/-][0-9]+|[ \u00a0\u2009\u202f][0-9]{3}(?![0-9]))*")
_GROUP = re.compile("[0-9]+")
_DECIMAL = re.compile("[0-9]+[.,][0-9]{1,2}")
_YEAR = re.compile("(?:19|20)[0-9]{2}")  # may be one, and years have no sign between their digits
_OTHER_DIGIT = re.compile(r"[^\D0-9]|[²³¹⁰⁴-⁹₀-₉]")
_CLOCK = re.compile(
    r"[0-9]{1,2} ?(?:[:h] ?[0-9]{2}(?![0-9])|\.[0-9]{2} ?(?:h\b|uhr)|h\b|uhr|heures?\b|horas?\b|o'clock)", re.IGNORECASE
)
_HALF_DAY = re.compile(r"[0-9] ?[ap]\.? ?m\b", re.IGNORECASE)
# with a scale, as many zeros as one likes: 1.5 billion, 1500 millones
_SCALE = re.compile(
    r"hundre|hundert|thousand|tausend|\b(?:m|b|tr)ill|\bmil\b|(?<!per |par |por |our )\b(?:cent|cien)"
    r"|\b(?:bn|mrd|mio|lakh|crore)\b"
    r"|[0-9] ?[kmb]\b"
    "|тыс|млн|млрд|[千万萬億亿兆만억천百]",
    re.IGNORECASE,
)
_ZERO = re.compile(r"\b(?:z[eé]ros?|null|nuls?|cero|nil|no|none|kein\w*|aucun\w*|ning[uú]n\w*)\b", re.IGNORECASE)
_ROMAN = re.compile("[IVX]+")
LARGEST_ROMAN = 39
LONGEST_WORDED = 6  # digits of a number that people write as words
# Parts of the words for numbers, by language, in regular expressions. A language without them may have any of these
# numbers as a word.
_WORDS = {
    "en": r"1 \bone|first|single;2 \btwo\b|second|twice|both|double|half|pair|couple|dual;3 three|third|triple|thrice"
    r";4 \bfour|quarter|quad;5 five|fifth;6 \bsix;7 seven;8 \beight;9 nine|ninth;10 \bten(?:th)?\b|decade;11 eleven"
    ";12 twel|dozen|noon|midday|midnight;13 thirteen;14 fourteen;15 fifteen|quarter;16 sixteen;17 seventeen"
    r";18 eighteen;19 nineteen;20 twent;30 thirt|half;40 \bfort[yi];50 fift|half;60 sixt;70 sevent;80 eight;90 ninet"
    ";100 hundred;1000 thousand",
    "fr": r"1 \bun|premi;2 deux|second|double|demi|moitié|couple;3 trois|tripl|tiers;4 quatr|quart;5 cinq;6 \bsix"
    r";7 \bsept(?!e);8 \bhuit;9 \bneu[fv];10 \bdix|décenn;11 \bonz;12 \bdouz|midi|minuit;13 treiz;14 quatorz"
    r";15 quinz|quart;16 seiz;17 dix\Wsept;18 dix\Whuit;19 dix\Wneuf;20 vingt;30 trent|demi;40 quarant"
    r";50 cinquant|demi|moitié;60 soixant;70 soixant|septant;80 quatre\Wvingt|octant|huitant;90 quatre\Wvingt|nonant"
    r";100 \bcents?\b;1000 \bmill?e?\b",
    "de": r"1 ein|erst;2 zwei|zwo\b|beid|doppel|halb|hälfte|paar;3 drei|dritt;4 vier;5 fünf;6 sechs;7 sieb"
    r";8 (?:\b|und|hundert|tausend)acht(?!e);9 neun;10 zehn;11 (?:\b|und|hundert|tausend)elf"
    ";12 zwölf|dutzend|mittag|mitternacht;13 dreizehn;14 vierzehn;15 fünfzehn|viertel;16 sechzehn;17 siebzehn"
    ";18 achtzehn;19 neunzehn;20 zwanzig;30 dreißig|halb;40 vierzig;50 fünfzig|halb|hälfte;60 sechzig;70 siebzig"
    ";80 achtzig;90 neunzig;100 hundert;1000 tausend",
    "es": r"1 \bun|prim|ún\b;2 \bdos|dós\b|ambos|ambas|segund|doble|\bmedi[oa]\b|mitad|un par\b"
    r";3 \btres\b|itrés|tercer|tripl|trescient;4 cuatr|cuart;5 cinc|quint|quinient;6 \bseis|séis|sext"
    r";7 siete|setec|sépt;8 ocho|octav;9 nueve|\bnoven|novec;10 diez|décim|década;11 \bonce|undécim"
    ";12 doce|mediodía|medianoche;13 trece;14 catorce;15 quince|cuarto;16 dieciséis;17 diecisiete;18 dieciocho"
    r";19 diecinueve;20 veint;30 treint|\bmedi[oa]\b;40 cuarent;50 cincuent|\bmedi[oa]\b|mitad;60 sesent;70 setent"
    r";80 ochent;90 novent;100 cien|quinient;1000 \bmil\b",
}


@dataclass(frozen=True)
class _Said:
    """What numbers a translation has, in digits and in other ways."""

    groups: set[str]  # of digits, without leading zeros
    years: set[str]  # last two digits of what may be one
    romans: set[str]
    words: Mapping[int, int]  # how often a part of each is there, or any may be
    is_known: bool  # how the language makes words of these

    def has(self, group: str, is_time: bool) -> bool:
        """Whether a group of digits is there, as such or in another way; `is_time`: on the clock."""
        if group in self.groups:
            return True
        if len(group) > LONGEST_WORDED:
            return False
        value = int(group)
        if value <= 1:  # an article, and what full hours have no word for
            return True
        return any(map(self._has_value, _hours(value, is_time))) or self._has_year(value)

    def has_later(self, group: str) -> bool:
        """The same for a group behind another one, as minutes: where it is 1, it is no article."""
        bare = _bare(group)
        return self.has(bare, False) and (bare != "1" or bare in self.groups or self._is_worded(1))

    def is_worded(self, group: str) -> bool:
        """Whether a group of digits is there in words."""
        return len(group) <= LONGEST_WORDED and self._is_worded(int(group))

    def _has_value(self, value: int) -> bool:
        is_roman = 0 < value <= LARGEST_ROMAN and _roman(value) in self.romans
        return is_roman or str(value) in self.groups or self._is_worded(value)

    def _has_year(self, value: int) -> bool:
        """1995-96 as 1995-1996, the 90s as the 1990s, and back."""
        if value < 100:
            return str(value) in self.years
        return value % 10 == 0 and 1000 < value < 10000 and self._has_value(value % 100)

    def _is_worded(self, value: int) -> bool:
        """Whether all parts of the words for a number are there, in whatever order."""
        if value in self.words:
            return True
        if not self.is_known or value < 20 or (value < 100 and value % 10 == 0):
            return False
        if value < 100:  # in French 72 is 60 and 12
            tens, ones = divmod(value, 10)
            return self._is_worded(tens * 10) and (ones in self.words or ones + 10 in self.words)
        unit = 1000 if value >= 1000 and 1000 in self.words else 100
        high, low = divmod(value, unit)
        if unit not in self.words and not (9 < high < 100 and low):  # nineteen seventy-two
            return False
        return (high == 1 or self._is_worded(high)) and (not low or self._is_worded(low))


def _missing_numbers(source: str, translation: str, target: str | None) -> tuple[str, ...]:
    typed = _with_ascii_digits(source)
    wanted = list(_NUMBER.finditer(typed))
    if not wanted:
        return ()
    found = _with_ascii_digits(translation)
    groups = Counter(map(_bare, _GROUP.findall(found)))
    written = _NUMBER.findall(found)
    whole = set(map(_joined, written))
    decimals = {_joined(number) for number in written if _DECIMAL.fullmatch(number)}
    lost = [number for number in wanted if not _is_written(number[0], groups, whole, decimals)]
    lost = lost or _fewer(wanted, groups)
    if not lost:
        return ()
    if _SCALE.search(typed) or _SCALE.search(found):
        rounded = {number.rstrip("0") for number in (*whole, *groups)}
        lost = [number for number in lost if _joined(number[0]).rstrip("0") not in rounded]
    said = _said(found, set(groups), target)
    repeats = Counter(number[0] for number in wanted)
    half_days = bool(_HALF_DAY.search(typed))

    def is_said(number: re.Match[str]) -> bool:
        is_time = half_days or bool(_CLOCK.match(typed, number.start()))
        first, *others = _GROUP.findall(number[0])
        if repeats[first] > 1 and not others:
            return groups[_bare(first)] + said.words.get(int(first[:9]), 0) >= repeats[first]
        if _DECIMAL.fullmatch(number[0]) and not is_time:
            return others[0].rstrip("0") == "5" and said.has(_bare(first), False) and said.is_worded("50")
        if others and _is_thousands(number[0]):
            return said.is_worded(_joined(number[0]))
        if others and _bare(others[0]) == _bare(first) and groups[_bare(first)] < 2:  # 9:09
            return False
        if not others and not first.strip("0"):
            return not said.is_known or bool(_ZERO.search(found))
        return said.has(_bare(first), is_time) and all(map(said.has_later, others))

    return tuple(source[number.start() : number.end()] for number in lost if not is_said(number))


def _is_written(number: str, groups: Counter[str], whole: set[str], decimals: set[str]) -> bool:
    """Whether a number is there in digits: the groups of dates and times in any place, those of others together."""
    found = list(map(_bare, _GROUP.findall(number)))
    if len(found) == 1:
        return found[0] in groups or (found[0] in whole and not _YEAR.fullmatch(number))
    if _is_thousands(number):
        return _joined(number) in whole
    if _DECIMAL.fullmatch(number) and _joined(number) in decimals:
        return True
    return not _DECIMAL.fullmatch(number) and Counter(found) <= groups


def _fewer(wanted: Sequence[re.Match[str]], groups: Counter[str]) -> list[re.Match[str]]:
    """Numbers of one group that are there less often than in the source: of `4 to 4` one is lost."""
    left, lost = groups.copy(), []
    for number in wanted:
        group = _bare(number[0])
        left[group] -= 1
        if number[0].isdigit() and group in groups and left[group] == -1:
            lost.append(number)
    return lost


def _said(text: str, groups: set[str], language: str | None) -> _Said:
    words = text.lower()
    named = _words_of_numbers(language or "")
    worded = {value: times for value, part in named.items() if (times := len(part.findall(words)))}
    years = {group[-2:] for group in groups if len(group) == 4}
    anything = dict.fromkeys(_words_of_numbers("en"), len(text))
    return _Said(groups, years, set(_ROMAN.findall(text)), worded if named else anything, bool(named))


@lru_cache
def _words_of_numbers(language: str) -> dict[int, re.Pattern[str]]:
    """Parts of words by the number that they are of; none in a language whose words are not known."""
    entries = (entry.split(" ", 1) for entry in _WORDS.get(language, "").split(";") if entry)
    return {int(number): re.compile(parts) for number, parts in entries}


def _hours(value: int, is_time: bool) -> tuple[int, ...]:
    """The values that mean the same: 14 is 2 p.m., and 2:30 in German half of the third hour."""
    return (value, value + 12, value - 12, value + 1, value + 13, value - 11) if is_time and value <= 24 else (value,)


def _roman(value: int) -> str:
    tens, ones = divmod(value, 10)
    return "X" * tens + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[ones]


def _joined(number: str) -> str:
    """All digits of a number, whatever is between them, without zeros before them."""
    return "".join(_GROUP.findall(number)).lstrip("0") or "0"


def _is_thousands(number: str) -> bool:
    """Whether the signs in a number may be left out: 1,000 and 10,00,000, but not 10:30 or 41.7."""
    first, *others = _GROUP.findall(number)
    return len(first) <= 3 and all(2 <= len(group) <= 3 for group in others) and len((others or [first])[-1]) == 3


def _bare(group: str) -> str:
    """A group as it is compared: 09 is 9, but 009 is not."""
    return group[1:] if len(group) == 2 and group[0] == "0" else group


def _with_ascii_digits(text: str) -> str:
    """Of the same length: digits of every script as 0 to 9."""
    return text if text.isascii() else _OTHER_DIGIT.sub(lambda found: str(unicodedata.digit(found[0])), text)


# ---- the sentence -------------------------------------------------------------------------------------------------

# length of a text for the same one in English: FLORES and Tatoeba
_LENGTHS = {"en": 1.0, "fr": 1.17, "de": 1.16, "es": 1.11}
UNMEASURED = 1.6  # other languages may be so much shorter or longer
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")  # one is as much as three letters
_SYLLABLE = re.compile("[\u3040-\u30ff\uac00-\ud7a3]")  # and one of these as two
SHORT = 8  # letters of a sentence up to which any length is likely


def _is_likely(source: str, translation: str, source_language: str | None, target_language: str | None) -> bool:
    """Whether a translation may be one, by its length.

    The limits are those that less than 0.1 % of people's translations break.
    """
    if not _has_letters(source):
        return True
    if not _has_letters(translation):
        return False
    before, after = _length(source, source_language), _length(translation, target_language)
    slack = 1.0 if source_language in _LENGTHS and target_language in _LENGTHS else UNMEASURED
    if before < SHORT:
        return after < slack * 80
    shortest = min(0.58, 0.33 + 0.003 * before)
    longest = 1.65 + 20 / before
    return shortest / slack <= after / before <= longest * slack


def _has_letters(text: str) -> bool:
    return any(map(str.isalpha, text))


def _length(text: str, language: str | None) -> float:
    """In letters of English."""
    count = float(len(text))
    if not text.isascii():
        count += 2 * len(_HAN.findall(text)) + len(_SYLLABLE.findall(text))
    return count / _LENGTHS.get(language or "", 1.0)
