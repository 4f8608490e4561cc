"""The page in headless Chromium: loads the demo model, translates in the tab, and does so again without a server."""

import functools
import http.server
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from node_scripts import chromium

pytestmark = pytest.mark.slow

BROWSE = Path(__file__).with_name("browse.mjs")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Keeps quiet, and remembers what was asked for."""

    asked: list[str]

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def site(model, node, tmp_path):
    """The page's folder on a server of its own: (URL, stop the server, paths asked for)."""
    built = node("browser/build.mjs", model, tmp_path / "site")
    assert built.returncode == 0, built.stderr
    asked: list[str] = []
    handler = type("RememberingHandler", (Handler,), {"asked": asked})
    bound = functools.partial(handler, directory=tmp_path / "site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), bound)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop():
        server.shutdown()
        server.server_close()

    yield f"http://127.0.0.1:{server.server_address[1]}/", stop, asked
    stop()


def test_translates_in_the_tab_and_offline(site, tmp_path):
    url, stop, asked = site
    arguments = [url, "Where is the train station?", tmp_path / "profile", tmp_path / "page.png"]
    environment = os.environ | {"CHROMIUM": chromium()}
    with subprocess.Popen(
        ["node", BROWSE, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as browser:
        assert browser.stdin is not None
        assert browser.stdout is not None
        first = json.loads(browser.stdout.readline())
        loaded = len(asked)
        stop()
        browser.stdin.write("the server is gone\n")
        browser.stdin.flush()
        second = json.loads(browser.stdout.readline())
    assert browser.returncode == 0
    for seen in (first, second):
        assert seen["translation"] == "Où est la gare ?"
        assert seen["errors"] == []
        assert seen["seen"][-1].startswith("Ready, also without a network: ")
    assert len({line for line in first["seen"] if line.startswith("Loading the model: ")}) > 3
    assert any("model/decoder.onnx.data" in path for path in asked[:loaded])
    assert len(asked) == loaded
    assert (tmp_path / "page.png").stat().st_size > 5000


def test_a_page_needs_a_converted_model(node, tmp_path):
    printed = node("browser/build.mjs", tmp_path, tmp_path / "site")
    assert printed.returncode == 1
    assert printed.stderr == f"build.mjs: {tmp_path} has no quartet.json: name a converted model\n"
