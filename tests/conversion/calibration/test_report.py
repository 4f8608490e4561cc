"""The report says how far the files are from float32: nothing where they are the same, and as far as they are."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import tiny
import tiny_text
from conversion.calibration.conftest import batch_of
from quartet.conversion.calibration.examples import Examples
from quartet.conversion.calibration.report import Tally, report
from quartet.conversion.calibration.walk import run, walk
from quartet.conversion.convert import convert_folder
from quartet.progress import silent
from quartet.quantize.recipes import QuantizationOptions, recipe_of
from quartet.runtime.engine import open_engine
from quartet.spec import FILES, MANIFEST_NAME, Manifest

SCHEMA = Path(__file__).parents[3] / "src" / "quartet" / "manifest.schema.json"


def made(model_of, variant, precision):
    examples = Examples("text", [batch_of(variant)])
    return report(model_of(variant, precision), recipe_of(precision), examples, silent)


@pytest.mark.parametrize("variant", ["m2m100-base", "m2m100-untied", "marian-base", "marian-separate-sizes"])
def test_float32_differs_by_nothing(variant, model_of):
    found = made(model_of, variant, "fp32")
    assert {entry.file for entry in found.outputs} == set(FILES)
    for entry in (*found.outputs, *found.layers):
        assert entry.largest < 1e-4
        assert entry.magnitude > 0.01


@pytest.mark.parametrize("variant", ["m2m100-base", "marian-base", "marian-separate-sizes"])
def test_fewer_bits_differ_more(variant, model_of):
    eight, four = made(model_of, variant, "int8"), made(model_of, variant, "int4")
    for a, b in zip(eight.layers, four.layers, strict=True):
        assert 0 < a.mean < b.mean < b.largest
        assert (a.file, a.layer, a.magnitude) == (b.file, b.layer, b.magnitude)
    assert len(eight.layers) == 2 + 2 + 2


def test_the_stacks_are_compared_with_the_whole_files(model_of, tmp_path):
    """The encoder's difference is that of the quantised file, run whole on what it gets in float32."""
    variant, batch = "m2m100-base", batch_of("m2m100-base")
    options = QuantizationOptions(method="rtn")
    convert_folder(tiny.make(tmp_path / "whole", variant), tmp_path / "quartet", precision="int4", options=options)
    model = model_of(variant)
    steps = [step for step in walk(model, [batch]) if step.file == "encoder"]
    whole = run(open_engine(tmp_path / "quartet", 1).model().encoder, steps[0].feeds[0])["last_hidden_state"]
    tally = Tally()
    tally.add(steps[-1].hidden(), whole[batch.source_mask > 0])
    found = next(entry for entry in made(model_of, variant, "int4").outputs if entry.file == "encoder")
    assert found.mean == pytest.approx(tally.difference("encoder", "").mean, rel=1e-4)
    assert found.largest == pytest.approx(tally.largest, rel=1e-3)


def test_is_kept_in_the_manifest(tmp_path):
    checkpoint = tiny_text.make(tmp_path / "checkpoint")
    manifest = convert_folder(checkpoint, tmp_path / "quartet", precision="int8", report=True)
    assert manifest.report is not None
    assert manifest.report.inputs == "text"
    assert manifest.report.sentences > 20
    assert Manifest.load(tmp_path / "quartet") == manifest
    jsonschema.validate(json.loads((tmp_path / "quartet" / MANIFEST_NAME).read_text()), json.loads(SCHEMA.read_text()))
    assert convert_folder(checkpoint, tmp_path / "plain", precision="int8").report is None


def test_random_ids_are_called_so(tmp_path):
    checkpoint = tiny.make(tmp_path / "checkpoint", "marian-separate-sizes")
    manifest = convert_folder(checkpoint, tmp_path / "quartet", precision="int4", report=True)
    assert manifest.report is not None
    assert manifest.report.inputs == "random ids"
    assert manifest.report == convert_folder(checkpoint, tmp_path / "again", precision="int4", report=True).report


def test_tally():
    tally = Tally()
    assert tally.difference("f", "o").relative == 0
    tally.add(np.array([1.0, -3.0], np.float32), np.array([1.0, -1.0], np.float32))
    tally.add(np.array([4.0, 4.0], np.float32), np.array([4.0, 4.0], np.float32))
    found = tally.difference("f", "o", 2)
    assert (found.largest, found.mean, found.magnitude, found.layer) == (2, 0.5, 3, 2)
    assert found.relative == pytest.approx(1 / 6)
