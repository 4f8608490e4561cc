"""Requests as well-known programs send them, as data; and of each answer what the program reads of it.

Each is named by the program and the version whose source it was taken from.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import numpy as np
import pytest

from noise import file, hear_voices_everywhere, noise
from quartet import Transcriber, Translator
from quartet.serve.listening import Listening
from quartet.serve.options import ServeOptions
from quartet.serve.service import Service
from quartet.transcription.subtitles import written

GOOD, THANKS = "Good morning.", "Thank you."
JSON = {"Content-Type": "application/json"}
DEEPL_KEY = {"Authorization": "DeepL-Auth-Key 0123456789:fx"}
SUBTITLE_EDIT = "Subtitle Edit 5.1.0"
WEBLATE = "Weblate 2026.10.1"
WEBLATE_ACCEPTS = {"Accept": "application/json; charset=utf-8", "Referer": "https://weblate.example.org"}
MASTODON = "Mastodon 4.3"
ZOTERO = "zotero-pdf-translate 2.4.6"


@dataclass(frozen=True)
class Replay:
    """A request, and what its client has to find in the answer."""

    client: str
    what: str
    path: str
    body: bytes | str | dict[str, Any] | None = None  # an object is sent as JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    reads: Callable[[httpx.Response], Any] = httpx.Response.json
    finds: Callable[[Callable[..., str]], Any] = lambda _: None  # given what translates: text, target, source

    def __str__(self) -> str:
        """For the names of tests."""
        return f"{self.client}: {self.what}"


def names(items: Sequence[Replay]) -> list[str]:
    return [str(one) for one in items]


def send(server: str, one: Replay) -> httpx.Response:
    content = json.dumps(one.body) if isinstance(one.body, dict) else one.body
    return httpx.request(one.method, server + one.path, headers=one.headers, content=content, timeout=120)


def placeholders_of_weblate(answer: httpx.Response) -> Any:
    return [re.findall(r"\[X\d+X]", text) for text in answer.json()["translatedText"]]


TEXTS = [
    Replay(
        MASTODON,
        "a post, LibreTranslate",
        "/translate",
        {"q": ["<p>Good morning.</p>", THANKS], "source": "en", "target": "fr", "format": "html", "api_key": None},
        JSON,
        reads=lambda answer: [
            (text, answer.json().get("detectedLanguage") or "en") for text in answer.json()["translatedText"]
        ],
        finds=lambda said: [(f"<p>{said(GOOD)}</p>", "en"), (said(THANKS), "en")],
    ),
    Replay(
        MASTODON,
        "a post of which no language is known, LibreTranslate",
        "/translate",
        {"q": [GOOD, "Guten Morgen."], "source": "auto", "target": "fr", "format": "html", "api_key": ""},
        JSON,
        reads=lambda answer: [
            (text, answer.json()["detectedLanguage"][place]["language"])
            for place, text in enumerate(answer.json()["translatedText"])
        ],
        finds=lambda said: [(said(GOOD), "en"), (said("Guten Morgen.", "fr", "de"), "de")],
    ),
    Replay(
        MASTODON,
        "languages, LibreTranslate",
        "/languages",
        headers=JSON,
        method="GET",
        reads=lambda answer: {one["code"]: sorted(set(one["targets"]) - {one["code"]}) for one in answer.json()},
        finds=lambda _: {
            "en": ["de", "es", "fr"],
            "fr": ["de", "en", "es"],
            "es": ["de", "en", "fr"],
            "de": ["en", "es", "fr"],
        },
    ),
    Replay(
        MASTODON,
        "a post of which no language is known, DeepL: Ruby writes nothing without an equals sign",
        "/v2/translate",
        "text=Good+morning.&text=Thank+you.&source_lang&target_lang=fr&tag_handling=html",
        {"Content-Type": "application/x-www-form-urlencoded", **DEEPL_KEY},
        reads=lambda answer: [
            (one["text"], one["detected_source_language"].lower()) for one in answer.json()["translations"]
        ],
        finds=lambda said: [(said(GOOD), "en"), (said(THANKS), "en")],
    ),
    Replay(
        MASTODON,
        "languages, DeepL",
        "/v2/languages?type=source",
        headers=DEEPL_KEY,
        method="GET",
        reads=lambda answer: [one["language"].lower() for one in answer.json()],
        finds=lambda _: ["de", "en", "es", "fr"],
    ),
    Replay(
        MASTODON,
        "a post into a plain `en`, DeepL",
        "/v2/translate",
        "text=Guten+Morgen.&source_lang=DE&target_lang=en&tag_handling=html",
        {"Content-Type": "application/x-www-form-urlencoded", **DEEPL_KEY},
        reads=lambda answer: answer.json()["translations"][0]["text"],
        finds=lambda said: said("Guten Morgen.", "en", "de"),
    ),
    Replay(
        WEBLATE,
        "languages, LibreTranslate",
        "/languages",
        headers=WEBLATE_ACCEPTS,
        method="GET",
        reads=lambda answer: {one["code"] for one in answer.json()},
        finds=lambda _: {"en", "fr", "es", "de"},
    ),
    Replay(
        WEBLATE,
        "strings, LibreTranslate",
        "/translate",
        {"api_key": "", "q": [GOOD, THANKS], "source": "en", "target": "fr"},
        JSON | WEBLATE_ACCEPTS,
        reads=lambda answer: answer.json()["translatedText"],
        finds=lambda said: [said(GOOD), said(THANKS)],
    ),
    Replay(
        WEBLATE,
        "a string with placeholders, LibreTranslate",
        "/translate",
        {"api_key": "", "q": ["Good morning, [X14X]. It costs [X29X]."], "source": "en", "target": "fr"},
        JSON | WEBLATE_ACCEPTS,
        reads=placeholders_of_weblate,
        finds=lambda _: [["[X14X]", "[X29X]"]],
    ),
    Replay(
        WEBLATE,
        "a string, LTEngine",
        "/translate",
        {"api_key": "", "q": GOOD, "source": "en", "target": "fr"},
        JSON | WEBLATE_ACCEPTS,
        reads=lambda answer: answer.json()["translatedText"],
        finds=lambda said: said(GOOD),
    ),
    Replay(
        WEBLATE,
        "languages, DeepL",
        "/v3/languages?resource=translate_text",
        headers=WEBLATE_ACCEPTS | DEEPL_KEY,
        method="GET",
        reads=lambda answer: (
            sorted(one["lang"].upper() for one in answer.json() if one["usable_as_source"]),
            sorted(one["lang"].upper() for one in answer.json() if one["usable_as_target"]),
            ["formality" in one.get("features", {}) for one in answer.json()],
        ),
        finds=lambda _: (["DE", "EN", "ES", "FR"], ["DE", "EN-GB", "EN-US", "ES", "FR"], [False] * 6),
    ),
    Replay(
        WEBLATE,
        "whether the languages have glossaries, before each string, DeepL",
        "/v3/languages?resource=glossary",
        headers=WEBLATE_ACCEPTS | DEEPL_KEY,
        method="GET",
        reads=lambda answer: (answer.status_code, [one["lang"] for one in answer.json() if one["usable_as_source"]]),
        finds=lambda _: (200, ["de", "en", "es", "fr"]),
    ),
    Replay(
        WEBLATE,
        "whether texts can be rephrased, DeepL",
        "/v3/languages?resource=write",
        headers=WEBLATE_ACCEPTS | DEEPL_KEY,
        method="GET",
        reads=lambda answer: (answer.status_code, answer.json()),
        finds=lambda _: (200, []),
    ),
    Replay(
        WEBLATE,
        "strings with placeholders, DeepL",
        "/v2/translate",
        {
            "text": [GOOD, 'Good morning, <x id="14"></x>.'],
            "source_lang": "EN",
            "target_lang": "FR",
            "formality": "default",
            "tag_handling": "xml",
            "ignore_tags": ["x"],
            "context": "A greeting",
            "model_type": "prefer_quality_optimized",
        },
        JSON | WEBLATE_ACCEPTS | DEEPL_KEY,
        reads=lambda answer: [
            (one["text"] if "<" not in one["text"] else one["text"].count('<x id="14"></x>'))
            for one in answer.json()["translations"]
        ],
        finds=lambda said: [said(GOOD), 1],
    ),
    Replay(
        SUBTITLE_EDIT,
        "two lines of a cue, LibreTranslate: a line ends with a tag",
        "/translate",
        b'{"q": "Good morning.<br />Thank you.", "source": "en", "target": "fr"}',
        JSON | {"accept": "application/json"},
        reads=lambda answer: answer.json()["translatedText"].replace("<br />", "\n").replace("  ", " ").strip(),
        finds=lambda said: f"{said(GOOD)}\n{said(THANKS)}",
    ),
    Replay(
        SUBTITLE_EDIT,
        "two lines of a sentence, LibreTranslate: it breaks lines anew by itself",
        "/translate",
        b'{"q": "Where is<br />the train station?", "source": "en", "target": "fr", "api_key": "abc"}',
        JSON | {"accept": "application/json"},
        reads=lambda answer: answer.json()["translatedText"],
        finds=lambda said: said("Where is the train station?"),
    ),
    Replay(
        SUBTITLE_EDIT,
        "lines, DeepL",
        "/v2/translate",
        "text=Good+morning.%0D%0AThank+you.&target_lang=fr&source_lang=en&formality=default",
        {"Content-Type": "application/x-www-form-urlencoded", **DEEPL_KEY},
        reads=lambda answer: [one["text"] for one in answer.json()["translations"]],
        finds=lambda said: [f"{said(GOOD)}\r\n{said(THANKS)}"],
    ),
    Replay(
        "Lingarr 1.0",
        "a line of subtitles, LibreTranslate",
        "/translate",
        {"q": GOOD, "source": "en", "target": "fr", "format": "text", "api_key": None},
        JSON | {"Accept": "application/json"},
        reads=lambda answer: answer.json()["translatedText"],
        finds=lambda said: said(GOOD),
    ),
    Replay(
        ZOTERO,
        "a sentence, LibreTranslate",
        "/translate",
        {"q": GOOD, "source": "en", "target": "fr", "format": "text"},
        JSON,
        reads=lambda answer: (answer.json().get("error"), answer.json()["translatedText"]),
        finds=lambda said: (None, said(GOOD)),
    ),
    Replay(
        ZOTERO,
        "a sentence, DeepL",
        "/v2/translate",
        {"text": [GOOD], "source_lang": "EN", "target_lang": "FR"},
        JSON | DEEPL_KEY,
        reads=lambda answer: answer.json()["translations"][0]["text"],
        finds=lambda said: said(GOOD),
    ),
    Replay(
        "Immersive Translate, its page on custom services of 2026",
        "paragraphs in which numbers stand for elements",
        "/imme?token=any",
        {
            "source_lang": "auto",
            "target_lang": "fr",
            "text_list": [GOOD, "I like {0} your house.", "<b0>Thank you</b0>."],
        },
        JSON,
        reads=lambda answer: [
            (one["detected_source_lang"], re.findall(r"\{\d\}|</?b\d>", one["text"]))
            for one in answer.json()["translations"]
        ],
        finds=lambda _: [("en", []), ("en", ["{0}"]), ("en", ["<b0>", "</b0>"])],
    ),
    Replay(
        "translate 3.8.1 (PyPI)",
        "a text, DeepL: all in the address, no body",
        "/v2/translate?target_lang=fr&text=Good+morning.&source_lang=en",
        headers=DEEPL_KEY | {"Content-Length": "0"},
        reads=lambda answer: answer.json()["translations"][0]["text"],
        finds=lambda said: said(GOOD),
    ),
]


@pytest.fixture(scope="module")
def translated():
    with Translator("demo", threads=1, precision="fp32") as demo:
        yield lambda text, target="fr", source="en": demo.translate(text, target, source).text


@pytest.mark.parametrize("one", TEXTS, ids=names(TEXTS))
def test_programs_that_translate(server, translated, one):
    answer = send(server, one)
    assert answer.status_code == 200, answer.text
    assert one.reads(answer) == one.finds(translated)


# ---- speech -----------------------------------------------------------------------------------------------------

SOUND = file(1.5)
SAMPLES = (noise(1.5) * 32767).astype("<i2").tobytes()  # as FFmpeg's `-f s16le -ac 1 -ar 16000` writes them
BOUNDARY = "b-5f0c2d"
PARTS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
BAZARR = "Bazarr 1.5.2"
OPEN_WEBUI = "Open WebUI 0.12.4"


def parts(*items: tuple[str, bytes | str, str]) -> bytes:
    """A form: names, contents, and the rest of the head of each part."""
    done = b""
    for name, content, rest in items:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{rest}\r\n\r\n'
        done += head.encode() + (content.encode() if isinstance(content, str) else content) + b"\r\n"
    return done + f"--{BOUNDARY}--\r\n".encode()


def sse_of_subtitle_edit(answer: httpx.Response) -> Any:
    """Events without a line that names them are passed over; times come with the last one."""
    text, segments = "", []
    for block in answer.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" not in lines:
            continue
        data = json.loads(lines["data"])
        text += data["delta"] if lines["event"] == "transcript.text.delta" else ""
        segments += data.get("segments", [])
    return text.strip(), [(one["start"], one["end"], one["text"]) for one in segments]


TEXT_PART = "\r\nContent-Type: text/plain; charset=utf-8"
SPEECH = [
    Replay(
        BAZARR,
        "the language of a film",
        "/detect-language?encode=false",
        parts(("audio_file", SAMPLES, '; filename="audio_file"')),
        PARTS | {"User-Agent": "Subliminal/2.2.1"},
        reads=lambda answer: (answer.json()["language_code"], answer.json()["detected_language"]),
        finds=lambda heard: heard("language"),
    ),
    Replay(
        BAZARR,
        "subtitles of a film",
        "/asr?task=transcribe&language=en&output=srt&encode=false&video_file=%2Ffilms%2Fa.mkv",
        parts(("audio_file", SAMPLES, '; filename="audio_file"')),
        PARTS | {"User-Agent": "Subliminal/2.2.1"},
        reads=lambda answer: answer.content.decode(),
        finds=lambda heard: heard("srt"),
    ),
    Replay(
        OPEN_WEBUI,
        "what somebody says, sent in chunks without a length",
        "/v1/audio/transcriptions",
        parts(
            ("model", "whisper-1", TEXT_PART),
            ("language", "en", TEXT_PART),
            ("file", SOUND, '; filename="9d1c.wav"\r\nContent-Type: application/octet-stream'),
        ),
        PARTS | {"Authorization": "Bearer sk-none", "Transfer-Encoding": "chunked"},
        reads=lambda answer: answer.json()["text"],
        finds=lambda heard: heard("text"),
    ),
    Replay(
        SUBTITLE_EDIT,
        "a film, as JSON with times of words and segments",
        "/v1/audio/transcriptions",
        parts(
            ("model", "whisper-1", TEXT_PART),
            ("language", "en", TEXT_PART),
            ("response_format", "verbose_json", TEXT_PART),
            ("timestamp_granularities[]", "segment", TEXT_PART),
            ("timestamp_granularities[]", "word", TEXT_PART),
            ("file", SOUND, "; filename=a.wav; filename*=utf-8''a.wav\r\nContent-Type: audio/wav"),
        ),
        PARTS,
        reads=lambda answer: (
            answer.json()["text"],
            [isinstance(one[name], int) for one in answer.json()["segments"] for name in ("id", "seek")].count(False),
            {word["word"] != "" and word["start"] <= word["end"] for word in answer.json()["words"]},
        ),
        finds=lambda heard: (heard("text of words"), 0, {True}),
    ),
    Replay(
        SUBTITLE_EDIT,
        "a film, as it is heard",
        "/v1/audio/transcriptions",
        parts(
            ("model", "whisper-1", TEXT_PART),
            ("language", "en", TEXT_PART),
            ("response_format", "json", TEXT_PART),
            ("stream", "true", TEXT_PART),
            ("temperature", "0.00", TEXT_PART),
            ("file", SOUND, "; filename=a.mp3; filename*=utf-8''a.mp3\r\nContent-Type: audio/mpeg"),
        ),
        PARTS,
        reads=sse_of_subtitle_edit,
        finds=lambda heard: (heard("text"), heard("times")),
    ),
]


@pytest.fixture(scope="module")
def heard(tiny_speech_model, speech_server):
    """What the library hears, in the form that is asked for."""
    samples = np.frombuffer(SAMPLES, "<i2")
    with Transcriber(tiny_speech_model, threads=1) as model:

        def listen(form):
            if form == "language":
                code = model.detect_language(samples)[0]
                return code, {"en": "english", "fr": "french", "de": "german"}[code]
            by_word = form in ("text of words", "srt")
            segments, info = model.transcribe(samples, "en", vad_filter=True, word_timestamps=by_word)
            found = list(segments)
            if form == "times":
                return [(one.start, one.end, one.text) for one in found]
            if form == "srt":
                return written("srt", found, info)
            return "".join(one.text for one in found).strip()

        yield listen


@pytest.mark.parametrize("one", SPEECH, ids=names(SPEECH))
def test_programs_that_hear(speech_server, heard, one):
    pytest.importorskip("av")
    if "Transfer-Encoding" in one.headers:
        headers = {name: value for name, value in one.headers.items() if name != "Transfer-Encoding"}
        one = replace(one, headers=headers, body=iter([one.body[:1000], one.body[1000:]]))
    answer = send(speech_server, one)
    assert answer.status_code == 200, answer.text
    assert one.reads(answer) == one.finds(heard)


def test_home_assistant(tiny_speech_model, heard, monkeypatch):
    """Home Assistant 2026.11: `components/wyoming`. What is sent as lines of JSON with what follows them."""
    wyoming = pytest.importorskip("quartet.serve.wyoming")
    hear_voices_everywhere(monkeypatch)
    sound = {"rate": 16000, "width": 2, "channels": 1}

    def event(kind, data, payload=b""):
        written = json.dumps(data).encode()
        head = {"type": kind, "version": "1.10.2", "data_length": len(written)}
        return (
            json.dumps(head | ({"payload_length": len(payload)} if payload else {})).encode()
            + b"\n"
            + written
            + payload
        )

    async def first_answer(port, *events):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for one in events:
            writer.write(one)
        head = json.loads(await reader.readline())
        data = json.loads(await reader.readexactly(head["data_length"]))
        writer.close()
        return head["type"], data

    async def talk():
        service = Service(ServeOptions(models=(str(tiny_speech_model),), threads=1))
        async with wyoming.serving(service, Listening(service), "127.0.0.1", 0) as port:
            kind, info = await first_answer(port, event("describe", {}))
            assert (kind, info["asr"][0]["models"][0]["installed"]) == ("info", True)
            assert "en" in info["asr"][0]["models"][0]["languages"]
            chunks = [event("audio-chunk", sound, SAMPLES[i : i + 2048]) for i in range(0, len(SAMPLES), 2048)]
            begin = event("transcribe", {"language": "en"}), event("audio-start", sound)
            found = await first_answer(port, *begin, *chunks, event("audio-stop", {}))
        service.close()
        return found

    kind, data = asyncio.run(talk())
    assert (kind, data["text"]) == ("transcript", heard("text"))
