"""`quartet bench`: every part of a translation has its time, and together they are all of it."""

import json

import pytest

from quartet.bench.bytes_per_step import bytes_read, quartet_bytes_per_step


@pytest.fixture
def short(model):
    return ["bench", model, "--sentences", 6, "--threads", 1, "--batch-size", 3]


def test_parts_add_up_to_the_whole(run, short, model):
    result = run(*short, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["parts"].keys() == {"1", "3"}
    for size, parts in found["parts"].items():
        assert sum(part["share"] for part in parts) == pytest.approx(1)
        assert all(part["seconds"] >= 0 for part in parts)
        calls = {part["name"]: part["calls"] for part in parts}
        assert calls["encoder"] == calls["cache_initializer"] == 6 / int(size)
        assert calls["head"] == calls["decoder"] > calls["encoder"]
        read = {part["name"]: part["bytes"] for part in parts}
        assert read["decoder"] + read["head"] == quartet_bytes_per_step(model)
        assert read["encoder"] is None
    assert found["sentences"] == 6
    assert found["cost"]["peak"] > found["cost"]["private"] > 0
    assert bytes_read(model, "decoder") > 0


def test_the_table(run, short, tmp_path):
    (tmp_path / "lines.txt").write_text("Bonjour.\n\nMerci.\n", encoding="utf-8")
    result = run(*short, "--input", tmp_path / "lines.txt", "--from", "fr", "--to", "en", "--batch-size", 1)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert "fr to en, 2 sentences: lines.txt" in lines[0]
    parts = [line.split("  ")[0] for line in lines[lines.index("") + 4 :]]
    assert parts[1:] == ["tokeniser", "encoder", "cache initialiser", "rows of the matrix", "decoder", "head", "search"]
    assert lines[-2].endswith("%"), "the head reads all of its rows: its share of the bandwidth is told"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sentences", 0], "--sentences is 0"),
        (["--batch-size", 0], "--batch-size is 0"),
        (["--from", "de"], "English and French; give lines with --input FILE"),
        (["--to", "de"], "the model has no German"),
        (["--input", "missing.txt"], "--input missing.txt: No such file"),
    ],
)
def test_what_makes_no_sense_is_one_line(run, short, options, message):
    result = run(*short, *options)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_model_that_hears_is_refused(run, tmp_path):
    import tiny_speech_text
    from quartet.conversion.convert import convert_folder

    convert_folder(tiny_speech_text.make(tmp_path / "checkpoint"), tmp_path / "model")
    result = run("bench", tmp_path / "model")
    assert result.code == 2
    assert "hears speech; a model that translates text is expected" in result.err
