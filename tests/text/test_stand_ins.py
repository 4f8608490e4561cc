import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.text.kept import KeptSpan, kept_spans
from quartet.text.stand_ins import (
    PROBE_ITEMS,
    PROBES,
    STYLES,
    joined_spans,
    left_out,
    placed,
    put_back,
    replaced,
    restored,
    survival,
)

PIECES = ["{name}", "https://example.org", "🙂", "%s", "<b>", "v2.4.1", "X1", "x 2", "Tom", "1", "é", "e\u0301", "M1"]
TEXTS = st.lists(
    st.one_of(st.sampled_from([*PIECES, " ", " ", "a", ".", ". ", ", "]), st.text(max_size=5), st.just("\ud83d"))
).map("".join)


def items_of(text: str, spans: list[KeptSpan]) -> list[str]:
    return [text[span.start : span.end] for span in spans]


@given(TEXTS, st.sampled_from(STYLES))
def test_what_a_model_copies_is_restored(text, style):
    spans = kept_spans(text)
    sent, stand_ins = replaced(text, spans, style)
    assert len(stand_ins) == len(spans)
    if style != "as it is":
        assert len({stand_in.strip().lower() for stand_in in stand_ins}) == len(spans)
        assert restored(sent, stand_ins, items_of(text, spans)) == text


@given(TEXTS, st.sampled_from(STYLES))
def test_nothing_is_restored_of_a_translation_without_the_stand_ins(text, style):
    spans = kept_spans(text)
    _, stand_ins = replaced(text, spans, style)
    assert restored("une traduction", stand_ins, items_of(text, spans)) == (None if spans else "une traduction")


@given(TEXTS, st.sampled_from(STYLES), TEXTS)
def test_any_answer_is_restored_or_not_but_no_item_is_there_twice(text, style, answer):
    spans = kept_spans(text)
    sent, stand_ins = replaced(text, spans, style)
    found = restored(answer, stand_ins, [f"⟦{number}⟧" for number in range(len(spans))])
    assert found is None or all(found.count(f"⟦{number}⟧") == 1 for number in range(len(spans)))
    assert restored(sent + " " + sent, stand_ins, ["⟦⟧"] * len(spans)) is None or not spans


@pytest.mark.parametrize(
    ("text", "sent", "stand_ins"),
    [
        ("Hello {name}.", "Hello X1.", ("X1",)),
        ("{a} and {b}", "X1 and X2", ("X1", "X2")),
        ("Is X1 or x 2 {name}?", "Is X1 or x 2 X3?", ("X3",)),
        ("10{unit}", "10 X1", (" X1",)),
        ("<b>Stop</b>", "X1 Stop X2", ("X1 ", " X2")),
        ("<b>{file}</b>!", "X1 X2 X3!", ("X1", " X2", " X3")),
        ("l'{objet}", "l'X1", ("X1",)),
        ("nothing", "nothing", ()),
    ],
)
def test_stand_ins_are_new_and_touch_no_word(text, sent, stand_ins):
    assert replaced(text, kept_spans(text), "X1") == (sent, stand_ins)


@pytest.mark.parametrize(
    "item",
    [
        "%d",
        "%1$d",
        "%.2f",
        "{count}",
        "{{ count }}",
        "{n}",
        "{itemCount}",
        "%(total)d",
        "${amount}",
        "#{num}",
        "%{count}",
    ],
)
def test_what_stands_for_a_number_gets_a_number(item):
    text = f"{{name}} has {item} items."
    assert replaced(text, kept_spans(text), "X1") == ("X1 has 340 items.", ("X1", "340"))
    assert replaced(text, kept_spans(text), "M1") == ("M1 has M2 items.", ("M1", "M2"))


@pytest.mark.parametrize("item", ["%s", "{0}", "{account}", "{discount}", "{country}", "%(name)s", "%@"])
def test_what_stands_for_a_word_gets_none(item):
    assert replaced(item, kept_spans(item), "X1") == ("X1", ("X1",))


@pytest.mark.parametrize(
    ("text", "sent", "translation", "expected"),
    [
        ("See you 🙂 Bring it.", "See you Bring it.", "A bientôt Apporte-le.", "A bientôt 🙂 Apporte-le."),
        ("Click <b>Save</b> now.", "Click Save now.", "Cliquez Enregistrer là.", "Cliquez <b>Enregistrer</b> là."),
        ("<b>Stop</b>!", "Stop!", "Arrête !", "<b>Arrête</b> !"),
        ("Great 👍.", "Great.", "Super.", "Super. 👍"),
        ("I love <i>you</i>, Tom", "I love you, Tom", "Je t'aime, Tom", "Je <i>t'aime</i>, Tom"),
        ("@a", "", "", "@a"),
        ("no items", "no items", "rien", "rien"),
    ],
)
def test_items_are_left_out_and_put_back(text, sent, translation, expected):
    spans = joined_spans(text, kept_spans(text))
    assert left_out(text, spans) == sent
    assert put_back(translation, text, spans) == expected


@given(TEXTS, TEXTS)
def test_whatever_is_put_back_is_there_in_order_with_all_of_the_translation(text, translation):
    spans = kept_spans(text)
    found = put_back(translation, text, spans)
    place = 0
    for item in items_of(text, spans):
        place = found.index(item, place)
    assert len("".join(found.split())) == len("".join((translation + "".join(items_of(text, spans))).split()))
    left = left_out(text, spans)
    assert sorted("".join(left.split())) == sorted("".join(c for c in _outside(text, spans) if not c.isspace()))


def _outside(text: str, spans: list[KeptSpan]) -> str:
    kept = {place for span in spans for place in range(span.start, span.end)}
    return "".join(character for place, character in enumerate(text) if place not in kept)


@pytest.mark.parametrize(
    ("translation", "stand_ins", "items", "expected"),
    [
        ("Bonjour X1.", ["X1"], ["{name}"], "Bonjour {name}."),
        ("Bonjour x 1 .", ["X1"], ["{name}"], "Bonjour {name} ."),
        ("« X1 » et X2", ["X1", "X2"], ["{a}", "{b}"], "« {a} » et {b}"),
        ("X2 de X1", ["X1", "X2"], ["{a}", "{b}"], "{b} de {a}"),
        ("d'X1", ["X1"], ["{a}"], "d'{a}"),
        ("X12 et X1", ["X1"], ["{a}"], "X12 et {a}"),
        ("X1 et X1", ["X1"], ["{a}"], None),
        ("X1", ["X1", "X2"], ["{a}", "{b}"], None),
        ("AX1", ["X1"], ["{a}"], None),
        ("X1s", ["X1"], ["{a}"], None),
        ("Tomate", ["Tom"], ["{a}"], None),
        ("Toms Haus", ["Tom"], ["{a}"], None),
        ("TOM !", ["Tom"], ["{a}"], "{a} !"),
        ("X1を見る", ["X1"], ["{a}"], "{a}を見る"),
        ("il y a 73 519 amis", ["73519"], ["{n}"], "il y a {n} amis"),
        ("X1 Halt X2 !", ["X1 ", " X2"], ["<b>", "</b>"], "<b>Halt</b> !"),
        ("X1 : X2", ["X1 ", " X2"], ["<b>", "</b>"], "<b> : </b>"),
        ("10 X1", [" X1"], ["{unit}"], "10{unit}"),
        ("C'est X1.", ["X1"], ["etc."], "C'est etc."),
        ("C'est X1...", ["X1"], ["etc."], "C'est etc...."),
        ("%s de %s", ["%s", "%s"], ["%s", "%s"], "%s de %s"),
        ("%s de", ["%s", "%s"], ["%s", "%s"], None),
        ("https://exemple.org", ["https://example.org"], ["https://example.org"], None),
        ("a.org, https://a.org", ["https://a.org", "a.org"], ["https://a.org", "a.org"], "a.org, https://a.org"),
        ("https://a.org", ["https://a.org", "a.org"], ["https://a.org", "a.org"], None),
        ("rien", [], [], "rien"),
    ],
)
def test_restoring_bears_with_what_models_do(translation, stand_ins, items, expected):
    assert restored(translation, stand_ins, items) == expected


def test_items_beside_each_other_are_one():
    text = "Open <b>{file}</b> 🙂 now, {name}"
    assert items_of(text, joined_spans(text, kept_spans(text))) == ["<b>{file}</b> 🙂", "{name}"]


def test_when_the_names_are_used_up_codes_follow():
    text = "{a} {b} {c}"
    assert placed(text, kept_spans(text), ["Tom"]) == ("Tom X1 X2", ("Tom", "X1", "X2"))


def test_survival_is_the_share_of_the_probes_that_a_model_copies():
    def without_names(texts: list[str]) -> list[str]:
        return [text.replace("X1", "").upper() for text in texts]

    shares = survival(without_names, "eng_Latn")
    assert tuple(shares) == STYLES
    assert shares["X1"] == 0
    assert 0 < shares["as it is"] < 1  # letters of a few items are capitals
    assert shares["Tom"] == 1
    assert set(survival(lambda texts: texts, "de").values()) == {1}
    assert survival(lambda texts: texts, "xx") == {}


@pytest.mark.parametrize("language", PROBES)
def test_every_item_of_the_probes_is_kept(language):
    assert len(PROBES[language]) == len(PROBE_ITEMS)
    for probe, items in zip(PROBES[language], PROBE_ITEMS, strict=True):
        text = probe.format(*items)
        assert items_of(text, kept_spans(text)) == list(items)
