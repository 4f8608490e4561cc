"""Which stand-ins a model copies, as conversion finds out."""

from dataclasses import replace
from pathlib import Path

import pytest

import tiny_text
from quartet import provision
from quartet.conversion.convert import convert_folder
from quartet.conversion.stand_ins import copied_stand_ins
from quartet.spec import Manifest
from quartet.text.stand_ins import NAMES


@pytest.fixture(scope="module")
def demo() -> Path:
    return provision.ready("demo", precision="int4")


def test_the_demo_model_copies_names_first(demo):
    found = Manifest.load(demo).stand_ins
    assert found[0] in NAMES
    assert "X1" not in found


def test_a_model_of_which_nothing_can_be_asked(demo):
    manifest = Manifest.load(demo)
    assert copied_stand_ins(demo, replace(manifest, tokenizer=None)) is None
    nameless = tuple(replace(language, code="xx") for language in manifest.languages)
    assert copied_stand_ins(demo, replace(manifest, languages=nameless)) is None


def test_a_model_that_copies_nothing_has_none(tmp_path):
    manifest = convert_folder(tiny_text.make(tmp_path / "checkpoint"), tmp_path / "quartet", precision="fp32")
    assert manifest.stand_ins is None, "not asked where the recipe runs nothing"
    assert copied_stand_ins(tmp_path / "quartet", manifest) == ()
