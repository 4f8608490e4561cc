"""From a name on the hub to a translation: downloaded and converted once, after that without a network."""

from pathlib import Path

import pytest

from hub_server import COMMIT, Repo, serve
from quartet.spec import Manifest
from tiny_text import errors

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
        assert "converted org/tiny to int4 once; licence of the model: CC-BY-4.0" in err
        assert "model.safetensors" in hub.bodies()
    code, out, err = child(hub.url, *COMMAND)  # the server is gone
    assert (code, out, errors(err)) == (0, expected, [])
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


def test_a_tokeniser_from_elsewhere_comes_without_the_weights_there(child, checkpoint, tmp_path):
    """Weights alone in one folder, the tokeniser in a folder or on the hub: the same quartet."""
    bare, out = tmp_path / "bare", tmp_path / "out"
    bare.mkdir()
    for path in checkpoint.iterdir():
        if path.name in ("config.json", "generation_config.json", "model.safetensors"):
            (bare / path.name).write_bytes(path.read_bytes())
    with serve({"org/tiny": Repo(checkpoint)}) as hub:
        code, _, err = child(hub.url, "convert", bare, out, "--precision", "fp32")
        assert code == 0
        assert "unless --tokenizer names them" in err
        code, _, err = child(hub.url, "convert", bare, out, "--precision", "fp32", "--force", "--tokenizer", "org/tiny")
        assert (code, "tokenizer" in err) == (0, False), err
        assert "model.safetensors" not in hub.bodies()
        code, _, err = child(hub.url, "convert", bare, tmp_path / "x", "--tokenizer", "org/nothing")
        assert (code, len(err.splitlines())) == (2, 1)
        assert "org/nothing" in err
    found = Manifest.load(out).tokenizer
    assert child(hub.url, "convert", bare, tmp_path / "y", "--precision", "fp32", "--tokenizer", "org/tiny")[0] == 0
    assert child(hub.url, "convert", bare, tmp_path / "z", "--precision", "fp32", "--tokenizer", checkpoint)[0] == 0
    assert found == Manifest.load(tmp_path / "y").tokenizer == Manifest.load(tmp_path / "z").tokenizer


def test_a_tokeniser_that_is_nowhere_is_refused_in_one_line(child, checkpoint, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "README.md").write_text("nothing here")
    (empty / "config.json").write_text("{}")
    with serve({"org/empty": Repo(empty)}) as hub:
        code, _, err = child(hub.url, "convert", checkpoint, tmp_path / "out", "--tokenizer", "org/empty")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "org/empty has no tokeniser: none of tokenizer.json" in err
