"""Nothing of what users send stays: not in logs, not in figures, not on the disk, not in what others are told."""

import asyncio
import logging
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from quartet import Translator
from quartet.serve import decoding, web
from quartet.serve.discreet_logs import discreet
from quartet.serve.files import Files
from quartet.serve.service import Service
from waiting import wait_until

SECRET = "Zanzibar"  # in texts, keys, names and addresses of these tests
TEXT = f"I like {SECRET}."
OURS = ("httpx", "httpcore", "hypothesis")  # loggers of the clients, which are in this process too
LARGE = TEXT.encode() + b"\xff" * 1_200_000  # it is on the disk while it is read


class Records(logging.Handler):
    """All that is logged, of all levels, as a handler may write it."""

    def __init__(self):
        super().__init__(logging.NOTSET)
        self.lines = []

    def emit(self, record):
        if not record.name.startswith(OURS):
            self.lines.append(f"{record.name}: {self.format(record)} {record.exc_info} {record.args}")


@pytest.fixture
def logged():
    """What is logged from now on."""
    root, handler = logging.getLogger(), Records()
    levels = {name: logging.getLogger(name).level for name in ("", "quartet", "uvicorn.error", "python_multipart")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield handler.lines
    root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def on_the_disk(folder):
    """Names and contents of all files, and of those without a name that are open. The server may be closing some."""
    found = []
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):
            found.append(f"{file.name} {file.read_bytes()!r}")
    descriptors = Path("/proc/self/fd")
    for one in descriptors.iterdir() if descriptors.exists() else ():
        with suppress(FileNotFoundError):
            opened = str(one.readlink())
            found += [opened] if opened.startswith(str(folder)) and "deleted" in opened else []
    return " ".join(found)


def everything(client):
    """Requests with the secret wherever there is room for it, right ones and wrong ones; their answers."""
    pair = {"source": "en", "target": "fr"}
    body = {"q": TEXT, "text": [TEXT], "text_list": [TEXT], "api_key": SECRET, "auth_key": SECRET, "target_lang": "fr"}
    headers = {"Authorization": f"Bearer {SECRET}", "X-Forwarded-For": f"{SECRET}, 10.11.12.13", "User-Agent": SECRET}
    client.headers.update(headers)
    routes = ["/translate", "/detect", "/imme", "/v2/translate", "/v2/languages", "/suggest", "/v2/usage"]
    yield from (client.post(path, json=body | pair) for path in routes)
    yield from (client.post(path, json=body | dict.fromkeys(pair, SECRET)) for path in routes)
    yield from (client.post(path, data={"q": TEXT, "text": TEXT, "target_lang": "fr"} | pair) for path in routes)
    yield from (client.post(path, params={"q": TEXT, "format": SECRET} | pair) for path in routes)
    yield from (client.request(method, f"/{SECRET}?{SECRET}") for method in ("GET", "POST", "PUT"))
    yield from (client.get(f"{path}/{SECRET}") for path in ("/page", "/download_file", "/v1/models", "/translate"))
    yield client.post("/translate", json=body | pair | {"stream": True})
    yield client.post("/translate", json=body | pair | {"q": f">>{SECRET}<< {TEXT}"})
    yield client.post(
        "/translate", json={"q": f"Le train pour {SECRET} est en retard.", "source": "en", "target": "fr"}
    )
    yield client.post("/translate", content=f'{{"{TEXT}', headers={"Content-Type": "application/json"})
    yield client.post("/translate", content=TEXT, headers={"Content-Type": "multipart/form-data; boundary=x"})
    name = f"{SECRET}.txt"
    for path in ("/translate_file", "/v2/document", "/v1/audio/transcriptions", "/asr", "/detect-language"):
        for content in (TEXT.encode(), LARGE, TEXT.encode() + b"\xff"):
            files = {"audio_file" if path in ("/asr", "/detect-language") else "file": (name, content)}
            yield client.post(path, data=pair | {"target_lang": "fr", "prompt": TEXT, "model": SECRET}, files=files)
            yield client.post(path, data=pair | {"target_lang": "fr"}, files=files)


def test_nothing_of_a_request_is_in_logs_figures_or_on_the_disk(disk, serve, tiny_speech_model, logged, monkeypatch):
    monkeypatch.setattr(web, "MOST_TEXT", 100_000)
    models = ("demo", str(tiny_speech_model))
    address = serve(models=models, metrics=True, trust_forwarded_for=True, req_limit=10_000)
    with httpx.Client(base_url=address, timeout=60) as client:
        statuses = [answer.status_code for answer in everything(client)]
        figures = client.get("/metrics").text
    assert {200, 400, 403, 404} <= set(statuses)
    assert max(statuses) < 500
    assert "quartet_http_request_duration_seconds_count" in figures
    for secret in (SECRET, "10.11.12.13", "127.0.0.1:"):
        assert secret not in figures
        assert [line for line in logged if secret in line and "running on" not in line] == []


def test_what_was_sent_is_not_on_the_disk_once_it_is_answered(disk, serve, monkeypatch):
    address = serve()
    with httpx.Client(base_url=address, timeout=60) as client:
        for answer in everything(client):
            if answer.request.url.path == "/translate_file" and answer.status_code == 200:
                continue  # that is kept, for half an hour
            unwanted = [one for one in on_the_disk(disk).split() if SECRET in one and "_fr.txt" not in one]
            assert "deleted" not in "".join(unwanted)


def test_forms_are_closed_with_their_request():
    """Not when the memory of a form happens to be given back: their files may be on the disk."""
    held = []

    async def app(scope, receive, send):
        held.append((await web.params_of(Request(scope, receive)))["file"])
        await Response("done")(scope, receive, send)

    content = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\na\r\n--x--\r\n'

    async def receive():
        return {"type": "http.request", "body": content}

    async def send(message):
        assert not held[0].file.closed

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    asyncio.run(web.LimitedBody(app, 1000, 10.0)(scope, receive, send))
    assert held[0].file.closed


def test_expired_files_go_while_nobody_asks(disk, serve, monkeypatch):
    monkeypatch.setattr(Files.__init__, "__defaults__", (0.05,))
    monkeypatch.setattr("quartet.serve.app.MINUTE", 1)
    address = serve()
    sent = {"file": (f"{SECRET}.txt", TEXT.encode())}
    answer = httpx.post(f"{address}/translate_file", data={"source": "en", "target": "fr"}, files=sent, timeout=60)
    assert answer.status_code == 200
    wait_until(lambda: SECRET not in on_the_disk(disk))


@pytest.mark.parametrize("path", ["/translate", "/v2/translate", "/imme", "/translate_file", "/v2/document"])
@pytest.mark.parametrize("where", ["decoder", "service"])
def test_a_fault_is_logged_without_what_was_sent(serve, logged, monkeypatch, path, where):
    def broken(*_):
        try:
            raise ValueError(TEXT)
        except ValueError as error:
            raise RuntimeError(f"no idea what {TEXT!r} is") from error

    if where == "decoder":
        monkeypatch.setattr(decoding.SharedDecoder, "_decode", broken)
    else:
        monkeypatch.setattr(Service, "_translated", broken)
    with httpx.Client(base_url=serve(), timeout=60) as client:
        body = {"q": TEXT, "text": [TEXT], "text_list": [TEXT], "target_lang": "fr", "source": "en", "target": "fr"}
        if path in ("/translate_file", "/v2/document"):
            answer = client.post(path, data=body, files={"file": ("a.txt", TEXT.encode())})
        else:
            answer = client.post(path, json=body)
        if path == "/v2/document":
            sent = answer.json()
            while "translating" in (answer := client.post(f"{path}/{sent['document_id']}", json=sent)).text:
                time.sleep(0.01)
        else:
            assert answer.status_code == 500
    assert "something went wrong" in answer.text
    assert SECRET not in answer.text
    wait_until(lambda: "RuntimeError" in "".join(logged))  # perhaps after the answer
    told = "\n".join(logged)
    assert "in broken" in told  # where it happened
    assert SECRET not in told


def test_one_client_is_told_nothing_of_another(serve):
    """Errors of others' requests in the same batch, ids of their files and documents, their usage."""
    with httpx.Client(base_url=serve(), timeout=60) as client:
        form = {"source": "en", "target": "fr", "target_lang": "fr"}
        sent = {"file": (f"{SECRET}.txt", TEXT.encode())}
        document = client.post("/v2/document", data=form, files=sent).json()
        client.post("/translate_file", data=form, files=sent)
        path = f"/v2/document/{document['document_id']}"
        guesses = [
            {},
            {"document_key": ""},
            {"document_key": "0" * 64},
            {"document_key": document["document_key"][:-1]},
        ]
        for guess in guesses:
            for route in (path, f"{path}/result"):
                answer = client.post(route, json=guess)
                assert answer.status_code in (400, 404)
                assert SECRET not in answer.text
        for route in ("/languages", "/frontend/settings", "/openapi.json", "/v1/models", "/ready", "/translate"):
            assert SECRET not in client.get(route).text


def test_a_filter_of_logs_leaves_what_helps(logged):
    log = logging.getLogger("quartet.serve")
    with discreet():
        try:
            raise KeyError(f"{SECRET}:")
        except KeyError:
            log.exception("that failed")
        log.warning("serving on %s", "http://127.0.0.1:5000")
    told = "\n".join(logged)
    assert "that failed" in told
    assert "builtins.KeyError" in told
    assert __file__ in told
    assert "serving on http://127.0.0.1:5000" in told
    assert f"{SECRET}:" not in told  # as the exception has it


def test_what_the_command_line_says_of_a_text_is_not_said_by_a_server(logged):
    text = f"Bonjour, je vais demain à {SECRET} avec mes amis."
    with Translator("demo", precision="fp32", threads=1) as translator:
        with discreet():
            translator.translate(text, "fr", strict=False)
        assert not any(SECRET in line for line in logged)
        translator.translate(text, "fr", strict=False)
        assert any(SECRET in line for line in logged)
