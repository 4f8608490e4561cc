"""Reads OpenAI's own checkpoints of Whisper: one `.pt` file with the sizes (`dims`) and the state dict, no config.

What `config.json` would say of the same model follows from the sizes.
"""

from pathlib import Path
from typing import Any

from quartet.checkpoint import torch_pickle
from quartet.checkpoint.shards import Tensors
from quartet.errors import CheckpointError

SUFFIX = ".pt"

# `dims` -> `config.json`; the width of the feed-forward blocks is four times that of the model
SIZES = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}
ENGLISH_VOCABULARY = 51_864  # of models that know English only; the others have a token more at least


def read_file(path: Path) -> tuple[dict[str, Any], Tensors]:
    """The config and the tensors of a `.pt` file; raises `CheckpointError` where it is none of Whisper's."""
    value, places = torch_pickle.load(path)
    dims = value.get("dims") if isinstance(value, dict) else None
    if not isinstance(dims, dict) or not SIZES.keys() <= dims.keys():
        raise CheckpointError(f"{path} is no checkpoint of OpenAI's Whisper: it holds no dims with {', '.join(SIZES)}")
    return config_of(dims), torch_pickle.tensors_of(path, value, places)


def config_of(dims: dict[str, Any]) -> dict[str, Any]:
    """`config.json` of a model with these sizes."""
    sizes = {ours: dims[theirs] for theirs, ours in SIZES.items()}
    width, vocabulary = sizes["d_model"], sizes["vocab_size"]
    end = 50_257 if vocabulary > ENGLISH_VOCABULARY else 50_256
    return {
        "model_type": "whisper",
        "activation_function": "gelu",
        "encoder_ffn_dim": 4 * width,
        "decoder_ffn_dim": 4 * width,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": end + 1,
        **sizes,
    }
