"""What Whisper's config, tensors and generation config mean, at every size."""

import json

import numpy as np
import pytest

import tiny_speech
from checkpoint_files import write_safetensors
from quartet.checkpoint import open_checkpoint
from quartet.conversion.convert import convert_folder
from quartet.errors import CheckpointError, OptionError, UnsupportedModelError
from quartet.families.whisper import ALIGNMENT_HEADS, describe, openai_name, read_spec, tensor_names
from quartet.graph import files
from quartet.quantize.recipes import recipe_of
from quartet.spec import Language

# name: (width, heads, encoder layers, decoder layers, mel bins, vocabulary)
SIZES = {
    "tiny": (384, 6, 4, 4, 80, 51865),
    "tiny.en": (384, 6, 4, 4, 80, 51864),
    "base": (512, 8, 6, 6, 80, 51865),
    "small": (768, 12, 12, 12, 80, 51865),
    "medium": (1024, 16, 24, 24, 80, 51865),
    "large-v2": (1280, 20, 32, 32, 80, 51865),
    "large-v3": (1280, 20, 32, 32, 128, 51866),
    "turbo": (1280, 20, 32, 4, 128, 51866),
    "distil-small.en": (768, 12, 12, 4, 80, 51864),
    "distil-large-v3": (1280, 20, 32, 2, 128, 51866),
}


def config_of(size: str) -> dict:
    width, heads, encoder, decoder, mels, vocabulary = SIZES[size]
    end = 50256 if vocabulary == 51864 else 50257
    return tiny_speech.config(tiny_speech.BASE) | {
        "d_model": width,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_layers": encoder,
        "decoder_layers": decoder,
        "encoder_ffn_dim": 4 * width,
        "decoder_ffn_dim": 4 * width,
        "num_mel_bins": mels,
        "vocab_size": vocabulary,
        "max_source_positions": 1500,
        "max_target_positions": 448,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": end + 1,
    }


@pytest.mark.parametrize("size", SIZES)
def test_every_size_has_its_graphs_and_all_their_weights_have_names(size):
    width, _, encoder, decoder, mels, _ = SIZES[size]
    spec = read_spec(config_of(size))
    graphs = files.build(spec, recipe_of("int4"))
    names = tensor_names(spec)
    needed = {source for graph in graphs.values() for w in graph.weights.values() for source in w.sources}
    assert needed == names.keys()
    assert (spec.encoder.layers, spec.decoder.layers) == (encoder, decoder)
    shapes = {w.sources[0]: w.source_shape for graph in graphs.values() for w in graph.weights.values()}
    assert shapes["encoder.conv1.weight"] == (width, mels, 3)
    assert shapes["encoder.embed_positions.weight"] == (1500, width)
    assert shapes["decoder.embed_positions.weight"] == (448, width)


def described(folder, size: str, generation: dict | None = None):
    """What is said of a checkpoint of this size that holds next to no tensors."""
    (folder / "config.json").write_text(json.dumps(config_of(size)))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    write_safetensors(folder / "model.safetensors", {"x": np.zeros(1, np.float32)})
    return describe(open_checkpoint(folder))


def test_ids_follow_from_the_vocabulary_of_a_multilingual_model(tmp_path):
    found = described(tmp_path, "base")
    speech = found.speech
    assert (speech.translate, speech.transcribe) == (50358, 50359)
    assert (speech.previous, speech.no_speech, speech.no_timestamps, speech.timestamp_begin) == (
        50361,
        50362,
        50363,
        50364,
    )
    assert found.languages[0] == Language("en", 50259)
    assert found.languages[-1] == Language("su", 50357, target=False)
    assert found.target_prompt == ("decoder_start", "source", "task")
    assert set(found.generation.suppress_tokens) == {50258, *range(50358, 50363)}
    assert found.generation.begin_suppress_tokens == (220, 50257)
    assert speech.alignment_heads[:2] == ((3, 1), (4, 2))


def test_without_known_heads_all_of_the_later_half_are_taken(tmp_path):
    found = described(tmp_path, "large-v2").speech.alignment_heads
    assert found == tuple((layer, head) for layer in range(16, 32) for head in range(20))


@pytest.mark.parametrize("known", ALIGNMENT_HEADS)
def test_known_heads_are_heads_of_the_model(known):
    layers, heads, _ = known
    assert all(layer < layers and head < heads for layer, head in ALIGNMENT_HEADS[known])


def test_the_third_large_one_has_one_language_more(tmp_path):
    found = described(tmp_path, "large-v3")
    assert found.languages[-1] == Language("yue", 50358, target=False)
    assert (found.speech.translate, found.speech.timestamp_begin) == (50359, 50365)
    assert found.speech.mel_bins == 128


def test_an_english_model_has_neither_languages_nor_tasks(tmp_path):
    found = described(tmp_path, "tiny.en")
    assert found.languages == ()
    assert (found.speech.transcribe, found.speech.translate, found.speech.multilingual) == (None, None, False)
    assert (found.speech.previous, found.speech.no_speech, found.speech.timestamp_begin) == (50360, 50361, 50363)
    assert found.target_prompt == ("decoder_start",)


def test_the_generation_config_has_the_last_word(tmp_path):
    asked = {
        "lang_to_id": {"<|fr|>": 50265, "<|en|>": 50259},
        "task_to_id": {"transcribe": 7, "translate": 8},
        "no_timestamps_token_id": 50000,
        "prev_sot_token_id": 9,
        "max_initial_timestamp_index": 50,
        "alignment_heads": [[1, 2]],
        "suppress_tokens": [4],
        "begin_suppress_tokens": [5],
    }
    found = described(tmp_path, "base", asked)
    assert found.languages == (Language("en", 50259), Language("fr", 50265, target=False))
    assert (found.speech.transcribe, found.speech.translate, found.speech.previous) == (7, 8, 9)
    assert found.speech.timestamp_begin == 50001
    assert found.speech.max_initial_timestamp == pytest.approx(1.0)
    assert found.speech.alignment_heads == ((1, 2),)
    assert found.generation.suppress_tokens == (4,)


def test_an_empty_list_of_suppressed_tokens_suppresses_none(tmp_path):
    found = described(tmp_path, "base", {"suppress_tokens": [], "max_new_tokens": 9})
    assert (found.generation.suppress_tokens, found.generation.begin_suppress_tokens) == ((), ())
    assert found.generation.max_new_tokens == 9


def test_names_of_tensors_in_openais_checkpoints():
    assert openai_name("encoder.layers.10.self_attn_layer_norm.bias") == "encoder.blocks.10.attn_ln.bias"
    assert openai_name("decoder.layers.3.encoder_attn.k_proj.weight") == "decoder.blocks.3.cross_attn.key.weight"
    assert openai_name("decoder.layers.3.encoder_attn_layer_norm.weight") == "decoder.blocks.3.cross_attn_ln.weight"
    assert openai_name("decoder.layers.0.fc2.bias") == "decoder.blocks.0.mlp.2.bias"
    assert openai_name("encoder.layer_norm.weight") == "encoder.ln_post.weight"
    assert openai_name("decoder.embed_tokens.weight") == "decoder.token_embedding.weight"
    assert openai_name("encoder.embed_positions.weight") == "encoder.positional_embedding"
    assert openai_name("encoder.conv1.weight") == "encoder.conv1.weight"


def test_a_scaled_embedding_is_refused_by_name():
    with pytest.raises(UnsupportedModelError, match="scale_embedding"):
        read_spec(config_of("base") | {"scale_embedding": True})


@pytest.mark.parametrize("key", ["num_mel_bins", "max_target_positions", "d_model"])
def test_a_config_without_a_size_is_refused_by_name(key):
    config = config_of("base")
    del config[key]
    with pytest.raises(CheckpointError, match=f"no '{key}'"):
        read_spec(config)


def test_tensors_that_do_not_fit_are_listed_together(tmp_path):
    tiny_speech.make(tmp_path, "base")
    tensors = tiny_speech.tensors(tiny_speech.VARIANTS["base"])
    tensors["model.encoder.conv2.weight"] = tensors["model.encoder.conv2.weight"][:, :, :2]
    tensors["model.decoder.layers.0.self_attn.k_proj.bias"] = np.zeros(32, np.float32)
    del tensors["model.decoder.embed_positions.weight"]
    write_safetensors(tmp_path / "model.safetensors", tensors)
    with pytest.raises(CheckpointError) as caught:
        convert_folder(tmp_path, tmp_path / "quartet")
    message = str(caught.value)
    assert "model.encoder.conv2.weight: shape [32, 32, 2], expected [32, 32, 3]" in message
    assert "model.decoder.embed_positions.weight: missing" in message
    assert "k_proj.bias: left over" in message


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"report": True}, "a report"),
        ({"languages": ["en"]}, "a vocabulary of some languages"),
    ],
)
def test_what_is_for_text_is_refused_for_speech(tmp_path, options, named):
    tiny_speech.make(tmp_path / "checkpoint", "base")
    with pytest.raises(OptionError, match=f"{named} is for models that translate text"):
        convert_folder(tmp_path / "checkpoint", tmp_path / "quartet", precision="int8", **options)


def test_a_tied_copy_of_the_embedding_is_known_by_its_name(tmp_path):
    tiny_speech.make(tmp_path / "checkpoint", "base")
    tensors = tiny_speech.tensors(tiny_speech.VARIANTS["base"])
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"].copy()
    write_safetensors(tmp_path / "checkpoint" / "model.safetensors", tensors)
    convert_folder(tmp_path / "checkpoint", tmp_path / "quartet", precision="fp32")
    tensors["proj_out.weight"][0, 0] += 1
    write_safetensors(tmp_path / "checkpoint" / "model.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"proj_out\.weight: differs"):
        convert_folder(tmp_path / "checkpoint", tmp_path / "other", precision="fp32")


def test_an_empty_list_of_tokens_to_suppress_is_empty(tmp_path):
    """Models that were fine-tuned say so."""
    folder = tiny_speech.make(tmp_path / "checkpoint", "base")
    path = folder / "generation_config.json"
    asked = json.loads(path.read_text()) | {"suppress_tokens": [], "begin_suppress_tokens": []}
    path.write_text(json.dumps(asked))
    assert describe(open_checkpoint(folder)).generation.suppress_tokens == ()
    path.write_text(json.dumps(asked | {"suppress_tokens": None}))
    assert describe(open_checkpoint(folder)).generation.suppress_tokens
