"""Sentences through stand-ins for a model: functions from what is sent to what comes back, good and bad ones."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.runtime.search import Hypothesis
from quartet.text.glossary import Glossary
from quartet.text.kept import kept_spans
from quartet.text.tokenizer import valid_unicode
from quartet.translation.attempts import Sentence, Ways, faults_of, sentence_of
from quartet.translation.drafts import Draft

Model = Callable[[str], str]
STYLES = ("X1", "M1", "Tom")


def words(text: str) -> int:
    return len(text.split())


def sentence(text: str, source: str = "en", target: str = "fr") -> Sentence:
    return sentence_of(text, kept_spans(text), source, target)


def translated(of: Sentence, model: Model, ended: str = "eos", *, max_tokens: int = 60, limited: bool = False):
    """The draft at its end, and all that was sent, attempt by attempt."""
    draft = Draft(of, Ways(words, max_tokens, STYLES, limited))
    sent: list[list[str]] = []
    while draft.attempt is not None:
        assert len(sent) < 12, "attempts without end"
        sent.append(draft.texts)
        answers = [model(text) for text in draft.texts]
        rows = [[Hypothesis((i,), -1.0, "eos" if text == "" else ended)] for i, text in enumerate(draft.texts)]
        draft.receive(rows, lambda tokens, answers=answers: answers[tokens[0]])
    return draft, sent


def echo(text: str) -> str:
    return text


def without_codes(text: str) -> str:
    """A model that copies names, but no codes."""
    return re.sub(r"\b[A-Z]\d\b", "-", text)


def in_small_letters_without_names(text: str) -> str:
    return re.sub(r"[A-Z]\w*|\d+", "", text).lower().strip()


def test_an_item_goes_as_a_stand_in_and_comes_back():
    draft, sent = translated(sentence("See https://example.org/a?b=1 for more."), echo)
    assert sent == [["See X1 for more."]]
    assert draft.best.texts == ("See https://example.org/a?b=1 for more.",)
    assert draft.best.missing == ()


def test_a_stand_in_that_is_lost_is_replaced_by_another_one():
    draft, sent = translated(sentence("I asked {name} to come."), without_codes)
    assert sent == [["I asked X1 to come."], ["I asked M1 to come."], ["I asked Tom to come."]]
    assert draft.best.texts == ("I asked {name} to come.",)


def test_at_last_the_text_around_an_item_is_translated():
    draft, sent = translated(sentence("I asked {name}, and he came."), in_small_letters_without_names)
    assert sent[-1] == ["I asked", "and he came."]
    assert draft.best.texts == ("asked {name}, and he came.",)


def test_emoji_and_tags_around_a_sentence_are_not_sent():
    draft, sent = translated(sentence("<b>See you soon</b> 🙂"), echo)
    assert sent == [["See you soon"]]
    assert draft.best.texts == ("<b>See you soon</b> 🙂",)


def test_capitals_are_sent_in_small_letters_and_items_stay():
    draft, sent = translated(sentence("OPEN {file} NOW, PLEASE."), echo)
    assert sent == [["Open X1 now, please."]]
    assert draft.best.texts == ("OPEN {file} NOW, PLEASE.",)


def test_a_number_that_is_lost_is_looked_for_in_smaller_pieces_then_has_a_stand_in():
    def without_numbers(text: str) -> str:
        return re.sub(r"\b\d+\b", "many", text)

    text = "In the year 1789 the people of the town of Paris rose, as everybody knows."
    draft, sent = translated(sentence(text), without_numbers)
    assert draft.best.texts == (text,)
    assert len(sent) == 3
    assert len(sent[1]) > 1, "smaller pieces"
    assert "1789" not in sent[-1][0]


def test_what_ends_without_an_end_is_cut_and_then_reported():
    text = "One two three four five six, seven eight nine ten eleven twelve, and thirteen."
    draft, sent = translated(sentence(text), echo, ended="length")
    assert [len(parts) for parts in sent] == sorted({len(parts) for parts in sent})
    assert len(sent) > 1
    assert draft.best.missing == (text,)


def test_a_limit_of_the_caller_is_not_got_around():
    draft, sent = translated(
        sentence("One two three four five six seven eight nine ten."), echo, "length", limited=True
    )
    assert len(sent) == 1
    assert draft.best.missing


def test_nothing_that_comes_back_is_reported():
    draft, _ = translated(sentence("We met at the station on Monday, and went home."), lambda _: "")
    assert draft.best.missing == ("We met at the station on Monday, and went home.",)


@pytest.mark.parametrize(
    ("source", "text", "answer", "expected"),
    [
        ("en", "two cups", "Deux tasses.", "deux tasses"),
        ("en", "Cancel", "annuler", "Annuler"),
        ("en", "Save", "ENREGISTRER", "Enregistrer"),
        ("de", "Hund", "Chien.", "Chien"),
        ("en", "yesterday Tom came", "Tom est venu hier", "Tom est venu hier"),
    ],
)
def test_a_word_comes_out_as_a_word(source, text, answer, expected):
    draft, _ = translated(sentence(text, source), lambda _: answer)
    assert draft.best.texts == (expected,)


@pytest.mark.parametrize(
    ("answer", "expected"), [("I love you", "I love you"), ("Monday it is", "Monday it is"), ("The dog", "the dog")]
)
def test_english_words_that_are_always_big(answer, expected):
    draft, _ = translated(sentence("je vois tout", "fr", "en"), lambda _: answer)
    assert draft.best.texts == (expected,)


def test_a_sentence_that_is_missing_is_worse_than_any_number_of_its_items():
    of = sentence("We have lived in this old house with 9 rooms and {n} windows for a very long time.")
    nothing = faults_of(of, "-", unfinished=False)
    something = faults_of(of, "Nous vivons depuis très longtemps dans cette vieille maison avec vue.", unfinished=False)
    assert nothing.untranslated
    assert something.missing == ("9",)
    assert something.weight < nothing.weight
    assert nothing.named(of)[0] == of.text


def test_what_a_stream_shows_has_no_stand_ins():
    draft = Draft(sentence("Hello {name}, you have {count} messages."), Ways(words, 60, STYLES))
    whole = draft.texts[0]
    shown = {draft.begun([whole[:end]]) for end in range(len(whole))}
    assert not [text for text in shown if re.search("X|1|340", text)]
    assert any("{name}" in text for text in shown)


def test_of_several_hypotheses_the_one_that_lacks_nothing_is_best():
    draft = Draft(sentence("Room 214 is free."), Ways(words, 60, STYLES))
    answers = ["La chambre est libre.", "La chambre 214 est libre."]
    draft.receive([[Hypothesis((0,), -0.1), Hypothesis((1,), -0.2)]], lambda tokens: answers[tokens[0]])
    assert (draft.best.texts, draft.best.scores, draft.attempt) == (tuple(reversed(answers)), (-0.2, -0.1), None)


ITEMS = ("https://example.org/a", "{name}", "%1$s", "<b>", "</b>", "🙂", "`x y`", "v2.4.1", "anna@example.org", "#tag")
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(ITEMS), st.sampled_from(("the", "word", "Two", "TEN", "and,", "is", "1789", "(so", "x)"))
    ),
    min_size=1,
    max_size=12,
).map(" ".join)
MODELS = (
    echo,
    without_codes,
    in_small_letters_without_names,
    str.upper,
    lambda _: "",
    lambda text: text[: len(text) // 2],
    lambda text: " ".join(reversed(text.split())),
    lambda text: f"{text} {text}",
)


@given(TEXTS, st.sampled_from(MODELS), st.sampled_from(("eos", "length", "loop guard")))
@settings(max_examples=300, deadline=None)
def test_whatever_a_model_does_items_are_kept(text, model, ended):
    of = sentence(text)
    draft, _ = translated(of, model, ended)
    for span in of.spans:
        item = text[span.start : span.end]
        wanted = [text[s.start : s.end] for s in of.spans].count(item)
        assert draft.best.texts[0].count(item) >= wanted, (text, draft.best)


@given(st.text(max_size=60), st.sampled_from(MODELS))
@settings(max_examples=300, deadline=None)
def test_any_text_goes_through(text, model):
    text = valid_unicode(text)
    draft, _ = translated(sentence(text, *_languages(text)), model)
    assert draft.best.texts


def _languages(text: str) -> Sequence[str]:
    return ("ja", "en") if len(text) % 3 == 0 else ("tr", "zh") if len(text) % 3 == 1 else ("en", "el")


# ---- glossaries -----------------------------------------------------------------------------------------------------


def with_terms(text: str, **terms: str) -> Sentence:
    found = sentence(text)
    return replace(found, terms=tuple(Glossary(terms).found(text, found.spans)))


def in_french(text: str) -> str:
    """A model that knows some words, and copies what it does not know."""
    known = {"the": "le", "cat": "chat", "sees": "voit", "a": "un", "dog": "chien", "food": "repas"}
    return re.sub(r"\w+", lambda found: known.get(found[0].lower(), found[0]), text)


def without_french(text: str) -> str:
    """The same, which copies codes and names only."""
    return re.sub(r"\b(?![A-Z])\w*[éâ]\w*", "truc", in_french(text))


def test_a_sentence_that_has_what_its_terms_become_is_sent_once():
    draft, sent = translated(with_terms("the cat sees a dog", cat="chat"), in_french)
    assert sent == [["the cat sees a dog"]]
    assert draft.best.texts == ("le chat voit un chien",)


def test_what_a_term_becomes_takes_its_place_in_the_source():
    draft, sent = translated(with_terms("the cat sees {name}.", cat="matou"), in_french)
    assert sent == [["the cat sees X1."], ["the matou sees X1."]]
    assert draft.best.texts == ("le matou voit {name}.",)
    assert draft.best.missing == ()


def test_what_is_not_copied_gets_a_stand_in():
    draft, sent = translated(with_terms("the cat sees a dog", cat="félin", dog="cabot"), without_french)
    assert sent[1:] == [["the félin sees a cabot"], ["the X1 sees a cabot"]]
    assert draft.best.texts == ("le félin voit un cabot",)


def test_tags_around_a_term_stay():
    draft, _ = translated(with_terms("the <b>cat</b> sees a dog", cat="félin"), without_french)
    assert draft.best.texts == ("le <b>félin</b> voit un chien",)


def test_what_cannot_be_placed_is_reported_and_the_first_translation_stays():
    def deaf(text: str) -> str:
        return "le chat voit un chien"

    draft, _ = translated(with_terms("the cat sees a dog", cat="félin"), deaf)
    assert draft.best.texts == ("le chat voit un chien",)
    assert draft.best.missing == ("félin",)


def test_a_term_is_not_worth_a_sentence():
    """Where only what loses the rest has the term, the translation without it is the better one."""

    def forgetful(text: str) -> str:
        return in_french(text) if "cat" in text else "félin"

    draft, _ = translated(with_terms("the cat sees a dog, the dog sees a cat", cat="félin"), forgetful)
    assert draft.best.texts == (in_french("the cat sees a dog, the dog sees a cat"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cat", "Félin"),
        ("cat", "félin"),
        ("Cat food", "Félin repas"),
        ("THE CAT SEES A DOG", "LE FÉLIN VOIT UN CHIEN"),
        ("<b>Cat</b>", "<b>Félin</b>"),
    ],
)
def test_capitals_of_terms(text, expected):
    draft, _ = translated(with_terms(text, cat="félin"), without_french)
    assert draft.best.texts == (expected,)


def test_a_term_that_becomes_itself_is_kept():
    draft, sent = translated(with_terms("the cat sees a dog", cat="cat"), in_french)
    assert sent == [["the cat sees a dog"], ["the X1 sees a dog"]]
    assert draft.best.texts == ("le cat voit un chien",)
