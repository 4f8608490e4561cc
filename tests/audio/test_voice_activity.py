import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.audio.audio import RATE, open_audio
from quartet.audio.voice_activity import CHUNK, Ear, Span, VadOptions, has_speech, listened, louder, speech_spans
from quartet.errors import OptionError
from quartet.transcription.first_pass import prepared
from quartet.transcription.windows import Timeline, WindowStream, first_pass, kept, kept_as_it_plays


def nobody(seconds: int) -> dict[str, np.ndarray]:
    time = np.arange(seconds * RATE) / RATE
    random = np.random.default_rng(0)
    return {
        "zeros": np.zeros_like(time, dtype=np.float32),
        "noise": (0.2 * random.normal(size=len(time))).astype(np.float32),
        "faint noise": (1e-3 * random.normal(size=len(time))).astype(np.float32),
        "sine": (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32),
        "hum": (0.5 * np.sin(2 * np.pi * 100 * time)).astype(np.float32),
    }


def samples_of(path) -> np.ndarray:
    return np.concatenate(list(open_audio(path).play()))


def noise(seconds: float, decibels: float, slope: float = 0.0) -> np.ndarray:
    """Noise whose power falls with the frequency to a power: 0 is white, 1 pink, 2 brown; decibels below full scale."""
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 30) ** (slope / 2)
    samples = np.fft.irfft(spectrum, count)
    return (samples / samples.std() * 10 ** (decibels / 20)).astype(np.float32)


def hum(seconds: float, decibels: float, hertz: float) -> np.ndarray:
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)
    return (wave * 10 ** (decibels / 20)).astype(np.float32)


def probabilities(samples: np.ndarray) -> np.ndarray:
    return np.concatenate([found for _, found in listened([samples])])


@pytest.mark.parametrize("name", nobody(1))
def test_nobody_speaks(name):
    assert not has_speech(nobody(30)[name])


@pytest.mark.parametrize("decibels", [-90, -60, -45, -15])
@pytest.mark.parametrize("slope", [0, 1, 2])
def test_noise_at_any_level_is_nobody(decibels, slope):
    assert probabilities(noise(20, decibels, slope)).max() < 0.4


@pytest.mark.parametrize("decibels", [-80, -60, -30])
@pytest.mark.parametrize("hertz", [50, 100, 440, 1000])
def test_hum_at_any_level_is_nobody(decibels, hertz):
    assert probabilities(hum(20, decibels, hertz)).max() < 0.5


def test_the_last_bit_is_nobody():
    dither = np.random.default_rng(0).integers(-1, 2, 20 * RATE).astype(np.float32) / 32768
    assert probabilities(dither).max() < 0.5
    assert probabilities(np.zeros(20 * RATE, np.float32)).max() < 0.1


@pytest.mark.parametrize("decibels", [-20, -45, -60])
def test_a_faint_voice_is_heard_among_silence(shared, decibels):
    """As faint after somebody loud as alone."""
    speech = samples_of(shared / "data" / "audio" / "jfk.wav")
    faint = speech * np.float32(10 ** (decibels / 20))
    for before in (noise(5, -90), np.concatenate([speech, noise(6, -90)])):
        sound = np.concatenate([before, faint, noise(5, -90)])
        span = speech_spans(probabilities(sound), len(sound), VadOptions())[-1]
        assert abs(span.start - len(before)) < RATE
        assert abs(span.end - len(before) - len(faint)) < RATE


def test_loud_sound_is_listened_to_as_it_is():
    loud = np.where(np.arange(5 * RATE) % 400 == 0, 0.9, 0.01).astype(np.float32)
    assert np.array_equal(louder(loud), loud)
    assert len(louder(loud[:0])) == 0


def test_gain_goes_up_slowly_and_not_for_ever():
    sound = np.concatenate([hum(10, -6, 440), hum(10, -46, 440), hum(10, -86, 440)])
    found = louder(sound)
    assert np.array_equal(found[: 9 * RATE], sound[: 9 * RATE])
    assert np.abs(found[14 * RATE : 16 * RATE]).max() == pytest.approx(0.5, rel=0.01)
    assert np.abs(found[25 * RATE :]).max() == pytest.approx(1000 * 10 ** (-86 / 20), rel=0.01)
    assert np.abs(found).max() < 0.6


def test_somebody_speaks(shared):
    speech = samples_of(shared / "data" / "audio" / "jfk.wav")
    assert has_speech(speech)
    assert has_speech(speech * np.float32(1e-3))
    assert not has_speech(speech[:0])


def test_spans_of_a_recording(shared):
    speech = samples_of(shared / "data" / "audio" / "jfk.wav")
    recording = np.concatenate([np.zeros(5 * RATE, np.float32), speech, np.zeros(4 * RATE, np.float32)])
    found = first_pass(open_audio(recording), 80, voices=True)
    assert found.samples == len(recording)
    (span,) = speech_spans(found.probabilities, found.samples, VadOptions())
    assert 4.99 < span.start / RATE < 5.6  # no sooner than the sound
    assert 15.5 < span.end / RATE < 16.6
    assert first_pass(open_audio(recording), 80, voices=False).maximum == found.maximum


# ---- spans of probabilities ---------------------------------------------------------------------------------------


def spans(probabilities, **options) -> list[tuple[int, int]]:
    """In chunks."""
    found = speech_spans(np.array(probabilities, np.float32), len(probabilities) * CHUNK, VadOptions(**options))
    return [(round(span.start / CHUNK), round(span.end / CHUNK)) for span in found]


@pytest.mark.parametrize("size", [1, 511, 512, 5000])
def test_an_ear_hears_the_same_in_pieces_of_any_size(size):
    sound = np.random.default_rng(0).normal(0, 0.1, 5000 if size == 1 else 20_000).astype(np.float32)
    ear = Ear()
    found = np.concatenate([ear.heard(sound[start : start + size]) for start in range(0, len(sound), size)])
    assert len(found) == len(sound) // CHUNK
    assert found == pytest.approx(Ear().heard(sound))


def test_an_ear_hears_somebody_speak(shared):
    samples = np.concatenate(list(open_audio(shared / "data" / "audio" / "jfk.wav").play()))
    ear = Ear()
    found = np.concatenate([ear.heard(samples[start : start + 1600]) for start in range(0, len(samples), 1600)])
    ((_, whole),) = listened(open_audio(shared / "data" / "audio" / "jfk.wav").play())
    assert np.mean((found >= 0.5) == (whole[: len(found)] >= 0.5)) > 0.95  # the detector has a memory


def test_short_silences_belong_to_speech():
    speech = [1.0] * 10 + [0.0] * 5 + [1.0] * 10 + [0.0] * 20
    assert spans(speech, speech_pad_ms=0, min_silence_duration_ms=200) == [(0, 25)]
    assert spans(speech, speech_pad_ms=0, min_silence_duration_ms=64) == [(0, 10), (15, 25)]


def test_padding_before_speech_begins_with_sound():
    speech = [0.0] * 10 + [0.1] * 2 + [1.0] * 10 + [0.0] * 40
    assert spans(speech, speech_pad_ms=160, min_silence_duration_ms=320) == [(10, 27)]
    assert spans([0.1] * 12 + speech[12:], speech_pad_ms=160, min_silence_duration_ms=320) == [(7, 27)]


def test_where_all_samples_are_zero_is_nothing():
    sound = np.zeros(20 * CHUNK, np.float32)
    sound[10 * CHUNK + 5] = 1e-6
    ((_, found),) = listened([sound])
    assert [i for i, one in enumerate(found) if one] == [10]


def test_between_the_thresholds_nothing_changes():
    assert spans([0.4] * 5 + [0.9] + [0.4] * 20, speech_pad_ms=0) == [(5, 26)]
    assert spans([0.4] * 20) == []
    assert spans([]) == []


def test_short_speech_is_dropped_and_long_speech_is_cut():
    assert spans([1, 0, 0, 0, 0, 1, 1, 1], speech_pad_ms=0, min_silence_duration_ms=32, min_speech_duration_ms=60) == [
        (5, 8)
    ]
    probabilities = np.full(100, 0.9)
    probabilities[[25, 50]] = 0.6
    found = spans(probabilities, speech_pad_ms=0, max_speech_duration_s=1)
    assert [start for start, _ in found] == [0, 25, 50, *[start for start, _ in found[3:]]]
    assert all(end - start <= 31 for start, end in found)


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.9]), max_size=80),
    st.integers(0, 500),
    st.integers(0, 300),
    st.sampled_from([1, 1.5, float("inf")]),
)
def test_spans_are_in_order(probabilities, silence, padding, longest):
    options = VadOptions(min_silence_duration_ms=silence, speech_pad_ms=padding, max_speech_duration_s=longest)
    samples = max(0, len(probabilities) * CHUNK - 100)
    found = speech_spans(np.array(probabilities, np.float32), samples, options)
    edges = [edge for span in found for edge in span]
    assert edges == sorted(edges)
    assert not edges or (edges[0] >= 0 and edges[-1] <= samples)
    assert all(span.end - span.start <= longest * RATE for span in found)


@pytest.mark.parametrize("wrong", [{"threshold": 2}, {"speech_pad_ms": -1}, {"max_speech_duration_s": 0.5}])
def test_options_that_make_no_sense(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        VadOptions(**wrong)


# ---- what is kept ---------------------------------------------------------------------------------------------------


def test_times_in_what_is_kept():
    timeline = Timeline()
    timeline.keep([Span(RATE, 2 * RATE), Span(5 * RATE, 7 * RATE)])
    assert timeline.duration == 3
    assert timeline.original(0.5, timeline.span_at(0.5)) == 1.5
    assert timeline.original(1.0, timeline.span_at(1.0)) == 5
    assert timeline.original(1.0, timeline.span_at(1.0, is_end=True)) == 2
    assert timeline.original(3.0, timeline.span_at(3.0, is_end=True)) == 7
    assert Timeline().original(4.0, Timeline().span_at(4.0)) == 4


def test_what_is_kept():
    samples = np.arange(100, dtype=np.float32)
    blocks = np.split(samples, [30, 60])
    assert np.concatenate(list(kept(blocks, [Span(5, 10), Span(25, 70)]))).tolist() == [*range(5, 10), *range(25, 70)]


def test_a_recording_that_plays_once(shared):
    speech = samples_of(shared / "data" / "audio" / "jfk.wav")
    silence = np.zeros(10 * RATE, np.float32)
    timeline = Timeline()
    found = np.concatenate(list(kept_as_it_plays([silence, speech, silence], VadOptions(), timeline)))
    assert len(found) == round(timeline.duration * RATE)
    assert 10 < timeline.duration < 12.5
    assert 9.4 < timeline.original(0, 0) < 10.6
    heard = list(listened([silence, speech]))
    assert sum(len(block) for block, _ in heard) == len(silence) + len(speech)


# ---- windows --------------------------------------------------------------------------------------------------------


def test_windows_move_forward():
    samples = np.random.default_rng(0).normal(size=40 * RATE).astype(np.float32)
    audio = open_audio(samples)
    maximum = first_pass(audio, 80, voices=False).maximum
    stream, other = (WindowStream(audio.play(), 80, maximum) for _ in range(2))
    whole = other.features(0, 5000)
    assert whole.shape == (80, 4000)
    for start in (0, 10, 2990, 3900):
        assert np.array_equal(stream.features(start, 3000), whole[:, start : start + 3000])
        assert np.array_equal(stream.samples(start, 100), samples[start * 160 : (start + 100) * 160])
    assert stream.features(4000, 3000).shape == (80, 0)


def test_without_a_first_pass_the_loudest_so_far_counts():
    samples = np.concatenate([np.full(RATE, 1e-3), np.random.default_rng(0).normal(size=RATE)]).astype(np.float32)
    known = WindowStream([samples], 80, first_pass(open_audio(samples), 80, voices=False).maximum)
    assert np.array_equal(known.features(0, 200), WindowStream([samples], 80).features(0, 200))


def test_windows_that_are_decoded_together_end_in_silences(shared):
    speech = samples_of(shared / "data" / "audio" / "jfk.wav")
    recording = open_audio(np.concatenate([speech, np.zeros(3 * RATE, np.float32)] * 6))
    found = prepared(recording, 80, 3000, VadOptions(), (), batched=True)
    assert all(end - start <= 3000 for start, end in found.clips)
    assert len(found.clips) == 3
    assert found.kept < found.duration
    once = open_audio(np.zeros(RATE, np.float32)).__class__("pipe", recording.play, rewindable=False)
    with pytest.raises(OptionError, match="pipe can be read only once"):
        prepared(once, 80, 3000, None, (), batched=True)
