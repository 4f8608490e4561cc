"""A choice of bits through the whole conversion: no byte more, the same every time, and only where it is better."""

import json
import logging
from dataclasses import replace

import pytest

import tiny_text
from quartet import Translator
from quartet.conversion.calibration import recipe_search
from quartet.conversion.calibration.examples import HELD_OUT, bundled_sentences, without_held_out
from quartet.conversion.convert import convert_folder
from quartet.quantize.recipes import RECIPES, QuantizationOptions
from quartet.runtime.engine import check_files
from quartet.spec import MANIFEST_NAME, Manifest


@pytest.fixture(autouse=True, scope="module")
def no_model_is_too_small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe_search, "FEWEST_WEIGHTS", 0)
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_text.make(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="module")
def fixed(checkpoint):
    """What the recipe gives, with nothing to choose."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "int4", replace(RECIPES["int4"], choices=()))
        return convert_folder(checkpoint, checkpoint.parent / "fixed")


def size(manifest):
    return sum(entry.bytes for name, entry in manifest.files.items() if name.endswith(".data"))


def test_a_choice_takes_no_byte_more_and_is_the_same_every_time(checkpoint, fixed, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe_search, "BETTER", float("inf"))
    once, again = (convert_folder(checkpoint, tmp_path / name) for name in ("once", "again"))
    assert once == again
    assert once.choice is not None
    assert once.choice.matrices
    assert size(once) <= size(fixed)
    assert once.files != fixed.files
    check_files(tmp_path / "once", once, hashes=True)
    assert {path.name for path in (tmp_path / "once").iterdir()} == once.files.keys() | {MANIFEST_NAME}
    assert Manifest.load(tmp_path / "once") == once
    with Translator(tmp_path / "once", threads=1) as translator:
        assert translator.generate([[5, 6, 2]], max_new_tokens=4)


def test_the_recipe_stays_where_a_choice_is_not_better(checkpoint, fixed, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe_search, "BETTER", 0.0)
    found = convert_folder(checkpoint, tmp_path / "quartet")
    assert found.files == fixed.files
    assert found.choice is not None
    assert found.choice.matrices == ()
    assert replace(found, choice=None) == fixed


@pytest.mark.parametrize("options", [QuantizationOptions(method="mse"), QuantizationOptions(method="rtn")])
def test_other_methods_choose_nothing(options, checkpoint, tmp_path):
    assert convert_folder(checkpoint, tmp_path / "quartet", options=options).choice is None


def test_a_block_size_that_was_asked_for_is_kept(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe_search, "BETTER", float("inf"))
    found = convert_folder(checkpoint, tmp_path / "quartet", options=QuantizationOptions(block_size=16))
    assert {matrix.block_size for matrix in found.choice.matrices} == {16}


def test_what_would_take_too_long_is_not_tried_and_said(checkpoint, fixed, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(recipe_search, "MOST_PRODUCTS", 1)
    with caplog.at_level(logging.INFO, "quartet"):
        found = convert_folder(checkpoint, tmp_path / "quartet")
    assert found == fixed
    assert "would take too long" in caplog.text


def test_an_older_reader_ignores_the_choice(checkpoint, tmp_path):
    manifest = convert_folder(checkpoint, tmp_path / "quartet")
    data = json.loads((tmp_path / "quartet" / MANIFEST_NAME).read_text("utf-8"))
    assert data["format_version"].startswith("2.")
    del data["choice"], data["digest"]
    (tmp_path / "quartet" / MANIFEST_NAME).write_text(json.dumps(data), "utf-8")
    assert Manifest.load(tmp_path / "quartet") == replace(manifest, choice=None)


def test_held_out_sentences_are_in_no_calibration():
    calibrated, held_out = bundled_sentences(), bundled_sentences("held_out.tsv")
    assert calibrated.keys() == held_out.keys()
    for language, sentences in held_out.items():
        assert len(sentences) == HELD_OUT
        assert not set(sentences) & set(calibrated[language])


@pytest.mark.parametrize(("count", "kept"), [(1, 0), (159, 0), (160, 40), (1000, 40)])
def test_a_long_text_is_divided(count, kept):
    lines = [f"line {i}" for i in range(count)]
    calibration, held_out = without_held_out(lines)
    assert len(held_out) == kept
    assert sorted(calibration + held_out) == sorted(lines)
