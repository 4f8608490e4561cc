"""The real whisper-base on recordings of any length: transformers live, and what every precision must get."""

import shutil
import subprocess

import numpy as np
import pytest

from quartet import Transcriber
from quartet.audio.audio import RATE, open_audio
from quartet.errors import AudioError

WORDS = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"


def clip(shared, name: str) -> np.ndarray:
    return np.concatenate(list(open_audio(shared / "data" / "audio" / name).play()))


def talk(shared, seconds: int) -> np.ndarray:
    """Both clips again and again, with pauses of other lengths and other loudness each time."""
    clips = [clip(shared, "jfk.wav"), clip(shared, "sr_french.aiff")]
    random = np.random.default_rng(0)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        i = len(parts) // 2
        noise = random.normal(size=int(RATE * (0.4 + 0.7 * (i % 4)))).astype(np.float32) * np.float32(1e-4)
        parts += [clips[i % 3 == 2] * np.float32(0.5 + 0.1 * (i % 5)), noise]
    return np.concatenate(parts)[: seconds * RATE]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_the_words_are_right(precision, whisper_base, shared):
    with Transcriber(whisper_base, precision=precision, threads=2) as transcriber:
        segments, info = transcriber.transcribe(shared / "data" / "audio" / "jfk.wav", word_timestamps=True)
        words = [word for segment in segments for word in segment.words]
    assert info.language == "en"
    assert "".join(c for c in "".join(w.word for w in words).lower() if c.isalpha() or c == " ").strip() == WORDS
    assert [w.start for w in words] == sorted(w.start for w in words)
    ask = [w for w in words if w.word.strip() == "ask"]
    assert 2.0 < ask[0].end < 4.2
    assert 7.0 < ask[1].start < 8.6


@pytest.mark.slow
def test_times_without_silences_are_those_of_the_recording(whisper_base, shared):
    speech = clip(shared, "jfk.wav")
    silence = np.zeros(20 * RATE, np.float32)
    recording = np.concatenate([silence, speech, silence, speech])
    with Transcriber(whisper_base, precision="int8", threads=2) as transcriber:
        # where a phrase begins is the model's choice (it may join two across the cut, and at int8 that differs between
        # CPUs); where a word begins is not
        segments, info = transcriber.transcribe(recording, "en", beam_size=1, vad_filter=True, word_timestamps=True)
        starts = [word.start for segment in segments for word in segment.words if "fellow" in word.word]
        assert info.duration_after_vad < 26
        assert len(starts) == 2
        assert abs(starts[0] - 21.1) < 1
        assert abs(starts[1] - 52.1) < 1
        # both in one window of 22 seconds, which the model may take for one phrase
        segments, info = transcriber.transcribe(recording, "en", beam_size=1, batch_size=2)
        found = list(segments)
        assert info.duration_after_vad < 26
        assert abs(found[0].start - 20) < 1
        assert abs(found[-1].end - 61) < 1.5


def spoken(segments) -> list[str]:
    return "".join(c for c in "".join(s.text for s in segments).lower() if c.isalpha() or c == " ").split()


@pytest.mark.slow
@pytest.mark.parametrize("vad", [False, True])
def test_windows_in_batches_hear_all_words(vad, whisper_base, shared):
    """Speech without a pause at the ends of windows: batches of any size lose next to nothing."""
    path = shared / "cases" / "speech" / "02-prompts-too-long" / "long.ogg"  # a text that does not repeat itself
    speech = np.concatenate(list(open_audio(path).play()))[: 75 * RATE]
    clips = {} if vad else {"clip_timestamps": "0,29,29,58.5,58.5,65,65"}
    found = {}
    with Transcriber(whisper_base, precision="int8", threads=2) as transcriber:
        for size in (1, 4, 8):
            options = {"vad_filter": vad, "condition_on_previous_text": False, **clips}
            segments, info = transcriber.transcribe(speech, "en", beam_size=1, batch_size=size, **options)
            found[size] = list(segments)
            edges = [0.0, *(edge for one in found[size] for edge in (one.start, one.end)), info.duration]
            assert edges == sorted(edges)
    expected = len(spoken(found[1]))
    assert expected > 2 * len(speech) / RATE  # a second has 2.7 words or so
    for size in (4, 8):
        assert len(spoken(found[size])) == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
def test_words_of_every_clip_at_hand(whisper_base, shared):
    """Clips that fit into a window: what is said is the same one by one and in batches, word for word."""
    with Transcriber(whisper_base, precision="int8", threads=2) as transcriber:
        for path in sorted((shared / "cases" / "speech").glob("*/*.ogg")):
            try:
                sound = np.concatenate(list(open_audio(path).play()))[: 29 * RATE]
            except AudioError:  # some are damaged on purpose
                continue
            options = {"beam_size": 1, "condition_on_previous_text": False, "clip_timestamps": [0, len(sound) / RATE]}
            one, four, eight = (
                list(transcriber.transcribe(sound, "en", batch_size=size, **options)[0]) for size in (1, 4, 8)
            )
            assert [s.text for s in one] == [s.text for s in four] == [s.text for s in eight], path.name
            assert all(s.end <= len(sound) / RATE for s in one), path.name


@pytest.mark.oracle
@pytest.mark.parametrize("previous_text", [False, True])
@pytest.mark.parametrize("seconds", [11, 100, 180])
def test_the_tokens_are_those_of_transformers(seconds, previous_text, whisper_base, shared):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    recording = talk(shared, seconds)
    theirs = transformers.WhisperForConditionalGeneration.from_pretrained(whisper_base, dtype=torch.float32).eval()
    features = transformers.WhisperFeatureExtractor()(
        recording, sampling_rate=RATE, padding="longest", truncation=False, return_tensors="pt"
    ).input_features
    with torch.inference_mode():
        expected = theirs.generate(
            features,
            language="en",
            task="transcribe",
            return_timestamps=True,
            return_segments=True,
            condition_on_prev_tokens=previous_text,
            num_beams=1,
            temperature=0.0,
        )["segments"][0]
    with Transcriber(whisper_base, precision="fp32", threads=2) as transcriber:
        speech = transcriber.manifest.speech
        segments, _ = transcriber.transcribe(
            recording,
            "en",
            beam_size=1,
            temperature=0.0,
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            condition_on_previous_text=previous_text,
            max_initial_timestamp=speech.max_initial_timestamp,
        )
        found = list(segments)
    assert [one.tokens for one in found] == [_once(one["tokens"].tolist(), speech.timestamp_begin) for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert abs(one.start - float(other["start"])) <= 0.02
        assert abs(one.end - min(seconds, float(other["end"]))) <= 0.02  # theirs may end after the recording


def _once(tokens: list[int], timestamp_begin: int) -> list[int]:
    """transformers leaves the beginning of the next phrase at the end of the last one."""
    return tokens[:-1] if len(tokens) > 1 and min(tokens[-2:]) >= timestamp_begin else tokens


SENTENCES = (
    "Le temps est beau aujourd'hui et nous allons au marché. Mon frère a acheté trois pommes et un pain. Le train part "
    "à neuf heures du matin. Fermez la fenêtre avant de quitter la maison. Je voudrais une tasse de café.",
    "Hier soir, nous avons mangé une soupe de légumes chez mes parents. Ma sœur cherche un nouvel appartement près de "
    "la gare. Le musée est fermé le mardi. Il faut que je finisse ce livre avant vendredi.",
)


@pytest.mark.slow
@pytest.mark.parametrize("voice", ["fr-fr", "fr-fr+f2"])
@pytest.mark.parametrize("sentences", SENTENCES)
def test_the_default_precision_loops_no_more_than_float32(voice, sentences, whisper_base, tmp_path):
    if not shutil.which("espeak-ng"):
        pytest.skip("needs espeak-ng")
    spoken = tmp_path / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", "140", "-w", spoken, "--", sentences], check=True)
    ratios = []
    for precision in ("fp32", None):
        with Transcriber(whisper_base, precision=precision, threads=2) as transcriber:
            segments = list(transcriber.transcribe(spoken, "fr", beam_size=5, temperature=0.0, vad_filter=True)[0])
        assert len("".join(one.text for one in segments)) > 0.5 * len(sentences)
        assert not any("\ufffd" in one.text for one in segments)
        ratios.append(max(one.compression_ratio for one in segments))
    assert ratios[1] < max(2.4, ratios[0])
