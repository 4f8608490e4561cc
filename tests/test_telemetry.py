"""Nothing leaves the machine: no name is looked up, no connection is made, and no device id is kept in a fresh home."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tiny_speech_text
from quartet.conversion.convert import convert_folder
from sounds import tone, wav

ROOT = Path(__file__).parents[1]

# with any of these set ONNX Runtime takes itself to be in a build pipeline, and sends nothing anyway
PIPELINES = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "JENKINS_URL", "TEAMCITY_VERSION", "TRAVIS", "BUILD_ID", "GITLAB_CI")
PIPELINES += ("CIRCLECI", "APPVEYOR", "BUILDKITE", "CODEBUILD_BUILD_ID", "BITBUCKET_BUILD_NUMBER", "SYSTEM_TEAMPROJECT")
SWITCHES = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK")
UNTIL_SENT = 25  # seconds; ONNX Runtime 1.32 looks its server up about 10 s after it was loaded

WAYS = {
    "the package": "from quartet import Translator; Translator('demo').translate('Hello.', 'fr', 'en')",
    "a module of it": "from quartet.spec import Manifest; import onnxruntime",
    "the command line": "from quartet.cli import main; main(['translate', '--to', 'fr', 'Hello.'])",
    "a measured process": "import sys; sys.path.insert(0, '{bench}'); import worker, onnxruntime",
}
SHOWS_SWITCHES = "import os, quartet; print([os.environ[name] for name in {names}])"


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user at home, with the cache of all tests."""
    home.mkdir(exist_ok=True)
    left_out = (*PIPELINES, *SWITCHES, "XDG_CACHE_HOME", "LD_PRELOAD")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"HOME": str(home), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | more


def files(home: Path) -> list[str]:
    return [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("way", WAYS)
def test_a_fresh_home_stays_empty(tmp_path, way):
    script = WAYS[way].format(bench=ROOT / "src" / "quartet" / "bench")
    env = environment(tmp_path / "home")
    subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True, timeout=300)
    assert files(tmp_path / "home") == []


@pytest.mark.parametrize(("given", "found"), [({}, "1"), (dict.fromkeys(SWITCHES[:2], "0"), "0")])
def test_whoever_wants_telemetry_may_have_it(given, found, tmp_path):
    script = SHOWS_SWITCHES.format(names=SWITCHES[:2])
    env = environment(tmp_path / "home", **given)
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == str([found, found])


def test_the_hub_hears_of_no_other_packages(tmp_path):
    script = (
        "import quartet.checkpoint.hub; from huggingface_hub import constants\n"
        "from huggingface_hub.utils import build_hf_headers\n"
        "print(constants.HF_HUB_DISABLE_TELEMETRY, build_hf_headers(token=False)['user-agent'])"
    )
    env = environment(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True, timeout=60
    )
    switched_off, agent = done.stdout.split(maxsplit=1)
    assert switched_off == "True"
    assert {part.split("/")[0] for part in agent.strip().split("; ")} == {"unknown", "hf_hub", "python"}


# ---- with everything logged that wants to go out --------------------------------------------------------------------

# answers none of it, so that nothing leaves where telemetry is switched on to show that it would be seen
SHIM = """
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void note(const char *what, const char *where) {
  FILE *log = fopen(getenv("NETWORK_LOG"), "a");
  if (log) { fprintf(log, "%s %s\\n", what, where); fclose(log); }
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  note("looks up", node ? node : "");
  return EAI_AGAIN;
}

struct hostent *gethostbyname(const char *name) {
  note("looks up", name);
  return NULL;
}

int connect(int socket, const struct sockaddr *address, socklen_t length) {
  int (*original)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET)
    inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, sizeof text);
  else if (address->sa_family == AF_INET6)
    inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, sizeof text);
  else
    return original(socket, address, length);
  note("connects to", text);
  errno = ENETUNREACH;
  return -1;
}
"""

EVERYTHING = """
import sys, time
from quartet import Transcriber, Translator
with Translator("demo", threads=1) as translator:
    print(translator.translate_batch(["Good morning.", "Where is the train station?"], "fr")[0].text)
with Transcriber(sys.argv[1], threads=1) as transcriber:
    segments, info = transcriber.transcribe(sys.argv[2], "en")
    print(len(list(segments)), info.duration)
time.sleep(float(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "shim.so", "shim.c", "-ldl"], cwd=folder, check=True)
    return folder / "shim.so"


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> list[str]:
    """A command that translates and transcribes, and waits for what is told it last."""
    folder = tmp_path_factory.mktemp("speech")
    convert_folder(tiny_speech_text.make(folder / "checkpoint"), folder / "model")
    samples = np.concatenate([tone(2), np.zeros(16_000, np.float32)])
    (folder / "a.wav").write_bytes(wav(samples))
    return [sys.executable, "-c", EVERYTHING, str(folder / "model"), str(folder / "a.wav")]


def sends_by_itself(version: str) -> bool:
    return tuple(map(int, version.split(".")[:2])) >= (1, 29)


def test_a_connection_would_be_seen(shim, tmp_path):
    env = environment(tmp_path / "home", LD_PRELOAD=str(shim), NETWORK_LOG=str(tmp_path / "log"))
    script = "import socket; socket.create_connection(('quartet.invalid', 80))"
    assert subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=False).returncode
    script = "import socket; socket.socket().connect(('192.0.2.1', 80))"
    assert subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=False).returncode
    assert (tmp_path / "log").read_text() == "looks up quartet.invalid\nconnects to 192.0.2.1\n"


@pytest.mark.slow
def test_translating_and_transcribing_look_nothing_up(everything, shim, tmp_path):
    env = environment(tmp_path / "home", LD_PRELOAD=str(shim), NETWORK_LOG=str(tmp_path / "log"))
    command = [*everything, str(UNTIL_SENT)]
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Bonjour.")
    assert not (tmp_path / "log").exists(), (tmp_path / "log").read_text()
    assert files(tmp_path / "home") == []


@pytest.mark.slow
def test_switched_on_it_would_have_been_seen(everything, shim, tmp_path):
    """The control: the same, with telemetry; the shim keeps it from leaving."""
    if not sends_by_itself(importlib.metadata.version("onnxruntime")):
        pytest.skip("this ONNX Runtime has no telemetry on Linux")
    log = tmp_path / "log"
    env = environment(tmp_path / "home", LD_PRELOAD=str(shim), NETWORK_LOG=str(log), ORT_DISABLE_TELEMETRY="0")
    with subprocess.Popen([*everything, "300"], env=env, stdout=subprocess.DEVNULL) as child:
        try:
            assert waited_for(log.exists, 200)
        finally:
            child.kill()
    assert set(log.read_text().splitlines()) == {"looks up mobile.events.data.microsoft.com"}
    assert any("Microsoft" in path for path in files(tmp_path / "home"))


def waited_for(found, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not found() and time.monotonic() < end:
        time.sleep(0.1)
    return found()


# ---- Node and the browser -------------------------------------------------------------------------------------------

JS = ROOT / "clients" / "js"
IN_NODE = """
import { open } from "./node.js"; import { translate } from "./quartet.js";
const model = await open(process.argv[1]);
console.log(await translate(model, "Good morning.", "eng_Latn", "fra_Latn"));
await new Promise((resolve) => setTimeout(resolve, 1000 * process.argv[2]));
"""


@pytest.fixture(scope="module")
def node(demo_checkpoint, tmp_path_factory) -> list[str]:
    """A command that translates in Node, and waits for what is told it last."""
    found = shutil.which("node")
    if found is None or not (JS / "node_modules" / "onnxruntime-node").is_dir():
        pytest.skip("needs Node.js and the packages of clients/js: run `npm install --ignore-scripts` there")
    folder = tmp_path_factory.mktemp("node") / "model"
    convert_folder(demo_checkpoint, folder, precision="fp32")
    return [found, "--input-type=module", "-e", IN_NODE, str(folder)]


@pytest.mark.slow
def test_node_looks_nothing_up(node, shim, tmp_path):
    env = environment(tmp_path / "home", LD_PRELOAD=str(shim), NETWORK_LOG=str(tmp_path / "log"))
    command = [*node, str(UNTIL_SENT)]
    done = subprocess.run(command, env=env, cwd=JS, check=False, capture_output=True, text=True, timeout=300)
    assert done.stdout == "Bonjour.\n", done.stderr
    assert not (tmp_path / "log").exists(), (tmp_path / "log").read_text()
    assert files(tmp_path / "home") == []


@pytest.mark.slow
def test_switched_on_node_would_have_been_seen(node, shim, tmp_path):
    version = json.loads((JS / "node_modules" / "onnxruntime-node" / "package.json").read_text())["version"]
    if not sends_by_itself(version):
        pytest.skip("this ONNX Runtime has no telemetry on Linux")
    log = tmp_path / "log"
    env = environment(tmp_path / "home", LD_PRELOAD=str(shim), NETWORK_LOG=str(log), ORT_DISABLE_TELEMETRY="0")
    with subprocess.Popen([*node, "300"], env=env, cwd=JS, stdout=subprocess.DEVNULL) as child:
        try:
            assert waited_for(log.exists, 100)
        finally:
            child.kill()
    assert set(log.read_text().splitlines()) == {"looks up mobile.events.data.microsoft.com"}


@pytest.mark.slow
def test_what_a_page_is_served_knows_no_server():
    """onnxruntime-web is built without telemetry; the files that the page takes of it name nobody to send it to."""
    folder = JS / "node_modules" / "onnxruntime-web" / "dist"
    if not folder.is_dir():
        pytest.skip("needs the packages of clients/js: run `npm install --ignore-scripts` there")
    for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        content = (folder / name).read_bytes()
        assert b"events.data.microsoft.com" not in content
        assert b"ORT_DISABLE_TELEMETRY" not in content
