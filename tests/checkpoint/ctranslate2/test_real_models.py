"""Real models through CTranslate2's converters and back: they hold exactly what the checkpoints hold."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quartet.checkpoint import open_checkpoint, opened, read
from quartet.conversion.convert import convert_folder

pytestmark = pytest.mark.oracle
pytest.importorskip("ctranslate2", reason="needs the oracle extra")
pytest.importorskip("transformers", reason="needs the oracle extra")

from ctranslate2.converters import TransformersConverter  # noqa: E402 - it imports torch

HALF_A_STEP = 0.5001 / 127  # of int8, in units of a row's largest value


def through_ctranslate2(checkpoint: Path, folder: Path, kind: str) -> Path:
    TransformersConverter(str(checkpoint)).convert(str(folder), quantization=kind)
    return folder


def test_opus_mt_through_ctranslate2_is_the_same_quartet(opus_mt, tmp_path):
    """Byte for byte: graphs, weights and SentencePiece models; and with them every token."""
    folder = through_ctranslate2(opus_mt, tmp_path / "opus-mt-en-fr", "float32")
    for name in ("source.spm", "target.spm"):
        shutil.copyfile(opus_mt / name, folder / name)
    direct = convert_folder(opus_mt, tmp_path / "direct", precision="fp32")
    found = convert_folder(folder, tmp_path / "found", precision="fp32")
    assert {name for name in direct.files if direct.files[name] != found.files[name]} <= {"vocab.json"}
    for part in ("shapes", "tokens", "generation", "source_prompt", "target_prompt", "languages", "tokenizer"):
        assert getattr(found, part) == getattr(direct, part)


def test_whisper_through_ctranslate2_is_the_same_quartet(whisper_base, tmp_path):
    """As faster-whisper's folders are: with a `tokenizer.json` beside the model."""
    folder = through_ctranslate2(whisper_base, tmp_path / "whisper-base", "float16")
    shutil.copyfile(whisper_base / "tokenizer.json", folder / "tokenizer.json")
    direct = convert_folder(whisper_base, tmp_path / "direct", precision="fp32")
    found = convert_folder(folder, tmp_path / "found", precision="fp32")
    assert found.files == direct.files
    for part in ("shapes", "tokens", "generation", "target_prompt", "languages", "tokenizer"):
        assert getattr(found, part) == getattr(direct, part)
    limit = direct.speech.max_initial_timestamp  # transformers' own, which CTranslate2 does not keep
    assert replace(found.speech, max_initial_timestamp=limit) == direct.speech


@pytest.mark.parametrize("kind", ["float16", "float32", "int8"])
def test_whisper_has_the_tensors_of_its_checkpoint(whisper_base, tmp_path, kind):
    expected = open_checkpoint(whisper_base)
    with opened(through_ctranslate2(whisper_base, tmp_path / "whisper", kind)) as checkpoint:
        assert checkpoint.tensors.keys() == expected.tensors.keys()
        for name, entry in expected.tensors.items():
            values, found = read(entry), read(checkpoint.tensors[name])
            scaled = kind == "int8" and values.ndim > 1 and "embed_positions" not in name
            steps = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) * HALF_A_STEP if scaled else 0
            assert (np.abs(found - values) <= steps).all(), name
        config, generation = checkpoint.config, checkpoint.generation_config
    own = expected.config.keys() & config.keys()
    assert len(own) > 15
    assert {key: config[key] for key in own} == {key: expected.config[key] for key in own}
    kept = expected.generation_config.keys() & generation.keys() - {"max_initial_timestamp_index"}
    assert len(kept) > 10
    assert {key: generation[key] for key in kept} == {key: expected.generation_config[key] for key in kept}
