"""What a translation lost of its sentence is found, and what people write differently is not taken for lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.text.coverage import missing

SENTENCE = "The old man walked slowly along the river until he reached the village."
LANGUAGES = st.sampled_from([None, "eng_Latn", "fr", ">>deu<<", "es", "zh", "ar", "nonsense"])
TEXTS = st.text(st.sampled_from("a1٣२０²₂.,:'/ -\u00a0hXVI万東é\ud800") | st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("source", "translation", "target"),
    [
        ("It costs 3.14 euros.", "Cela coûte 3,14 euros.", "fra_Latn"),
        ("There were 1,000,000 people.", "Il y avait 1\u202f000\u202f000 de personnes.", "fr"),
        ("There were 1,000,000 people.", "Es waren 1.000.000 Menschen.", "de"),
        ("There were 10000 people.", "Il y avait 10 000 personnes.", "fr"),
        ("There were 10,00,000 people.", "Il y avait 1 000 000 de personnes.", "fr"),
        ("In 2008 400 people came.", "En 2008, 400 personnes sont venues.", "fr"),
        ("It is ١٢٣ metres long.", "Il mesure 123 mètres de long.", "fr"),
        ("It is 123 metres long.", "यह १२३ मीटर लंबा है।", "hi"),
        ("There are １５ of them.", "Il y en a 15.", "fr"),
        ("CO2 is a gas.", "Le CO₂ est un gaz.", "fr"),
        ("The shop opens at 10:30.", "Le magasin ouvre à 10 h 30.", "fr"),
        ("The shop opens at 2 p.m.", "Le magasin ouvre à 14 h.", "fr"),
        ("Le magasin ouvre à 14 h.", "The shop opens at 2 p.m.", "en"),
        ("Be here by 2:30.", "Sei um halb drei hier.", "de"),
        ("Be here by 2:30.", "Está aquí a las dos y media.", "es"),
        ("It begins at 10:00.", "Es beginnt um 10 Uhr.", "de"),
        ("She has 2 dogs.", "Elle a deux chiens.", "fr"),
        ("She has 2 dogs.", "Lei ha due cani.", "it"),
        ("There are 31 days.", "Es sind einunddreißig Tage.", "de"),
        ("She was born in 1972.", "Elle est née en mille neuf cent soixante-douze.", "fr"),
        ("She was born in 1957.", "She was born in nineteen fifty-seven.", "en"),
        ("I have $500.", "Tengo quinientos dólares.", "es"),
        ("It costs 150,000 euros.", "Es kostet hundertfünfzigtausend Euro.", "de"),
        ("He came 3rd.", "Il est arrivé 3e.", "fr"),
        ("in the 18th century", "en el siglo XVIII", "es"),
        ("in the 1990s", "dans les années 90", "fr"),
        ("in the 1990s", "in den neunziger Jahren", "de"),
        ("dans les années 60", "in the 1960s", "en"),
        ("the season of 1995-96", "la saison 1995-1996", "fr"),
        ("a profit of 1.5 billion", "un beneficio de 1500 millones", "es"),
        ("a profit of 1.5 million", "un bénéfice de 1,5 million", "fr"),
        ("15,000 people came", "来了1.5万人", "zh"),
        ("One of the two is mine.", "L'un d'eux est à moi.", "fr"),
        (SENTENCE, "Le vieil homme a marché lentement le long de la rivière jusqu'au village.", "fr"),
        ("The weather is very nice today, let us go for a walk.", "今天天气很好，我们去散步吧。", "zh"),
        ("42 %", "42 %", "fr"),
        ("- * -", "", "fr"),
        ("Go.", "Vas-y maintenant !", "fr"),
    ],
)
def test_what_people_change_is_not_missing(source, translation, target):
    assert missing(source, translation, None if target == "hi" else "en", target) == ()


@pytest.mark.parametrize(
    ("source", "translation", "target", "expected"),
    [
        ("It costs 314 euros.", "Cela coûte 341 euros.", "fr", ("314",)),
        ("It costs 3.14 euros, not 2,500.", "Cela coûte des euros, pas de livres.", "fr", ("3.14", "2,500")),
        ("She was born in 1972.", "Elle est née en 1973.", "fr", ("1972",)),
        ("She has 3 dogs and 8 cats.", "Sie hat 3 Hunde und sechs Katzen.", "de", ("8",)),
        ("She has 2 dogs for all.", "Tiene perros para todos.", "es", ("2",)),
        ("यहाँ १२३ लोग हैं", "There are people here.", "en", ("१२३",)),
        ("Es kostet 1\u202f250 Euro.", "It costs some euros.", "en", ("1\u202f250",)),
        ("She has 25 dogs.", "Lei ha dei cani.", "it", ("25",)),
        ("The shop opens at 2:30.", "Le magasin ouvre à quatre heures.", "fr", ("2:30",)),
        ("It costs 1000 euros.", "Cela coûte 100 euros.", "fr", ("1000",)),
        ("The train leaves at 9:09.", "Der Zug fährt um 9:009 ab.", "de", ("9:09",)),
        ("The train leaves at 4:03.", "Der Zug fährt um 4:003.", "de", ("4:03",)),
        ("The war ended in 2000.", "Der Krieg ist in 2.000.", "de", ("2000",)),
        ("Prices rose by 73.8 percent.", "Les prix ont augmenté de 738 par cent.", "fr", ("73.8",)),
        (SENTENCE, "", "fr", (SENTENCE,)),
        (SENTENCE, ".", "fr", (SENTENCE,)),
        (SENTENCE, "--", None, (SENTENCE,)),
        (SENTENCE, "Le vieil homme.", "fr", (SENTENCE,)),
        (SENTENCE, "好。", "zh", (SENTENCE,)),
        (SENTENCE, "Le vieil homme " * 20, "fr", (SENTENCE,)),
        ("Go.", "la " * 100, "fr", ("Go.",)),
    ],
)
def test_what_is_lost_is_reported(source, translation, target, expected):
    assert missing(source, translation, "en", target) == expected


@given(TEXTS, TEXTS, LANGUAGES, LANGUAGES)
def test_any_two_texts_are_compared(source, translation, source_language, target_language):
    found = missing(source, translation, source_language, target_language)
    assert all(part in source for part in found)


@given(TEXTS, LANGUAGES)
def test_a_text_has_all_of_itself(text, language):
    assert missing(text, text, language, language) == ()


@given(st.integers(21, 10**9).filter(lambda n: n % 10 and n % 100 > 20), LANGUAGES)
def test_a_number_is_missed_where_there_is_none(number, target):
    assert missing(f"There are {number} of them.", "There are a few of them.", "en", target) == (str(number),)


def test_a_long_text_of_lost_numbers_is_compared_at_once():
    source = " ".join(f"{number}." for number in range(100_000, 120_000))
    assert len(missing(source, "sieben " * 20_000, "en", "de")) == 20_000


@pytest.mark.parametrize("digit", "01²")
def test_a_number_of_any_length_is_looked_for(digit):
    assert missing(digit * 5000, "some", "en", "fr") in ((), (digit * 5000,))
