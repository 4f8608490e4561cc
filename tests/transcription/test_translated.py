"""Segments are translated by sentences, and stay as many at the same times."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.transcription.segments import Segment, Word
from quartet.transcription.translated import translated

WORDS = st.sampled_from(["the", "boat", "Yes.", "and", "comes", "[sighs]", "Mr.", "dawn,"])
TEXTS = st.lists(WORDS, min_size=1).map(" ".join)
SAID = st.lists(st.tuples(TEXTS, st.sampled_from(["en", "fr", None]), st.floats(0, 5)), max_size=8)


def segments(*said: tuple[str, str | None, float]) -> list[Segment]:
    """Texts, their languages, and the silence before each."""
    now, found = 0.0, []
    for number, (text, language, silence) in enumerate(said, 1):
        start, now = now + silence, now + silence + 2
        words = [Word(start, now, f" {text}", 1.0)]
        found.append(Segment(number, 0, start, now, f" {text}", [1], -0.1, 1.0, 0.0, words, 0.0, language))
    return found


def shouted(given_: list[Segment], asked: list[tuple[str, str]] | None = None, target: str = "fr") -> list[Segment]:
    def translate(sentences, spoken):
        if asked is not None:
            asked.extend((sentence, spoken) for sentence in sentences)
        return [sentence.upper() for sentence in sentences]

    return [segment for segment, _ in translated(iter(given_), "en", target, translate)]


def letters(found: list[Segment]) -> str:
    return "".join("".join(one.text for one in found).split())


@given(SAID)
def test_segments_stay_as_they_are_but_for_their_text(said):
    given_ = segments(*said)
    found = shouted(given_)
    assert [dataclasses.replace(one, text="", words=None, tokens=[]) for one in found] == [
        dataclasses.replace(one, text="", words=None, tokens=[]) for one in given_
    ]
    wanted = [one if one.language == "fr" else dataclasses.replace(one, text=one.text.upper()) for one in given_]
    assert letters(found) == letters(wanted)


def test_a_sentence_over_segments_is_one():
    asked = []
    given_ = segments(("Every morning the boats", "en", 0), ("come back at dawn. That is", "en", 0), ("all.", "en", 0))
    found = shouted(given_, asked)
    assert asked == [("Every morning the boats come back at dawn.", "en"), ("That is all.", "en")]
    assert [one.text for one in found] == [" EVERY MORNING THE BOATS", " COME BACK AT DAWN. THAT IS", " ALL."]
    assert all(one.words is None and one.tokens == [] for one in found)


@pytest.mark.parametrize(
    "second", [("come back", "de", 0), ("come back", "en", 3.5), ("[they come]", "en", 0), ("- come back", "en", 0)]
)
def test_no_sentence_goes_over_a_change_of_language_a_pause_a_sound_or_a_speaker(second):
    asked = []
    shouted(segments(("Every morning the boats", "en", 0), second), asked)
    assert asked == [("Every morning the boats", "en"), (second[0], second[1])]


def test_what_is_in_the_target_language_passes_through():
    asked = []
    given_ = segments(("Every morning", "en", 0), ("les bateaux", "fr", 0), ("come back.", None, 0))
    found = shouted(given_, asked, "fra_Latn")
    assert asked == [("Every morning", "en"), ("come back.", "en")]
    assert found[1] == given_[1]


def test_a_segment_comes_when_its_last_sentence_is_whole():
    asked = []

    def come():
        for one in segments(("Yes.", "en", 0), ("And so", "en", 0), ("he came.", "en", 0), ("No", "en", 0)):
            asked.append(one.text)
            yield one

    found = translated(come(), "en", "fr", lambda sentences, spoken: sentences)
    assert (next(found)[0].text, asked) == (" Yes.", [" Yes."])
    assert (next(found)[0].text, len(asked)) == (" And so", 3)


def test_what_was_heard_before_an_error_is_not_lost():
    def broken():
        yield from segments(("And so", "en", 0))
        raise ValueError("the file is damaged")

    found = translated(broken(), "en", "fr", lambda sentences, spoken: sentences)
    assert next(found)[0].text == " And so"
    with pytest.raises(ValueError, match="damaged"):
        next(found)


def test_where_words_are_missing_the_last_segments_have_no_text():
    given_ = segments(("I do not know", "en", 0), ("where he is.", "en", 0))
    found = [one.text for one, _ in translated(given_, "en", "ja", lambda sentences, spoken: ["x"] * len(sentences))]
    assert found == ["x", ""]
