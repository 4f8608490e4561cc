"""Plans: which language a text goes from and to, and its sentences with what is kept of each."""

from dataclasses import replace

import pytest

import tiny_text
from quartet.conversion.convert import convert_folder
from quartet.errors import LanguageError, ManifestError, OptionError
from quartet.spec import Manifest
from quartet.text.tokenizer import load_tokenizer
from quartet.translation.plan import Planner, Reading


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    """Of a tiny model of English and French, and its tokeniser."""
    folder = tmp_path_factory.mktemp("plan")
    manifest = convert_folder(tiny_text.make(folder / "checkpoint"), folder / "quartet", precision="fp32")
    tokenizer = load_tokenizer(folder / "quartet", manifest.tokenizer)
    return Planner(Manifest.load(folder / "quartet"), tokenizer)


def one(planner: Planner, text: str, source: str | None = "en", target: str | None = "fr", **options):
    (plan,) = planner.plans([text], source, target, Reading(**options))
    return plan


def kept(plan) -> list[list[str]]:
    return [[s.text[span.start : span.end] for span in s.spans] for s in plan.sentences]


def test_sentences_and_what_is_kept_of_each(planner):
    plan = one(planner, "See {name}. It is at https://example.org. 42.")
    assert [piece.text for piece in plan.pieces] == ["See {name}.", "It is at https://example.org."]
    assert kept(plan) == [["{name}"], ["https://example.org"]]
    assert plan.join(["Voir {name}.", "C'est là."]) == "Voir {name}. C'est là. 42."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The weather is 東京 today.", ["東京"]),
        ("He said שלום to me.", ["שלום"]),
        ("The flat has 40 m² and H₂O.", ["m²", "H₂O"]),
        ("Nothing of the kind, señor.", []),
        ("She said “多谢” and left.", ["多谢"]),
    ],
)
def test_what_the_model_cannot_spell_is_kept(planner, text, found):
    assert kept(one(planner, text)) == [found]


def test_nothing_is_kept_of_a_raw_text(planner):
    plan = one(planner, "See {name}, 東京.", raw=True)
    assert kept(plan) == [[]]
    assert planner.ways(Reading(raw=True)) is None


@pytest.mark.parametrize("tag", [">>fra<<", ">>fr<<", "<2fr>"])
def test_a_typed_language_is_the_target(planner, tag):
    plan = one(planner, f"{tag} Good morning.", target=None)
    assert (plan.target_code, [piece.text for piece in plan.pieces]) == ("fra_Latn", ["Good morning."])
    assert one(planner, f"\n {tag} Good morning.", target=None).join(["Bonjour."]) == "\n Bonjour."
    assert one(planner, f"{tag} Good morning.", source=None, target="en").target_code == "fra_Latn"


def test_a_typed_language_that_the_model_lacks_stays_with_a_warning(planner, caplog):
    plan = one(planner, ">>jpn<< Good morning.")
    assert plan.join(["Bonjour."]) == ">>jpn<< Bonjour."
    assert "jpn" in caplog.text


def test_a_text_in_an_unknown_language_is_an_error_or_left_as_it_is(planner):
    texts = ["Where is the train station?", "今日はとても寒いです。"]
    with pytest.raises(LanguageError, match="looks like Japanese"):
        planner.plans(texts, None, "fr", Reading())
    first, second = planner.plans(texts, None, "fr", Reading(strict=False))
    assert first.pieces
    assert (second.pieces, second.join([])) == ((), texts[1])
    assert "looks like Japanese" in second.problem


def test_a_text_that_is_too_long_to_stay_whole_likewise(planner):
    text = "word " * 300
    with pytest.raises(OptionError, match="longer than the model's"):
        one(planner, text, split="none")
    assert "longer than the model's" in one(planner, text, split="none", strict=False).problem


def test_short_texts_take_the_language_of_those_around_them(planner):
    texts = ["Où est la gare, s'il vous plaît ?", "Restaurant", "Je n'ai pas le temps aujourd'hui."]
    assert {plan.source_code for plan in planner.plans(texts, None, "en", Reading())} == {"fra_Latn"}


@pytest.mark.parametrize("wrong", [10**6, -1, 10**30])
def test_ids_without_a_row_are_refused(planner, wrong):
    plan = one(planner, "Where is it?")
    damaged = replace(planner, tokenizer=replace(planner.tokenizer, to_ids=lambda text: [5, wrong]))
    with pytest.raises(ManifestError, match=r"makes the id -?\d+, outside of its vocabulary of \d+; convert"):
        damaged.source_ids(plan, "Where is it?")
