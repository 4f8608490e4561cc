"""Sound as it comes: its formats, and the turns in it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise import LoudEar
from quartet.audio.audio import RATE
from quartet.audio.voice_activity import CHUNK
from quartet.live import sound as live_sound
from quartet.live.sound import LONGEST_TURN, Decoder, Format, LiveSound, Turn
from quartet.live.utterances import Began, Ended, TurnDetection, Utterances

pytest.importorskip("av")


def tone(rate, seconds=1.0):
    return np.round(np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate) * 10000).astype(np.int16)


def in_pieces(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


# ---- formats --------------------------------------------------------------------------------------------------------


def test_bytes_of_g711_are_what_the_standard_says():
    decoded = {kind: Decoder(Format(kind, RATE)).decoded(bytes(range(256))) for kind in ("audio/pcmu", "audio/pcma")}
    mu, a = decoded["audio/pcmu"].tolist(), decoded["audio/pcma"].tolist()
    assert [mu[i] for i in (0x00, 0x0F, 0x7E, 0x7F, 0x80, 0xD5, 0xFF)] == [-32124, -16764, -8, 0, 32124, 716, 0]
    assert [a[i] for i in (0x00, 0x2A, 0x55, 0x80, 0xAA, 0xD5)] == [-5504, -32256, -8, 5504, 32256, 8]
    assert len(set(mu)) == 255  # there are two zeros
    assert len(set(a)) == 256


@pytest.mark.parametrize("size", [1, 7, 1000, 48_000])
def test_a_piece_may_end_in_the_middle_of_a_sample(size):
    samples = tone(RATE)
    decoder = Decoder(Format("audio/pcm", RATE))
    found = np.concatenate([decoder.decoded(piece) for piece in in_pieces(samples.tobytes(), size)])
    assert (found == samples).all()


@pytest.mark.parametrize(("kind", "rate"), [("audio/pcm", 24_000), ("audio/pcmu", 8_000)])
def test_other_rates_become_ours(kind, rate):
    samples = tone(rate)
    data = samples.tobytes()
    if kind == "audio/pcmu":
        table = Decoder(Format(kind, RATE)).decoded(bytes(range(256))).astype(int)
        data = np.abs(table[None] - samples[:, None]).argmin(1).astype(np.uint8).tobytes()
    decoder = Decoder(Format(kind, rate))
    found = np.concatenate([decoder.decoded(piece) for piece in in_pieces(data, 961)])
    assert RATE - 100 < len(found) <= RATE
    middle = slice(1000, len(found) - 1000)
    assert np.abs(found[middle] - tone(RATE)[: len(found)][middle].astype(int)).max() < 400


# ---- turns ----------------------------------------------------------------------------------------------------------


def turns_of(probabilities, options=None, longest=LONGEST_TURN):
    return list(Utterances(options or TurnDetection(), longest).heard(np.asarray(probabilities, np.float32)))


def test_a_turn_lasts_from_before_the_voice_until_enough_silence():
    found = turns_of([0.0] * 20 + [0.9] * 40 + [0.0] * 40)
    assert found == [Began(20 * CHUNK - 300 * 16), Ended(76 * CHUNK)]  # 16 chunks are 512 ms


def test_a_click_is_no_turn_and_a_breath_ends_none():
    assert turns_of(([0.9] * 2 + [0.1]) * 20) == []
    assert turns_of([0.9] * 20 + ([0.0] * 14 + [0.9]) * 5) == [Began(0)]
    assert turns_of([0.9] * 20 + [0.4] * 100) == [Began(0)]  # neither a voice nor silence


def test_a_turn_begins_after_the_one_before():
    options = TurnDetection(prefix_padding_ms=3000, silence_duration_ms=100)
    found = turns_of([0.0] * 5 + [0.9] * 10 + [0.0] * 6 + [0.9] * 10, options)
    assert found == [Began(0), Ended(19 * CHUNK), Began(19 * CHUNK)]


def test_a_long_turn_is_cut_where_the_voice_is_least_likely():
    probabilities = [0.9] * 100
    probabilities[70] = 0.6
    found = turns_of(probabilities, longest=90 * CHUNK)
    assert found == [Began(0), Ended(71 * CHUNK), Began(71 * CHUNK)]


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), max_size=12), st.integers(20, 200))
def test_turns_are_in_order_and_none_is_too_long(parts, longest):
    probabilities = [probability for count, probability in parts for _ in range(count)]
    found = turns_of(probabilities, longest=longest * CHUNK)
    kinds = [type(one) for one in found]
    assert kinds == ([Began, Ended] * len(kinds))[: len(kinds)]
    places = [one.at for one in found]
    assert places == sorted(places)
    assert all(end - start <= longest * CHUNK for start, end in zip(places[::2], places[1::2], strict=False))


@pytest.fixture
def _loud(monkeypatch):
    monkeypatch.setattr(live_sound, "Ear", LoudEar)


def talk(*seconds):
    """Silence, speech, silence, speech ... of so many seconds."""
    parts = [
        tone(RATE, length) if number % 2 else np.zeros(int(RATE * length), np.int16)
        for number, length in enumerate(seconds)
    ]
    return np.concatenate(parts)


@pytest.mark.usefixtures("_loud")
@pytest.mark.parametrize("size", [999, 32_000, 10**7])
def test_turns_hold_their_sound_however_it_is_cut_into_pieces(size):
    samples = talk(1, 1.5, 1, 1, 1)
    sound = LiveSound(Format("audio/pcm", RATE), TurnDetection())
    turns = [one for piece in in_pieces(samples.tobytes(), size) for one in sound.add(piece) if isinstance(one, Turn)]
    assert len(turns) == 2
    for turn, (start, end) in zip(turns, [(1, 2.5), (3.5, 4.5)], strict=True):
        assert (turn.sound == samples[turn.start : turn.end]).all()
        assert turn.start / RATE == pytest.approx(start - 0.3, abs=0.05)
        assert turn.end / RATE == pytest.approx(end + 0.5, abs=0.05)
    assert len(sound) < 2 * RATE  # silence is not kept


@pytest.mark.usefixtures("_loud")
def test_speech_that_does_not_end_is_turns_that_meet():
    sound = LiveSound(Format("audio/pcm", RATE), TurnDetection())
    found = [one for piece in in_pieces(talk(0.5, 70).tobytes(), 64_000) for one in sound.add(piece)]
    turns = [one for one in found if isinstance(one, Turn)]
    assert len(turns) >= 2
    assert all(len(one.sound) <= LONGEST_TURN for one in turns)
    assert [one.start for one in turns[1:]] == [one.end for one in turns[:-1]]
    assert isinstance(found[-1], Began)


@pytest.mark.usefixtures("_loud")
def test_the_client_may_say_where_a_turn_ends():
    samples = talk(1, 1)
    sound = LiveSound(Format("audio/pcm", RATE), None)
    assert sound.commit() is None
    assert list(sound.add(samples.tobytes())) == [Began(0)]
    assert (sound.so_far() == samples).all()
    turn = sound.commit()
    assert (turn.start, len(turn.sound)) == (0, len(samples))
    assert sound.commit() is None
    list(sound.add(samples.tobytes()))
    sound.clear()
    assert (len(sound), sound.position, sound.commit()) == (0, 2 * len(samples), None)


@pytest.mark.usefixtures("_loud")
def test_who_finds_turns_may_change_on_the_way():
    sound = LiveSound(Format("audio/pcm", RATE), TurnDetection())
    assert [type(one) for one in sound.add(talk(1, 1).tobytes())] == [Began]
    sound.change(Format("audio/pcm", RATE), None)
    assert list(sound.add(talk(2).tobytes())) == []  # no silence ends it
    sound.change(Format("audio/pcm", RATE), TurnDetection())
    (turn,) = sound.add(talk(1).tobytes())
    assert turn.start / RATE == pytest.approx(0.7, abs=0.05)
    assert turn.end / RATE == pytest.approx(4.5, abs=0.05)
    list(sound.add(talk(0.1, 1).tobytes()))
    assert sound.commit() is not None
    assert list(sound.add(talk(1).tobytes())) == []
    sound.change(Format("audio/pcm", RATE), None)
    list(sound.add(talk(0, 1).tobytes()))
    assert (sound.commit().sound == talk(0, 1)).all()  # and nothing of the silence before
