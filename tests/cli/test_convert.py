"""`quartet convert`: what it writes, and what it says."""

import re

import tiny
from demo_model import CONFIG
from quartet.spec import FILES, MANIFEST_NAME, Manifest


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_converts_and_names_the_licence(checkpoint, tmp_path, run):
    result = run("convert", checkpoint, tmp_path / "below" / "out")
    assert (result.code, result.out) == (0, "")
    assert re.fullmatch(
        rf"{tmp_path}/below/out: checkpoint, int4, [\d.]+ MB\n(bits: .+\n)?licence of the model: CC-BY-4.0\n",
        result.err,
    )
    graphs = {f"{file}.onnx{suffix}" for file in FILES for suffix in ("", ".data")} | {"lm_head.onnx"}
    assert names(tmp_path / "below" / "out") == graphs | {MANIFEST_NAME, "sentencepiece.bpe.model", "tokenizer.json"}
    assert names(tmp_path / "below") == {"out"}


def test_the_demo_by_name(tmp_path, run):
    assert run("convert", "demo", tmp_path / "demo", "--precision", "int8").code == 0
    assert Manifest.load(tmp_path / "demo").name == "demo"
    assert "tokenizer.json" in Manifest.load(tmp_path / "demo").files  # for readers in other languages
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


def test_to_some_languages(tmp_path, run):
    (tmp_path / "en.txt").write_text("Thank you.\nGood morning.\n")
    (tmp_path / "fr.txt").write_text("Merci.\nBonjour.\n")
    texts = ("--text", tmp_path / "en.txt", "--text", tmp_path / "fr.txt")
    result = run("convert", "demo", tmp_path / "small", "--precision", "int8", "--languages", "English,fr", *texts)
    assert result.code == 0
    rows = int(
        re.search(rf"^(\d+) of {CONFIG['vocab_size']} rows of the vocabulary kept$", result.err, re.MULTILINE)[1]
    )
    assert Manifest.load(tmp_path / "small").shapes.vocab_size == rows < 600
    assert "tokenizer.json" not in names(tmp_path / "small")  # it has the ids of the whole vocabulary
    assert run("translate", "--model", tmp_path / "small", "--to", "fr", "Thank you.").out == "Merci.\n"
    gone = run("translate", "--model", tmp_path / "small", "--to", "de", "Thank you.")
    assert (gone.code, gone.err) == (2, "quartet: the model has no German (deu_Latn); it has: English, French\n")


def test_report_prints_a_table(checkpoint, tmp_path, run):
    result = run("convert", checkpoint, tmp_path / "out", "--precision", "int4", "--report")
    assert result.code == 0
    title, head, *rows = result.out.splitlines()
    assert re.fullmatch(r"differences to float32, \d+ sentences:", title)
    assert head.split() == ["file", "output", "largest", "mean", "relative"]
    assert {row.split()[0] for row in rows} == set(FILES)
    assert [row.split()[1:3] for row in rows if row.startswith("encoder")][1] == ["layer", "0"]
    assert all(re.search(r"\d+\.\d\d%$", row) for row in rows)
    assert len({re.sub(r"\S+$", "", row).rindex(" ") for row in rows}) == 1


def test_report_without_a_tokeniser_says_so(tmp_path, run):
    plain = tiny.make(tmp_path / "plain", "marian-base")
    result = run("convert", plain, tmp_path / "out", "--precision", "int8", "--report")
    assert result.out.startswith("differences to float32, 32 rows of random ids:\n")


def test_options_of_quantisation(checkpoint, tmp_path, run):
    text = tmp_path / "text.txt"
    text.write_text("Where is the station?\n\nThe train is late.\n", encoding="utf-8")
    options = ["--method", "gptq", "--embedding-bits", "4", "--block-size", "32", "--calibration-text", text]
    assert run("convert", checkpoint, tmp_path / "small", "--precision", "int4", *options).code == 0
    assert run("convert", checkpoint, tmp_path / "plain", "--precision", "int4").code == 0
    small, plain = (Manifest.load(tmp_path / name) for name in ("small", "plain"))
    table = "embed_and_lm_head.onnx.data"
    assert small.files[table].bytes < 0.75 * plain.files[table].bytes
    assert small.precision == "int4"


def test_gptq_without_a_tokeniser_says_so(tmp_path, run):
    plain = tiny.make(tmp_path / "plain", "m2m100-base")
    result = run("convert", plain, tmp_path / "out", "--precision", "int4", "--method", "gptq")
    assert result.code == 0
    assert "calibrated with random ids: the model has no tokeniser" in result.err


def test_for_rtranslator(tmp_path, run):
    result = run("convert", "demo", tmp_path / "phone", "--precision", "int8", "--layout", "rtranslator")
    assert (result.code, result.out) == (0, "")
    assert {"NLLB_decoder.onnx", "sentencepiece_bpe.model", "tokenizer.json"} < names(tmp_path / "phone")
    assert "rtranslator layout" in run("inspect", tmp_path / "phone").out
    assert run("translate", "--model", tmp_path / "phone", "--to", "fr", "Hi.").code == 1


def test_an_unknown_layout(tmp_path, run):
    result = run("convert", "demo", tmp_path / "out", "--layout", "android")
    assert (result.code, result.out) == (2, "")
    assert "--layout is 'android'; expected quartet or rtranslator" in result.err
