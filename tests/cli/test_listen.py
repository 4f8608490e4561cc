"""The whole way with a small random model, which makes nonsense: `Transcriber.listen` and `quartet listen`."""

import io
import json
import os
import signal
import sys

import numpy as np
import pytest

import tiny_speech_text
from noise import LoudEar, noise
from quartet import Transcriber
from quartet.audio.audio import RATE
from quartet.cli import main
from quartet.conversion.convert import convert_folder
from quartet.errors import AudioError, LanguageError, ModelNotFoundError, OptionError, QuartetError
from quartet.live import sound as live_sound
from quartet.live.events import LiveText, LiveTranslation
from quartet.live.translating import Translators, translated
from sounds import wav

pytest.importorskip("av")

SPEECH = np.concatenate([noise(1.5, 1), np.zeros(RATE, np.float32), noise(2.5, 2)])
PCM = (SPEECH * 32767).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("live")
    convert_folder(tiny_speech_text.make(where / "checkpoint"), where / "quartet", precision="fp32")
    return where / "quartet"


@pytest.fixture(scope="module")
def model(folder):
    with Transcriber(folder, threads=1) as transcriber:
        yield transcriber


@pytest.fixture(autouse=True)
def _loud(monkeypatch):
    monkeypatch.setattr(live_sound, "Ear", LoudEar)


def pieces(samples=SPEECH, size=1600):
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def finals(events):
    return [one for one in events if isinstance(one, LiveText) and one.is_final]


def test_arrays_become_text_with_times(model):
    events = list(model.listen(pieces(), language="en"))
    assert {one.kind for one in events} == {"partial", "final"}
    words = [word for one in finals(events) for word in one.words]
    assert "".join(word.word for word in words) == "".join(one.text for one in finals(events))
    places = [place for word in words for place in (word.start, word.end)]
    assert places == sorted(places)
    assert places[0] >= 0
    assert places[-1] <= len(SPEECH) / RATE
    phrases = [one for one in finals(events) if one.ends_phrase]
    assert 1.2 < phrases[0].end < 2.1
    assert phrases[-1] is finals(events)[-1]


def test_a_pipe_at_once_is_heard_to_its_end_in_the_language_that_is_detected(model):
    for data in (PCM, wav(SPEECH)):
        events = list(model.listen(io.BytesIO(data)))
        assert finals(events)[-1].ends_phrase
        assert finals(events)[-1].end > 3.5
        assert {one.language for one in events} <= {"en", "fr", "de"}


def test_sound_at_another_rate_has_the_same_times(model):
    twice = np.repeat(SPEECH, 3)
    events = list(model.listen(pieces(twice, 4800), language="en", rate=3 * RATE))
    assert 1.2 < next(one for one in finals(events) if one.ends_phrase).end < 2.1


def test_silence_says_nothing(model):
    assert list(model.listen(pieces(np.zeros(3 * RATE, np.float32)))) == []
    assert list(model.listen([])) == []
    assert list(model.listen(io.BytesIO(b""))) == []


def test_a_model_of_english_needs_no_language(tmp_path):
    convert_folder(tiny_speech_text.make(tmp_path / "checkpoint", "english"), tmp_path / "quartet", precision="fp32")
    with Transcriber(tmp_path / "quartet", threads=1) as english:
        assert {one.language for one in english.listen(pieces())} == {"en"}


def test_who_stops_listening_lets_the_stream_go(model):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield noise(0.1)

    events = model.listen(endless(), language="en")
    next(events)
    events.close()
    count = len(taken)
    assert count < 20


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"language": "Klingon"}, LanguageError, "Klingon"),
        ({"rate": 3}, OptionError, "rate is 3"),
        ({"vad_threshold": 2}, OptionError, "vad_threshold is 2"),
        ({"min_silence_duration_ms": 0}, OptionError, "min_silence_duration_ms is 0"),
        ({"stream": "talk.wav"}, OptionError, "stream is a str"),
        ({"stream": io.BytesIO(b"OggS" + bytes(40))}, AudioError, "the stream is Ogg"),
        ({"to": 3}, OptionError, "to is 3"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_heard(model, options, error, words):
    with pytest.raises(error, match=words):
        model.listen(**({"stream": []} | options))


# ---- translation ----------------------------------------------------------------------------------------------------


class Shouting:
    target = "xx"

    def translation(self, text, language):
        return None if language == "de" else f"{language}:{text.upper()}"


def test_phrases_are_translated_when_they_are_over():
    said = [
        LiveText(" maybe", 0.0, 1.0, False),
        LiveText(" One", 0.0, 0.5, True),
        LiveText(" two.", 0.5, 1.0, True, ends_phrase=True),
        LiveText(" Drei.", 1.0, 2.0, True, ends_phrase=True, language="de"),
        LiveText("", 2.0, 2.0, True, ends_phrase=True),
        LiveText(" left", 2.0, 3.0, True),
    ]
    events = list(translated(said, Shouting()))
    assert [one for one in events if isinstance(one, LiveText)] == said
    assert [one for one in events if isinstance(one, LiveTranslation)] == [
        LiveTranslation("en:ONE TWO.", 0.0, 1.0, "xx", "One two.")
    ]
    assert isinstance(events[3], LiveTranslation)


def test_the_target_language_passes_through_and_another_is_told_of_once(model, caplog, monkeypatch):
    events = list(model.listen(pieces(), language="en", to="English"))
    translations = [one for one in events if isinstance(one, LiveTranslation)]
    assert translations
    assert all(one.text == one.said for one in translations)
    with pytest.raises(Exception, match="no-such-model"):
        model.listen(pieces(), language="en", to="fr", translation_model="./no-such-model")

    def no_model(self, name):
        raise ModelNotFoundError(f"no {name}")

    monkeypatch.setattr(Translators, "_named", no_model)
    events = list(model.listen(pieces(), language="en,fr", to="de"))
    assert finals(events)
    assert caplog.text.count("is not translated") == len({one.language for one in finals(events)})


@pytest.mark.parametrize("language", ["en", "en,fr", None])
@pytest.mark.parametrize(("to", "named"), [("xx", None), ("de", "./no-such-model"), ("ja", "demo")])
def test_what_cannot_be_translated_into_is_told_before_anybody_speaks(model, language, to, named):
    with pytest.raises(QuartetError, match=r"'xx'|no-such-model|no Japanese"):
        model.listen(pieces(), language=language, to=to, translation_model=named)


@pytest.mark.parametrize("to", ["en", "English", "eng_Latn"])
def test_a_translation_tells_the_code_of_its_language(model, to):
    events = list(model.listen(pieces(), language="en", to=to))
    assert {one.language for one in events if isinstance(one, LiveTranslation)} == {"en"}


# ---- command line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def listen(folder, tmp_path, capsys):
    """Run the command on sound in a file; what it returns and prints."""

    def call(*options, data=PCM):
        (tmp_path / "sound").write_bytes(data)
        capsys.readouterr()
        code = main(["listen", str(tmp_path / "sound"), "--model", str(folder), "--threads", "1", *options])
        return (code, *capsys.readouterr())

    return call


def test_a_line_comes_for_each_phrase(listen):
    code, out, _ = listen("--language", "en")
    assert code == 0
    assert len(out.splitlines()) == 2
    code, out, _ = listen("--language", "en", "--times")
    assert all(line.startswith("[00:00:0") and " --> " in line for line in out.splitlines())


def test_json_has_each_event(listen):
    _, out, _ = listen("--language", "en", "--json", "--to", "en")
    events = [json.loads(line) for line in out.splitlines()]
    assert {one["type"] for one in events} == {"partial", "final", "translation"}
    assert all(one["start"] <= one["end"] for one in events)
    final = next(one for one in events if one["type"] == "final")
    assert "".join(word["word"] for word in final["words"]) == final["text"]


def test_a_terminal_shows_what_may_change(monkeypatch, folder, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "10")
    (tmp_path / "sound").write_bytes(PCM)
    assert main(["listen", str(tmp_path / "sound"), "--model", str(folder), "--language", "en"]) == 0
    shown = screen.getvalue()
    assert shown.count("\n") == 2
    assert shown.count("\r\x1b[2K") > 4
    for line in shown.split("\r\x1b[2K"):
        assert "\n" in line or len(line) < 10


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.wav"], 1, "missing.wav: no such file"),
        (["."], 1, "is a folder"),
        (["talk.ogg"], 1, "the stream is Ogg"),
        (["talk.raw", "--language", "xx"], 2, "xx"),
        (["talk.raw", "--translation-model", "demo"], 2, "--translation-model demo is for --to"),
        (["talk.raw", "--input-device", "1"], 2, "--input-device 1 is a microphone"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(arguments, code, words, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.ogg").write_bytes(b"OggS" + bytes(100))
    (tmp_path / "talk.raw").write_bytes(PCM)
    assert main(["listen", *arguments, "--model", str(folder)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_finishes_what_was_said_last(start, folder):
    script = (
        "import sys; from noise import LoudEar; from quartet.live import sound; sound.Ear = LoudEar\n"
        "from quartet.cli import main; sys.exit(main())"
    )
    child = start("listen", "-", "--model", folder, "--language", "en", "--threads", "1", "--json", script=script)
    child.stdin.write(PCM)
    child.stdin.flush()
    lines = [json.loads(child.stdout.readline())]
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    lines += [json.loads(line) for line in out.splitlines()]
    assert child.returncode == 130
    assert lines[-1]["type"] == "final"
    assert lines[-1]["ends_phrase"]
    assert err.decode().endswith("quartet: interrupted\n")
