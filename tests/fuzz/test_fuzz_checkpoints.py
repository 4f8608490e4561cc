"""Damaged checkpoints of every kind: converted into a model that runs, or refused with one clear line.

The quick suite makes a few trials of each kind. More by hand, with a tally for each kind and all faults:

    PYTHONPATH=tests python tests/fuzz/test_fuzz_checkpoints.py [TRIALS [SEED [KIND ...]]]
"""

import json
import random
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fuzzing import Tally, damage_file, mutated_json, trials

import ctranslate2_models
import tiny
import tiny_speech
import tiny_text
from checkpoint_files import write_torch_zip
from demo_model import DEMO
from optimum_exports import unpacked
from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.families.whisper import openai_name
from quartet.runtime.engine import open_engine
from quartet.runtime.speech import DecodingOptions, decode_windows, encode_audio

Files = dict[str, bytes]  # by their places in the folder of a checkpoint
MULTILINGUAL = 51_865  # rows of OpenAI's vocabulary
LARGE = 1 << 20  # tokenisers are damaged less often than what is read here


def _safetensors(folder: Path) -> None:
    tiny_text.make(folder)


def _sharded(folder: Path) -> None:
    tiny.make(folder, "m2m100-one-layer", weights="sharded")


def _torch_zip(folder: Path) -> None:
    tiny.make(folder, "marian-one-layer", weights="torch-zip", dtype="float16")


def _torch_stream(folder: Path) -> None:
    tiny.make(folder, "marian-separate-sizes", weights="torch-legacy")


def _t5(folder: Path) -> None:
    tiny.make(folder, "t5-v1.1")


def _whisper(folder: Path) -> None:
    tiny_speech.make(folder, "base")


def _openai(folder: Path) -> None:
    folder.mkdir()
    shape = tiny_speech.replace(tiny_speech.VARIANTS["turbo"], ffn_dim=4 * tiny_speech.VARIANTS["turbo"].d_model)
    tensors = {openai_name(name.removeprefix("model.")): t for name, t in tiny_speech.tensors(shape).items()}
    embedding = np.random.default_rng(1).normal(size=(MULTILINGUAL, shape.d_model))  # the config goes by its size
    tensors["decoder.token_embedding.weight"] = embedding.astype(np.float32)
    dims = {"n_mels": shape.mel_bins, "n_vocab": MULTILINGUAL, "n_audio_ctx": tiny_speech.POSITIONS}
    dims |= {"n_audio_state": shape.d_model, "n_audio_head": shape.heads, "n_audio_layer": shape.encoder_layers}
    dims |= {"n_text_ctx": tiny_speech.TARGET_POSITIONS, "n_text_state": shape.d_model, "n_text_head": shape.heads}
    dims |= {"n_text_layer": shape.decoder_layers}
    write_torch_zip(folder / "model.pt", tensors, dtype="float16", under="model_state_dict", dims=dims)


def _export(folder: Path) -> None:
    unpacked("marian-base", folder, "two")


def _merged_export_in_8_bits(folder: Path) -> None:
    unpacked("m2m100-base-merged-int8", folder)


def _ctranslate2(folder: Path) -> None:
    tokens = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "decoder_start_token": "<s>"}
    ctranslate2_models.write_model(folder, settings=tokens | {"add_source_eos": True, "layer_norm_epsilon": 1e-5})
    embedding = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    modules = ("encoder/embeddings_0", "decoder/embeddings", "decoder/projection")
    variables = ctranslate2_models.variables() | {f"{module}/weight": embedding for module in modules}
    ctranslate2_models.write_model_bin(folder / "model.bin", variables)


def _ctranslate2_fixture(folder: Path, name: str, dtype: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(ctranslate2_models.unpack(Path(scratch), name) / dtype, folder)


def _ctranslate2_m2m100(folder: Path) -> None:
    _ctranslate2_fixture(folder, "m2m100-one-layer", "int8_float16")


def _ctranslate2_whisper(folder: Path) -> None:
    _ctranslate2_fixture(folder, "whisper", "int8")


def _argos(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "en_fr"
        _argos_unpacked(package)
        folder.mkdir()
        with zipfile.ZipFile(folder / "model.argosmodel", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in (*package.iterdir(), *(package / "model").iterdir()):
                archive.write(path, path.relative_to(scratch))


def _argos_unpacked(folder: Path) -> None:
    folder.mkdir()
    _ctranslate2(folder / "model")
    (folder / "metadata.json").write_text(json.dumps({"type": "translate", "from_code": "en", "to_code": "fr"}))
    shutil.copy(DEMO / "sentencepiece.bpe.model", folder / "sentencepiece.model")


KINDS: dict[str, Callable[[Path], None]] = {
    "safetensors": _safetensors,
    "sharded": _sharded,
    "torch-zip": _torch_zip,
    "torch-stream": _torch_stream,
    "t5": _t5,
    "whisper": _whisper,
    "openai": _openai,
    "export": _export,
    "export-int8": _merged_export_in_8_bits,
    "ctranslate2": _ctranslate2,
    "ctranslate2-m2m100": _ctranslate2_m2m100,
    "ctranslate2-whisper": _ctranslate2_whisper,
    "argos": _argos,
    "argos-unpacked": _argos_unpacked,
}
SINGLE_FILES = {"openai": "model.pt", "argos": "model.argosmodel"}


def files_of(kind: str) -> Files:
    """A sound checkpoint of a kind."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / kind
        KINDS[kind](folder)
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fuzz(kind: str, count: int, seed: int, tally: Tally) -> None:
    """Damage and convert `count` checkpoints of a kind."""
    files = files_of(kind)
    for number in range(seed, seed + count):
        with tempfile.TemporaryDirectory(prefix="quartet-fuzz-") as scratch:
            rng = random.Random(f"{kind} {number}")
            source, out = Path(scratch) / "checkpoint", Path(scratch) / "out"
            what = _damaged(files, source, rng)
            if kind in SINGLE_FILES:
                source /= SINGLE_FILES[kind]
            tally.trial(f"{kind} {number} ({what})", lambda source=source, out=out: _convert_and_run(source, out))
            left = {path.name for path in Path(scratch).iterdir()} - {"checkpoint", "out"}
            if left or (out.exists() and not (out / "quartet.json").is_file()):
                tally.faults.append(f"{kind} {number} ({what}): leaves {left or 'half a model'} behind")


def _damaged(files: Files, folder: Path, rng: random.Random) -> str:
    """Write the files into the folder, one or two of them damaged; says how."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    names = sorted(name for name in files if len(files[name]) < LARGE or len(files) == 1 or rng.random() < 0.2)
    done = []
    for name in rng.sample(names, k=min(len(names), rng.choice((1, 1, 1, 2)))):
        if name.endswith(".json") and rng.random() < 0.75:
            (folder / name).write_text(json.dumps(mutated_json(json.loads(files[name]), rng)))
            done.append(f"{name}: JSON")
        else:
            done.append(damage_file(folder / name, rng))
    return ", ".join(done)


def _convert_and_run(source: Path, out: Path) -> None:
    """Convert, and let the model say something."""
    manifest = convert_folder(source, out, precision="fp32")
    if manifest.speech is None:
        with Translator(out, threads=1) as translator:
            translator.generate([[2, 3, manifest.tokens.eos]], max_new_tokens=6, beam_size=1)
        return
    model = open_engine(out, 1).model()
    frames = np.zeros((1, manifest.speech.mel_bins, manifest.speech.window_frames), np.float32)
    prompt = [manifest.tokens.decoder_start]
    has_timestamps = manifest.speech.timestamp_begin < manifest.shapes.vocab_size
    options = DecodingOptions(timestamps=has_timestamps, max_new_tokens=4)
    decode_windows(model, encode_audio(model, frames), [prompt], options)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_checkpoints(kind: str) -> None:
    tally = Tally()
    fuzz(kind, trials(3), 0, tally)
    assert not tally.faults, "\n".join(tally.faults)
    assert tally.tried == trials(3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_one_converts(kind: str, tmp_path: Path) -> None:
    """What the others are damaged copies of."""
    for name, content in files_of(kind).items():
        path = tmp_path / "checkpoint" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    _convert_and_run(tmp_path / "checkpoint" / SINGLE_FILES.get(kind, ""), tmp_path / "out")
    shutil.rmtree(tmp_path / "out")


if __name__ == "__main__":
    count, seed, *kinds = [*sys.argv[1:3], *("100", "0")[len(sys.argv[1:3]) :], *sys.argv[3:]]
    for kind in kinds or KINDS:
        tally = Tally()
        fuzz(kind, int(count), int(seed), tally)
        print(f"{kind}: {tally}", flush=True)
        print("\n".join(tally.faults), flush=True)
