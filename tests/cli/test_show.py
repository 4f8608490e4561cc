"""`languages`, `models`, `cache`, `inspect`, `--help`, `--version`."""

import json
import re
import shutil
from importlib.metadata import version

import pytest

from quartet import catalog
from quartet.conversion.convert import convert_folder

COMMANDS = ["translate", "convert", "languages", "models", "cache", "cache clear", "cache path", "inspect"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run(*command.split(), "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"usage: quartet {command}")
    assert max(map(len, result.out.splitlines())) <= 80


def test_help_names_every_command(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run("--help")
    assert result.code == 0
    for command in {line.split()[0] for line in COMMANDS}:
        assert re.search(rf"^    {command} +\w.{{20}}", result.out, re.MULTILINE)
    assert run() == result, "without any argument, help is what is wanted"


def test_version(run):
    assert run("--version").out == f"quartet {version('quartet-onnx')}\n"


def test_languages(model, run):
    result = run("languages", "--model", model)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == ["code      language", "eng_Latn  English", "fra_Latn  French"]


def test_languages_as_json(model, run):
    found = json.loads(run("languages", "--model", model, "--json").out)
    assert [(x["code"], x["name"], x["source"], x["target"]) for x in found] == [
        ("eng_Latn", "English", True, True),
        ("fra_Latn", "French", True, True),
    ]


def test_models_fit_a_terminal_and_keep_one_line_each(run, home):
    lines = run("models").out.splitlines()
    for alias in catalog.aliases().values():
        (line,) = [line for line in lines if line.startswith(f"{alias.name} ")]
        assert len(line) <= 80
        assert alias.license in line
        assert line.endswith(alias.about)
    assert lines[-1] == "nothing yet"


def test_models_lists_what_is_converted(checkpoint, run, home):
    run("translate", "--model", checkpoint, "--to", "fr", "--from", "en", "--max-length", 2, "Hello.")
    assert re.search(r"^checkpoint +int4 +1 MB +CC-BY-4.0$", run("models").out, re.MULTILINE)
    found = json.loads(run("models", "--json").out)
    assert {alias["name"] for alias in found["aliases"]} == set(catalog.aliases())
    assert [model["name"] for model in found["converted"]] == ["checkpoint"]
    assert found["cache"] == str(home)


def test_cache(checkpoint, run, home):
    assert run("cache", "path").out == f"{home}\n"
    assert run("cache", "clear").out == "0.0 MB freed\n"
    run("translate", "--model", checkpoint, "--to", "fr", "--from", "en", "--max-length", 2, "Hello.")
    (folder,) = (home / "models").iterdir()
    assert run("cache", "clear", "chckpoint").err.endswith("(did you mean checkpoint?)\n")
    assert folder.exists()
    assert re.fullmatch(r"[01]\.\d MB freed\n", run("cache", "clear", "checkpoint").out)
    assert not folder.exists()


def test_clearing_the_cache_names_what_it_leaves(run, home):
    (home / "packed").mkdir(parents=True)
    (home / "packed" / "notes.txt").write_text("worth keeping")
    result = run("cache", "clear")
    assert (result.code, result.out) == (0, "0.0 MB freed\n")
    assert re.fullmatch(r"left alone, .*: .*packed/notes\.txt\n", result.err)
    assert (home / "packed" / "notes.txt").read_text() == "worth keeping"


def test_inspect_answers_what_goes_in_and_out(model, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run("inspect", model)
    assert (result.code, result.err) == (0, "")
    for name in ("encoder.onnx", "attention_mask", "past_key_values.", "use_lm_head", "every one stored once"):
        assert name in result.out
    assert json.loads(run("inspect", model, "--json").out)


def test_inspect_two_folders_side_by_side(model, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    result = run("inspect", model, model)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[0].split() == ["folder", str(model), str(model)]
    assert len(json.loads(run("inspect", model, model, "--json").out)) == 2


def test_inspect_a_copy_with_a_missing_file(model, tmp_path, run):
    shutil.copytree(model, tmp_path / "copy")
    (tmp_path / "copy" / "decoder.onnx.data").unlink()
    result = run("inspect", tmp_path / "copy")
    assert "Traceback" not in result.err
    assert "decoder.onnx.data" in result.out + result.err


def test_a_converted_folder_does_not_enter_the_cache(checkpoint, tmp_path, run, home):
    convert_folder(checkpoint, tmp_path / "mine")
    run("languages", "--model", tmp_path / "mine")
    assert not home.exists()
