"""What a model is sent instead of typographic signs and of capitals, and what its answer is made of them again.

Models are trained on text with plain quotes and small letters: other forms of the same cost quality, or come out as
other words. What each rule is worth was measured (`benchmarks/tidy.py`). All functions take any string, and time
linear in its length.
"""

import re
import unicodedata

from quartet.text.languages import iso639_1, script_of

# ---- typography ---------------------------------------------------------------------------------------------------

WIDE = frozenset({"ja", "zh", "ko"})  # their signs are as wide as their letters, quotes and ellipses too
UNSPACED = frozenset({"Thai", "Laoo", "Khmr", "Mymr", "Tibt"})  # a zero-width space ends a word
_CJK = re.compile("[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")

_SPACES = "\u00a0\u2000-\u200a\u202f\u205f"
_SPACE = re.compile(f"[{_SPACES}]")
_WORD_END = "\u200b"
_INVISIBLE = re.compile("[\u00ad\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# what joins letters in Persian, Indic scripts and emoji does nothing in these
_JOINER = re.compile("(?<=[A-Za-z\u00c0-\u024f\u0370-\u052f\u1e00-\u1fff])[\u200c\u200d]")

# Dashes stay, models know them. A hyphen between spaces is meant as one: as a hyphen it costs 1 chrF and more.
_HYPHEN_AS_DASH = re.compile(r"(?<=[^\W\d_]|[)\"'»,.!?]) --?(?= [^\W\d_]| [(\"'«])")
_TIGHT_DASH = re.compile(r"(?<=[^\W\d_])—(?=[^\W\d_])")

_FRENCH_OPENING = re.compile(r"(?<!\w)«\s?")
_FRENCH_CLOSING = re.compile(r"(?<=\S)\s?»(?!\w)")
# ‘so’: the closing one is before no letter, and those inside are apostrophes; one alone is of a longer quotation
_SINGLE_QUOTED = re.compile(r"(?<!\w)[‘‚]((?:[^‘’‚“”„\"]|(?<=\w)’(?=\w))*)[’‘](?!\w)")
_SINGLE_QUOTE = re.compile(r"(?<!\w)‘(?=[^\W\d_]{2})|(?<=[.,!?…])[’‘](?!\w)")
_BACKTICK = re.compile(r"(?<=[^\W\d_])[`´](?=[^\W\d_])")
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("’‘‚‛‹›＇", "'"),
        **dict.fromkeys("“”„‟〝〞«»", '"'),
        **dict.fromkeys("\u2010\u2011", "-"),
        "…": "...",
    }
)
_FRENCH_SIGNS = _SIGNS | {ord("«"): "«", ord("»"): "»"}
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_COMPOSED = re.compile(r"\S{1,500}(?:(?!\w)\S){0,100}")


def plain(text: str, language: str | None) -> str:
    """The text as a model is sent it: plain quotes, apostrophes, ellipses and spaces, nothing invisible, NFC.

    language: of the text, in any spelling that `quartet.text.languages` knows; None where it is unknown.

    Dashes stay, since models do worse with hyphens, and a hyphen between words becomes one (see `dashes_as_typed`).
    French keeps its « », and Chinese, Japanese and Korean their signs and full-width forms.
    """
    code = iso639_1(language) if language else None
    if not text.isascii():
        text = _composed(_without_marks(text, script_of(language) if language else None))
        if not _is_wide(text, code):
            text = _with_plain_signs(text.translate(_FULL_WIDTH), code)
    text = _BACKTICK.sub("'", text)
    return _TIGHT_DASH.sub(" — ", _HYPHEN_AS_DASH.sub(" –", text))


def dashes_as_typed(source: str, translation: str) -> str:
    """A translation with hyphens between spaces where the source has those instead of dashes."""
    if "–" in source or "—" in source or not (typed := _HYPHEN_AS_DASH.search(source)):
        return translation
    return re.sub(" [–—](?= )", typed[0], translation)


def _is_wide(text: str, code: str | None) -> bool:
    return code in WIDE if code else bool(_CJK.search(text))


def _without_marks(text: str, script: str | None) -> str:
    """Without what is not seen, and with plain spaces."""
    text = _JOINER.sub("", _INVISIBLE.sub("", _SPACE.sub(" ", text)))
    return text if script in UNSPACED else text.replace(_WORD_END, "")


def _composed(text: str) -> str:
    """NFC, in pieces: Python sorts marks in quadratic time, and a text may have a million at one letter."""
    return _COMPOSED.sub(lambda found: unicodedata.normalize("NFC", found[0]), text)


def _with_plain_signs(text: str, code: str | None) -> str:
    if not any(mark in text for mark in '"“”„'):
        text = _SINGLE_QUOTE.sub('"', _SINGLE_QUOTED.sub(r'"\1"', text))
    if code == "fr":  # models know them, and do better with them
        return text.translate(_FRENCH_SIGNS)
    return _FRENCH_CLOSING.sub('"', _FRENCH_OPENING.sub('"', text)).translate(_SIGNS)


# ---- capitals -----------------------------------------------------------------------------------------------------

DOTLESS = frozenset({"tr", "az"})  # I and İ are two letters
ACRONYM = 4  # a word in capitals of so many letters may be one
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_BETWEEN_WORDS = re.compile(r"(?<=\w)(\W++)([^\W\d_])")
_BEFORE_WORDS = re.compile(r"\W*+")
_ENGLISH_I = re.compile(r"\bi\b(?![.-]\w)")
# German: what comes after these is a noun more often than not
_DETERMINER = re.compile(
    r"\b((?:d(?:er|ie|as|en|em|es)|diese[rsnm]?|(?:k?ein|[mds]ein|ihr|unser)(?:e[rsnm]?)?"
    r"|im|am|ins|zu[mr]|beim|vom) )(\w)"
)
_DIPHTHONG = re.compile("(?<=[αεηουωΑΕΗΟΥΩ]\u0301)[ιυΙΥ](?![\u0301\u0308])")
_TONOS = re.compile("(?<=[\u0370-\u03ff\u0308])\u0301")
_GREEK_OR = re.compile(r"(?<!\w)[ήΉ](?!\w)")


_LONE_WORD = re.compile(r"[^\W\d_]{2,}(?:[-'][^\W\d_]+)*")
_NOUNS_IN_CAPITALS = ("de", "lb", None)


def in_capitals(text: str) -> bool:
    """Whether all words are in capitals, as a warning or a heading is, and they are not acronyms only.

    A single word of four letters or fewer may be an acronym (NASA, USB, OK), as well as words of three or fewer that
    are no run (US, UK).
    """
    big = text.replace("ß", "SS")
    if big.upper() != big or big.lower() == big:
        return False
    words = _WORD.findall(big)
    if any(word.lower() == word for word in words if word not in "ªº"):
        return False  # another script, in which this one has only acronyms
    longest = max(map(len, words), default=0)
    if len(words) < 2:
        return longest > ACRONYM
    return longest >= ACRONYM or (len(words) > 2 and not any(mark in big for mark in ",/;|"))


def is_lone_word(text: str, language: str | None) -> bool:
    """Whether a text is a word that has a capital letter only because it begins the text, as `Cancel` on a button.

    Models take it for a name or for the beginning of a sentence, and do better with small letters (docs/log.md). Of a
    German word nobody can tell.
    """
    code = iso639_1(language) if language else None
    return (
        code not in _NOUNS_IN_CAPITALS
        and bool(_LONE_WORD.fullmatch(text))
        and text[:1].isupper()
        and text[1:].islower()
    )


def lowered(text: str, language: str | None) -> str:
    """A text in capitals as sentences, each of which begins with a big letter: `Where am I?`.

    Nothing tells which words are names, so they come out small. German words after an article or the like get a big
    letter, since most are nouns.
    """
    code = iso639_1(language) if language else None
    if code in DOTLESS:
        text = text.replace("I", "ı")
    text = text.replace("İ", "i").lower()
    if code == "en":
        text = _ENGLISH_I.sub("I", text)
    if code == "de":
        text = _DETERMINER.sub(lambda found: found[1] + found[2].upper(), text)
    text = _BETWEEN_WORDS.sub(lambda found: found[1] + _sentence_start(found, code), text)
    first = _BEFORE_WORDS.match(text)
    start = first.end() if first else 0
    return text[:start] + _upper(text[start : start + 1], code) + text[start + 1 :]


def raised(text: str, language: str | None) -> str:
    """A text in capitals, as its language writes them: Turkish İ, German SS, Greek without accents."""
    return _upper(text, iso639_1(language) if language else None)


def _sentence_start(found: re.Match[str], code: str | None) -> str:
    """The letter after what stands between two words."""
    between, letter = found.groups()
    ends = any(mark in between for mark in ".!?…") and any(map(str.isspace, between))
    return _upper(letter, code) if ends else letter


def _upper(text: str, code: str | None) -> str:
    if code in DOTLESS:
        text = text.replace("i", "İ")
    return "Ή".join(map(_without_accents, _GREEK_OR.split(text))) if code == "el" else text.upper()


def _without_accents(text: str) -> str:
    """Greek capitals, as Unicode's CLDR has them: where an accent parted two vowels, a diaeresis does."""
    apart = _COMPOSED.sub(lambda found: unicodedata.normalize("NFD", found[0]), text)
    apart = _DIPHTHONG.sub(lambda found: found[0] + "\u0308", apart)
    return _composed(_TONOS.sub("", apart).upper())


# ---- the end ------------------------------------------------------------------------------------------------------

_ENDS = ".!?…。！？｡؟۔।॥։።‼⁇⁈⁉"
_CLOSING = "\"'”’»“›)]」』） \t\r\n\u00a0\u202f"
_ABBREVIATIONS = re.compile(
    "abs|al|approx|art|av|ave|bd|blvd|bros|bzw|ca|cf|ch|co|corp|dept|dr|ed|env|esq|etc|evtl|ex|fig|hr|inc|jr|ltd|max"
    "|min|mio|mm|mr|mrs|mrd|ms|nr|núm|pág|pp|prof|réf|sr|sra|srta|st|str|tel|tél|usw|vgl|vol|vs"
)
_LAST_WORD = 40  # characters that have the last word


def without_added_end(source: str, translation: str) -> str:
    """A translation without the full stop, or other end mark, that its source does not have.

    What ends an abbreviation or an ordinal (`etc.`, `p.m.`, `5.`) stays, and so does a text of signs.
    """
    if source.rstrip(_CLOSING).endswith(tuple(_ENDS)):
        return translation
    ended = translation.rstrip(_CLOSING)
    bare = ended.rstrip(_ENDS)
    marks, after = ended[len(bare) :], translation[len(ended) :]
    if not marks or not any(map(str.isalnum, bare[-_LAST_WORD:])) or (marks == "." and _is_abbreviation(bare)):
        return translation
    return _without_inverted(bare, marks).rstrip() + after


def _is_abbreviation(text: str) -> bool:
    """Whether a text ends with a word that has its full stop for itself."""
    word = re.split(r"[^\w.]", text[-_LAST_WORD:])[-1]
    return len(word) == 1 or "." in word or word[-1:].isdigit() or bool(_ABBREVIATIONS.fullmatch(word.casefold()))


def _without_inverted(text: str, marks: str) -> str:
    """Spanish: without the mark that began what the removed ones ended."""
    for mark, inverted in (("?", "¿"), ("!", "¡")):
        if mark in marks and text.count(inverted) > text.count(mark):
            before, _, after = text.rpartition(inverted)
            text = before + after
    return text
