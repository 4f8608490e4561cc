"""whisper-asr-webservice's interface, by what Bazarr and others send."""

import json

import httpx
import numpy as np
import pytest

from noise import file, noise
from quartet import Transcriber
from quartet.transcription.cues import CueOptions
from quartet.transcription.subtitles import FORMATS, written

pytest.importorskip("av")

SAMPLES = (noise(1.5) * 32767).astype("<i2").tobytes()  # as FFmpeg's `-f s16le -ac 1 -ar 16000` writes them


@pytest.fixture(scope="module")
def ask(speech_server):
    with httpx.Client(base_url=speech_server, timeout=120) as client:
        yield client


def asr(ask, sound, **params):
    return ask.post("/asr", params=params, files={"audio_file": sound})


@pytest.fixture(scope="module")
def heard(tiny_speech_model, speech_server):
    with Transcriber(tiny_speech_model, threads=1) as model:

        def listen(language="en", **options):
            samples = np.frombuffer(SAMPLES, "<i2")
            return list(model.transcribe(samples, language, vad_filter=True, **options)[0])

        yield listen


@pytest.fixture(scope="module")
def info(tiny_speech_model, speech_server):
    with Transcriber(tiny_speech_model, threads=1) as model:
        return model.transcribe(np.frombuffer(SAMPLES, "<i2"), "en", vad_filter=True)[1]


def test_subtitles_as_bazarr_wants_them(ask, heard, info):
    wanted = written("srt", heard(word_timestamps=True), info)
    params = {"task": "transcribe", "language": "en", "output": "srt", "encode": "false", "video_file": "/films/a.mkv"}
    answer = asr(ask, SAMPLES, **params)
    assert (answer.status_code, answer.text) == (200, wanted)
    assert answer.headers["asr-engine"] == "quartet"
    assert answer.headers["content-type"].startswith("text/plain")


def test_cues_are_made_as_the_request_says(ask, heard, info):
    sent = {"language": "en", "output": "srt", "encode": "false"}
    plain = asr(ask, SAMPLES, **sent, max_line_width="0").text
    assert plain == written("srt", heard(), info, CueOptions(max_line_width=0))
    options = CueOptions(max_line_width=12, max_lines=3, max_cps=9.5, min_gap=0.2)
    asked = {"max_line_width": "12", "max_lines": "3", "max_cps": "9.5", "min_gap": "0.2"}
    assert asr(ask, SAMPLES, **sent, **asked).text == written("srt", heard(word_timestamps=True), info, options)
    for name, value in (("max_lines", "0"), ("max_cps", "fast"), ("max_line_width", "-1"), ("min_gap", "inf")):
        answer = asr(ask, SAMPLES, **sent, **{name: value})
        assert (answer.status_code, f"{name} is" in answer.json()["detail"]) == (400, True)


def test_every_output(ask, heard):
    segments = heard()
    for output, form in (("txt", "text"), ("tsv", "tsv")):
        answer = asr(ask, SAMPLES, language="en", output=output, encode="0")
        assert [line for line in answer.text.splitlines() if line != "start\tend\ttext"] == "".join(
            map(FORMATS[form].segment, segments)
        ).splitlines()
    assert asr(ask, SAMPLES, language="en", output="vtt", encode="False").text.startswith("WEBVTT\n\n")
    words = asr(ask, SAMPLES, language="en", output="json", encode="false", word_timestamps="true").json()
    assert words["language"] == "en"
    assert words["text"] == "".join(one.text for one in heard(word_timestamps=True)).strip()
    assert words["segments"][0]["words"]


def test_a_file_of_any_kind_is_the_default(ask):
    params = {"language": "en", "output": "txt"}
    assert asr(ask, ("film.wav", file(1.5)), **params).text == asr(ask, SAMPLES, encode="false", **params).text


def test_english_of_any_language(ask, heard):
    answer = asr(ask, SAMPLES, task="translate", language="fr", encode="false", output="json").json()
    assert answer["text"] == "".join(one.text for one in heard("fr", task="translate")).strip()
    french = asr(ask, SAMPLES, language="en", to="fr", encode="false").text
    assert french not in ("", asr(ask, SAMPLES, language="en", encode="false").text)


def test_the_language_as_bazarr_asks_for_it(ask, heard):
    answer = ask.post("/detect-language", params={"encode": "false"}, files={"audio_file": SAMPLES}).json()
    assert answer.keys() == {"detected_language", "language_code", "confidence"}
    assert (answer["language_code"], answer["detected_language"]) in (
        ("en", "english"),
        ("fr", "french"),
        ("de", "german"),
    )
    assert 0 < answer["confidence"] <= 1


@pytest.mark.parametrize(
    ("params", "sound", "part"),
    [
        ({"output": "pdf"}, SAMPLES, "'pdf'; it is one of txt"),
        ({"task": "sing"}, SAMPLES, "'sing'"),
        ({"language": "xx"}, SAMPLES, "'xx'"),
        ({"encode": "perhaps"}, SAMPLES, "'perhaps'"),
        ({"encode": "false"}, b"", "empty"),
        ({"encode": "false"}, b"a", "empty"),
        ({}, b"no sound", "no audio file"),
    ],
)
def test_what_is_wrong_is_said(ask, params, sound, part):
    answer = asr(ask, sound, **({"encode": "false"} if sound == SAMPLES else {}) | params)
    assert answer.status_code == 400
    assert part in answer.json()["detail"]


def test_a_file_is_needed(ask):
    assert "audio_file" in ask.post("/asr").json()["detail"]
    assert "audio_file" in ask.post("/detect-language").json()["detail"]
    assert json.loads(ask.get("/asr").text) == {"detail": "Method Not Allowed"}
