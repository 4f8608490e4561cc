"""Live text with a recogniser that follows a script: nothing is lost, said twice, or taken back."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Scripted, name, spoken

from noise import LoudEar
from quartet.audio.audio import RATE
from quartet.live import sound as live_sound
from quartet.live.agreement import Piece, after, agreed, joined
from quartet.live.listener import Listener
from quartet.live.phrase import LONGEST_PHRASE
from quartet.live.recognizer import Heard

SPEECH = st.lists(st.floats(0.2, 0.7), min_size=1, max_size=40)
PAUSES = st.lists(st.tuples(st.integers(0, 40), st.floats(0.3, 1.5)), max_size=5)


@pytest.fixture(autouse=True, scope="module")
def _loud():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_sound, "Ear", LoudEar)
        yield


def heard(recognizer, samples, size=1600, **options):
    """All events of samples that come in pieces."""
    listener = Listener(recognizer, **({"clock": lambda: 0.0} | options))
    data = samples.tobytes()
    events = [one for start in range(0, len(data), size) for one in listener.add(data[start : start + size])]
    return [*events, *listener.end()]


def finals(events):
    return [one for one in events if one.is_final]


def text(events):
    return "".join(one.text for one in finals(events))


@settings(max_examples=40)
@given(SPEECH, PAUSES, st.integers(400, 10**6), st.integers(0, 99), st.sampled_from([0.0, 0.3]))
def test_all_words_become_final_once_and_in_order(words, pauses, size, seed, fails):
    samples = spoken(words, pauses)
    events = heard(Scripted(seed=seed, fails=fails), samples, size)
    assert text(events) == "".join(map(name, range(len(words))))
    said = [word for one in finals(events) for word in one.words]
    assert "".join(word.word for word in said) == text(events)
    for number, word in enumerate(said):
        place = np.flatnonzero(samples == samples[samples > 0][0] + number) / RATE
        assert word.start == pytest.approx(place[0], abs=0.02)
        assert word.end == pytest.approx(place[-1], abs=0.02)


@settings(max_examples=20)
@given(SPEECH, PAUSES, st.integers(0, 99))
def test_the_decoder_begins_with_what_is_final_so_that_nothing_is_taken_back(words, pauses, seed):
    recognizer = Scripted(seed=seed)
    told: list[int] = []

    class Checked(Scripted):
        def hear(self, look):
            known = [token for piece in look.sure for token in piece.tokens]
            assert known == told[len(told) - len(known) :]
            return recognizer.hear(look)

    listener = Listener(Checked(), clock=lambda: 0.0)
    data = spoken(words, pauses).tobytes()
    for start in range(0, len(data), 1600):
        for event in listener.add(data[start : start + 1600]):
            told += [int(word.word[2:]) for word in event.words]
    assert recognizer.looks or len(data) < RATE


def test_partial_text_comes_before_it_is_final_and_ends_where_the_sound_does():
    events = heard(Scripted(), spoken([0.5] * 6))
    first = events[0]
    assert not first.is_final
    assert first.text
    assert first.kind == "partial"
    assert first.end <= 0.7
    assert [one.kind for one in events].count("final") > 1


def test_speech_without_an_end_takes_the_same_work_and_memory_all_the_time():
    recognizer = Scripted()
    listener = Listener(recognizer, clock=lambda: 0.0)
    held = []
    for number in range(240):
        list(listener.add(spoken([0] * number + [0.4]).tobytes()))
        held.append(len(listener._sound))
    assert len(recognizer.looks) == 240
    windows = [len(look.sound) for look in recognizer.looks]
    assert max(windows[120:]) <= max(windows[:120])
    assert max(held) <= recognizer.longest * RATE
    assert max(len(look.sure) for look in recognizer.looks) < 20


def test_a_phrase_that_has_no_full_stop_ends_after_some_hundred_letters():
    events = finals(heard(Scripted(), spoken([0.3] * 300)))
    phrases, last = [], ""
    for one in events:
        last += one.text
        if one.ends_phrase:
            phrases.append(last)
            last = ""
    assert len(phrases) > len(text(events)) / LONGEST_PHRASE - 1
    assert all(len(phrase) < LONGEST_PHRASE + 100 for phrase in phrases)


def test_a_slow_machine_looks_less_often_and_hears_all():
    ticks = itertools.count(step=2.0)
    slow, quick = Scripted(28.0), Scripted(28.0)
    samples = spoken([0.4] * 40, {10: 0.8, 20: 0.8})
    events = heard(slow, samples, clock=lambda: next(ticks))
    assert text(events) == text(heard(quick, samples))
    assert len(slow.looks) < len(quick.looks) / 2


def test_sound_that_waited_is_heard_to_its_end():
    samples = spoken([0.4] * 100, {50: 0.8})
    assert text(heard(Scripted(), samples, 10**9)) == "".join(map(name, range(100)))


def test_a_pause_ends_a_phrase():
    events = finals(heard(Scripted(), spoken([0.4] * 9, {3: 0.8, 6: 0.8})))
    phrases, last = [], ""
    for one in events:
        last += one.text
        if one.ends_phrase:
            phrases.append(last)
            last = ""
    assert phrases == [" w0 w1 w2", " w3 w4 w5", " w6 w7 w8"]


def test_where_the_last_look_has_no_answer_the_last_guess_counts():
    class Failing(Scripted):
        def hear(self, look):
            return None if look.takes_care else super().hear(look)

    events = heard(Failing(), spoken([0.5] * 4))
    assert text(events).startswith(" w0 w1")
    assert finals(events)[-1].ends_phrase


def test_noise_in_which_nobody_says_anything_is_forgotten():
    class Deaf(Scripted):
        def hear(self, look):
            super().hear(look)
            return Heard((), None)

    recognizer = Deaf()
    assert not finals(heard(recognizer, spoken([0.5] * 60)))
    assert len(recognizer.looks) > 60


# ---- agreement ------------------------------------------------------------------------------------------------------

WORDS = st.lists(st.sampled_from([" a", " A", " b", ",", ".", " c'", "-", "d", " ..."]), max_size=8)


def pieces(texts):
    return tuple(Piece(text, (number,)) for number, text in enumerate(texts))


def keys(some):
    return [piece.key for piece in some if piece.key]


@given(WORDS, WORDS)
def test_what_two_guesses_agree_on_is_the_longest_beginning_that_they_share(before, now):
    old, new = pieces(before), pieces(now)
    count = agreed(old, new)
    sure, left = keys(new[:count]), keys(new[count:])
    assert keys(old)[: len(sure)] == sure
    rest = keys(after(old, len(sure)))
    assert not (left and rest and left[0] == rest[0])
    assert count == 0 or new[count - 1].key  # signs after the last word are not sure


@pytest.mark.parametrize(
    ("before", "now", "sure"),
    [
        ([], [" And"], ""),
        ([" And", " so"], [" And", " so", " my"], " And so"),
        ([" Americans", "."], [" Americans", ",", " ask"], " Americans"),
        ([" so", ",", " my"], [" so", " my", "."], " so my"),
        ([" AND", " so"], [" and", " so", " my"], " and so"),
        ([" and", " so"], [" but", " so"], ""),
        (["你", "好", "。"], ["你", "好", "吗", "？"], "你好"),
        ([" «", "Bon", "»,"], [" « ", "Bon", " »", " dit"], " « Bon"),
    ],
)
def test_what_two_guesses_begin_with_is_sure(before, now, sure):
    assert "".join(now[: agreed(pieces(before), pieces(now))]) == sure


@given(WORDS)
def test_joined_pieces_hold_the_same_text_and_tokens(texts):
    found = joined(pieces(texts))
    assert "".join(piece.text for piece in found) == "".join(texts)
    assert [token for piece in found for token in piece.tokens] == list(range(len(texts)))


def test_a_word_with_a_hyphen_is_one_and_letters_without_spaces_are_many():
    assert [one.text for one in joined(pieces([" ill", "-", "disposed", ".", " He"]))] == [" ill-disposed", ".", " He"]
    assert [one.text for one in joined(pieces(["好", "。", "你"]))] == ["好", "。", "你"]


@dataclass
class Fixed:
    """Hears the same pieces, each 0.2 s long, but signs, which have no length."""

    pieces: tuple
    longest: float = 6.0
    candidates: tuple = ()

    def hear(self, look):
        return Heard(tuple(Piece(text, (n,)) for n, text in enumerate(self.pieces) if n >= len(look.sure)), None)

    def times(self, look, heard):
        del look, heard
        lengths = [0.2 if any(map(str.isalpha, text)) else 0.0 for text in self.pieces]
        ends = np.cumsum(lengths)
        return [(end - length, end, 0.5) for length, end in zip(lengths, ends, strict=True)]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ((" so", ",", " what", "?", "!"), [" so,", " what?!"]),
        ((' "', "yes", '"', " he", ",", " says"), [' "yes"', " he,", " says"]),
        ((" yes", " -"), [" yes -"]),
    ],
)
def test_signs_belong_to_words_so_that_each_word_has_a_length(pieces, words):
    events = finals(heard(Fixed(pieces), spoken([0.5] * 3)))
    said = [word for one in events for word in one.words]
    assert [word.word for word in said] == words
    assert all(word.end > word.start for word in said)
