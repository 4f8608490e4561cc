"""The whole way with a small random model: it hears windows of one second and talks nonsense, so limits are off."""

import io
import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest

import tiny_speech
import tiny_speech_text
import tiny_text
from quartet import Transcriber
from quartet.audio.audio import RATE
from quartet.audio.voice_activity import VadOptions
from quartet.cli import main
from quartet.conversion.convert import convert_folder
from quartet.errors import LanguageError, OptionError
from quartet.transcription import transcriber
from quartet.transcription.prompts import Prompter
from sounds import Unseekable, encoded, tone, wav
from tiny_speech import END, START, VOCABULARY

pytest.importorskip("av")

UNLIMITED = {
    "no_speech_threshold": None,
    "log_prob_threshold": None,
    "compression_ratio_threshold": None,
    "temperature": 0.0,
    "beam_size": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("tiny-speech")
    convert_folder(tiny_speech_text.make(where / "checkpoint"), where / "quartet", precision="fp32")
    return where / "quartet"


@pytest.fixture(scope="module")
def model(folder):
    with Transcriber(folder, threads=1) as transcriber:
        yield transcriber


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    random = np.random.default_rng(0)
    swell = 1 + np.sin(np.arange(4 * RATE) / 3000)
    return (random.normal(size=4 * RATE) * swell * 0.1).astype(np.float32)


def heard(model, sound, **more) -> list:
    segments, _ = model.transcribe(sound, **({"language": "en"} | UNLIMITED | more))
    return list(segments)


def test_segments_come_one_by_one(model, sound):
    segments, info = model.transcribe(sound, "en", **UNLIMITED)
    assert iter(segments) is segments
    assert (info.language, info.language_probability, info.duration) == ("en", 1.0, 4.0)
    found = list(segments)
    assert found
    assert [one.id for one in found] == list(range(1, len(found) + 1))
    assert all(0 <= one.start <= one.end <= 5 for one in found)
    assert all(one.language == "en" and one.temperature == 0 and one.words is None for one in found)
    assert [one.seek for one in found] == sorted(one.seek for one in found)


def test_two_channels_are_two_speakers(model, sound, monkeypatch):
    monkeypatch.setattr(transcriber, "_vad_options", lambda given: VadOptions(threshold=0.001))
    stereo = np.stack([sound, np.roll(sound, 5000)])
    alone = [[replace(one, id=0) for one in heard(model, channel, vad_filter=True)] for channel in stereo]
    assert all(alone)
    stored = (stereo.T * 32767).astype("<i2")
    for source in (stereo, stereo.T):
        found = heard(model, source, channels="split")
        assert [one.id for one in found] == list(range(1, len(found) + 1))
        assert [one.start for one in found] == sorted(one.start for one in found)
        for channel in (1, 2):
            mine = [replace(one, id=0, channel=None) for one in found if one.channel == channel]
            assert mine == alone[channel - 1]
    data = wav(np.zeros(0), channels=2)[:40] + struct.pack("<I", stored.nbytes) + stored.tobytes()
    read, begun = io.BytesIO(data), io.BytesIO(b"before" + data)
    read.seek(0, io.SEEK_END)
    begun.seek(len(b"before"))
    for source in (data, io.BytesIO(data), read, begun, io.BufferedReader(Unseekable(data))):
        assert {one.channel for one in heard(model, source, channels="split")} == {1, 2}
    assert {one.channel for one in heard(model, data)} == {None}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (np.zeros(RATE, np.float32), "channels is split, but the array has one channel; two are expected"),
        (np.zeros((6, RATE), np.float32), "channels is split, but the array has 6 channels; two are expected"),
    ],
)
def test_what_has_no_two_channels_is_not_split(model, source, said):
    with pytest.raises(OptionError, match=said):
        model.transcribe(source, channels="split")


def test_what_was_skipped_is_told(model, sound):
    silence = np.zeros(3 * RATE, np.float32)
    for vad, skipped in ((True, 3.0), (False, 0.0)):
        _, info = model.transcribe(silence, "en", vad_filter=vad)
        assert info.skipped == skipped
    _, info = model.transcribe(io.BufferedReader(Unseekable(wav(sound))), "en", vad_filter=True)
    assert info.skipped is None
    _, info = model.transcribe(np.stack([silence, silence]), "en", channels="split")
    assert info.skipped == 3.0


def test_an_array_has_no_tracks(model, sound):
    with pytest.raises(OptionError, match="audio_track is '2', but an array has no tracks"):
        model.transcribe(sound, audio_track=2)


def test_a_file_says_what_its_samples_say(model, sound):
    stored = np.round(sound * 32767) / np.float32(32767)
    data = wav(stored)
    samples = np.frombuffer(data[44:], "<i2").astype(np.float32) / 32768
    assert heard(model, data) == heard(model, samples) == heard(model, io.BytesIO(data))


def test_language_is_detected(model, sound):
    segments, info = model.transcribe(sound, **UNLIMITED)
    del segments
    assert info.language == info.all_language_probs[0][0]
    assert sum(probability for _, probability in info.all_language_probs) == pytest.approx(1, abs=1e-4)
    assert model.detect_language(sound)[0] == info.language


def test_of_several_languages_the_likelier_is_kept(model, sound):
    alone = {language: heard(model, sound[:RATE], language=language) for language in ("en", "fr", "de")}
    found = heard(model, sound[:RATE], language="en, French,de")
    first = max(alone.values(), key=lambda segments: segments[0].avg_logprob if segments else -99)[0]
    assert found[0].avg_logprob == pytest.approx(first.avg_logprob, abs=1e-4)
    assert found[0].language == first.language


CLIPS = ["0,1,1,2,2,3,3,4", "0,0.5,0.5,0.51,0.51,0.51,0.6,1.59", "1,1.4,1.4,1.43,3,3.7,3.7,9", "3.99,4", "5,6"]


def times_are_sound(segments, duration: float) -> None:
    """In order, without overlap, none after the end, all with a length; the same for words."""
    for times in (list(segments), [word for one in segments for word in one.words or ()]):
        edges = [0.0, *(edge for one in times for edge in (one.start, one.end)), duration]
        assert edges == sorted(edges)
        assert all(one.start < one.end for one in times)


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("clips", CLIPS)
def test_windows_together_say_what_they_say_alone(model, sound, clips, words):
    """What a window leaves, after two equal timestamps, is heard too, whatever is decoded beside it."""
    options = {"clip_timestamps": clips, "word_timestamps": words, "initial_prompt": "a", "hotwords": "b"}
    alone = heard(model, sound, condition_on_previous_text=False, **options)
    times_are_sound(alone, 4.0)
    for size in (2, 4, 8):
        together = heard(model, sound, batch_size=size, **options)
        assert [(s.seek, s.start, s.end, s.tokens, s.words) for s in together] == [
            (s.seek, s.start, s.end, s.tokens, s.words) for s in alone
        ]


def test_a_pipe_is_heard_in_batches(model, sound):
    data = wav(sound)
    assert heard(model, io.BufferedReader(Unseekable(data)), batch_size=4) == heard(model, data, batch_size=4)


def test_what_a_window_leaves_is_heard(model, sound):
    found = heard(model, sound, clip_timestamps="0,1,1,2,2,3,3,4", batch_size=4)
    assert {one.seek for one in found} > {0, 100, 200}
    assert [one.seek for one in found] == sorted(one.seek for one in found)


def test_a_long_clip_is_cut_into_windows(model, sound):
    for size in (2, 4, 8):
        found = heard(model, sound, clip_timestamps="0.5", batch_size=size)
        times_are_sound(found, 4.0)
        assert found[0].seek == 50
        assert found[-1].end > 3.0
        assert [one.tokens for one in found] == [
            one.tokens for one in heard(model, sound, clip_timestamps="0.5", batch_size=3)
        ]


def test_a_prefix_begins_the_first_window_alone(model, sound, monkeypatch):
    """At batch 1 as in batches, wherever the first window that is heard begins."""
    seen: list[bool] = []
    prompt = Prompter.prompt

    def noted(self, language, previous, first):
        seen.append(first)
        return prompt(self, language, previous, first)

    monkeypatch.setattr(Prompter, "prompt", noted)
    for size in (1, 4):
        seen.clear()
        heard(model, sound, clip_timestamps="1,2,2,3,3,4", prefix="ab", batch_size=size)
        assert seen.count(True) == 1
        assert seen[0]


def test_words_have_times(model, sound):
    found = heard(model, sound, word_timestamps=True)
    assert any(one.words for one in found)
    for one in found:
        assert "".join(word.word for word in one.words) == one.text
        assert all(word.start < word.end and 0 <= word.probability <= 1 for word in one.words)


def test_nothing_is_said_where_nobody_speaks(model):
    for sound in (np.zeros(3 * RATE, np.float32), tone(3)):
        for options in ({}, {"vad_filter": True}, {"batch_size": 4}):
            segments, info = model.transcribe(sound, "en", **options)
            assert list(segments) == []
            assert info.duration == 3.0
    assert list(model.transcribe(np.zeros(100, np.float32), "en")[0]) == []


def test_clips(model, sound):
    found = heard(model, sound, clip_timestamps=[1.0, 2.0])
    assert found
    assert {one.seek for one in found} <= set(range(100, 200))


def test_clips_as_mappings(model, sound):
    clips = [{"start": 0, "end": 1.5}, {"start": 2, "end": 3}]
    assert heard(model, sound, clip_timestamps=clips) == heard(model, sound, clip_timestamps=[0, 1.5, 2, 3])
    with pytest.raises(OptionError, match=r"clip_timestamps\[1\] is None"):
        model.transcribe(sound, clip_timestamps=[{"start": 0}])


def test_a_clip_after_the_end_is_told(model, sound, caplog):
    assert heard(model, sound, clip_timestamps=[1, 2, 4, 5, 50]) == heard(model, sound, clip_timestamps=[1, 2])
    assert caplog.messages == ["a clip begins at 4 s, but the array ends at 4.0 s: nothing is heard there"]


def test_progress_ends_with_all_seconds(model, sound):
    told = []
    heard(model, sound, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)
    assert told == sorted(told)


def test_sound_that_plays_once(model, sound):
    segments, info = model.transcribe(io.BufferedReader(Unseekable(encoded("mp3", "libmp3lame"))), "en", **UNLIMITED)
    assert info.duration is None
    assert isinstance(list(segments), list)


def test_prompts(model):
    def prompter(**options):
        from quartet.transcription.options import TranscriptionOptions

        return Prompter(model.manifest, model.manifest.speech, model._tokenizer, TranscriptionOptions(**options))

    english = model.manifest.languages[0]
    start = [tiny_speech.START, tiny_speech.ENGLISH, tiny_speech.TRANSCRIBE]
    a, b, space = (prompter().tokenizer.encode(text)[0] for text in ("a", "b", " "))
    assert prompter().prompt(english, [], first=True) == start
    assert prompter().prompt(english, [1, 2], first=False) == [tiny_speech.PREVIOUS, 1, 2, *start]
    assert prompter(without_timestamps=True).prompt(english, [], True) == [*start, tiny_speech.NO_TIMESTAMPS]
    assert prompter(task="translate").start(english)[-1] == tiny_speech.TRANSLATE
    with_prefix = prompter(prefix="a", hotwords="b")
    assert with_prefix.prompt(english, [], first=True) == [*start, tiny_speech.BEGIN, space, a]
    assert with_prefix.prompt(english, [], first=False) == [tiny_speech.PREVIOUS, space, b, *start]
    assert len(prompter().prompt(english, list(range(40)) * 3, first=False)) == 1 + 23 + len(start)
    long = prompter(hotwords="b" * 50, initial_prompt="a" * 50)
    previous = [*long.initial, *range(20, 30)]
    assert long.prompt(english, previous, first=True) == [
        *(tiny_speech.PREVIOUS, space, *[b] * 10),
        *(previous[-12:]),
        *start,
    ]
    assert prompter(hotwords="b" * 50).prompt(english, [1, 2], True) == [tiny_speech.PREVIOUS, space, *[b] * 22, *start]
    with_both = prompter(prefix="a" * 20, initial_prompt="b" * 30)
    assert with_both.prompt(english, with_both.initial, first=True) == [
        *(tiny_speech.PREVIOUS, b, b, *start),
        *(tiny_speech.BEGIN, space, *[a] * 20),
    ]
    assert prompter().suppressed() is None
    own = set(model.manifest.generation.suppress_tokens)
    assert set(prompter(suppress_tokens=[-1, 9]).suppressed()) == own | {9}
    assert set(prompter(suppress_tokens=None).suppressed()) == {token for token in own if token >= tiny_speech.END}


def test_what_makes_no_sense(model, sound, tmp_path):
    with pytest.raises(LanguageError, match="Klingon"):
        model.transcribe(sound, "Klingon")
    with pytest.raises(LanguageError, match="twice"):
        model.transcribe(sound, "en,English")
    with pytest.raises(OptionError, match="vad_parameters has no 'loudness'"):
        model.transcribe(sound, "en", vad_filter=True, vad_parameters={"loudness": 3})
    convert_folder(tiny_text.make(tmp_path / "checkpoint"), tmp_path / "text")
    with pytest.raises(OptionError, match="translates text"):
        Transcriber(tmp_path / "text")
    closed = Transcriber(model.folder)
    closed.close()
    with pytest.raises(OptionError, match="closed"):
        closed.transcribe(sound, "en")


# ---- command line ---------------------------------------------------------------------------------------------------


def test_the_command_writes_what_it_hears(folder, sound, tmp_path, capsys):
    (tmp_path / "talk.wav").write_bytes(wav(tone(2)))
    out = tmp_path / "talk.json"
    out.write_text("what was there before, and longer than what comes")
    command = ["transcribe", str(tmp_path / "talk.wav"), "--model", str(folder), "--format", "json"]
    assert main([*command, "--language", "fr", "--output", str(out)]) == 0
    assert json.loads(out.read_text()) == {
        "language": "fr",
        "language_probability": 1.0,
        "duration": 2.0,
        "duration_after_vad": 0.0,
        "segments": [],
    }
    assert capsys.readouterr().err.startswith("skipped 2.0 s in which nobody seems to speak; --vad-threshold below 0.5")
    assert main([*command, "--no-vad"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["duration_after_vad"] == 2.0
    assert captured.err.startswith("language: ")


def test_the_command_says_who_speaks(folder, sound, tmp_path, monkeypatch, capsys):
    from quartet.transcription.segments import Segment

    said = iter([" Hello.", " Good morning."])

    def one_each(job):
        yield Segment(1, 0, 0.0, 1.0, next(said), [], -0.1, 1.0, 0.0, None, 0.0)

    monkeypatch.setattr("quartet.transcription.transcriber.transcribed", one_each)
    (tmp_path / "call.wav").write_bytes(wav(tone(2), channels=2))
    command = ["transcribe", str(tmp_path / "call.wav"), "--model", str(folder), "--language", "en"]
    assert main([*command, "--channels", "split", "--no-vad"]) == 0
    assert capsys.readouterr().out == "Speaker 1: Hello.\nSpeaker 2: Good morning.\n"
    said = iter([" Hello.", " Good morning."])
    assert main([*command, "--channels", "split", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["segments"]
    assert [(one["channel"], one["text"]) for one in found] == [(1, " Hello."), (2, " Good morning.")]


def test_the_threshold_is_what_the_command_says(folder, tmp_path, monkeypatch, capsys):
    thresholds = []
    monkeypatch.setattr(
        "quartet.transcription.first_pass.speech_spans",
        lambda found, samples, options: thresholds.append(options) or [],
    )
    (tmp_path / "talk.wav").write_bytes(wav(tone(2)))
    command = ["transcribe", str(tmp_path / "talk.wav"), "--model", str(folder), "--language", "en"]
    for typed in ("0.3", "0", "1"):
        assert main([*command, "--vad-threshold", typed]) == 0
    assert [options.threshold for options in thresholds] == [0.3, 0.001, 0.999]
    with pytest.raises(SystemExit):
        main([*command, "--vad-threshold", "1.5"])
    assert "--vad-threshold is 1.5; expected a number from 0 to 1" in capsys.readouterr().err


def test_an_interruption_leaves_a_whole_file(folder, tmp_path, monkeypatch, capsys):
    from quartet.transcription.segments import Segment

    def interrupted(job):
        yield Segment(1, 0, 0.0, 1.0, " So far.", [], -0.1, 1.0, 0.0, None, 0.0)
        raise KeyboardInterrupt

    monkeypatch.setattr("quartet.transcription.transcriber.transcribed", interrupted)
    (tmp_path / "talk.wav").write_bytes(wav(tone(2)))
    command = ["transcribe", str(tmp_path / "talk.wav"), "--model", str(folder), "--format", "json", "--language", "en"]
    assert main(command) == 130
    captured = capsys.readouterr()
    assert [one["text"] for one in json.loads(captured.out)["segments"]] == [" So far."]
    assert captured.err.endswith("quartet: interrupted\n")
    out = tmp_path / "talk.json"
    out.write_text("old")
    assert main([*command, "--output", str(out)]) == 130
    assert capsys.readouterr().err == f"quartet: interrupted; what is done is in {out}.part\n"
    assert [one["text"] for one in json.loads((tmp_path / "talk.json.part").read_text())["segments"]] == [" So far."]
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.mp3"], 2, "missing.mp3: no such file"),
        (["."], 1, "is a folder"),
        (["text.wav"], 1, "no audio file that can be read"),
        (["talk.wav", "--language", "xx"], 2, "xx"),
        (["talk.wav", "--audio-track", "2"], 1, "talk.wav has no track '2'; its tracks of sound are 1"),
        (["talk.wav", "--channels", "split"], 2, "channels is split, but talk.wav has one channel; two are expected"),
        (["talk.wav", "--to", "fr", "--task", "translate"], 2, "give one of them"),
        (["talk.wav", "--translation-model", "demo"], 2, "--translation-model demo is for --to"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(arguments, code, message, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.wav").write_text("no sound\n" * 50)
    (tmp_path / "talk.wav").write_bytes(wav(tone(1)))
    assert main(["transcribe", *arguments, "--model", str(folder)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--beam-size", "0"], "--beam-size is 0; expected an integer from 1 to 64"),
        (["--clips", "3,1"], "--clips[1] is 1.0; expected seconds from 0 up in ascending order"),
        (["--clips", "0,nan"], "--clips[1] is nan; expected seconds"),
    ],
)
def test_options_are_refused_before_anything_is_read(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["transcribe", "missing.wav", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"initial_prompt": [5, VOCABULARY]}, f"initial_prompt[1] is {VOCABULARY}; expected an integer from 0 to"),
        ({"initial_prompt": [5, START]}, f"initial_prompt[1] is {START}; expected a token of text"),
        ({"initial_prompt": [END]}, f"initial_prompt[0] is {END}; expected a token of text"),
        ({"suppress_tokens": [-2]}, "suppress_tokens[0] is -2; expected an integer from -1"),
        ({"suppress_tokens": [VOCABULARY]}, f"suppress_tokens[0] is {VOCABULARY}; expected an integer from -1 to"),
        ({"prefix": "a" * 30}, "prefix has 31 tokens; expected at most 23 (half the model's window)"),
        ({"max_new_tokens": 49}, "max_new_tokens is 49; expected an integer from 1 to 48 tokens (the model's window)"),
        ({"temperature": float("nan")}, "temperature is nan; expected a number from 0 to 10"),
        ({"temperature": [0, None]}, "temperature[1] is None; expected a number from 0 to 10"),
        ({"length_penalty": float("nan")}, "length_penalty is nan; expected a number from -10 to 10"),
        ({"clip_timestamps": [0, float("nan")]}, "clip_timestamps[1] is nan; expected seconds"),
        ({"batch_size": 5000}, "batch_size is 5000; expected an integer from 1 to 64"),
        ({"vad_parameters": 3}, "vad_parameters is 3; expected VadOptions, or a dict of them"),
        ({"vad_parameters": {"min_silence_duration_ms": float("nan")}}, "min_silence_duration_ms is nan; expected"),
        ({"word_timestamps": "no"}, "word_timestamps is 'no'; expected True or False"),
        ({"language": []}, "language is []; expected a list of languages, not an empty one"),
    ],
    ids=str,
)
def test_values_at_the_edge_are_named(model, sound, options, said):
    with pytest.raises(OptionError) as caught:
        heard(model, sound, **options)
    assert said in str(caught.value)


def test_thresholds_are_switched_off_by_infinity_as_by_none(model, sound):
    switched_off = [one.tokens for one in heard(model, sound)]
    infinite = {"log_prob_threshold": -math.inf, "compression_ratio_threshold": math.inf}
    assert [one.tokens for one in heard(model, sound, **infinite)] == switched_off
    assert heard(model, sound, prompt_reset_on_temperature=math.inf)


@pytest.mark.parametrize("size", [1, 4])
def test_long_hints_are_cut_and_that_is_told_once(model, sound, caplog, size):
    def told(**options) -> str:
        caplog.clear()
        assert heard(model, sound, batch_size=size, clip_timestamps="0,1,1,2,2,3", **options)
        return "|".join(record.getMessage() for record in caplog.records if record.name == "quartet")

    initial, hotwords = "initial_prompt has 101 tokens, of which", "hotwords has 101 tokens, of which"
    assert told(initial_prompt="a" * 100) == f"{initial} the model gets the last 23: it has room for 23"
    assert told(hotwords="a" * 100) == f"{hotwords} the model gets the first 23: it has room for 23"
    assert told(hotwords="a" * 100, initial_prompt="a" * 100) == (
        f"{hotwords} the model gets the first 11; {initial} the model gets the last 12: it has room for 23"
    )
    assert told(hotwords="a" * 10, initial_prompt="a" * 10, prefix="a" * 20) == ""


def test_no_segment_and_no_word_has_scraps_of_letters(model, sound, monkeypatch):
    """As if one of the letters that the model says were half of one."""
    said = "".join(segment.text for segment in heard(model, sound))
    letter = min(filter(str.isalpha, said), key=said.count)
    assert set(said) - {letter, " "}
    plain = model._tokenizer
    halved = replace(plain, to_text=lambda ids: plain.to_text(ids).replace(letter, "\ufffd"))
    monkeypatch.setattr(model, "_tokenizer", halved)
    found = heard(model, sound, word_timestamps=True)
    assert found
    assert not any("\ufffd" in segment.text for segment in found)
    assert all(segment.text == "".join(word.word for word in segment.words) for segment in found)


def test_the_default_precision(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "cache"))
    checkpoint = tiny_speech_text.make(tmp_path / "checkpoint")
    assert Transcriber(checkpoint).manifest.precision == "int8"
    assert convert_folder(checkpoint, tmp_path / "mine").precision == "int8"
    assert "mishears" not in caplog.text
    assert convert_folder(checkpoint, tmp_path / "small", precision="int4").precision == "int4"
    assert "int4 of a speech model mishears more than int8" in caplog.text
