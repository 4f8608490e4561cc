"""Wyoming, as Home Assistant speaks it, through the package that it uses."""

import asyncio
import contextlib
import io
import json
import os
import re
import socket

import pytest

from noise import file, hear_voices_everywhere, noise
from quartet import Transcriber
from quartet.errors import OptionError
from quartet.serve.listening import Listening
from quartet.serve.options import ServeOptions
from quartet.serve.service import Service

pytest.importorskip("av")
pytest.importorskip("wyoming")

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info

from quartet.serve import wyoming

FORMAT = {"rate": 16_000, "width": 2, "channels": 1}
SAMPLES = (noise(1.5) * 32767).astype("<i2").tobytes()


@contextlib.asynccontextmanager
async def serving(model, **options):
    service = Service(ServeOptions(models=(str(model),), threads=1, **options))
    async with wyoming.serving(service, Listening(service), "127.0.0.1", 0) as port:
        yield port, service
    service.close()


async def asked(port, *events):
    """The first answer to some events; None where the server hangs up."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        for event in events:
            await client.write_event(event.event())
        return await client.read_event()


def spoken(samples=SAMPLES, step=2560, **more):
    chunks = [AudioChunk(**(FORMAT | more), audio=samples[i : i + step]) for i in range(0, len(samples), step)]
    return [AudioStart(**FORMAT), *chunks, AudioStop()]


def run(model, talk, **options):
    async def whole():
        async with serving(model, **options) as (port, service):
            return await talk(port, service)

    return asyncio.run(whole())


@pytest.fixture(autouse=True)
def _voices(monkeypatch):
    hear_voices_everywhere(monkeypatch)


def test_a_command_becomes_text(tiny_speech_model):
    with Transcriber(tiny_speech_model, threads=1) as model:
        segments, _ = model.transcribe(io.BytesIO(file(1.5)), "en", vad_filter=True)
        wanted = "".join(one.text for one in segments).strip()

    async def talk(port, service):
        events = [await asked(port, Transcribe(language="en"), *spoken()) for _ in range(2)]
        events.append(await asked(port, Transcribe(name="tiny-speech", language="en"), *spoken(step=1001)))
        return [Transcript.from_event(event) for event in events]

    for found in run(tiny_speech_model, talk):
        assert (found.text, found.language) == (wanted, "en")


def test_the_server_says_what_it_can(tiny_speech_model):
    async def talk(port, service):
        return Info.from_event(await asked(port, Describe()))

    (program,) = run(tiny_speech_model, talk).asr
    assert program.name == "quartet"
    assert [(one.name, one.installed, sorted(one.languages)) for one in program.models] == [
        ("tiny-speech", True, ["de", "en", "fr"])
    ]


def test_no_sound_is_no_text_and_what_is_wrong_is_said(tiny_speech_model):
    async def talk(port, service):
        assert Transcript.from_event(await asked(port, Transcribe(), AudioStop())).text == ""
        return [
            Error.from_event(event)
            for event in [
                await asked(port, Transcribe(language="xx"), *spoken()),
                await asked(port, Transcribe(name="nothing"), *spoken()),
                await asked(port, *spoken()[:2], *spoken(rate=8000)),
                await asked(port, *spoken(channels=0)),
                await asked(port, *spoken(SAMPLES * 3)),
            ]
        ]

    errors = run(tiny_speech_model, talk, upload_limit=100_000)
    assert [error.code for error in errors] == ["400", "404", "400", "400", "413"]
    assert "'xx'" in errors[0].text
    assert "there is tiny-speech" in errors[1].text


BROKEN = [
    b"\n",
    b"[]\n",
    b'{"type": "audio-chunk"}\n',
    b'{"type": "audio-chunk", "data": {"rate": "x", "width": 2, "channels": 1}, "payload_length": 2}\nab',
    b'{"type": "audio-chunk", "payload_length": 99999999999}\n',
    b'{"type": "transcribe", "data": null, "data_length": 99999999999}\n',
    b"x" * 100_000 + b"\n",
    b'{"type": "describe", "data_length": 5}\nab',
    os.urandom(5000) + b"\n",
]


@pytest.mark.parametrize("sent", BROKEN, ids=range(len(BROKEN)))
def test_broken_events_end_their_connection_alone(tiny_speech_model, sent):
    async def talk(port, service):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        if sent.endswith(b"ab"):
            writer.write_eof()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert await asked(port, Describe())

    run(tiny_speech_model, talk)


def test_who_says_nothing_is_not_waited_for(tiny_speech_model):
    async def talk(port, service):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()

    run(tiny_speech_model, talk, body_timeout=0.05)


def test_who_hangs_up_frees_what_it_took(tiny_speech_model):
    async def talk(port, service):
        with service.decoder.paused():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            client = AsyncTcpClient("127.0.0.1", port)
            client._reader, client._writer = reader, writer
            for event in (Transcribe(language="en"), *spoken()):
                await client.write_event(event.event())
            while not service.decoder.queued_rows:
                await asyncio.sleep(0.01)
            writer.close()
            model = service.models.hearing[0]
            while model.users:
                await asyncio.sleep(0.01)

    run(tiny_speech_model, talk)


def test_what_was_asked_is_answered_when_the_server_stops(tiny_speech_model):
    async def whole():
        async with serving(tiny_speech_model) as (port, service):
            idle = await asyncio.open_connection("127.0.0.1", port)
            answer = asyncio.ensure_future(asked(port, Transcribe(language="en"), *spoken()))
            while not service.models.hearing[0].users:
                await asyncio.sleep(0.01)
        idle[1].close()
        return Transcript.from_event(await answer)

    assert asyncio.run(whole()).text


def test_clients_that_send_no_keys_do_not_go_with_keys(tmp_path):
    with pytest.raises(OptionError, match="--api-keys or --wyoming-port"):
        ServeOptions(api_keys=tmp_path / "keys", wyoming_port=10300)


def test_a_model_that_hears_is_needed():
    from quartet.serve.app import create_app

    with pytest.raises(OptionError, match="--wyoming-port needs a model that hears; add --model whisper-base"):
        create_app(ServeOptions(wyoming_port=0, precision="fp32"))


def test_the_whole_server_speaks_it(serve, tiny_speech_model, caplog):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve(models=("demo", str(tiny_speech_model)), wyoming_port=port)
    assert re.search(rf"speaking Wyoming on 127\.0\.0\.1:{port}", caplog.text)
    found = asyncio.run(asked(port, Describe()))
    assert json.loads(json.dumps(found.data))["asr"][0]["models"][0]["name"] == "tiny-speech"
