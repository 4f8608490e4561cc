"""Public clients, unchanged. What programs send that cannot run here is in `test_replayed.py`."""

import asyncio
import json
import os
import socket
import subprocess
import time
from contextlib import closing

import httpx
import pytest

from node_scripts import run_node
from noise import file, noise
from quartet import Translator

GOOD = "Good morning."
SUBTITLES = "1\n00:00:01,000 --> 00:00:02,500\nGood morning.\n"


@pytest.fixture(scope="module")
def translated():
    with Translator("demo", threads=1, precision="fp32") as demo:
        yield lambda text, target="fr", source="en": demo.translate(text, target, source).text


# ---- LibreTranslate ---------------------------------------------------------------------------------------------


def test_libretranslatepy(server, translated):
    client = pytest.importorskip("libretranslatepy").LibreTranslateAPI(server)
    assert client.translate(GOOD, "en", "fr") == translated(GOOD)
    assert client.detect("Wo ist der Bahnhof, bitte?")[0]["language"] == "de"
    assert {one["code"] for one in client.languages()} == {"en", "fr", "es", "de"}


def test_deep_translator(server, translated):
    kind = pytest.importorskip("deep_translator").LibreTranslator
    client = kind(source="en", target="fr", api_key="any", custom_url=f"{server}/")
    assert client.translate(GOOD) == translated(GOOD)
    assert client.translate_batch([GOOD, "Thank you."]) == [translated(GOOD), translated("Thank you.")]
    client = kind(source="auto", target="English", api_key="any", custom_url=f"{server}/")
    assert client.translate("Guten Morgen.") == translated("Guten Morgen.", "en", "de")


def test_libretranslate_aio(server, translated, tmp_path):
    package = pytest.importorskip("libretranslate_aio")
    film = tmp_path / "film.srt"
    film.write_text(SUBTITLES, encoding="utf-8")
    with package.LibreTranslate(server) as client:
        assert client.health()
        assert client.translate(GOOD, "en", "fr").translated_text == translated(GOOD)
        found = client.translate([GOOD, "Guten Tag."], "auto", "fr", alternatives=2)
        assert found.translated_text[0]
        assert [one.language for one in found.detected_language] == ["en", "de"]
        assert len(found.alternatives) == 2
        assert client.detect("Wo ist der Bahnhof, bitte?")[0].language == "de"
        assert "fr" in next(one for one in client.languages() if one.code == "en").targets
        settings = client.frontend_settings()
        assert settings.char_limit == -1
        assert ".srt" in settings.supported_files_format
        address = client.translate_file(film, "en", "fr").translated_file_url
        assert httpx.get(address).text == SUBTITLES.replace(GOOD, translated(GOOD))
        with pytest.raises(package.ForbiddenError):
            client.suggest("a", "b", "en", "fr")
        with pytest.raises(package.BadRequestError, match="xx is not supported"):
            client.translate(GOOD, "en", "xx")


def test_libretranslate_aio_without_waiting(server, translated):
    package = pytest.importorskip("libretranslate_aio")

    async def both():
        async with package.AsyncLibreTranslate(server) as client:
            return await asyncio.gather(*(client.translate(GOOD, "en", target) for target in ("fr", "de")))

    assert [one.translated_text for one in asyncio.run(both())] == [translated(GOOD), translated(GOOD, "de")]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["en", "autodetect"])
def test_translate(server, translated, source):
    """The package `translate` of PyPI."""
    package = pytest.importorskip("translate", reason="pip install --no-deps translate")
    client = package.Translator("fr", source, provider="libre", base_url=server)
    assert client.translate(GOOD) == translated(GOOD)


@pytest.mark.slow
def test_translate_with_deepl(server, translated):
    client = pytest.importorskip("translate").Translator("fr", "en", provider="deepl", secret_access_key="any")
    client.provider.base_url = f"{server}/v2/translate"  # it knows no other server than DeepL's
    assert client.translate(GOOD) == translated(GOOD)


# ---- Immersive Translate ----------------------------------------------------------------------------------------


def test_what_is_wrong_for_immersive_translate(serve, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text("secret\n")
    address = serve(api_keys=keys)

    def status(token, sent):
        return httpx.post(f"{address}/imme", params={"token": token}, json=sent, timeout=60).status_code

    right = {"source_lang": "en", "target_lang": "fr", "text_list": [GOOD]}
    assert [status("secret", right), status("wrong", right), status("", right)] == [200, 403, 400]
    assert status("secret", right | {"text_list": "a"}) == 400
    assert status("secret", right | {"target_lang": "xx"}) == 400


# ---- DeepL ------------------------------------------------------------------------------------------------------


def test_deepl(server, translated):
    deepl = pytest.importorskip("deepl")
    with closing(deepl.DeepLClient("any", server_url=server)) as client:
        one = client.translate_text(GOOD, target_lang="FR")
        assert (one.text, one.detected_source_lang, one.billed_characters) == (translated(GOOD), "EN", len(GOOD))
        several = client.translate_text([GOOD, "Thank you."], source_lang="EN", target_lang="DE", formality="default")
        assert [each.text for each in several] == [translated(GOOD, "de"), translated("Thank you.", "de")]
        english = client.translate_text("Guten Morgen.", target_lang="EN-US", split_sentences="nonewlines")
        assert english.text == translated("Guten Morgen.", "en", "de")
        assert {language.code for language in client.get_source_languages()} == {"DE", "EN", "ES", "FR"}
        assert "EN-US" in {language.code for language in client.get_target_languages()}
        usage = client.get_usage()
        assert usage.character.count > 0
        assert not usage.any_limit_reached
        with pytest.raises(deepl.DeepLException, match="no such glossary"):
            client.translate_text(GOOD, source_lang="EN", target_lang="FR", glossary="g")


def test_deepl_with_a_document(server, translated, tmp_path):
    deepl = pytest.importorskip("deepl")
    film, done = tmp_path / "film.srt", tmp_path / "film.fr.srt"
    film.write_text(SUBTITLES, encoding="utf-8")
    with closing(deepl.DeepLClient("any", server_url=server)) as client:
        with film.open("rb") as file:
            handle = client.translate_document_upload(file, target_lang="FR")
        while not (status := client.translate_document_get_status(handle)).done:
            assert status.ok
            time.sleep(0.05)
        with done.open("wb") as file:
            client.translate_document_download(handle, file)
        assert status.billed_characters == len(SUBTITLES)
    assert done.read_text("utf-8") == SUBTITLES.replace(GOOD, translated(GOOD))


def test_deepl_with_a_wrong_key(serve, tmp_path):
    deepl = pytest.importorskip("deepl")
    keys = tmp_path / "keys.txt"
    keys.write_text("secret\n")
    address = serve(api_keys=keys)
    with (
        closing(deepl.DeepLClient("wrong", server_url=address)) as client,
        pytest.raises(deepl.AuthorizationException, match="Invalid API key"),
    ):
        client.translate_text(GOOD, target_lang="FR")
    with closing(deepl.DeepLClient("secret", server_url=address)) as client:
        assert client.get_usage().character.count == 0


# ---- wyoming-openai, by which Home Assistant hears over OpenAI's routes ------------------------------------------


@pytest.fixture
def bridge(speech_server):
    """The port of one that runs in an environment of its own: it needs Python 3.12, and an older `openai`."""
    python = os.environ.get("QUARTET_TEST_WYOMING_OPENAI")
    if python is None:
        pytest.skip("QUARTET_TEST_WYOMING_OPENAI names no Python that has wyoming-openai")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-m", "wyoming_openai", "--uri", f"tcp://127.0.0.1:{port}", "--stt-openai-key", "none"]
    command += ["--stt-openai-url", f"{speech_server}/v1", "--stt-models", "whisper-1"]
    process = subprocess.Popen([*command, "--stt-streaming-models", "tiny-speech"])
    while process.poll() is None and not _listens(port):
        time.sleep(0.1)
    yield port
    process.terminate()
    process.wait(30)


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("model", ["whisper-1", "tiny-speech"], ids=["whole", "streamed"])
def test_wyoming_openai(bridge, speech_server, model):
    pytest.importorskip("wyoming")
    from wyoming.asr import Transcribe, Transcript
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncTcpClient

    form = {"rate": 16_000, "width": 2, "channels": 1}
    samples = (noise(1.5) * 32767).astype("<i2").tobytes()

    async def talk():
        async with AsyncTcpClient("127.0.0.1", bridge) as client:
            chunk = AudioChunk(**form, audio=samples)
            for event in (Transcribe(name=model, language="en"), AudioStart(**form), chunk, AudioStop()):
                await client.write_event(event.event())
            while event := await client.read_event():
                if Transcript.is_type(event.type):
                    return Transcript.from_event(event).text

    sent = {"files": {"file": ("talk.wav", file(1.5))}, "data": {"language": "en"}, "timeout": 120}
    wanted = httpx.post(f"{speech_server}/v1/audio/transcriptions", **sent).json()["text"]
    assert asyncio.run(asyncio.wait_for(talk(), 120)) == wanted != ""


# ---- JavaScript -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_javascript(server, speech_server, tmp_path_factory):
    """What packages of npm are told."""
    folder = tmp_path_factory.mktemp("node")
    film, talk = folder / "film.srt", folder / "talk.wav"
    film.write_text(SUBTITLES, encoding="utf-8")
    talk.write_bytes(file(1.5))
    return json.loads(run_node("serve/node_clients.mjs", server, speech_server, film, talk))


@pytest.mark.slow
def test_deepl_node(in_javascript, translated):
    found = in_javascript["deepl"]
    assert found["texts"] == [translated(GOOD), translated("Thank you.")]
    assert found["detected"] == ["en", "en"]
    assert found["billed"] == [len(GOOD), len("Thank you.")]
    assert set(found["targets"]) == {"de", "en-GB", "en-US", "es", "fr"}
    assert found["used"] > 0
    assert "no such glossary" in found["refused"]
    assert found["glossary"] == {"train station": "Centrale"}
    assert found["several"] == [["en", "fr", 1], ["en", "de", 1]]
    assert all("Centrale" in text for text in found["with_glossary"])
    assert found["html"].startswith("<p>")
    assert found["left"] == 0
    assert found["document"] == SUBTITLES.replace(GOOD, translated(GOOD))


@pytest.mark.slow
def test_libretranslate_and_translate_of_npm(in_javascript, translated):
    assert in_javascript["libretranslate"] == translated(GOOD)
    assert in_javascript["translate"] == {
        "libre": translated(GOOD),
        "deepl": translated(GOOD),
        "error": "it is not supported; there is de, en, es, fr",
    }


@pytest.mark.slow
def test_openai_of_npm(in_javascript, speech_server):
    """The same as Python's."""
    found, asked = in_javascript["openai"], {"model": "whisper-1", "language": "en"}
    sent = {"files": {"file": ("talk.wav", file(1.5))}, "data": asked, "timeout": 120}
    wanted = httpx.post(f"{speech_server}/v1/audio/transcriptions", **sent).json()["text"]
    assert wanted
    assert (found["text"], found["streamed"], found["done"]) == (wanted, wanted, wanted)
    assert found["models"] == ["tiny-speech", "demo"]
    assert found["words"] > 0
    assert found["translated"] not in ("", wanted)
    assert (found["status"], found["param"]) == (400, "response_format")
