"""Scripts of letters, by their names in the Unicode character database: `CYRILLIC SMALL LETTER A` is Cyrillic."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from quartet.errors import OptionError
from quartet.text.languages import display_name, scripts_of

SPACE = "▁"  # how SentencePiece writes a space

_HAN = frozenset({"CJK", "IDEOGRAPHIC"})
# ISO 15924 -> first words of the names of the letters
_WORDS: dict[str, frozenset[str]] = {
    "Hans": _HAN,
    "Hant": _HAN | {"BOPOMOFO"},
    "Jpan": _HAN | {"HIRAGANA", "KATAKANA"},
    **{
        code: frozenset({word})
        for code, word in (
            ("Arab", "ARABIC"),
            ("Armn", "ARMENIAN"),
            ("Beng", "BENGALI"),
            ("Cyrl", "CYRILLIC"),
            ("Deva", "DEVANAGARI"),
            ("Ethi", "ETHIOPIC"),
            ("Geor", "GEORGIAN"),
            ("Grek", "GREEK"),
            ("Gujr", "GUJARATI"),
            ("Guru", "GURMUKHI"),
            ("Hang", "HANGUL"),
            ("Hebr", "HEBREW"),
            ("Khmr", "KHMER"),
            ("Knda", "KANNADA"),
            ("Laoo", "LAO"),
            ("Latn", "LATIN"),
            ("Mlym", "MALAYALAM"),
            ("Mtei", "MEETEI"),
            ("Mymr", "MYANMAR"),
            ("Olck", "OL"),
            ("Orya", "ORIYA"),
            ("Sinh", "SINHALA"),
            ("Taml", "TAMIL"),
            ("Telu", "TELUGU"),
            ("Tfng", "TIFINAGH"),
            ("Thai", "THAI"),
            ("Tibt", "TIBETAN"),
        )
    },
}
_KNOWN = frozenset().union(*_WORDS.values())


def script_words(languages: Iterable[str], has_text: bool) -> frozenset[str]:
    """First words of the names of the letters that the languages (codes) are written in.

    A language without a known script is left to its text; raises `OptionError` where there is none.
    """
    words: set[str] = set()
    for code in languages:
        found = [_WORDS[script] for script in scripts_of(code) if script in _WORDS]
        if not found and not has_text:
            raise OptionError(f"the script of {display_name(code)} ({code}) is not known: give text in it with --text")
        words.update(*found)
    return frozenset(words)


def is_written_in(piece: str, words: frozenset[str]) -> bool:
    """Whether all letters of a piece are of these scripts; digits, punctuation and spaces are of any."""
    return all(_word(character) in words for character in piece if _word(character) is not None)


def is_foreign(text: str, languages: Iterable[str]) -> bool:
    """Whether a letter is of a known script that none of the languages (codes) is written in, and not Latin.

    Never where the script of one of them is unknown.
    """
    if text.isascii():
        return False
    words = [script_words([code], has_text=True) for code in languages]
    known = frozenset({"LATIN"}).union(*words)
    return all(words) and any(_word(character) in _KNOWN - known for character in text)


def is_spelling(piece: str, words: frozenset[str]) -> bool:
    """Whether a piece is a single character, perhaps with a space, of these scripts, of any script, or of ASCII."""
    short = piece.replace(SPACE, "")
    return len(short) <= 1 and (short.isascii() or is_written_in(short, words))


@cache
def _word(character: str) -> str | None:
    """First word of the name of a letter, digit or mark of one script; None for what all scripts share."""
    category = unicodedata.category(character)
    if category[0] not in "LMN":
        return None
    word = re.split("[ -]", unicodedata.name(character, ""))[0]
    return word if word in _KNOWN or category in ("Ll", "Lu", "Lt", "Lo") else None
