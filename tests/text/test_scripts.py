"""Scripts of pieces, and of languages."""

import pytest

from quartet.errors import OptionError
from quartet.text.scripts import is_spelling, is_written_in, script_words


def words(*languages: str) -> frozenset[str]:
    return script_words(languages, False)


@pytest.mark.parametrize(
    ("piece", "languages"),
    [
        ("▁où", ["fra_Latn"]),
        ("Straße", ["de"]),
        ("▁можно", ["__ru__"]),
        ("日本", ["zho_Hans"]),
        ("日々のカード", ["ja"]),
        ("가는", ["kor_Hang"]),
        ("السلام", ["arb_Arab"]),
        ("हिन्दी", ["hin_Deva"]),
        ("বাংলা।", ["ben_Beng"]),  # the full stop is named after Devanagari but is of all scripts
        ("ไทย", ["th"]),
        ("a\u0301", ["fr"]),  # a combining accent is of all scripts
        ("srpski", ["srp_Latn"]),
        ("», 10 % – €½", ["ru"]),
    ],
)
def test_pieces_in_the_script_of_a_language(piece: str, languages: list[str]) -> None:
    assert is_written_in(piece, words(*languages))


@pytest.mark.parametrize(
    ("piece", "languages"),
    [
        ("▁можно", ["en", "fr"]),
        ("où", ["ru"]),
        ("aж", ["en"]),
        ("カード", ["zho_Hans"]),
        ("٣", ["en"]),  # an Arabic-Indic digit
        ("ᐃᓄᒃ", ["en"]),  # a script that no language of the table has
        ("\ue000a\u0378ᏣᎳᎩ", ["en"]),
        ("srpski", ["srp_Cyrl"]),
    ],
)
def test_pieces_in_another_script(piece: str, languages: list[str]) -> None:
    assert not is_written_in(piece, words(*languages))


def test_scripts_of_several_languages_mix() -> None:
    assert is_written_in("aж", words("en", "ru"))


@pytest.mark.parametrize("piece", ["a", "▁a", "▁", "▁▁", "ж", "▁7", "€", "Z", "…"])
def test_spelling(piece: str) -> None:
    assert is_spelling(piece, words("ru"))


@pytest.mark.parametrize("piece", ["é", "жа", "ab", "▁ab", "日"])
def test_no_spelling(piece: str) -> None:
    assert not is_spelling(piece, words("ru"))


@pytest.mark.parametrize("code", ["chv", "roa"])
def test_a_language_without_a_known_script_needs_text(code: str) -> None:
    with pytest.raises(OptionError, match=rf"script of .*\({code}\) is not known: give text in it with --text"):
        script_words(["en", code], False)
    assert script_words(["en", code], True) == words("en")
