"""Typographic signs to plain ones, capitals to sentences and back, and no full stop that the source does not have."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.text.tidy import dashes_as_typed, in_capitals, lowered, plain, raised, without_added_end

ODD = "aBİıßήΐΆϋ'’‘‚“”„«»‹›–—-…. !?¿¡\u00a0\u202f\u00ad\u200b\u200d\u2060\ufeff\u0301\u0327Ａ！。　東ไم1١\ud800\n`´"
TEXTS = st.text(st.sampled_from(ODD) | st.characters(), max_size=60)
LANGUAGES = st.sampled_from([None, "en", "fra_Latn", ">>tur<<", "de", "el", "ja", "th", "es", "nonsense"])


@pytest.mark.parametrize(
    ("typed", "sent", "language"),
    [
        ("It’s “here”, isn’t it…", "It's \"here\", isn't it...", "eng_Latn"),
        ("the students’ books", "the students' books", "en"),
        ("He said ‘I can’t come’ and left.", 'He said "I can\'t come" and left.', "en"),
        ("‘It was hot.", '"It was hot.', "en"),
        ("It was hot,’ he said in the ’90s.", "It was hot,\" he said in the '90s.", "en"),
        ("“He said ‘no’ to me.”", "\"He said 'no' to me.\"", "en"),
        ("Klingt „Tom“ nach ‚Tim‘?", "Klingt \"Tom\" nach 'Tim'?", "de"),
        ("sagte »Ja« und ging", 'sagte "Ja" und ging', "de"),
        ("dice « sí » y «no»", 'dice "sí" y "no"', "es"),
        ("l’«\u00a0Étranger\u00a0»\u202f!", "l'« Étranger » !", ">>fra<<"),
        ("don`t, can´t", "don't, can't", "en"),
        ("a\u00adbout inter\u200bnational \u2060w\ufeffords", "about international words", "en"),
        ("Per\u200csian", "Persian", "en"),
        ("می\u200cخواهم", "می\u200cخواهم", "fa"),
        ("สวัสดี\u200bครับ", "สวัสดี\u200bครับ", "tha_Thai"),
        ("👩\u200d👧", "👩\u200d👧", "en"),
        ("Ｈｅｌｌｏ，　ｗｏｒｌｄ！", "Hello, world!", "en"),
        ("１００円です。「はい」！", "１００円です。「はい」！", "jpn_Jpan"),
        ("１００円です！", "１００円です！", None),
        ("他说“好”……", "他说“好”……", "zh"),
        ("e\u0301te\u0301", "été", "fr"),
        ("well - known words -- here", "well – known words – here", "en"),
        ("words—here – and — there", "words — here – and — there", "en"),
        ("- item, 5 - 3, well-known, 1990–2000, London–Paris", None, "en"),
        ("non\u2011breaking", "non-breaking", None),
        ("Nothing to do here, 5' 3\".", None, "en"),
    ],
)
def test_signs_are_sent_in_their_plain_form(typed, sent, language):
    assert plain(typed, language) == (typed if sent is None else sent)


@given(TEXTS, LANGUAGES)
def test_a_plain_text_stays_plain(text, language):
    once = plain(text, language)
    assert plain(once, language) == once


@given(st.text("abcdé ,.!?", max_size=80), LANGUAGES)
def test_plain_words_are_sent_as_they_are(text, language):
    assert plain(text, language) == text


def test_hyphens_come_back_where_they_were_typed():
    assert dashes_as_typed("Paris - London", "Paris – Londres") == "Paris - Londres"
    assert dashes_as_typed("Well -- no", "Eh bien — non") == "Eh bien -- non"
    assert dashes_as_typed("Well — no - or", "Eh bien — non – ou") == "Eh bien — non – ou"
    assert dashes_as_typed("well-known", "bien – connu") == "bien – connu"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PLEASE DO NOT OPEN THE DOOR.", True),
        ("WHERE ARE YOU?", True),
        ("WHO ARE YOU?", True),
        ("WARNING", True),
        ("ÖFFNEN SIE DIE TÜR", True),
        ("GROßE STRAßE", True),
        ("ОСТОРОЖНО, ДВЕРИ", True),
        ("I AM 18 YEARS OLD", True),
        ("NASA", False),
        ("USB", False),
        ("OK", False),
        ("I", False),
        ("US, UK, EU", False),
        ("A4 A5", False),
        ("Please", False),
        ("PLEASE do", False),
        ("使用 HTML 和 JSON", False),
        ("42 %", False),
        ("", False),
        ("東京", False),
    ],
)
def test_capitals_are_told_from_acronyms(text, expected):
    assert in_capitals(text) is expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("WHERE AM I? I'M HERE. «YES»", "eng_Latn", "Where am I? I'm here. «Yes»"),
        ("¿DÓNDE ESTÁ? ¡AQUÍ!", "es", "¿Dónde está? ¡Aquí!"),
        ("ILIK SU İÇİN. IŞIK", "tr", "Ilık su için. Işık"),
        ("İSTANBUL IS BIG", "en", "Istanbul is big"),
        ("WO IST DER BAHNHOF? IN MEINER STADT", "de", "Wo ist der Bahnhof? In meiner Stadt"),
        ("ΟΔΟΣ", "el", "Οδος"),
        ("3 DOGS, MY VERSION 2.0. NEW", "en", "3 dogs, my version 2.0. New"),
        ("... 42", "en", "... 42"),
    ],
)
def test_capitals_become_sentences(text, language, expected):
    assert lowered(text, language) == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("ılık su için", "tur_Latn", "ILIK SU İÇİN"),
        ("große Straße", "de", "GROSSE STRASSE"),
        ("Été à Noël", "fr", "ÉTÉ À NOËL"),
        ("Άνθρωπος ή μάιος, προϊόν, ρωμέικα", "el", "ΑΝΘΡΩΠΟΣ Ή ΜΑΪΟΣ, ΠΡΟΪΟΝ, ΡΩΜΕΪΚΑ"),
        ("été", None, "ÉTÉ"),
    ],
)
def test_a_translation_is_raised_as_its_language_does(text, language, expected):
    assert raised(text, language) == expected


@given(st.text("ABC ÉÄ.,!?'1 ", max_size=40))
def test_what_is_lowered_and_raised_is_as_before(text):
    assert raised(lowered(text, "fr"), "fr") == text


@pytest.mark.parametrize(
    ("source", "translation", "expected"),
    [
        ("Hello", "Bonjour.", "Bonjour"),
        ("Hello", "Bonjour !", "Bonjour"),
        ("Hello", "Bonjour\u00a0!", "Bonjour"),
        ("Hello", "你好。", "你好"),
        ("hello", "नमस्ते।", "नमस्ते"),
        ('"Hello"', '"Bonjour."', '"Bonjour"'),
        ("(Hello)", "(Bonjour.)", "(Bonjour)"),
        ("How are you", "¿Cómo estás?", "Cómo estás"),
        ("Well", "Bien...", "Bien"),
        ("Hello.", "Bonjour.", "Bonjour."),
        ("你好。", "Hello.", "Hello."),
        ("Hello!", "Bonjour", "Bonjour"),
        ("“Hello.”", "« Bonjour. »", "« Bonjour. »"),
        ("and so on", "etc.", "etc."),
        ("in the afternoon", "5 p.m.", "5 p.m."),
        ("the fifth", "der 5.", "der 5."),
        ("plan B", "plan B.", "plan B."),
        ("Hello", "...", "..."),
        ("", "Bonjour.", "Bonjour"),
        ("Hello", "", ""),
    ],
)
def test_no_end_is_added(source, translation, expected):
    assert without_added_end(source, translation) == expected


@given(TEXTS, TEXTS)
def test_an_end_is_all_that_is_taken_away(source, translation):
    found = without_added_end(source, translation)
    assert list(filter(str.isalnum, found)) == list(filter(str.isalnum, translation))
    assert without_added_end(translation, translation) == translation


@given(TEXTS, LANGUAGES)
def test_any_text_is_taken(text, language):
    in_capitals(text)
    assert isinstance(lowered(text, language), str)
    assert raised(text, "nonsense") == text.upper()
    assert isinstance(raised(text, language), str)


@pytest.mark.parametrize(
    "unit", ["\u0301\u0327", "! ", "‘", "«", "` ", "a - ", ".", "’a", "ή ", "\u200d", "A. ", "‘a’a "]
)
def test_long_texts_take_linear_time(unit):
    text = "a" + unit * (200_000 // len(unit))
    begin = time.process_time()
    for language in ("en", "fr", "el"):
        plain(text, language)
        lowered(text, language)
        raised(text, language)
    in_capitals(text)
    without_added_end(text, text + "x")
    assert time.process_time() - begin < 10


def test_composing_in_pieces_is_composing():
    text = unicodedata.normalize("NFD", "été à la plage, Noël " * 50)
    assert plain(text, "fr") == unicodedata.normalize("NFC", text)
