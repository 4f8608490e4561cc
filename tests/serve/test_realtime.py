"""Realtime sessions, by OpenAI's own client and by hand."""

import asyncio
import base64
import json
import re
import time
from contextlib import contextmanager

import httpx
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from noise import LoudEar, hear_voices_everywhere, noise
from quartet import Transcriber, Translator
from quartet.audio.audio import RATE, open_audio
from quartet.audio.voice_activity import Ear
from quartet.cli import main
from quartet.live import phrase
from quartet.live import sound as live_sound
from quartet.live.agreement import Piece
from quartet.live.recognizer import Heard, WhisperRecognizer
from quartet.serve import realtime
from quartet.serve.fair_queue import Lane
from quartet.serve.realtime_settings import LOG_PROBS
from quartet.serve.service import Service
from quartet.transcription.translated import translated as in_french

pytest.importorskip("av")
openai = pytest.importorskip("openai")
websockets_client = pytest.importorskip("websockets.sync.client")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

OURS = {"type": "audio/pcm", "rate": RATE}
ENGLISH = {"model": "tiny-speech", "language": "en"}
SPEECH = (noise(1.5) * 32767).astype(np.int16)
SILENCE = np.zeros(RATE, np.int16)
TRANSCRIPTION = "conversation.item.input_audio_transcription"
PLAIN = {"turn_detection": None, "format": OURS, "transcription": ENGLISH}


@pytest.fixture(autouse=True, scope="module")
def _loud():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_sound, "Ear", LoudEar)
        yield


@pytest.fixture(scope="module")
def client(speech_server):
    with openai.OpenAI(base_url=f"{speech_server}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def heard(tiny_speech_model, speech_server):
    """What the library hears in samples."""
    with Transcriber(tiny_speech_model, threads=1) as model:

        def listen(samples, language="en", **options):
            return list(model.transcribe(samples, language, **options)[0])

        yield listen


def text(segments):
    return "".join(one.text for one in segments).strip()


def base64_of(samples):
    return base64.b64encode(samples.tobytes() if isinstance(samples, np.ndarray) else samples).decode()


def settings(**sound):
    return {"type": "transcription", "audio": {"input": {"format": OURS, "transcription": ENGLISH} | sound}}


NAMES = (
    *(
        "type",
        "session",
        "audio",
        "input",
        "output",
        "format",
        "rate",
        "transcription",
        "model",
        "language",
        "languages",
    ),
    *("prompt", "keywords", "delay", "turn_detection", "threshold", "silence_duration_ms", "include", "event_id"),
    *("input_audio_format", "input_audio_transcription", "noise_reduction"),
)
KINDS = (
    *("session.update", "transcription_session.update", "input_audio_buffer.append", "input_audio_buffer.commit"),
    *("input_audio_buffer.clear", "conversation.item.create"),
)


class Talk:
    """A connection by hand: events in order, each waited for."""

    def __init__(self, connection):
        self.connection = connection

    def send(self, kind, **fields):
        self.connection.send(json.dumps(fields | {"type": kind}))

    def append(self, samples, size=3200):
        data = samples.tobytes() if isinstance(samples, np.ndarray) else samples
        for start in range(0, len(data), size):
            self.send("input_audio_buffer.append", audio=base64_of(data[start : start + size]))

    def next(self):
        return json.loads(self.connection.recv(timeout=60))

    def until(self, kind):
        """All events up to the first of a kind."""
        found = [self.next()]
        while found[-1]["type"] != kind:
            assert found[-1]["type"] != "error" or kind == "error", found[-1]
            found.append(self.next())
        return found

    def error(self):
        return self.until("error")[-1]["error"]

    def is_well(self):
        """Whether the session goes on."""
        self.send("input_audio_buffer.clear")
        return self.until("input_audio_buffer.cleared")


@contextmanager
def talk(address, query="intent=transcription", path="/v1/realtime", **options):
    where = f"{address}{path}?{query}".replace("http", "ws", 1)
    with websockets_client.connect(where, **options) as connection:
        found = Talk(connection)
        assert found.next()["type"] == "session.created"
        yield found


@contextmanager
def ready(address, **sound):
    """A session that takes our samples."""
    with talk(address) as found:
        found.send("session.update", session=settings(**sound))
        found.until("session.updated")
        yield found


# ---- OpenAI's client ------------------------------------------------------------------------------------------------


def test_the_client_gets_text_while_somebody_speaks(client, heard):
    sound = np.concatenate([SPEECH, SILENCE, SPEECH[::-1], SILENCE])
    with client.realtime.connect(model="tiny-speech", extra_query={"intent": "transcription"}) as connection:
        created = connection.recv()
        assert (created.type, created.session.type) == ("session.created", "transcription")
        assert created.session.audio.input.turn_detection.silence_duration_ms == 500
        connection.session.update(session=settings())
        updated = connection.recv()
        assert updated.session.audio.input.transcription.language == "en"
        for start in range(0, len(sound), 1600):
            connection.input_audio_buffer.append(audio=base64_of(sound[start : start + 1600]))
        events, done = [], []
        while len(done) < 2:
            events.append(connection.recv())
            if events[-1].type == "conversation.item.done":
                done.append(events[-1])
    of_items = {one.item.id: [] for one in done}
    for one in events:
        of_items[getattr(one, "item_id", None) or one.item.id].append(one)
    starts = []
    for found in of_items.values():
        kinds = [one.type for one in found]
        steps = ["speech_started", "speech_stopped", "committed"]
        assert [kind for kind in kinds if "buffer" in kind] == [f"input_audio_buffer.{step}" for step in steps]
        assert kinds.index("conversation.item.added") > kinds.index("input_audio_buffer.committed")
        by_kind = {one.type: one for one in found}
        starts.append(by_kind["input_audio_buffer.speech_started"].audio_start_ms)
        completed = by_kind[f"{TRANSCRIPTION}.completed"]
        end = by_kind["input_audio_buffer.speech_stopped"].audio_end_ms
        turn = sound[starts[-1] * RATE // 1000 : end * RATE // 1000]
        assert completed.transcript == text(heard(turn))
        assert completed.usage.seconds == round(len(turn) / RATE, 2)
        deltas = [one.delta for one in found if one.type == f"{TRANSCRIPTION}.delta"]
        assert "".join(deltas)[-5:] == completed.transcript[-5:]
        assert [one.code for one in completed.languages] == ["en"]
        assert by_kind["conversation.item.done"].item.content[0].transcript == completed.transcript
    assert starts[0] == 0
    assert starts[1] == pytest.approx(2200, abs=40)
    assert done[1].previous_item_id == done[0].item.id


def test_the_asynchronous_client_too(speech_server, heard):
    async def whole():
        client = openai.AsyncOpenAI(base_url=f"{speech_server}/v1", api_key="none", timeout=60)
        async with client.realtime.connect(model="whisper-1", extra_query={"intent": "transcription"}) as connection:
            await connection.session.update(session=settings(turn_detection=None))
            await connection.input_audio_buffer.append(audio=base64_of(SPEECH))
            await connection.input_audio_buffer.commit()
            async for event in connection:
                if event.type == f"{TRANSCRIPTION}.completed":
                    return event

    assert asyncio.run(whole()).transcript == text(heard(SPEECH))


def test_the_client_translates(client, heard):
    with client.realtime.translations.connect(model="gpt-realtime-translate") as connection:
        created = connection.recv()
        assert (created.session.type, created.session.model) == ("translation", "gpt-realtime-translate")
        assert created.session.audio.output.language == "en"
        transcription = {"model": "tiny-speech", "language": "en"}
        sound = {"input": {"transcription": transcription, "format": OURS}, "output": {"language": "French"}}
        connection.session.update(session={"audio": sound})
        updated = connection.recv()
        assert updated.session.audio.output.language == "French"
        connection.session.input_audio_buffer.append(audio=base64_of(SPEECH))
        connection.session.close()
        events = [connection.recv()]
        while events[-1].type != "session.closed":
            events.append(connection.recv())
        with pytest.raises(ConnectionClosed):
            connection.recv()
    said = "".join(one.delta for one in events if one.type == "session.input_transcript.delta")
    translated = "".join(one.delta for one in events if one.type == "session.output_transcript.delta")
    segments = heard(SPEECH)
    assert said == text(segments)
    with Translator("demo", threads=1, precision="fp32") as demo:
        french = in_french(segments, "en", "fr", lambda said, _: [demo.translate(one, "fr", "en").text for one in said])
        assert translated == text([one for one, _ in french])
    assert {one.elapsed_ms % 200 for one in events[:-1]} == {0}


def test_english_comes_from_the_speech_model_itself(speech_server, heard):
    with talk(speech_server, "model=tiny-speech&language=fr", "/v1/realtime/translations") as found:
        found.send("session.update", session={"audio": {"input": {"format": OURS}}})
        found.until("session.updated")
        for part in (SPEECH, SILENCE, SPEECH, SILENCE):
            found.send("session.input_audio_buffer.append", audio=base64_of(part))
        found.send("session.close")
        *deltas, _ = found.until("session.closed")
    assert {one["type"] for one in deltas} == {"session.output_transcript.delta"}
    pieces = "".join(one["delta"] for one in deltas)
    assert pieces.count(text(heard(SPEECH, "fr", task="translate"))) in (0, 1, 2)  # silence around it counts too
    assert not pieces.startswith(" ")


def test_a_translation_says_what_was_said_beside_whispers_english(speech_server, heard):
    with talk(speech_server, "", "/v1/realtime/translations") as found:
        sound = {"input": {"format": OURS, "transcription": {"language": "fr"}}, "output": {"language": "en"}}
        found.send("session.update", session={"audio": sound})
        found.until("session.updated")
        found.send("session.input_audio_buffer.append", audio=base64_of(SPEECH))
        found.send("session.close")
        events = found.until("session.closed")
    said = "".join(one["delta"] for one in events if one["type"] == "session.input_transcript.delta")
    english = "".join(one["delta"] for one in events if one["type"] == "session.output_transcript.delta")
    assert said == text(heard(SPEECH, "fr"))
    assert english == " ".join(one.text.strip() for one in heard(SPEECH, "fr", task="translate"))


# ---- text -----------------------------------------------------------------------------------------------------------


def completed(found):
    return found.until(f"{TRANSCRIPTION}.completed")


def test_a_turn_is_transcribed_as_a_recording_is(speech_server, heard):
    with ready(speech_server, turn_detection=None) as found:
        found.append(SPEECH, size=1001)  # in the middle of samples
        found.send("input_audio_buffer.commit")
        events = completed(found)
        assert events[-1]["transcript"] == text(heard(SPEECH))
        segments = [one for one in events if one["type"] == f"{TRANSCRIPTION}.segment"]
        assert [(one["start"], one["end"]) for one in segments] == [(one.start, one.end) for one in heard(SPEECH)]
        found.append(SPEECH.tobytes() + b"x")  # half a sample is dropped
        found.send("input_audio_buffer.commit")
        assert completed(found)[-1]["transcript"] == text(heard(SPEECH))


def guess(monkeypatch, guesses):
    """Looks at a turn give these texts, as long as there are any."""

    def hear(recognizer, look):
        if not guesses:
            return None
        known = "".join(piece.text for piece in look.sure)
        parts = re.findall(r" ?\w+|[.,]", guesses.pop(0).removeprefix(known))
        return Heard(tuple(Piece(part, (1,)) for part in parts), None)

    monkeypatch.setattr(WhisperRecognizer, "hear", hear)
    monkeypatch.setattr(phrase, "APART", 0.0)
    monkeypatch.setattr(phrase, "LEAST", 0.0)


def test_deltas_come_while_the_turn_goes_on_and_make_its_text(speech_server, monkeypatch):
    guesses = ["And so.", "And so my fellow.", "And so, my fellow Americans, ask"]
    final = "And so, my fellow Americans, ask not."
    monkeypatch.setattr(realtime, "text_of", lambda _: final)
    guess(monkeypatch, guesses)
    monkeypatch.setattr(realtime, "DELAYS", dict.fromkeys(realtime.DELAYS, 0.1))
    monkeypatch.setattr(realtime, "PATIENCE", 0.0)
    with ready(speech_server, turn_detection=None) as found:
        deltas = []
        while len(deltas) < 2:
            found.append(SPEECH[: RATE // 5])
            try:
                event = json.loads(found.connection.recv(timeout=0.2))
            except TimeoutError:
                continue
            assert event["type"] == f"{TRANSCRIPTION}.delta"
            deltas.append(event["delta"])
        assert deltas == ["And so", ", my fellow"]
        found.send("input_audio_buffer.commit")
        events = completed(found)
    deltas += [one["delta"] for one in events if one["type"] == f"{TRANSCRIPTION}.delta"]
    assert "".join(deltas) == events[-1]["transcript"] == final


def test_a_guess_that_was_wrong_is_not_taken_back(speech_server, monkeypatch):
    guesses = ["four score", "four score"]
    monkeypatch.setattr(realtime, "text_of", lambda _: "Fore score, and seven.")
    guess(monkeypatch, guesses)
    monkeypatch.setattr(realtime, "DELAYS", dict.fromkeys(realtime.DELAYS, 0.1))
    monkeypatch.setattr(realtime, "PATIENCE", 0.0)
    with ready(speech_server, turn_detection=None) as found:
        for _ in range(5):
            found.append(SPEECH[: RATE // 5])
        while len(guesses) == 2:
            time.sleep(0.01)
        while guesses:
            found.append(SPEECH[: RATE // 5])
            time.sleep(0.05)
        assert found.until(f"{TRANSCRIPTION}.delta")[-1]["delta"] == "four score"
        found.send("input_audio_buffer.commit")
        events = completed(found)
    assert "".join(one["delta"] for one in events if one["type"] == f"{TRANSCRIPTION}.delta") == ", and seven."
    assert events[-1]["transcript"] == "Fore score, and seven."


def test_what_a_session_is_told_steers_what_is_heard(speech_server, heard):
    told = {"model": "tiny-speech", "languages": ["fr", "de"], "prompt": "abc", "keywords": ["ab", "cd"]}
    session = settings(turn_detection=None, transcription=told) | {"include": [LOG_PROBS]}
    with talk(speech_server, "intent=transcription&language=en") as found:
        found.send("session.update", session=session)
        updated = found.next()["session"]
        assert updated["include"] == [LOG_PROBS]
        assert updated["audio"]["input"]["transcription"] == told | {"language": None, "delay": "low"}
        found.append(SPEECH)
        found.send("input_audio_buffer.commit")
        done = completed(found)[-1]
    wanted = heard(SPEECH, "fr,de", initial_prompt="abc", hotwords="ab, cd", word_timestamps=True)
    assert done["transcript"] == text(wanted)
    assert [one["token"] for one in done["logprobs"]] == [word.word for one in wanted for word in one.words]


def test_the_language_in_the_address_counts(speech_server, heard):
    with talk(speech_server, "model=tiny-speech&language=French&intent=transcription") as found:
        found.send("session.update", session={"audio": {"input": {"format": OURS, "turn_detection": None}}})
        assert found.next()["session"]["audio"]["input"]["transcription"]["language"] == "fr"
        found.append(SPEECH)
        found.send("input_audio_buffer.commit")
        assert completed(found)[-1]["transcript"] == text(heard(SPEECH, "fr"))


def test_sound_before_any_update_is_taken_as_the_session_says(speech_server):
    with talk(speech_server) as found:  # 24 kHz, and turns are found
        found.append(np.repeat(SPEECH, 2)[: 2 * RATE])
        found.append(np.zeros(24_000, np.int16))
        events = completed(found)
    stopped = next(one for one in events if one["type"] == "input_audio_buffer.speech_stopped")
    assert stopped["audio_end_ms"] == pytest.approx(2 * RATE / 24 + 500, abs=60)


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
def test_telephones_are_heard(speech_server, kind):
    with ready(speech_server, format={"type": kind}, turn_detection=None) as found:
        found.append(bytes(range(256)) * 40)
        found.send("input_audio_buffer.commit")
        assert completed(found)[-1]["usage"]["seconds"] == pytest.approx(1.28, abs=0.01)


def test_the_older_update_is_understood(speech_server, heard):
    with talk(speech_server) as found:
        session = {
            "input_audio_format": "g711_ulaw",
            "input_audio_transcription": {"model": "whisper-1", "language": "en", "prompt": "abc"},
            "turn_detection": {"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 300},
            "input_audio_noise_reduction": None,
            "include": [LOG_PROBS],
        }
        found.send("transcription_session.update", session=session)
        (updated,) = found.until("transcription_session.updated")
        sound = updated["session"]["audio"]["input"]
        assert sound["format"] == {"type": "audio/pcmu"}
        assert (sound["transcription"]["prompt"], sound["turn_detection"]["silence_duration_ms"]) == ("abc", 300)
        found.send("transcription_session.update", session={"input_audio_format": "mp3"})
        assert found.error()["param"] == "session.input_audio_format"
        found.send("transcription_session.update", session={"input_audio_transcription": {"language": "xx"}})
        assert found.error()["param"] == "session.input_audio_transcription.language"


def test_only_what_an_update_names_changes(speech_server):
    with ready(speech_server, turn_detection={"type": "server_vad", "threshold": 0.3}) as found:
        found.send("session.update", session={"type": "transcription"})
        before = found.next()["session"]
        found.send("session.update", session={"audio": {"input": {"turn_detection": {"silence_duration_ms": 200}}}})
        after = found.next()["session"]
    assert before["audio"]["input"]["turn_detection"]["threshold"] == 0.3
    before["audio"]["input"]["turn_detection"]["silence_duration_ms"] = 200
    assert after == before


def test_a_cleared_turn_has_no_text(speech_server):
    with ready(speech_server) as found:
        found.append(SPEECH)
        found.until("input_audio_buffer.speech_started")
        found.is_well()
        found.append(SILENCE)
        found.append(SPEECH)
        found.send("input_audio_buffer.commit")
        events = completed(found)
        assert sum(one["type"] == "input_audio_buffer.committed" for one in events) == 1
        assert "input_audio_buffer.speech_stopped" not in {one["type"] for one in events}


@pytest.mark.parametrize(("setting", "most"), [("MOST_WAITING", 1.0), ("MOST_TURNS", 1)])
def test_turns_that_come_faster_than_text_wait_for_it(speech_server, monkeypatch, setting, most):
    monkeypatch.setattr(realtime, setting, most)
    with ready(speech_server) as found:
        for _ in range(4):
            found.append(SPEECH, size=10**6)
            found.append(SILENCE, size=10**6)
        items = [completed(found)[-1]["item_id"] for _ in range(4)]
    assert len(set(items)) == 4


# ---- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "code", "part"),
    [
        ("{", "invalid_json", "not JSON"),
        ("[" * 100_000, "invalid_json", "not JSON"),
        ("[1]", "invalid_event", "no type"),
        ("null", "invalid_event", "no type"),
        (b"\x00\x01", "invalid_event", "binary"),
        ('{"type": null}', "invalid_value", "'None'"),
        ('{"type": "response.create"}', "invalid_value", "'response.create'; a transcription session takes"),
        ('{"type": "session.close"}', "invalid_value", "'session.close'"),
        ('{"type": "session.update"}', "invalid_value", "session: it is null"),
        ('{"type": "input_audio_buffer.append"}', "invalid_value", "audio: sound as Base64"),
        ('{"type": "input_audio_buffer.append", "audio": "&&&"}', "invalid_value", "no Base64"),
        ('{"type": "input_audio_buffer.append", "audio": "YQ"}', "invalid_value", "no Base64"),
        ('{"type": "input_audio_buffer.append", "audio": "ü"}', "invalid_value", "no Base64"),
        ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty", "nothing to commit"),
    ],
)
def test_a_bad_event_is_told_and_the_session_goes_on(speech_server, sent, code, part):
    with talk(speech_server) as found:
        found.connection.send(sent)
        error = found.error()
        assert (error["type"], error["code"]) == ("invalid_request_error", code)
        assert part in error["message"]
        found.is_well()


@pytest.mark.parametrize(
    ("session", "param", "part"),
    [
        ({"type": "realtime"}, "session.type", '"realtime"; it is one of transcription'),
        ({"voice": "alloy"}, "session.voice", "not known here"),
        ({"audio": {"output": {"voice": "alloy"}}}, "session.audio.output", "not known here"),
        ({"audio": 7}, "session.audio", "it is 7; an object"),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "session.audio.input.format.type", "audio/pcm,"),
        ({"audio": {"input": {"format": {"rate": 44_100}}}}, "session.audio.input.format.rate", "24000 or 16000"),
        ({"audio": {"input": {"format": "pcm16"}}}, "session.audio.input.format", "an object"),
        ({"audio": {"input": {"noise_reduction": {"type": "near_field"}}}}, "session.audio.input.noise_reduction", ""),
        (settings(transcription=None), "session.audio.input.transcription", "a transcription session transcribes"),
        (settings(transcription={"model": "no"}), "session.audio.input.transcription.model", "there is tiny-speech"),
        (settings(transcription={"model": "demo"}), "session.audio.input.transcription.model", "translates text"),
        (settings(transcription={"language": "xx"}), "session.audio.input.transcription.language", "en, fr, de"),
        (settings(transcription={"language": 5}), "session.audio.input.transcription.language", "a string"),
        (settings(transcription={"languages": "en"}), "session.audio.input.transcription.languages", "a list"),
        (settings(transcription={"languages": ["q"]}), "session.audio.input.transcription.languages[0]", "en, fr"),
        (settings(transcription={"keywords": [1]}), "session.audio.input.transcription.keywords[0]", "a string"),
        (settings(transcription={"prompt": {}}), "session.audio.input.transcription.prompt", "a string"),
        (settings(transcription={"prompt": 4}), "session.audio.input.transcription.prompt", "a string"),
        (settings(transcription={"delay": "none"}), "session.audio.input.transcription.delay", "minimal, low"),
        (settings(turn_detection={"type": "semantic_vad"}), "session.audio.input.turn_detection.type", "server_vad"),
        (settings(turn_detection={"threshold": 2}), "session.audio.input.turn_detection.threshold", "from 0 to 1"),
        (settings(turn_detection={"threshold": True}), "session.audio.input.turn_detection.threshold", "a number"),
        (
            settings(turn_detection={"silence_duration_ms": -1}),
            "session.audio.input.turn_detection.silence_duration_ms",
            "from 0 to 60000",
        ),
        (
            settings(turn_detection={"idle_timeout_ms": 5000}),
            "session.audio.input.turn_detection.idle_timeout_ms",
            "not here",
        ),
        ({"include": ["x"]}, "session.include[0]", "it is one of"),
        ({"include": "x"}, "session.include", "a list"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(speech_server, session, param, part):
    with ready(speech_server) as found:
        found.send("session.update", session={})
        before = found.next()
        found.send("session.update", session=session, event_id="mine")
        error = found.error()
        assert (error["param"], error["event_id"]) == (param, "mine")
        assert error["message"].startswith(f"{param}: ")
        assert part in error["message"]
        found.send("session.update", session={})
        assert found.next()["session"] == before["session"]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["en", "server_vad"]),
    lambda some: st.lists(some, max_size=2) | st.dictionaries(st.sampled_from(NAMES), some, max_size=3),
    max_leaves=8,
)


@hypothesis.settings(max_examples=20, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(kind=st.sampled_from(KINDS), fields=st.dictionaries(st.sampled_from(NAMES[1:]), VALUES, max_size=3))
def test_no_event_is_a_fault_of_the_server(speech_server, caplog, kind, fields):
    with talk(speech_server) as found:
        found.send(kind, **fields)
        found.send("input_audio_buffer.append", audio=base64_of(SPEECH[:800]))
        found.connection.send(json.dumps({"type": "end", "event_id": "end"}))
        while found.error()["event_id"] != "end":
            pass
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_a_translation_takes_its_own_events_and_languages_only(speech_server):
    with talk(speech_server, "", "/v1/realtime/translations") as found:
        for session, param in [
            ({"audio": {"output": {"language": "xx"}}}, "session.audio.output.language"),
            ({"audio": {"input": {"turn_detection": None}}}, "session.audio.input.turn_detection"),
            ({"include": []}, "session.include"),
            ({"type": "transcription"}, "session.type"),
        ]:
            found.send("session.update", session=session)
            assert found.error()["param"] == param
        found.send("input_audio_buffer.append", audio="")
        assert "session.input_audio_buffer.append" in found.error()["message"]


def refused(address, query="", path="/v1/realtime", **options):
    with pytest.raises(InvalidStatus) as error, talk(address, query, path, **options):
        pass
    response = error.value.response
    return response.status_code, json.loads(response.body)["error"], response.headers


def test_what_is_wrong_with_the_address_is_a_status(speech_server, server):
    for query, status, param, part in [
        ("model=nothing", 404, None, "there is tiny-speech"),
        ("model=demo", 400, "model", "translates text"),
        ("language=xx", 400, "language", "en, fr, de"),
        ("intent=conversation", 400, "intent", "transcription is expected"),
        ("call_id=1", 400, "call_id", "calls"),
    ]:
        found = refused(speech_server, query)
        assert (found[0], found[1]["param"]) == (status, param)
        assert part in found[1]["message"]
    assert "--model whisper-base" in refused(server)[1]["message"]
    plain = httpx.get(f"{speech_server}/v1/realtime")
    assert (plain.status_code, plain.headers["upgrade"]) == (426, "websocket")


def test_keys_in_the_header_and_as_browsers_send_them(serve, tiny_speech_model, tmp_path):
    (tmp_path / "keys").write_text("secret\n")
    address = serve(models=(str(tiny_speech_model),), api_keys=tmp_path / "keys", metrics=True)
    assert refused(address)[0] == 401
    status, error, _ = refused(address, additional_headers={"Authorization": "Bearer wrong"})
    assert (status, error["code"]) == (401, "invalid_api_key")
    with talk(address, additional_headers={"Authorization": "Bearer secret"}) as found:
        found.is_well()
    protocols = ["realtime", "openai-insecure-api-key.secret", "openai-beta.realtime-v1"]
    with talk(address, subprotocols=protocols) as found:
        assert found.connection.subprotocol == "realtime"
    with talk(address, subprotocols=protocols[1:]) as found:
        assert found.connection.subprotocol == protocols[2]
    assert refused(address, subprotocols=["realtime", "openai-insecure-api-key.wrong"])[0] == 401
    assert "secret" not in httpx.get(f"{address}/metrics").text


def test_sessions_and_turns_count_as_requests(serve, tiny_speech_model, monkeypatch):
    hear_voices_everywhere(monkeypatch)
    address = serve(models=(str(tiny_speech_model),), req_limit=2)
    with ready(address, turn_detection=None) as found:
        found.append(SPEECH)
        found.send("input_audio_buffer.commit")
        assert completed(found)
        found.append(SPEECH)
        found.send("input_audio_buffer.commit")
        failed = found.until(f"{TRANSCRIPTION}.failed")[-1]
        assert (failed["error"]["code"], failed["error"]["type"]) == ("rate_limit_exceeded", "requests")
        found.is_well()
    assert refused(address)[0] == 429


def test_only_so_many_sessions_at_once(speech_server, monkeypatch):
    monkeypatch.setattr(realtime, "MOST_SESSIONS", 2)
    with talk(speech_server):
        with talk(speech_server, "", "/v1/realtime/translations"):
            status, error, headers = refused(speech_server)
            assert (status, error["code"], headers["retry-after"]) == (503, "too_many_sessions", "10")
        while True:  # who has gone makes room
            try:
                with talk(speech_server) as found:
                    found.is_well()
                    break
            except InvalidStatus:
                time.sleep(0.01)


def test_what_waits_to_be_committed_is_bounded(speech_server, monkeypatch):
    monkeypatch.setattr(realtime, "MOST_HELD", 2.0)
    with ready(speech_server, turn_detection=None) as found:
        for _ in range(2):
            found.append(np.concatenate([SPEECH, SPEECH]), size=10**6)
        error = found.error()
        assert (error["code"], error["param"]) == ("input_audio_buffer_full", "audio")
        found.send("input_audio_buffer.commit")
        assert completed(found)[-1]["usage"]["seconds"] == 3.0
        found.append(SPEECH)
        found.is_well()


def test_a_message_that_is_too_large_ends_its_session_alone(speech_server):
    with talk(speech_server) as found:

        def send_and_wait():
            found.send("input_audio_buffer.append", audio="A" * (17 << 20))
            found.until("nothing")

        with pytest.raises(ConnectionClosed) as closed:  # it may be while it still sends: then it does not hear why
            send_and_wait()
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    with talk(speech_server) as found:
        found.is_well()


def test_who_says_nothing_is_not_waited_for(speech_server, monkeypatch):
    monkeypatch.setattr(realtime, "MOST_IDLE", 0.05)
    with talk(speech_server) as found:
        assert found.error()["code"] == "session_expired"
        with pytest.raises(ConnectionClosed):
            found.next()


def test_a_fault_of_ours_is_told_and_the_session_goes_on(speech_server, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("a fault")

    with ready(speech_server, turn_detection=None) as found:
        with monkeypatch.context() as patch:
            patch.setattr(realtime, "languages_of", broken)
            found.append(SPEECH)
            found.send("input_audio_buffer.commit")
            failed = found.until(f"{TRANSCRIPTION}.failed")[-1]
            assert failed["error"]["type"] == "server_error"
            assert "a fault" not in failed["error"]["message"]
        found.is_well()
    assert "a turn failed" in caplog.text


def test_a_guess_that_fails_costs_nothing_but_its_text(speech_server, heard, monkeypatch, caplog):
    def broken(hung_up, *_):
        hung_up.close()
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(realtime, "DELAYS", dict.fromkeys(realtime.DELAYS, 0.1))
    with ready(speech_server, turn_detection=None) as found:
        with monkeypatch.context() as patch:
            patch.setattr(realtime, "unless_gone", broken)
            found.append(SPEECH)
            while "a guess failed" not in caplog.text:
                time.sleep(0.01)
        found.send("input_audio_buffer.commit")
        assert completed(found)[-1]["transcript"] == text(heard(SPEECH))


# ---- real speech ----------------------------------------------------------------------------------------------------

WORDS = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"


@pytest.mark.slow
def test_real_speech_becomes_text_while_it_is_spoken(serve, whisper_base, shared, tmp_path, monkeypatch):
    monkeypatch.setattr(live_sound, "Ear", Ear)
    folder, recording = tmp_path / "whisper-base", shared / "data" / "audio" / "jfk.wav"
    main(["convert", str(whisper_base), str(folder)])
    samples = np.concatenate([*open_audio(recording).play(), np.zeros(RATE, np.float32)])
    pcm = (samples * 32767).astype(np.int16)
    address = serve(models=("demo", str(folder)), precision=None)
    spoken = {"model": "whisper-base"}
    with ready(address, transcription=spoken) as found:
        found.append(pcm)
        items, texts = {}, []
        while " ".join(texts).split()[-1:] != ["country"]:
            for event in completed(found):
                if event["type"] == f"{TRANSCRIPTION}.delta":
                    items[event["item_id"]] = items.get(event["item_id"], "") + event["delta"]
            assert items[event["item_id"]] == event["transcript"]
            assert event["languages"] == [{"code": "en"}]
            texts.append(re.sub(r"[^\w ]", "", event["transcript"].lower()))
        assert " ".join(texts) == WORDS
        found.send("session.update", session=settings(turn_detection=None, transcription=spoken))
        found.append(pcm)
        found.send("input_audio_buffer.commit")
        with Transcriber(folder, threads=1) as model:
            assert completed(found)[-1]["transcript"] == text(model.transcribe(pcm)[0])
    with talk(address, "model=whisper-base&language=en", "/v1/realtime/translations") as found:
        found.send("session.update", session={"audio": {"input": {"format": OURS}, "output": {"language": "fr"}}})
        found.until("session.updated")
        for start in range(0, len(pcm), RATE):
            found.send("session.input_audio_buffer.append", audio=base64_of(pcm[start : start + RATE]))
        found.send("session.close")
        french = "".join(one.get("delta", "") for one in found.until("session.closed"))
    assert "votre pays" in french


# ---- who goes away --------------------------------------------------------------------------------------------------


@pytest.fixture
def service(monkeypatch):
    """The service of the next server."""
    found = []
    begin = Service.__init__

    def remembered(self, options, worker):
        begin(self, options, worker)
        found.append(self)

    monkeypatch.setattr(Service, "__init__", remembered)
    return found


@pytest.mark.parametrize("ended", [False, True])
def test_who_goes_away_in_a_turn_frees_its_rows(serve, service, tiny_speech_model, monkeypatch, ended):
    hear_voices_everywhere(monkeypatch)
    monkeypatch.setattr(realtime, "DELAYS", dict.fromkeys(realtime.DELAYS, 0.1))
    address = serve(models=(str(tiny_speech_model),))
    decoder, model = service[0].decoder, service[0].models.hearing[0]
    with decoder.paused():
        with ready(address) as found:
            found.append(SPEECH)
            if ended:
                found.append(SILENCE)
            while not decoder.queued_rows:
                time.sleep(0.01)
            lanes = {row.lane for row in decoder._queue._rows}
            assert lanes == {Lane.REALTIME}
        while model.users:
            time.sleep(0.01)
    while decoder.queued_rows:
        time.sleep(0.01)


def test_a_server_that_stops_ends_its_sessions(served, tiny_speech_model, monkeypatch):
    hear_voices_everywhere(monkeypatch)
    with served(models=(str(tiny_speech_model),)) as address:
        where = f"{address}/v1/realtime".replace("http", "ws", 1)
        connection = websockets_client.connect(where)
        found = Talk(connection)
        found.append(SPEECH)
        found.until("input_audio_buffer.speech_started")
    with pytest.raises(ConnectionClosed) as closed:
        found.until("nothing")
    assert closed.value.rcvd.code == 1012
    connection.close()
