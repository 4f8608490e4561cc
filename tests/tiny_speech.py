"""Small random Whisper checkpoints, as transformers would save them, made as `tiny` makes those of the other families.

    for name in tiny_speech.VARIANTS:
        folder = tiny_speech.make(tmp_path / name, name)

A window is 100 frames of log-mel, one second; the vocabulary has 40 tokens of text, 11 that steer, 51 timestamps.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from checkpoint_files import write_safetensors
from tiny import Dtype, Tensors, _eight_bits, _layer, _norm, _values, _write_json

FRAMES, POSITIONS, TARGET_POSITIONS = 100, 50, 48
TEXT = range(40)
END, START, ENGLISH, FRENCH, GERMAN, TRANSLATE, TRANSCRIBE = range(40, 47)
PREVIOUS, NO_SPEECH, NO_TIMESTAMPS, BEGIN = 48, 49, 50, 51
VOCABULARY = BEGIN + POSITIONS + 1


@dataclass(frozen=True)
class Variant:
    """A small architecture."""

    seed: int
    mel_bins: int = 8
    d_model: int = 32
    encoder_layers: int = 2
    decoder_layers: int = 2
    heads: int = 4
    ffn_dim: int = 64
    multilingual: bool = True
    activation: str = "gelu"

    @property
    def prompt(self) -> list[int]:
        """What the decoder is fed first, for English."""
        return [START, ENGLISH, TRANSCRIBE] if self.multilingual else [START]


BASE = Variant(seed=10)

# Seeds were searched as those of `tiny` were.
VARIANTS: dict[str, Variant] = {
    "base": BASE,
    "english": replace(BASE, seed=5, multilingual=False),
    "128-mels": replace(BASE, seed=4, mel_bins=128),
    "turbo": replace(BASE, seed=3, encoder_layers=4, decoder_layers=1, mel_bins=16),
    "odd-width": replace(BASE, seed=12, d_model=20, heads=5),
}


def make(folder: Path, variant: str, *, dtype: Dtype = "float32") -> Path:
    """Write the checkpoint into `folder` (made where missing) and return it; there are no tokeniser files."""
    shape = VARIANTS[variant]
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", config(shape) | {"dtype": dtype})
    _write_json(folder / "generation_config.json", generation_config(shape))
    write_safetensors(folder / "model.safetensors", tensors(shape), dtype=dtype)
    return folder


def features(variant: str, count: int = 4) -> np.ndarray:
    """Log-mel frames [count, mels, frames] of noise whose loudness rises and falls; always the same."""
    shape = VARIANTS[variant]
    random = np.random.Generator(np.random.PCG64([shape.seed, 1]))
    noise = random.random((count, shape.mel_bins, FRAMES)) * 2 - 1
    swell = np.sin(np.arange(FRAMES) / 3 * (1 + np.arange(count)[:, None])) + 1.2
    return (noise * swell[:, None]).astype(np.float32)


def digest(variant: str) -> str:
    """SHA-256 over the names and values of the tensors."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors(VARIANTS[variant]).items()):
        sha.update(name.encode() + tensor.astype("<f4").tobytes())
    return sha.hexdigest()


def config(shape: Variant) -> dict[str, Any]:
    """`config.json` as transformers writes it."""
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": shape.activation,
        "bos_token_id": END,
        "d_model": shape.d_model,
        "decoder_attention_heads": shape.heads,
        "decoder_ffn_dim": shape.ffn_dim,
        "decoder_layers": shape.decoder_layers,
        "decoder_start_token_id": START,
        "encoder_attention_heads": shape.heads,
        "encoder_ffn_dim": shape.ffn_dim,
        "encoder_layers": shape.encoder_layers,
        "eos_token_id": END,
        "is_encoder_decoder": True,
        "max_source_positions": POSITIONS,
        "max_target_positions": TARGET_POSITIONS,
        "num_hidden_layers": shape.encoder_layers,
        "num_mel_bins": shape.mel_bins,
        "pad_token_id": END,
        "scale_embedding": False,
        "vocab_size": VOCABULARY,
    }


def generation_config(shape: Variant) -> dict[str, Any]:
    """`generation_config.json` as Whisper's: languages, tasks, and what must not be generated."""
    steering = [START, TRANSLATE, TRANSCRIBE, PREVIOUS - 1, PREVIOUS, NO_SPEECH]
    common = {
        "alignment_heads": [[shape.decoder_layers - 1, 1], [shape.decoder_layers - 1, 3]],
        "begin_suppress_tokens": [7, END],
        "bos_token_id": END,
        "decoder_start_token_id": START,
        "eos_token_id": END,
        "is_multilingual": shape.multilingual,
        "max_initial_timestamp_index": 10,
        "max_length": TARGET_POSITIONS,
        "no_timestamps_token_id": NO_TIMESTAMPS,
        "pad_token_id": END,
        "prev_sot_token_id": PREVIOUS,
        "suppress_tokens": [3, 5, *steering],
    }
    if not shape.multilingual:
        return common
    return common | {
        "lang_to_id": {"<|en|>": ENGLISH, "<|fr|>": FRENCH, "<|de|>": GERMAN},
        "task_to_id": {"transcribe": TRANSCRIBE, "translate": TRANSLATE},
    }


def tensors(shape: Variant) -> Tensors:
    """All tensors by transformers' names, each once, float32."""
    random = np.random.Generator(np.random.PCG64([shape.seed, 0]))
    made = {name: _eight_bits(_values(random, name, size, 3.0)) for name, size in tensor_shapes(shape).items()}
    made["model.decoder.embed_tokens.weight"][END] *= 2  # so that outputs end now and then
    made["model.encoder.embed_positions.weight"] = _eight_bits(sines(POSITIONS, shape.d_model))
    return {name: tensor for name, tensor in made.items() if not name.endswith("k_proj.bias")}


def sines(positions: int, width: int) -> np.ndarray:
    """Whisper's positions [positions, width]."""
    half = width // 2
    angles = np.arange(positions)[:, None] * np.exp(-np.log(10000) / (half - 1) * np.arange(half))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def tensor_shapes(shape: Variant) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor."""
    d = shape.d_model
    sizes: dict[str, tuple[int, ...]] = {
        "model.encoder.conv1.weight": (d, shape.mel_bins, 3),
        "model.encoder.conv1.bias": (d,),
        "model.encoder.conv2.weight": (d, d, 3),
        "model.encoder.conv2.bias": (d,),
        "model.encoder.embed_positions.weight": (POSITIONS, d),
        "model.decoder.embed_positions.weight": (TARGET_POSITIONS, d),
        "model.decoder.embed_tokens.weight": (VOCABULARY, d),
    }
    for i in range(shape.encoder_layers):
        sizes |= _layer(f"model.encoder.layers.{i}", d, shape.ffn_dim, ("self_attn",))
    for i in range(shape.decoder_layers):
        sizes |= _layer(f"model.decoder.layers.{i}", d, shape.ffn_dim, ("self_attn", "encoder_attn"))
    return sizes | _norm("model.encoder.layer_norm", d) | _norm("model.decoder.layer_norm", d)
