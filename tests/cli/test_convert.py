"""`quartet convert`: what it writes, and what it says."""

import re

import tiny
from quartet.spec import FILES, MANIFEST_NAME, Manifest


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_converts_and_names_the_licence(checkpoint, tmp_path, run):
    result = run("convert", checkpoint, tmp_path / "below" / "out")
    assert (result.code, result.out) == (0, "")
    assert re.fullmatch(
        rf"{tmp_path}/below/out: checkpoint, fp32, [\d.]+ MB\nlicence of the model: CC-BY-4.0\n", result.err
    )
    graphs = {f"{file}.onnx{suffix}" for file in FILES for suffix in ("", ".data")}
    assert names(tmp_path / "below" / "out") == graphs | {MANIFEST_NAME, "sentencepiece.bpe.model"}
    assert names(tmp_path / "below") == {"out"}


def test_the_demo_by_name(tmp_path, run):
    assert run("convert", "demo", tmp_path / "demo").code == 0
    assert Manifest.load(tmp_path / "demo").name == "demo"
    assert run("translate", "--model", tmp_path / "demo", "--to", "fr", "Thank you.").out == "Merci.\n"


def test_without_tokeniser_files(tmp_path, run):
    result = run("convert", tiny.make(tmp_path / "plain", "marian-base"), tmp_path / "out")
    assert result.code == 0
    assert "no tokeniser files: the model runs on ids only" in result.err
    assert result.err.endswith("licence of the model: not stated\n")


def test_into_an_empty_folder(checkpoint, tmp_path, run):
    (tmp_path / "out").mkdir()
    assert run("convert", checkpoint, tmp_path / "out").code == 0
    assert (tmp_path / "out" / MANIFEST_NAME).is_file()


def test_force_replaces(checkpoint, tmp_path, run):
    plain = tiny.make(tmp_path / "plain", "m2m100-base")
    run("convert", plain, tmp_path / "out")
    assert Manifest.load(tmp_path / "out").tokenizer is None
    assert run("convert", checkpoint, tmp_path / "out", "--force").code == 0
    assert Manifest.load(tmp_path / "out").tokenizer is not None
    assert names(tmp_path) == {"plain", "out"}
