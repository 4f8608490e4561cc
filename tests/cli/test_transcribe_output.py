"""What `quartet transcribe` writes of segments: subtitles made for reading, translations by sentences."""

import contextlib
from dataclasses import replace

import pytest

from quartet import Translator
from quartet.cli import transcribe
from quartet.errors import AudioError, ModelNotFoundError
from quartet.transcription.cues import CueOptions
from quartet.transcription.options import TranscriptionOptions
from quartet.transcription.segments import Segment, TranscriptionInfo
from quartet.transcription.subtitles import written
from sounds import tone, wav

INFO = TranscriptionInfo("en", 1.0, 60.0, 60.0, None, TranscriptionOptions(), None)
SAID = [
    ("The train station is behind the museum, and every morning the", "en"),
    ("bus to the hotel stops there. Where is", "en"),
    ("the bus?", "en"),
    ("Où est la gare ?", "fr"),
]

TRANSLATOR = "quartet.translation.translator.Translator"


def segments() -> list[Segment]:
    return [
        Segment(n, 0, n * 4.0, n * 4.0 + 4, f" {text}", [1], -0.1, 1.0, 0.0, None, 0.0, language)
        for n, (text, language) in enumerate(SAID, 1)
    ]


@pytest.fixture
def hear(tmp_path, run, monkeypatch):
    """Run the command on a recording in which this is said; `hear.asked` is how it was listened to."""
    recording = tmp_path / "a.wav"
    recording.write_bytes(wav(tone()))
    monkeypatch.setattr(transcribe, "opened_transcriber", lambda args: contextlib.nullcontext(Listener()))

    class Listener:
        def transcribe(self, *given, **options):
            call.asked = options
            return iter(call.heard), call.info

    def call(*options):
        return run("transcribe", recording, *options)

    call.heard, call.info = segments(), INFO
    return call


@pytest.mark.parametrize("form", ["srt", "vtt", "ass"])
def test_subtitles_are_made_for_reading_and_as_asked(hear, form):
    assert hear("--format", form).out == written(form, segments(), INFO)
    assert hear.asked["word_timestamps"] is True
    narrow = ("--max-line-width", 20, "--max-lines", 3, "--max-cps", "12.5", "--min-gap", "0.2")
    assert hear("--format", form, *narrow).out == written(form, segments(), INFO, CueOptions(20, 3, 12.5, 0.2))


def test_without_a_width_each_segment_is_a_cue_as_it_was(hear):
    result = hear("--format", "srt", "--max-line-width", 0)
    assert result.out.count(" --> ") == len(SAID)
    assert f"\n{SAID[0][0]}\n" in result.out
    assert hear.asked["word_timestamps"] is False


@pytest.mark.parametrize(
    ("option", "value"), [("--max-line-width", "-1"), ("--max-lines", "0"), ("--max-cps", "0"), ("--min-gap", "x")]
)
def test_a_bad_option_is_one_line(hear, option, value):
    result = hear("--format", "srt", f"{option}={value}")
    assert (result.code, result.out) == (2, "")
    assert f"{option} is {value}" in result.err.replace("'", "")


def test_a_language_that_there_is_not_is_told_before_anything_is_heard(hear):
    result = hear("--to", "xx")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert "'xx'" in result.err
    assert not hasattr(hear, "asked")


def test_sentences_are_translated_whole_and_the_targets_own_pass_through(hear):
    result = hear("--to", "fr", "--translation-model", "demo", "--format", "tsv")
    assert result.code == 0
    lines = [line.split("\t") for line in result.out.splitlines()[1:]]
    assert [(int(start), int(end)) for start, end, _ in lines] == [(n * 4000, n * 4000 + 4000) for n in range(1, 5)]
    assert [text for _, _, text in lines] == [  # `the bus to the hotel` is more than the demo can
        "La gare est derrière le musée, et tous les matins au bus",
        "de l'hôtel s'il vous plaît. Où est",
        "le bus ?",
        SAID[3][0],
    ]


def test_a_language_that_the_model_does_not_know_is_left_as_it_is(hear):
    hear.heard = [Segment(1, 0, 0.0, 2.0, " Dov'è la stazione?", [], 0, 1, 0, None, 0.0, "it"), *segments()]
    result = hear("--to", "fr", "--translation-model", "demo")
    assert result.code == 0
    assert result.out.startswith("Dov'è la stazione?\n")
    assert result.err.count("left as it is") == 1


def test_the_targets_own_language_may_come_first(hear):
    """No model translates French into French, and none is needed before somebody speaks English."""
    hear.info = replace(INFO, language="fr")
    hear.heard = [*segments()[3:], *segments()[:3]]
    for target in ("fr", "French"):
        result = hear("--to", target, "--translation-model", "demo")
        assert result.code == 0
        assert result.out.startswith("Où est la gare ?\n")
        assert "musée" in result.out
    hear.heard = segments()[-1:]
    assert hear("--to", "fr").out == "Où est la gare ?\n"


def test_each_language_has_the_model_of_its_own(hear, monkeypatch):
    opened = []

    def translator(name, **options):
        opened.append(name)
        if name != "opus-mt-en-fr":
            raise ModelNotFoundError(f"no model {name!r}")
        return Translator("demo", **options)

    monkeypatch.setattr(TRANSLATOR, translator)
    italian = Segment(1, 0, 0.0, 2.0, " Dov'è la stazione?", [], 0, 1, 0, None, 0.0, "it")
    hear.heard = [italian, italian, *segments()]
    result = hear("--to", "fr")
    assert result.code == 0
    assert opened == ["opus-mt-en-fr", "opus-mt-it-fr"]
    assert result.out.startswith("Dov'è la stazione?\nDov'è la stazione?\n")
    assert result.err.count("Italian is left as it is: no model 'opus-mt-it-fr'") == 1


def test_what_was_heard_before_an_error_is_written(hear):
    def broken():
        yield from segments()[:1]
        raise AudioError("the file is damaged")

    hear.heard = broken()
    result = hear("--to", "fr", "--translation-model", "demo", "--format", "srt")
    assert result.code != 0
    assert "musée" in result.out.replace("\n", " ")


def test_what_is_in_the_target_language_needs_no_model(hear):
    hear.heard = [one for one in segments() if one.language == "en"]
    for target in ("en", "English"):
        result = hear("--to", target)
        assert (result.code, result.out) == (0, "".join(f"{text}\n" for text, language in SAID if language == "en"))
        assert "what was said is in English already\n" in result.err


@pytest.mark.parametrize(
    ("languages", "name"), [("en,fr", "opus-mt-fr-en"), ("en,de", "opus-mt-de-en"), ("en,es,fr", "opus-mt-es-en")]
)
def test_the_usual_model_is_of_a_language_that_is_not_the_target(hear, languages, name, monkeypatch):
    monkeypatch.setattr(TRANSLATOR, lambda name, threads: Translator("demo", threads=threads))
    result = hear("--to", "en", "--language", languages)
    assert f"translating with {name} " in result.err
