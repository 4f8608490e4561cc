"""OpenAI's interface for speech: by hand, and by OpenAI's own client as it is."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from noise import file, hear_voices_everywhere
from quartet import Transcriber, Translator
from quartet.cli import main
from quartet.errors import OptionError
from quartet.serve import listening
from quartet.serve.options import ServeOptions
from quartet.transcription.translated import translated

pytest.importorskip("av")
pytest.importorskip("uvicorn", reason="needs the extra `serve`")

from quartet.serve.app import create_app

SOUND = file(1.5)
PATH = "/v1/audio/transcriptions"


@pytest.fixture(scope="module")
def ask(speech_server):
    with httpx.Client(base_url=speech_server, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def heard(tiny_speech_model, speech_server):
    """What the library hears, with the command's choices."""
    with Transcriber(tiny_speech_model, threads=1) as model:

        def listen(language="en", **options):
            return list(model.transcribe(io.BytesIO(SOUND), language, vad_filter=True, **options)[0])

        yield listen


def sent(ask, params=None, path=PATH, sound=SOUND, **options):
    return ask.post(path, files={"file": ("talk.wav", sound)}, data={"language": "en"} | (params or {}), **options)


def text(segments):
    return "".join(one.text for one in segments).strip()


def test_text_and_subtitles_are_what_the_library_hears(ask, heard):
    segments = heard()
    assert len(segments) > 1
    answer = sent(ask, {"model": "whisper-1"}).json()
    assert answer == {
        "text": text(segments),
        "languages": [{"code": "en"}],
        "usage": {"type": "duration", "seconds": 2},
    }
    plain = sent(ask, {"response_format": "text"})
    assert (plain.text, plain.headers["content-type"]) == (text(segments) + "\n", "text/plain; charset=utf-8")
    for form in ("srt", "vtt"):
        whole = sent(ask, {"response_format": form, "max_line_width": "0"}).text
        assert whole.count(" --> ") == len(segments)
    srt, vtt = (sent(ask, {"response_format": form}).text for form in ("srt", "vtt"))
    assert srt.count(" --> ") == vtt.count(" --> ") > 0
    assert max(len(line) for line in srt.split("\n")) <= 42
    assert srt.startswith("1\n00:00:0")
    assert vtt.startswith("WEBVTT\n\n00:00:0")


def test_verbose_json_has_all_that_openai_says_of_a_segment(ask, heard):
    segments = heard()
    answer = sent(ask, {"response_format": "verbose_json"}).json()
    assert [answer[name] for name in ("task", "language", "duration", "text")] == [
        "transcribe",
        "english",
        1.5,
        text(segments),
    ]
    assert "words" not in answer
    assert [one["id"] for one in answer["segments"]] == list(range(len(segments)))
    for one, wanted in zip(answer["segments"], segments, strict=True):
        for name in ("seek", "start", "end", "text", "tokens", "temperature", "no_speech_prob", "compression_ratio"):
            assert one[name] == pytest.approx(getattr(wanted, name)), name
        assert one["avg_logprob"] == pytest.approx(wanted.avg_logprob)


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
def test_words_have_times_by_either_spelling(ask, heard, name):
    words = [word for one in heard(word_timestamps=True) for word in one.words]
    answer = sent(ask, {"response_format": "verbose_json", name: "word"}).json()
    assert "segments" not in answer
    assert answer["words"] == [{"word": one.word.strip(), "start": one.start, "end": one.end} for one in words]
    both = sent(ask, {"response_format": "verbose_json", name: ["word", "segment"]}).json()
    assert both["words"] == answer["words"]
    assert both["segments"]


@pytest.mark.parametrize("brackets", ["", "[]"])
def test_lists_steer_what_is_heard(ask, heard, brackets):
    answer = sent(ask, {f"keywords{brackets}": ["abba", "cd"]}).json()
    assert answer["text"] == text(heard(hotwords="abba, cd"))
    several = sent(ask, {"language": "", f"languages{brackets}": ["fr", "de"]}).json()
    assert several["text"] == text(heard("fr,de"))
    assert {one["code"] for one in several["languages"]} <= {"fr", "de"}


def test_prompt_and_temperature_steer_too(ask, heard):
    assert sent(ask, {"prompt": "abc"}).json()["text"] == text(heard(initial_prompt="abc"))
    assert sent(ask, {"temperature": "0.4"}).json()["text"] == text(heard(temperature=0.4))


def test_a_language_is_found_where_none_is_named(ask, heard):
    answer = sent(ask, {"language": "", "response_format": "verbose_json"}).json()
    assert answer["language"] in ("english", "french", "german")
    assert sent(ask, {"language": "fr", "response_format": "verbose_json"}).json()["language"] == "french"


def events(answer):
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n\n") if line]
    return [json.loads(line.rpartition("data: ")[2]) for line in lines]


def test_a_stream_says_what_the_whole_answer_says(ask, heard):
    *deltas, done = events(sent(ask, {"stream": "true"}))
    assert {one["type"] for one in deltas} == {"transcript.text.delta"}
    assert len(deltas) == len(heard())
    assert done["type"] == "transcript.text.done"
    assert "".join(one["delta"] for one in deltas) == done["text"] == text(heard())
    assert done["usage"]["input_tokens"] == 75
    assert done["usage"]["total_tokens"] > 75


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_are_streamed_cue_by_cue(ask, heard, form):
    whole = sent(ask, {"response_format": form}).text
    *deltas, done = events(sent(ask, {"response_format": form, "stream": "true"}))
    assert "".join(one["delta"] for one in deltas) == done["text"] == whole
    assert all(one["delta"].count(" --> ") >= 1 and one["delta"].endswith("\n\n") for one in deltas)
    plain = {"response_format": form, "stream": "true", "max_line_width": "0"}
    *deltas, done = events(sent(ask, plain))
    assert len(deltas) == len(heard())
    assert all(one["delta"].count(" --> ") == 1 for one in deltas)


def test_events_have_names_for_clients_that_know_them_by_these(ask, heard):
    lines = sent(ask, {"stream": "true"}).text.splitlines()
    named = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert named == ["transcript.text.delta"] * len(heard()) + ["transcript.text.done"]


def test_log_probabilities_are_those_of_words(ask, heard):
    words = [word for one in heard(word_timestamps=True) for word in one.words]
    for spelling in ("include", "include[]"):
        answer = sent(ask, {spelling: "logprobs"}).json()
        assert [one["token"] for one in answer["logprobs"]] == [one.word for one in words]
        assert all(one["logprob"] <= 0 and bytes(one["bytes"]).decode() == one["token"] for one in answer["logprobs"])
    *deltas, done = events(sent(ask, {"stream": "true", "include[]": "logprobs"}))
    assert [one for delta in deltas for one in delta["logprobs"]] == done["logprobs"] == answer["logprobs"]


def test_speech_becomes_text_in_any_language(ask, heard):
    with Translator("demo", threads=1, precision="fp32") as demo:
        french = translated(heard(), "en", "fr", lambda said, _: [demo.translate(one, "fr", "en").text for one in said])
        wanted = text([one for one, _ in french])
    path = "/v1/audio/translations"
    for spelling in ("to_language", "to"):
        assert sent(ask, {spelling: "fr"}, path).json()["text"] == wanted
    verbose = sent(ask, {"to_language": "French", "response_format": "verbose_json"}, path).json()
    assert (verbose["task"], verbose["language"], verbose["text"]) == ("translate", "french", wanted)
    english = sent(ask, {"language": "fr"}, path).json()
    assert english["text"] == text(heard("fr", task="translate"))
    same = sent(ask, {"language": "fr", "to": "fr"}, path).json()
    assert same["text"] == text(heard("fr"))


def test_models_have_names(ask):
    models = ask.get("/v1/models").json()
    assert [one["id"] for one in models["data"]] == ["tiny-speech", "demo"]
    assert all(one["object"] == "model" and one["created"] > 0 for one in models["data"])
    assert ask.get("/v1/models/tiny-speech").json()["id"] == "tiny-speech"
    assert ask.get("/v1/models/tiny-speech").json()["task"] == "automatic-speech-recognition"
    assert ask.get("/v1/models/whisper-1").json()["id"] == "whisper-1"
    assert ask.get("/v1/models/nothing").status_code == 404
    for name in ("tiny-speech", "whisper-1", "gpt-4o-transcribe", "gpt-transcribe"):
        assert sent(ask, {"model": name}, sound=file(0.3)).status_code == 200


@pytest.mark.parametrize(
    ("params", "status", "param", "part"),
    [
        ({"model": "nothing"}, 404, None, "'nothing' does not exist here; there is tiny-speech"),
        ({"model": "demo"}, 400, "model", "demo translates text"),
        ({"language": "xx"}, 400, None, "'xx'"),
        ({"language": "en", "languages[]": "fr", "temperature": "2"}, 400, "temperature", "'2'; a number from 0 to 1"),
        ({"temperature": "nan"}, 400, "temperature", "'nan'"),
        ({"response_format": "xml"}, 400, "response_format", "'xml'; it is one of json"),
        ({"response_format": "diarized_json"}, 400, "response_format", "speakers are not told apart"),
        ({"response_format": "verbose_json", "stream": "true"}, 400, "response_format", "verbose_json is not streamed"),
        ({"stream": "maybe"}, 400, "stream", "'maybe'; true or false"),
        ({"timestamp_granularities[]": "letter"}, 400, "timestamp_granularities", "'letter'"),
        ({"chunking_strategy": "sometimes"}, 400, "chunking_strategy", "'sometimes'"),
        ({"chunking_strategy": '{"type": "server_vad", "threshold": 2}'}, 400, None, "threshold"),
        ({"chunking_strategy[threshold]": "x"}, 400, "chunking_strategy", "numbers"),
    ],
)
def test_what_is_wrong_is_said_as_openai_says_it(ask, params, status, param, part):
    answer = sent(ask, params)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert part in error["message"]
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.parametrize("sound", [b"", b"no sound at all", SOUND[:44], bytes(range(256)) * 40])
def test_what_is_no_sound_is_said_so(ask, sound, stream):
    answer = sent(ask, {"stream": stream}, sound=sound)
    assert answer.status_code == 400
    assert "talk.wav" in answer.json()["error"]["message"]


def test_requests_without_a_file_and_pages_that_are_none(ask):
    assert "file" in ask.post(PATH, data={"model": "whisper-1"}).json()["error"]["message"]
    assert ask.post(PATH, json={"file": "a.wav"}).status_code == 400
    assert ask.get(PATH).json()["error"]["type"] == "invalid_request_error"
    assert ask.get("/v1/nothing").json()["error"]["message"] == "Not Found"


def test_voices_are_told_by_what_the_request_says(ask):
    given = {"chunking_strategy": '{"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 500}'}
    parts = {"chunking_strategy[type]": "server_vad", "chunking_strategy[prefix_padding_ms]": "200"}
    for params in ({"chunking_strategy": "auto"}, given, parts):
        assert sent(ask, params, sound=file(0.3)).status_code == 200


def test_keys_and_limits(serve, tiny_speech_model, tmp_path):
    (tmp_path / "keys").write_text("secret\n")
    models = (str(tiny_speech_model),)
    address = serve(models=models, api_keys=tmp_path / "keys", req_limit=3, upload_limit=20_000)
    with httpx.Client(base_url=address, timeout=60) as client:

        def asked(key, sound=SOUND[:9000]):
            answer = sent(client, sound=sound, headers={"Authorization": f"Bearer {key}"} if key else None)
            return answer.status_code, answer.json().get("error", {}).get("code")

        assert asked(None) == asked("wrong") == (401, "invalid_api_key")
        assert client.get("/v1/models").status_code == 401
        assert asked("secret", SOUND) == (413, None)
        assert [asked("secret")[0] for _ in range(3)] == [200] * 3
        assert asked("secret") == (429, "rate_limit_exceeded")


def test_recordings_beyond_the_queue_are_refused_at_once(serve, tiny_speech_model, monkeypatch):
    hear_voices_everywhere(monkeypatch)
    monkeypatch.setattr(listening, "MOST_AT_ONCE", 1)
    address = serve(models=(str(tiny_speech_model),), max_queue=100)
    with httpx.Client(base_url=address, timeout=120) as client:
        request = {"files": {"file": ("long.wav", file(120))}, "data": {"language": "en", "stream": "true"}}
        with client.stream("POST", PATH, **request) as answer:
            lines = answer.iter_lines()  # which ends the answer when it goes
            assert next(lines)
            refused = sent(client)
            assert refused.status_code == 503
            assert refused.json()["error"]["type"] == "server_error"
            assert refused.headers["x-should-retry"] == "true"
            assert int(refused.headers["retry-after"]) >= 1
        while sent(client).status_code == 503:  # who has hung up frees the place
            pass


def test_a_server_without_a_speech_model_says_so(server):
    answer = httpx.post(server + PATH, files={"file": ("talk.wav", SOUND)}, data={"model": "whisper-1"})
    assert answer.status_code == 404
    assert "start with --model whisper-base" in answer.json()["error"]["message"]
    assert [one["id"] for one in httpx.get(server + "/v1/models").json()["data"]] == ["demo"]


def test_many_at_a_time_each_get_what_they_get_alone(ask):
    sounds = [file(1, seed) for seed in range(5)]

    def words(sound):
        return sent(ask, {"temperature": "0.0"}, sound=sound).json()["text"]

    alone = [words(sound) for sound in sounds]
    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(words, sounds)) == alone


# ---- OpenAI's client ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(speech_server):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{speech_server}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def test_the_client_gets_every_format(client, heard):
    create, wanted = client.audio.transcriptions.create, text(heard())
    common = {"file": ("talk.wav", SOUND), "model": "gpt-4o-transcribe", "language": "en"}
    plain = create(**common)
    assert (plain.text, plain.usage.seconds, plain.languages[0].code) == (wanted, 2, "en")
    assert create(**common, response_format="text") == wanted + "\n"
    assert create(**common, response_format="srt").startswith("1\n00:00:0")
    assert create(**common, response_format="vtt").startswith("WEBVTT")
    verbose = create(**common, response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert (verbose.language, verbose.duration) == ("english", 1.5)
    assert verbose.words[0].end >= verbose.words[0].start
    assert [one.id for one in verbose.segments] == list(range(len(verbose.segments)))
    assert verbose.segments[0].tokens
    steered = create(**common, keywords=["abba", "cd"], include=["logprobs"], chunking_strategy="auto")
    assert steered.text == text(heard(hotwords="abba, cd", word_timestamps=True))
    assert steered.logprobs[0].logprob <= 0


def test_the_client_streams(client, heard):
    stream = client.audio.transcriptions.create(
        file=("talk.wav", SOUND), model="gpt-4o-transcribe", language="en", stream=True
    )
    *deltas, done = stream
    assert "".join(one.delta for one in deltas) == done.text == text(heard())
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens


def test_the_client_translates(client):
    common = {"file": ("talk.wav", SOUND), "model": "whisper-1"}
    assert client.audio.translations.create(**common).text
    french = client.audio.translations.create(
        **common, response_format="verbose_json", extra_body={"to_language": "fr", "language": "en"}
    )
    assert french.language == "french"
    assert french.segments


def test_the_client_lists_models_and_raises_its_own_errors(client):
    import openai

    assert [one.id for one in client.models.list()] == ["tiny-speech", "demo"]
    assert client.models.retrieve("tiny-speech").owned_by == "quartet"
    create = client.audio.transcriptions.create
    with pytest.raises(openai.NotFoundError, match="does not exist") as error:
        create(file=("talk.wav", SOUND), model="nothing")
    assert error.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match=r"talk\.wav is no audio file"):
        create(file=("talk.wav", b"nothing to hear"), model="whisper-1")
    with pytest.raises(openai.BadRequestError, match="not told apart") as error:
        create(file=("talk.wav", SOUND), model="gpt-4o-transcribe-diarize", response_format="diarized_json")
    assert (error.value.param, error.value.code) == ("response_format", "unsupported_value")


@pytest.mark.slow
def test_the_client_hears_what_the_command_hears(serve, whisper_base, shared, tmp_path, capsys):
    openai = pytest.importorskip("openai")
    recording = shared / "data" / "audio" / "jfk.wav"
    folder = tmp_path / "whisper-base"
    main(["convert", str(whisper_base), str(folder)])
    main(
        ["transcribe", str(recording), "--model", str(folder), "--threads", "1", "--output", str(tmp_path / "jfk.txt")]
    )
    main(
        [
            "transcribe",
            str(recording),
            "--model",
            str(folder),
            "--threads",
            "1",
            "--format",
            "srt",
            "--output",
            str(tmp_path / "jfk.srt"),
        ]
    )
    capsys.readouterr()
    address = serve(models=("demo", str(folder)), precision=None)
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", timeout=300) as client:
        create = client.audio.transcriptions.create
        words = (tmp_path / "jfk.txt").read_text("utf-8").split()
        assert create(file=recording, model="whisper-base").text.split() == words
        assert create(file=recording, model="whisper-1", response_format="srt") == (tmp_path / "jfk.srt").read_text(
            "utf-8"
        )
        *_, done = create(file=recording, model="gpt-4o-transcribe", stream=True)
        assert done.text.split() == words
        french = client.audio.translations.create(file=recording, model="whisper-1", extra_body={"to_language": "fr"})
        assert "pays" in french.text


def test_packages_that_are_missing_are_named_when_the_server_starts(tiny_speech_model, monkeypatch):
    monkeypatch.setattr(listening, "PACKAGES", ("av", "no_such_package"))
    with pytest.raises(
        OptionError, match=r"tiny-speech needs no_such_package: pip install 'quartet-onnx\[serve,speech\]'"
    ):
        create_app(ServeOptions(models=("demo", str(tiny_speech_model)), precision="fp32"))
    assert create_app(ServeOptions(precision="fp32"))
