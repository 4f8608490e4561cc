"""What does not fit in a checkpoint is told in one line, and not in kilobytes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
import tiny_speech
from checkpoint_files import write_safetensors
from quartet.conversion.convert import convert_folder
from quartet.errors import CheckpointError, UnsupportedModelError


def refused(folder: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        convert_folder(folder, folder.parent / "out", precision="fp32")
    assert len(str(caught.value).removeprefix(str(folder))) < 1200
    assert "\n" not in str(caught.value)
    assert not (folder.parent / "out").exists()


def changed(folder: Path, file: str, **changes: Any) -> Path:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def renamed(folder: Path, variant: str, prefix: str) -> Path:
    """A checkpoint whose tensors have other names."""
    tiny.make(folder, variant)
    tensors = tiny.tensors(tiny.VARIANTS[variant])
    write_safetensors(folder / "model.safetensors", {f"{prefix}{name}": t for name, t in tensors.items()})
    return folder


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
@pytest.mark.parametrize("variant", ["m2m100-one-layer", "marian-one-layer", "t5-v1.0"])
def test_wrapped_names_give_the_same_model(variant: str, prefix: str, tmp_path: Path) -> None:
    plain = convert_folder(tiny.make(tmp_path / "plain", variant), tmp_path / "a", precision="fp32")
    wrapped = convert_folder(renamed(tmp_path / "wrapped", variant, prefix), tmp_path / "b", precision="fp32")
    assert wrapped.files == plain.files


def test_names_of_another_kind_are_not_all_listed(tmp_path: Path) -> None:
    refused(renamed(tmp_path / "c", "m2m100-base", "transformer."), r"do not fit config\.json: .*; and \d+ more$")


def test_long_names_are_cut(tmp_path: Path) -> None:
    folder = tiny.make(tmp_path / "c", "marian-base")
    extra = {f"{i}{'x' * 5000}": np.zeros(1, np.float32) for i in range(9)}
    write_safetensors(folder / "model.safetensors", tiny.tensors(tiny.VARIANTS["marian-base"]) | extra)
    refused(folder, r"left over|xxx\.\.\.; and 3 more$")


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_half_a_model(side: str, tmp_path: Path) -> None:
    """Such as T5EncoderModel, WhisperForAudioClassification or MarianForCausalLM."""
    folder = changed(tiny.make(tmp_path / "c", "t5-v1.0"), "config.json", architectures=["T5EncoderModel"])
    tensors = {name: t for name, t in tiny.tensors(tiny.VARIANTS["t5-v1.0"]).items() if not name.startswith(side)}
    write_safetensors(folder / "model.safetensors", tensors)
    refused(folder, rf"the model \(\['T5EncoderModel'\]\) has no {side}; encoder and decoder are needed")


@pytest.mark.parametrize("model_type", ["clip", "llama", "bert", "gpt2", ["t5"], {"a": 1}, 5, "x" * 9999])
def test_models_of_other_kinds(model_type: Any, tmp_path: Path) -> None:
    folder = changed(tiny.make(tmp_path / "c", "marian-base"), "config.json", model_type=model_type)
    refused(folder, r"model_type .* is not supported; supported are m2m_100, marian")


CONFIG = [
    ("tie_word_embeddings", "yes", "true or false"),
    ("scale_embedding", 1, "true or false"),
    ("d_model", 10**30, "a whole number from 1 to 65536"),
    ("d_model", True, "a whole number from 1 to 65536"),
    ("encoder_layers", 10**9, "a whole number from 1 to 1024"),
    ("vocab_size", -5, "a whole number from 1 to"),
    ("vocab_size", "99" * 9999, "a whole number from 1 to"),
    ("activation_function", ["relu"], "activation .* is not supported"),
    ("eos_token_id", 99, "the end token has id 99, which the vocabulary of 99 tokens does not have"),
    ("decoder_start_token_id", 10**30, r"start token has id 10+, which the vocabulary"),
]


@pytest.mark.parametrize(("key", "value", "message"), CONFIG)
def test_values_of_the_config(key: str, value: Any, message: str, tmp_path: Path) -> None:
    folder = tiny.make(tmp_path / "c", "marian-base")
    if key.endswith("_id"):
        changed(folder, "generation_config.json", **{key: value})
    refused(changed(folder, "config.json", **{key: value}), message)


GENERATION = [
    ("bad_words_ids", [5], r"has bad_words_ids = \[5\]; words are expected, each a list of ids: \[\[5\], \[7\]\]"),
    ("bad_words_ids", [["a"]], "a list of ids is expected"),
    ("bad_words_ids", [[990]], "bad_words_ids has id 990, which the vocabulary"),
    ("suppress_tokens", 7, "a list of ids is expected"),
    ("suppress_tokens", [-1], "a list of ids is expected"),
    ("forced_bos_token_id", "</s>", "a list of ids is expected"),
    ("forced_eos_token_id", [1, 2], "one id is expected"),
    ("repetition_penalty", 0, "a number above 0"),
    ("repetition_penalty", float("nan"), "a number above 0"),
    ("length_penalty", float("inf"), "a number is expected"),
    ("no_repeat_ngram_size", -1, "a whole number, 0 or more"),
    ("max_length", 3.5, "a whole number, 0 or more"),
]


@pytest.mark.parametrize(("key", "value", "message"), GENERATION)
def test_values_of_the_generation_config(key: str, value: Any, message: str, tmp_path: Path) -> None:
    folder = tiny.make(tmp_path / "c", "marian-base")
    refused(changed(folder, "generation_config.json", **{key: value}), message)


SPEECH = [
    ("lang_to_id", [1, 2], "ids by name are expected"),
    ("lang_to_id", {"<|en|>": "41"}, "a list of ids is expected"),
    ("lang_to_id", {"<|en|>": 4000}, "the token of language en has id 4000"),
    ("task_to_id", {"transcribe": 46}, r"it has to name \['transcribe', 'translate'\]"),
    ("alignment_heads", [[9, 0]], "pairs of layer and head are expected, below 2 and 4"),
    ("alignment_heads", [1, 2], "a list of ids is expected"),
    ("no_timestamps_token_id", 4000, "no_timestamps has id 4000"),
    ("is_multilingual", "no", "true or false"),
]


@pytest.mark.parametrize(("key", "value", "message"), SPEECH)
def test_values_of_a_speech_models_generation_config(key: str, value: Any, message: str, tmp_path: Path) -> None:
    folder = tiny_speech.make(tmp_path / "c", "base")
    refused(changed(folder, "generation_config.json", **{key: value}), message)


@pytest.mark.parametrize("key", ["eos_token_id", "decoder_start_token_id", "pad_token_id"])
def test_ids_in_the_other_config_and_as_lists_give_the_same_model(key: str, tmp_path: Path) -> None:
    plain = convert_folder(tiny.make(tmp_path / "plain", "t5-v1.0"), tmp_path / "a", precision="fp32")
    folder = tiny.make(tmp_path / "c", "t5-v1.0")
    config = json.loads((folder / "config.json").read_text())
    value = config.pop(key)
    (folder / "config.json").write_text(json.dumps(config))
    changed(folder, "generation_config.json", **{key: [value]})
    found = convert_folder(folder, tmp_path / "b", precision="fp32")
    assert (found.tokens, found.files, found.generation) == (plain.tokens, plain.files, plain.generation)


def test_several_ends_are_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = changed(tiny.make(tmp_path / "c", "t5-v1.0"), "generation_config.json", eos_token_id=[1, 5])
    with pytest.raises(UnsupportedModelError, match="several ids for eos_token_id"):
        convert_folder(folder, tmp_path / "out")


def test_max_new_tokens_goes_before_max_length_and_counts_without_the_start(tmp_path: Path) -> None:
    folder = changed(tiny.make(tmp_path / "c", "t5-v1.0"), "generation_config.json", max_new_tokens=7, max_length=50)
    assert convert_folder(folder, tmp_path / "out", precision="fp32").generation.max_length == 8
