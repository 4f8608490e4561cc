import dataclasses
import json
import os
from importlib.resources import files

import jsonschema
import pytest

import tiny
import tiny_speech
from quartet.conversion.convert import convert_folder
from quartet.errors import ManifestError
from quartet.runtime.engine import open_engine
from quartet.spec import FORMAT_VERSION, MANIFEST_NAME, Manifest, file_in


@pytest.fixture
def folder(tmp_path):
    convert_folder(tiny.make(tmp_path / "checkpoint", "marian-base"), tmp_path / "quartet")
    return tmp_path / "quartet"


def change(folder, **changes):
    path = folder / MANIFEST_NAME
    data = json.loads(path.read_text()) | changes
    del data["digest"]  # as who changes it on purpose does
    path.write_text(json.dumps(data))


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
    assert properties.keys() == {f.name for f in dataclasses.fields(Manifest)} | {"digest"}


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


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0", '{"a": NaN}', "[" * 100_000, '{"a": -Infinity}'])
def test_a_damaged_manifest_is_named(folder, text):
    (folder / MANIFEST_NAME).write_text(text)
    with pytest.raises(ManifestError, match=r"quartet\.json is damaged: [^\n]*$"):
        Manifest.load(folder)


def test_a_change_by_accident_is_noticed(folder):
    path = folder / MANIFEST_NAME
    path.write_text(path.read_text().replace('"safe_length": ', '"safe_length": 1'))
    with pytest.raises(ManifestError, match="was changed: its digest is that of other content"):
        Manifest.load(folder)


def test_verification_wants_a_digest(folder):
    change(folder, license="mit")
    assert Manifest.load(folder).license == "mit"
    with pytest.raises(ManifestError, match="was changed"):
        Manifest.load(folder, verify=True)
    change_version = json.loads((folder / MANIFEST_NAME).read_text()) | {"format_version": "2.1"}
    (folder / MANIFEST_NAME).write_text(json.dumps(change_version))
    assert Manifest.load(folder, verify=True).license == "mit"  # it was written before there were any


def test_digests_do_not_hang_on_white_space_and_order(folder):
    path = folder / MANIFEST_NAME
    data = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(data.items())), indent=7))
    assert Manifest.load(folder, verify=True).files


@pytest.mark.parametrize("depth", [300, 900])
def test_what_is_nested_too_deeply_is_refused(folder, depth):
    path = folder / MANIFEST_NAME
    path.write_text(path.read_text().rstrip()[:-1] + ', "more": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(ManifestError, match=r"nested too deeply|was changed"):
        Manifest.load(folder)


def test_a_huge_manifest_is_not_read(folder):
    with (folder / MANIFEST_NAME).open("ab") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ManifestError, match="has more than 16777216 bytes"):
        Manifest.load(folder)


CONTRADICTIONS = {
    ("tokens", "eos"): (99, "field tokens.eos is 99; expected an id below 99, the rows of the vocabulary"),
    ("generation", "suppress_tokens"): ([5, 99], r"field generation.suppress_tokens\[1\] is 99"),
    ("generation", "bad_words_ids"): ([[]], r"field generation.bad_words_ids\[0\] is a list of 0; expected at least"),
    ("generation", "max_length"): (1, "field generation.max_length is 1; expected more than target_prompt has"),
    ("source_prompt",): (["eos"], "field source_prompt names `text` 0 times; expected it once"),
    ("target_prompt",): ([], "field target_prompt is a list of 0; expected one or more words"),
    ("languages",): (
        [{"code": "a", "token_id": None, "source": True, "target": True}] * 2,
        r"field languages\[1\].code is 'a'; expected a code that no other language has",
    ),
    ("shapes", "d_model"): (64, "field embedding.columns is 32; expected 64, as shapes say"),
    ("embedding", "codes"): (10**9, "field embedding.codes is 1000000000; expected [0-9]+ or less: it has 1584 of"),
    ("embedding", "block_size"): (
        None,
        "field embedding.block_size is null; expected a number, as embedding.bits is 4",
    ),
    ("embedding", "bits"): (32, "field embedding.block_size is [0-9]+; expected null, as embedding.bits is 32"),
    ("embedding", "file"): ("x", "field embedding.file is 'x'; expected a file that is among `files`"),
}


@pytest.mark.parametrize("field", CONTRADICTIONS, ids=".".join)
def test_contradictions_are_named(folder, field):
    value, message = CONTRADICTIONS[field]
    data = json.loads((folder / MANIFEST_NAME).read_text())
    inner = data
    for name in field[:-1]:
        inner = inner[name]
    inner[field[-1]] = value
    change(folder, **data)
    with pytest.raises(ManifestError, match=f"quartet.json: {message}"):
        Manifest.load(folder)


def test_graphs_have_to_be_among_the_files(folder):
    entries = json.loads((folder / MANIFEST_NAME).read_text())["files"]
    del entries["decoder.onnx"]
    change(folder, files=entries)
    with pytest.raises(ManifestError, match=r"field files\.decoder\.onnx is missing"):
        open_engine(folder, threads=1)


def test_links_may_not_lead_out_of_the_folder(folder, tmp_path):
    file = folder / "decoder.onnx"
    file.rename(tmp_path / "outside")
    file.symlink_to(tmp_path / "outside")
    with pytest.raises(ManifestError, match=r"decoder\.onnx is a link to .*, out of its folder"):
        open_engine(folder, threads=1)


def test_links_within_the_folder_and_those_of_the_hub_are_followed(folder, tmp_path):
    (tmp_path / "model" / "blobs").mkdir(parents=True)
    snapshot = tmp_path / "model" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for number, file in enumerate(folder.iterdir()):
        file.rename(tmp_path / "model" / "blobs" / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    for name in Manifest.load(snapshot).files:
        assert file_in(snapshot, name).is_file()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_regular_file_is_not_opened(folder):
    (folder / "decoder.onnx").unlink()
    os.mkfifo(folder / "decoder.onnx")
    with pytest.raises(ManifestError, match=r"decoder\.onnx is no regular file"):
        open_engine(folder, threads=1)
    (folder / MANIFEST_NAME).unlink()
    os.mkfifo(folder / MANIFEST_NAME)
    with pytest.raises(ManifestError, match=r"quartet\.json is no regular file"):
        Manifest.load(folder)


@pytest.mark.parametrize("changes", [{"format_version": "1.1"}, {"format_version": "1.0", "embedding": None}])
def test_files_of_an_older_format_are_not_played(folder, changes):
    """Their decoders take one token at a time."""
    change(folder, **changes)
    with pytest.raises(ManifestError, match="made by an older quartet; convert the model again"):
        open_engine(folder, threads=1).model()
