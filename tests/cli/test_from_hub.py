"""From a name on the hub to a translation: downloaded and converted once, after that without a network."""

from pathlib import Path

import pytest

from hub_server import COMMIT, Repo, serve
from quartet.spec import Manifest

COMMAND = ("translate", "--model", "org/tiny", "--from", "en", "--to", "fr", "--max-length", "8", "Hello.")


@pytest.fixture
def child(start, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "quartet"))
    monkeypatch.setenv("NO_PROXY", "*")

    def call(endpoint, *argv):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        process = start(*argv)
        out, err = process.communicate(timeout=120)
        return process.returncode, out.decode(), err.decode()

    return call


def test_translate_converts_once_and_then_needs_no_network(child, checkpoint, run, model, tmp_path):
    expected = run(*COMMAND[:2], model, *COMMAND[3:]).out
    with serve({"org/tiny": Repo(checkpoint)}) as hub:
        code, out, err = child(hub.url, *COMMAND)
        assert (code, out) == (0, expected), err
        assert "converted org/tiny once; licence of the model: CC-BY-4.0" in err
        assert "model.safetensors" in hub.bodies()
    assert child(hub.url, *COMMAND) == (0, expected, "")  # the server is gone
    (folder,) = (tmp_path / "quartet" / "models").iterdir()
    manifest = Manifest.load(folder)
    assert (manifest.name, manifest.revision) == ("org/tiny", COMMIT)


def test_convert_from_the_hub(child, checkpoint, tmp_path):
    with serve({"org/tiny": Repo(checkpoint)}) as hub:
        code, out, err = child(hub.url, "convert", "org/tiny", tmp_path / "out")
        assert (code, out) == (0, ""), err
        assert Manifest.load(tmp_path / "out").license == "CC-BY-4.0"
        code, out, err = child(hub.url, "convert", "org/nothing", tmp_path / "other")
    assert (code, out) == (2, "")
    assert "org/nothing" in err
    assert len(err.splitlines()) == 1
    assert not Path(tmp_path / "other").exists()
