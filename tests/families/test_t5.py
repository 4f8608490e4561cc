"""What T5's config and tensors say."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from checkpoint_files import write_safetensors
from quartet import Translator, families
from quartet.checkpoint import open_checkpoint
from quartet.conversion.convert import convert_folder
from quartet.errors import UnsupportedModelError
from quartet.families import t5
from quartet.runtime.decode import encode
from quartet.runtime.engine import open_engine
from quartet.spec import ModelSpec, RelativeBias
from quartet.text.tokenizer import load_tokenizer
from quartet.translation.plan import Planner, Reading

TOKENS = Path(__file__).parents[1] / "golden" / "tokens" / "t5"


def spec_of(**changes: Any) -> ModelSpec:
    return t5.read_spec(tiny.config(tiny.VARIANTS["t5-v1.0"]) | changes)


def test_feed_forward_blocks() -> None:
    assert t5.feed_forward({}) == ("relu", False)
    assert t5.feed_forward({"feed_forward_proj": "gelu"}) == ("gelu", False)
    assert t5.feed_forward({"feed_forward_proj": "gated-gelu"}) == ("gelu_new", True)
    assert t5.feed_forward({"feed_forward_proj": "gated-silu"}) == ("swish", True)


@pytest.mark.parametrize("name", ["gated-tanh", "mish", "gated", "open-relu"])
def test_other_feed_forward_blocks_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"feed_forward_proj '{name}' is not supported; supported are relu"):
        spec_of(feed_forward_proj=name)


@pytest.mark.parametrize(("buckets", "farthest"), [(2, 128), (32, 16)])
def test_positions_without_ranges_are_refused(buckets: int, farthest: int) -> None:
    with pytest.raises(UnsupportedModelError, match=f"{buckets} position buckets up to distance {farthest}"):
        spec_of(relative_attention_num_buckets=buckets, relative_attention_max_distance=farthest)


def test_what_old_configs_leave_out() -> None:
    config = tiny.config(tiny.VARIANTS["t5-v1.0"])
    for key in ("feed_forward_proj", "num_decoder_layers", "relative_attention_max_distance", "tie_word_embeddings"):
        del config[key]
    spec = t5.read_spec(config)
    assert spec.positions == RelativeBias(8, 128)
    assert spec.decoder == spec.encoder
    assert (spec.activation, spec.gated, spec.output_scale) == ("relu", False, 32**-0.5)


@pytest.mark.parametrize(
    ("changes", "scaled"),
    [
        ({}, True),
        ({"tie_word_embeddings": False}, False),
        ({"tie_word_embeddings": False, "scale_decoder_outputs": True}, True),
        ({"tie_word_embeddings": True, "scale_decoder_outputs": False}, False),
    ],
)
def test_the_output_is_scaled_as_the_config_says(changes: dict[str, Any], scaled: bool) -> None:
    assert spec_of(**changes).output_scale == (32**-0.5 if scaled else 1)


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("head", ["none", "equal", "own"])
def test_the_head_is_tied_where_the_tensors_are(head: str, flag: bool, tmp_path: Path) -> None:
    """Whatever the flag says, which some tools write wrongly; the scale stays that of the flag."""
    folder = tiny.make(tmp_path, "t5-v1.0")
    tensors = tiny.tensors(tiny.VARIANTS["t5-v1.0"])
    if head != "none":
        tensors["lm_head.weight"] = tensors["shared.weight"] * np.float32(1 if head == "equal" else 2)
    write_safetensors(folder / "model.safetensors", tensors)
    config = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": flag}
    (folder / "config.json").write_text(json.dumps(config))
    checkpoint = open_checkpoint(folder)
    spec = families.spec_of(families.find(checkpoint.config), checkpoint)
    assert spec.tied_head == (head != "own")
    assert spec.output_scale == (32**-0.5 if flag else 1)
    convert_folder(folder, tmp_path / "out", precision="fp32")


def test_special_tokens_are_those_of_the_config(tmp_path: Path) -> None:
    folder = tiny.make(tmp_path, "t5-v1.0")
    config = json.loads((folder / "config.json").read_text())
    changed = {"pad_token_id": 7, "eos_token_id": 8, "decoder_start_token_id": 9}
    (folder / "generation_config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config | changed))
    tokens = t5.describe(open_checkpoint(folder)).tokens
    assert (tokens.pad, tokens.eos, tokens.decoder_start) == (7, 8, 9)


@pytest.fixture(scope="module")
def madlad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny MADLAD-400 with a tokeniser."""
    folder = tmp_path_factory.mktemp("madlad") / "checkpoint"
    shape = replace(tiny.VARIANTS["madlad"], vocab_size=700)
    folder.mkdir()
    for name in ("spiece.model", "tokenizer_config.json"):
        shutil.copy(TOKENS / name, folder)
    (folder / "config.json").write_text(json.dumps(tiny.config(shape)))
    (folder / "generation_config.json").write_text(json.dumps(tiny.generation_config(shape)))
    write_safetensors(folder / "model.safetensors", tiny.tensors(shape))
    return folder


def test_text_goes_in_behind_the_target_language(madlad: Path, tmp_path: Path) -> None:
    manifest = convert_folder(madlad, tmp_path / "out", precision="fp32")
    assert manifest.source_prompt == ("space", "target", "text", "eos")
    with Translator(tmp_path / "out", threads=1) as translator:
        ids = {language.code: language.token_id for language in translator.manifest.languages}
        text = [manifest.tokens.space, ids["fr"], *translator.tokenizer.encode("Good morning."), manifest.tokens.eos]
        planner = Planner(manifest, translator.tokenizer)
        (plan,) = planner.plans(["Good morning."], "English", "French", Reading())
        assert planner.source_ids(plan, plan.pieces[0].text) == text
        assert planner.prefix_ids(plan) == [manifest.tokens.decoder_start]
        assert translator.translate("Good morning.", "French", "English").target == "fr"


def test_a_vocabulary_cut_down_to_some_languages(madlad: Path, tmp_path: Path) -> None:
    """Both matrices lose rows; the space before the language stays. What goes in and comes out is the same."""
    texts = ["Good morning.", "Où est la gare ?"]
    (tmp_path / "text").write_text("\n".join(texts), "utf-8")
    whole = convert_folder(madlad, tmp_path / "whole", precision="fp32")
    options = {"languages": ["en", "fr"], "texts": [tmp_path / "text"]}
    manifest = convert_folder(madlad, tmp_path / "out", precision="fp32", **options)
    assert [language.code for language in manifest.languages] == ["en", "fr"]
    assert manifest.lm_head is not None
    assert manifest.lm_head.rows == manifest.shapes.vocab_size < whole.shapes.vocab_size
    caches = []
    for folder in (tmp_path / "out", tmp_path / "whole"):
        sessions = open_engine(folder, 1).model()
        assert sessions.manifest.tokenizer is not None
        tokenizer = load_tokenizer(folder, sessions.manifest.tokenizer)
        planner = Planner(sessions.manifest, tokenizer)
        (plan,) = planner.plans([texts[1]], "fr", "en", Reading())
        ids = planner.source_ids(plan, texts[1])
        assert tokenizer.decode(ids) == texts[1]
        caches.append(encode(sessions, [ids]).encoder_cache)
    assert all(np.array_equal(cache.numpy(), caches[1][name].numpy()) for name, cache in caches[0].items())
