import dataclasses
import json
from importlib.resources import files

import jsonschema
import pytest

import tiny
import tiny_speech
from quartet.conversion.convert import convert_folder
from quartet.errors import ManifestError
from quartet.runtime.engine import open_engine
from quartet.spec import FORMAT_VERSION, MANIFEST_NAME, Manifest


@pytest.fixture
def folder(tmp_path):
    convert_folder(tiny.make(tmp_path / "checkpoint", "marian-base"), tmp_path / "quartet")
    return tmp_path / "quartet"


def change(folder, **changes):
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def schema():
    return json.loads(files("quartet").joinpath("manifest.schema.json").read_text())


@pytest.mark.parametrize("variant", ["marian-base", "m2m100-base"])
def test_manifest_fits_its_schema_and_survives_a_round_trip(tmp_path, variant):
    manifest = convert_folder(tiny.make(tmp_path / "checkpoint", variant), tmp_path / "quartet")
    data = json.loads((tmp_path / "quartet" / MANIFEST_NAME).read_text())
    jsonschema.validate(data, schema())
    assert Manifest.load(tmp_path / "quartet") == manifest


@pytest.mark.parametrize("variant", ["base", "english"])
def test_manifest_of_a_speech_model_fits_its_schema_and_survives_a_round_trip(tmp_path, variant):
    manifest = convert_folder(tiny_speech.make(tmp_path / "checkpoint", variant), tmp_path / "quartet")
    jsonschema.validate(json.loads((tmp_path / "quartet" / MANIFEST_NAME).read_text()), schema())
    assert Manifest.load(tmp_path / "quartet") == manifest
    assert manifest.speech.multilingual == bool(manifest.languages) == (variant == "base")


def test_manifest_with_tokeniser_fits_its_schema(tmp_path, demo_checkpoint):
    manifest = convert_folder(demo_checkpoint, tmp_path / "quartet", precision="int8")
    jsonschema.validate(json.loads((tmp_path / "quartet" / MANIFEST_NAME).read_text()), schema())
    assert Manifest.load(tmp_path / "quartet") == manifest


def test_the_schema_names_every_field():
    properties = schema()["properties"]
    assert properties.keys() == {f.name for f in dataclasses.fields(Manifest)}


def test_a_newer_minor_version_may_say_more(folder):
    major = FORMAT_VERSION.split(".")[0]
    change(folder, format_version=f"{major}.99", something_new=1)
    assert Manifest.load(folder).family == "marian"


def test_a_newer_major_version_is_refused_by_name(folder):
    change(folder, format_version="99.0")
    with pytest.raises(ManifestError, match=r"format version 99\.0.*reads 2\.2"):
        Manifest.load(folder)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ManifestError, match=r"is not a quartet: it has no quartet\.json"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format_version": "x"}', '{"format_version": "1.0"}', "\0"])
def test_a_damaged_manifest_is_named(folder, text):
    (folder / MANIFEST_NAME).write_text(text)
    with pytest.raises(ManifestError, match=r"quartet\.json is damaged"):
        Manifest.load(folder)


@pytest.mark.parametrize("changes", [{"format_version": "1.1"}, {"format_version": "1.0", "embedding": None}])
def test_files_of_an_older_format_are_not_played(folder, changes):
    """Their decoders take one token at a time."""
    change(folder, **changes)
    with pytest.raises(ManifestError, match="made by an older quartet; convert the model again"):
        open_engine(folder, threads=1).model()
