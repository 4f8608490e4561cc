"""What whoever runs the server relies on: its log, whether it is ready, its image and its unit."""

import io
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path, PurePosixPath

import httpx
import pytest

from quartet.options.declared import SERVE, SERVE_VARIABLES
from quartet.options.environment import from_environment, unknown
from quartet.serve import request_log
from quartet.serve.models import Models
from waiting import wait_until

ROOT = Path(__file__).parents[2]
SECRET = "Zanzibar"  # stands in texts, addresses, keys and names
BODY = {"q": f"Good morning, {SECRET}.", "source": "en", "target": "fr"}


@pytest.fixture
def log():
    """Writes the log into a text, in a form that is chosen; afterwards all is as it was."""
    stream, root, ours = io.StringIO(), logging.getLogger(), logging.getLogger("quartet")
    before = root.handlers, ours.handlers, ours.propagate, ours.level

    def begin(form: str) -> io.StringIO:
        request_log.configure(form)
        for handler in (*root.handlers, *ours.handlers):
            if type(handler) is logging.StreamHandler:  # not pytest's own
                handler.setStream(stream)
        return stream

    yield begin
    logging.captureWarnings(False)
    root.handlers, ours.handlers, ours.propagate, ours.level = before


def use_everything(address: str, key: str) -> None:
    with httpx.Client(base_url=address, timeout=60) as client:
        client.post("/translate", json=BODY | {"api_key": key})
        client.post("/translate", json=BODY | {"api_key": key, "source": "auto", "stream": True})
        client.post("/translate", json=BODY | {"api_key": key, "target": SECRET})
        client.post("/translate", json=BODY | {"api_key": SECRET})
        client.post(f"/{SECRET}?q={SECRET}", content=SECRET)
        client.get(f"/download_file/{SECRET}.txt")
        files = {"file": (f"{SECRET}.txt", f"{SECRET}\n".encode())}
        found = client.post(
            "/translate_file", files=files, data={"source": "en", "target": "fr", "api_key": key}
        ).json()
        client.get(found["translatedFileUrl"])
        client.post(
            "/v2/translate",
            data={"text": SECRET, "target_lang": "FR"},
            headers={"Authorization": f"DeepL-Auth-Key {key}"},
        )
        client.get("/health")


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_log_has_each_request_and_no_text_address_or_key(serve, tmp_path, log, form):
    key = f"key-of-{SECRET}"
    (tmp_path / "keys").write_text(f"{key} name=alice\n", "utf-8")
    stream = log(form)
    use_everything(serve(api_keys=tmp_path / "keys"), key)

    def lines() -> list[str]:
        return [line for line in stream.getvalue().splitlines() if re.search(r'^(GET|POST) |"event"', line)]

    wait_until(lambda: len(lines()) == 9)  # the last answer is there before its line
    assert SECRET not in stream.getvalue()
    assert "127.0.0.1" not in stream.getvalue()
    assert not any("/health" in line for line in lines())
    if form == "text":
        assert re.fullmatch(r"POST /translate 200 \d+\.\d{3} s 23 characters \w+-\w+ demo alice", lines()[0])
        assert lines()[5].startswith("GET /download_file/{name} 404")
        return
    found = [json.loads(line) for line in lines()]
    expected = {
        "level": "info",
        "event": "request",
        "method": "POST",
        "route": "/translate",
        "status": 200,
        "characters": 23,
        "model": "demo",
        "key": "alice",
    }
    assert expected.items() <= found[0].items()
    assert found[0].keys() - expected.keys() == {"time", "seconds", "source", "target"}
    assert found[1].items() >= {"characters": 23, "status": 200}.items()
    assert [line["status"] for line in found[2:6]] == [400, 403, 404, 404]
    assert found[4]["route"] == "other"
    assert found[6]["characters"] == len(SECRET)


def test_warnings_and_exceptions_are_objects_too(log):
    stream = log("json")
    logging.getLogger("quartet.serve").warning("the file is %d bytes", 7)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("failed\nhere")
    one, two = map(json.loads, stream.getvalue().splitlines())
    assert (one["level"], one["message"], one["logger"]) == ("warning", "the file is 7 bytes", "quartet.serve")
    assert two["message"] == "failed\nhere"
    assert "ValueError: no" in two["exception"]


# ---- whether it is ready --------------------------------------------------------------------------------------------


def ready(address: str) -> tuple[int, str]:
    answer = httpx.get(f"{address}/ready", timeout=60)
    return answer.status_code, answer.json()["status"]


def test_without_preloading_it_is_ready_at_once(server):
    assert ready(server) == (200, "ok")


def test_it_is_ready_when_the_models_are_open(serve, monkeypatch):
    goes_on, original = threading.Event(), Models.preload
    monkeypatch.setattr(Models, "preload", lambda self: (goes_on.wait(60), original(self)))
    address = serve(preload=True)
    assert ready(address) == (503, "opening models")
    assert httpx.get(f"{address}/health").status_code == 200
    goes_on.set()
    while ready(address)[0] == 503:
        assert ready(address)[1] in ("opening models", "ok")


def test_a_model_that_cannot_be_opened_makes_no_ready_server(serve, monkeypatch):
    done = threading.Event()

    def fail(self):
        done.set()
        raise OSError("broken")

    monkeypatch.setattr(Models, "preload", fail)
    address = serve(preload=True)
    assert done.wait(60)
    while ready(address)[1] == "opening models":
        pass
    assert ready(address) == (503, "a model cannot be opened")


# ---- the image ------------------------------------------------------------------------------------------------------


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, with what they say."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def last_stage() -> list[tuple[str, str]]:
    found = steps()
    return found[max(place for place, (name, _) in enumerate(found) if name == "FROM") :]


def variables() -> dict[str, str]:
    return dict(pair.split("=", 1) for name, said in last_stage() if name == "ENV" for pair in shlex.split(said))


def test_the_image_runs_without_root_and_keeps_what_it_writes_in_volumes():
    said = dict(last_stage())
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said["USER"])
    volumes = json.loads(said["VOLUME"])
    assert [variables()[name] for name in ("QUARTET_HOME", "HOME")] == ["/models"] * 2
    assert set(volumes) == {"/models", "/tmp"}
    assert json.loads(said["ENTRYPOINT"]) == ["quartet", "serve"]
    assert said["EXPOSE"] == variables()["QUARTET_SERVE_PORT"]


def test_variables_of_the_image_are_options():
    assert not unknown(SERVE_VARIABLES, SERVE, variables())
    assert from_environment(SERVE_VARIABLES, SERVE, variables())["host"] == "0.0.0.0"


def test_what_the_image_is_made_of_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    sources = [word for name, said in steps() if name == "COPY" and "--from" not in said for word in said.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{PurePosixPath(source)}" in ignored
    assert ignored[0] == "*"  # nothing else, whatever lies around


def test_the_health_check_of_the_image_tells_a_server_that_lives(server):
    command = json.loads(next(said for name, said in last_stage() if name == "HEALTHCHECK").partition("CMD ")[2])
    env = os.environ | {"QUARTET_SERVE_PORT": server.rpartition(":")[2], "http_proxy": "http://127.0.0.1:9"}
    assert subprocess.run([sys.executable, *command[1:]], env=env, check=False, timeout=60).returncode == 0
    env["QUARTET_SERVE_PORT"] = "9"
    assert subprocess.run([sys.executable, *command[1:]], env=env, check=False, capture_output=True).returncode != 0


# ---- the unit -------------------------------------------------------------------------------------------------------


def test_systemd_takes_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = (ROOT / "docs" / "serve-operation.md").read_text("utf-8")
    unit = re.search(r"```ini\n(\[Unit\].*?)```", text, re.DOTALL)[1]
    assert "/opt/quartet/bin/quartet serve" in unit
    file = tmp_path / "quartet.service"
    file.write_text(unit.replace("/opt/quartet/bin/quartet", sys.executable), "utf-8")
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if file.name in line]
    assert not ours
