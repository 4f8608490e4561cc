"""From a checkpoint to a quartet: all formats give the same files, all problems are told, nothing is left half done."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import tiny
import tiny_text
from checkpoint_files import write_safetensors
from quartet import Translator, convert
from quartet.conversion.convert import convert_folder
from quartet.errors import CheckpointError, ManifestError, OptionError, OutputError
from quartet.graph import writer
from quartet.runtime.engine import check_files
from quartet.spec import MANIFEST_NAME, Generation, Manifest, Origin

BASES = {"m2m100": "m2m100-base", "marian": "marian-base"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ---- formats ----


@pytest.fixture(scope="module", params=BASES.values(), ids=BASES)
def reference(request, tmp_path_factory):
    """(variant, manifest, tokens) of the plain float32 safetensors checkpoint."""
    folder = tmp_path_factory.mktemp("reference")
    manifest = convert_folder(tiny.make(folder / "checkpoint", request.param), folder / "quartet")
    return request.param, manifest, generated(folder / "quartet", request.param)


def generated(folder: Path, variant: str) -> list[list[int]]:
    with Translator(folder, threads=1) as translator:
        bos = tiny.forced_bos(variant)
        prefix = [translator.manifest.tokens.decoder_start, *([] if bos is None else [bos])]
        return translator.generate(tiny.inputs(variant), prefix)


@pytest.mark.parametrize("dtype", tiny.DTYPES)
@pytest.mark.parametrize("weights", tiny.WEIGHTS)
def test_every_format_and_type_gives_the_same_files(reference, weights, dtype, tmp_path):
    variant, expected, tokens = reference
    checkpoint = tiny.make(tmp_path / "checkpoint", variant, weights=weights, dtype=dtype)
    manifest = convert_folder(checkpoint, tmp_path / "quartet")
    assert manifest.files == expected.files
    assert generated(tmp_path / "quartet", variant) == tokens
    assert len({tuple(row) for row in tokens}) > 1


# ---- the manifest ----


def test_what_is_returned_is_what_is_saved(tmp_path):
    checkpoint = tiny_text.make(tmp_path / "checkpoint")
    origin = Origin("org/name", "c0ffee", "MIT")
    manifest = convert_folder(checkpoint, tmp_path / "quartet", origin=origin)
    assert Manifest.load(tmp_path / "quartet") == manifest
    assert (manifest.name, manifest.revision, manifest.license) == ("org/name", "c0ffee", "MIT")
    assert (manifest.family, manifest.precision, manifest.layout) == ("m2m100", "int4", "quartet")
    assert manifest.shapes.max_source_length == 64
    assert manifest.tokens.decoder_start == manifest.tokens.eos == 2
    assert [language.code for language in manifest.languages] == ["eng_Latn", "fra_Latn"]
    assert set(manifest.files) == names(tmp_path / "quartet") - {MANIFEST_NAME}
    check_files(tmp_path / "quartet", manifest, hashes=True)


def test_the_public_function_knows_names_and_licences(tmp_path):
    manifest = convert(tiny_text.make(tmp_path / "mine"), tmp_path / "quartet")
    assert (manifest.name, manifest.license) == ("mine", "CC-BY-4.0")


@pytest.mark.parametrize("variant", ["marian-separate-sizes", "m2m100-untied"])
def test_the_manifest_follows_its_schema(variant, tmp_path):
    manifest = convert_folder(tiny.make(tmp_path / "checkpoint", variant), tmp_path / "quartet")
    schema = json.loads((Path(tiny.__file__).parents[1] / "src/quartet/manifest.schema.json").read_text())
    jsonschema.validate(json.loads((tmp_path / "quartet" / MANIFEST_NAME).read_text()), schema)
    source, target = tiny.VARIANTS[variant].vocab_size, tiny.VARIANTS[variant].decoder_vocab_size
    assert manifest.shapes.vocab_size == target
    assert manifest.shapes.source_vocab_size == (source if "separate" in variant else None)


GENERATION = {
    "bad_words_ids": [[98], [4, 5]],
    "begin_suppress_tokens": [7],
    "forced_bos_token_id": 9,
    "forced_eos_token_id": 0,
    "length_penalty": 0.6,
    "max_length": 33,
    "no_repeat_ngram_size": 3,
    "renormalize_logits": True,
    "repetition_penalty": 1.2,
    "suppress_tokens": [6, 8],
}
EXPECTED = Generation(
    max_length=33,
    forced_bos=9,
    forced_eos=0,
    bad_words_ids=((98,), (4, 5)),
    suppress_tokens=(6, 8),
    begin_suppress_tokens=(7,),
    renormalize_logits=True,
    no_repeat_ngram_size=3,
    repetition_penalty=1.2,
    length_penalty=0.6,
)


@pytest.mark.parametrize("home", ["generation_config.json", "config.json"])
def test_generation_settings_of_new_and_older_checkpoints(home, tmp_path):
    checkpoint = tiny.make(tmp_path / "checkpoint", "marian-base")
    (checkpoint / "generation_config.json").unlink()
    config = json.loads((checkpoint / "config.json").read_text()) if home == "config.json" else {}
    (checkpoint / home).write_text(json.dumps(config | GENERATION))
    convert_folder(checkpoint, tmp_path / "quartet")
    assert Manifest.load(tmp_path / "quartet").generation == EXPECTED


def test_without_a_tokeniser_the_model_runs_on_ids(tmp_path):
    manifest = convert_folder(tiny.make(tmp_path / "plain", "m2m100-base"), tmp_path / "quartet")
    assert (manifest.tokenizer, manifest.languages) == (None, ())
    with Translator(tmp_path / "quartet", threads=1) as translator:
        assert any(translator.generate(tiny.inputs("m2m100-base"), [2, tiny.forced_bos("m2m100-base")]))
        for call in (translator.translate, translator.stream):
            with pytest.raises(OptionError, match=r"plain has no tokeniser: generate\(\) takes ids"):
                call("Hello.", target="fr")


# ---- tensors ----


def changed(folder: Path, variant: str, **tensors: np.ndarray | None) -> Path:
    """A checkpoint with tensors added or, where None, left out; `__` stands for the dot."""
    tiny.make(folder, variant)
    made = tiny.tensors(tiny.VARIANTS[variant])
    for name, tensor in tensors.items():
        if tensor is None:
            del made[name.replace("__", ".")]
        else:
            made[name.replace("__", ".")] = tensor
    write_safetensors(folder / "model.safetensors", made)
    return folder


def table_of(variant: str) -> np.ndarray:
    """The embedding that both sides and the head share."""
    return tiny.tensors(tiny.VARIANTS[variant])["model.shared.weight"]


@pytest.mark.parametrize("variant", BASES.values())
def test_equal_duplicates_of_tied_tensors_are_accepted(variant, reference, tmp_path):
    table = table_of(variant)
    checkpoint = changed(
        tmp_path / "c", variant, lm_head__weight=table, model__decoder__embed_tokens__weight=table.copy()
    )
    manifest = convert_folder(checkpoint, tmp_path / "quartet")
    if variant == reference[0]:
        assert manifest.files == reference[1].files


@pytest.mark.parametrize("name", ["lm_head", "model__encoder__embed_tokens"])
def test_duplicates_that_differ_are_refused(name, tmp_path):
    table = table_of("m2m100-base").copy()
    table[-1, -1] += 1
    checkpoint = changed(tmp_path / "c", "m2m100-base", **{f"{name}__weight": table})
    wanted = f"{name.replace('__', '.')}.weight: differs from model.shared.weight, to which it is tied"
    with pytest.raises(CheckpointError, match=wanted):
        convert_folder(checkpoint, tmp_path / "quartet")


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("m2m100-base", "model__encoder__embed_positions__weights"),
        ("m2m100-base", "model__decoder__embed_positions__weight"),
        ("marian-base", "model__encoder__embed_positions__weight"),
    ],
)
def test_sinusoidal_tables_may_be_left_over(variant, name, tmp_path):
    convert_folder(changed(tmp_path / "c", variant, **{name: np.zeros((64, 32), np.float32)}), tmp_path / "quartet")
    assert (tmp_path / "quartet" / MANIFEST_NAME).is_file()


def test_all_that_does_not_fit_is_listed_at_once(tmp_path):
    checkpoint = changed(
        tmp_path / "c",
        "marian-base",
        model__decoder__layers__0__fc1__weight=None,
        model__decoder__layers__1__encoder_attn__k_proj__bias=None,
        model__encoder__layers__2__fc1__weight=np.zeros((64, 32), np.float32),
        final_logits_bias=np.zeros((1, 98), np.float32),
    )
    with pytest.raises(CheckpointError) as caught:
        convert_folder(checkpoint, tmp_path / "below" / "quartet")
    for problem in (
        "model.decoder.layers.0.fc1.weight: missing",
        "model.decoder.layers.1.encoder_attn.k_proj.bias: missing",
        "model.encoder.layers.2.fc1.weight: left over",
        "final_logits_bias: shape [1, 98], expected [1, 99]",
    ):
        assert str(caught.value).count(problem) == 1
    assert names(tmp_path) == {"c"}


# ---- the output folder ----


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return tiny.make(tmp_path / "checkpoint", "m2m100-base")


@pytest.fixture
def old(tmp_path) -> Manifest:
    """A quartet that is there already."""
    return convert_folder(tiny.make(tmp_path / "older", "marian-base"), tmp_path / "quartet")


def test_force_replaces_a_quartet_and_nothing_else(checkpoint, old, tmp_path):
    with pytest.raises(OutputError, match="force=True"):
        convert_folder(checkpoint, tmp_path / "quartet")
    convert_folder(checkpoint, tmp_path / "quartet", force=True)
    assert Manifest.load(tmp_path / "quartet").family == "m2m100"
    with pytest.raises(OutputError, match="holds other files"):
        convert_folder(checkpoint, tmp_path / "older", force=True)
    assert names(tmp_path) == {"checkpoint", "older", "quartet"}


def test_progress_counts_up_to_all_bytes(checkpoint, tmp_path):
    told = []
    manifest = convert_folder(checkpoint, tmp_path / "quartet", progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == {total for _, total in told}.pop()
    data = sum(entry.bytes for name, entry in manifest.files.items() if name.endswith(".data"))
    assert told[-1][1] <= data, "padding is not counted"


def refuse(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["write", "verify", "move"])
def test_a_failure_at_any_step_leaves_the_old_quartet(step, checkpoint, old, tmp_path, monkeypatch):
    if step == "write":
        monkeypatch.setattr(writer, "write", refuse)
    elif step == "verify":
        monkeypatch.setattr("quartet.conversion.verify.verify", refuse)
    else:
        monkeypatch.setattr("quartet.staging._exchange", refuse)
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/quartet: No space left"):
        convert_folder(checkpoint, tmp_path / "quartet", force=True)
    assert Manifest.load(tmp_path / "quartet") == old
    check_files(tmp_path / "quartet", old, hashes=True)
    assert names(tmp_path) == {"checkpoint", "older", "quartet"}


def test_a_folder_that_appears_meanwhile_is_left_alone(checkpoint, tmp_path):
    def somebody_else_writes(done: int, total: int) -> None:
        (tmp_path / "quartet").mkdir(exist_ok=True)
        (tmp_path / "quartet" / "thesis.txt").write_text("mine")

    with pytest.raises(OutputError, match="holds other files"):
        convert_folder(checkpoint, tmp_path / "quartet", progress=somebody_else_writes)
    assert names(tmp_path / "quartet") == {"thesis.txt"}
    assert names(tmp_path) == {"checkpoint", "quartet"}


CONVERT_FOR_EVER = """
import sys
from pathlib import Path
from quartet.conversion.convert import convert_folder

print("ready", flush=True)
while True:
    convert_folder(Path(sys.argv[1]), Path(sys.argv[2]), force=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_conversion_leaves_all_or_nothing(seed, checkpoint, tmp_path):
    """SIGKILL at a random moment of a series of conversions into the same place."""
    out = tmp_path / "quartet"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", CONVERT_FOR_EVER, str(checkpoint), str(out)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        time.sleep(random.Random(seed).uniform(0, 0.2))
        child.kill()
    if out.exists():
        check_files(out, Manifest.load(out), hashes=True)
    else:
        with pytest.raises(ManifestError, match="is not a quartet"):
            Manifest.load(out)
    manifest = convert_folder(checkpoint, out, force=True)
    check_files(out, manifest, hashes=True)
    assert {name for name in names(tmp_path) if not name.startswith(".")} == {"checkpoint", "quartet"}


def test_a_link_is_followed(checkpoint, old, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "quartet", target_is_directory=True)
    convert_folder(checkpoint, tmp_path / "link", force=True)
    assert Manifest.load(tmp_path / "link").family == "m2m100"
    assert Manifest.load(tmp_path / "quartet").family == "m2m100"
    assert names(tmp_path) == {"checkpoint", "older", "quartet", "link"}
