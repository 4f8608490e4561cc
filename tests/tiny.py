"""Small random checkpoints of every family, as transformers would save them, made with numpy alone.

    for name in tiny.VARIANTS:
        folder = tiny.make(tmp_path / name, name)

The weights have eight significant bits, so float32, float16 and bfloat16 checkpoints hold exactly the same
numbers and one reference serves them all. They come from `Generator.random` of a seeded PCG64, and are large
enough that outputs differ between inputs, end by themselves now and then, and win each step by a clear margin.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from checkpoint_files import write_safetensors, write_torch_legacy, write_torch_zip

Family = Literal["m2m100", "marian", "t5", "madlad"]  # madlad: T5 with other special tokens
Weights = Literal["safetensors", "sharded", "torch-zip", "torch-legacy"]
Dtype = Literal["float32", "float16", "bfloat16"]
Tensors = dict[str, np.ndarray]

WEIGHTS: tuple[Weights, ...] = ("safetensors", "sharded", "torch-zip", "torch-legacy")
DTYPES: tuple[Dtype, ...] = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Variant:
    """A small architecture. The defaults are the base of a family; a variant says what it changes."""

    family: Family
    seed: int
    d_model: int = 32
    encoder_layers: int = 2
    decoder_layers: int = 2
    encoder_heads: int = 4
    decoder_heads: int = 4
    encoder_ffn_dim: int = 64
    decoder_ffn_dim: int = 48
    vocab_size: int = 99
    target_vocab_size: int | None = None  # rows of a decoder embedding of its own; None: both sides share one
    activation: str = "relu"
    scale_embedding: bool = True
    tied_head: bool = True
    max_positions: int = 64
    head_size: int = 12  # of T5, where it is free
    gated: bool = False  # feed-forward blocks, of T5
    position_buckets: int = 8  # of T5
    max_distance: int = 12  # likewise
    scale_decoder_outputs: bool | None = None  # likewise; None: not said

    @property
    def decoder_vocab_size(self) -> int:
        """Rows of the decoder's embedding and of the LM head."""
        return self.target_vocab_size or self.vocab_size

    @property
    def pad(self) -> int:
        """Id of the padding token: fixed but for Marian's, the last that both vocabularies have."""
        last = min(self.vocab_size, self.decoder_vocab_size) - 1
        return {"m2m100": 1, "marian": last, "t5": 0, "madlad": 1}[self.family]

    @property
    def eos(self) -> int:
        """Id of the end token."""
        return {"m2m100": 2, "marian": 0, "t5": 1, "madlad": 2}[self.family]

    @property
    def decoder_start(self) -> int:
        """Id of the token that the decoder starts with."""
        return {"m2m100": self.eos, "marian": self.pad, "t5": 0, "madlad": 0}[self.family]

    @property
    def is_t5(self) -> bool:
        """Whether it has T5's architecture."""
        return self.family in ("t5", "madlad")

    @property
    def languages(self) -> tuple[int, int] | None:
        """Ids of the source and target language's tokens, where the family has them."""
        return (self.vocab_size - 2, self.vocab_size - 1) if self.family == "m2m100" else None


M2M100 = Variant("m2m100", seed=31)
MARIAN = Variant("marian", seed=12, activation="swish", scale_embedding=False)
T5 = Variant("t5", seed=3)
T5_V11 = replace(T5, seed=1, activation="gelu_new", gated=True, tied_head=False)

# Seeds were searched for outputs that differ, end by themselves in some cases, and win every step by 0.005 or more.
VARIANTS: dict[str, Variant] = {
    "m2m100-base": M2M100,
    "m2m100-one-layer": replace(M2M100, seed=5, encoder_layers=1, decoder_layers=1),
    "m2m100-deep-encoder": replace(M2M100, seed=30, encoder_layers=3, decoder_layers=1),
    "m2m100-heads-differ": replace(M2M100, seed=22, encoder_heads=4, decoder_heads=2),
    "m2m100-gelu": replace(M2M100, seed=38, activation="gelu"),
    "m2m100-swish": replace(M2M100, seed=1, activation="swish"),
    "m2m100-unscaled": replace(M2M100, seed=17, scale_embedding=False),
    "m2m100-untied": replace(M2M100, seed=12, tied_head=False),
    "m2m100-odd-width": replace(M2M100, seed=37, d_model=20, encoder_heads=5, decoder_heads=5),
    "m2m100-short": replace(M2M100, max_positions=24),
    "marian-base": MARIAN,
    "marian-relu": replace(MARIAN, seed=9, activation="relu"),
    "marian-gelu": replace(MARIAN, seed=9, activation="gelu"),
    "marian-separate": replace(MARIAN, seed=3, target_vocab_size=99),
    "marian-separate-sizes": replace(MARIAN, seed=36, target_vocab_size=83),
    "marian-untied": replace(MARIAN, seed=30, tied_head=False),
    "marian-scaled": replace(MARIAN, seed=18, scale_embedding=True),
    "marian-one-layer": replace(MARIAN, seed=8, encoder_layers=1, decoder_layers=1),
    "t5-v1.0": T5,
    "t5-v1.0-deep-encoder": replace(T5, seed=7, encoder_layers=3, decoder_layers=1),
    "t5-v1.1": T5_V11,
    "t5-v1.1-tied": replace(T5_V11, seed=18, tied_head=True),
    "t5-gated-relu": replace(T5_V11, activation="relu"),
    "t5-gelu": replace(T5, seed=26, activation="gelu"),
    "madlad": replace(T5_V11, family="madlad", head_size=8, position_buckets=16, max_distance=18),
}


def make(folder: Path, variant: str, *, weights: Weights = "safetensors", dtype: Dtype = "float32") -> Path:
    """Write the checkpoint into `folder` (made where missing) and return it; there are no tokeniser files."""
    shape = VARIANTS[variant]
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", config(shape) | {"dtype": dtype})
    _write_json(folder / "generation_config.json", generation_config(shape))
    _WRITERS[weights](folder, shape, dtype)
    return folder


def inputs(variant: str, count: int = 5) -> list[list[int]]:
    """Source ids of mixed lengths from 2 to 18, as the family's tokeniser would frame them; always the same."""
    shape = VARIANTS[variant]
    random = _generator(shape, "inputs")
    special = set(range(4)) | {shape.pad, *(shape.languages or ())}
    words = [i for i in range(min(shape.vocab_size, shape.decoder_vocab_size)) if i not in special]
    start = [shape.languages[0]] if shape.languages else []
    lengths = [1, 24 if shape.is_t5 else 16, 4, 9, 2, 6, 12, 3][:count]
    return [[*start, *(words[int(random.random() * len(words))] for _ in range(n)), shape.eos] for n in lengths]


def forced_bos(variant: str) -> int | None:
    """The target language's token, which comes after the decoder start; None where the family has none."""
    languages = VARIANTS[variant].languages
    return languages[1] if languages else None


def digest(variant: str) -> str:
    """SHA-256 over the names and float32 values of the tensors: the same in every weight format and type."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors(VARIANTS[variant]).items()):
        sha.update(name.encode() + tensor.astype("<f4").tobytes())
    return sha.hexdigest()


# ---- config files -----------------------------------------------------------------------------------------------


def config(shape: Variant) -> dict[str, Any]:
    """`config.json` as transformers writes it."""
    if shape.is_t5:
        return _t5_config(shape)
    return _CONFIGS[shape.family] | {
        "activation_function": shape.activation,
        "d_model": shape.d_model,
        "decoder_attention_heads": shape.decoder_heads,
        "decoder_ffn_dim": shape.decoder_ffn_dim,
        "decoder_layers": shape.decoder_layers,
        "decoder_vocab_size": shape.decoder_vocab_size,
        "decoder_start_token_id": shape.decoder_start,
        "encoder_attention_heads": shape.encoder_heads,
        "encoder_ffn_dim": shape.encoder_ffn_dim,
        "encoder_layers": shape.encoder_layers,
        "eos_token_id": shape.eos,
        "is_encoder_decoder": True,
        "max_position_embeddings": shape.max_positions,
        "num_hidden_layers": shape.encoder_layers,
        "pad_token_id": shape.pad,
        "scale_embedding": shape.scale_embedding,
        "share_encoder_decoder_embeddings": shape.target_vocab_size is None,
        "tie_word_embeddings": shape.tied_head,
        "vocab_size": shape.vocab_size,
    }


def _t5_config(shape: Variant) -> dict[str, Any]:
    function = {"gelu_new": "gelu"}.get(shape.activation, shape.activation)
    scaling = {} if shape.scale_decoder_outputs is None else {"scale_decoder_outputs": shape.scale_decoder_outputs}
    return scaling | {
        "architectures": ["T5ForConditionalGeneration"],
        "d_ff": shape.encoder_ffn_dim,
        "d_kv": shape.head_size,
        "d_model": shape.d_model,
        "decoder_start_token_id": shape.decoder_start,
        "eos_token_id": shape.eos,
        "feed_forward_proj": f"gated-{function}" if shape.gated else function,
        "is_encoder_decoder": True,
        "layer_norm_epsilon": 1e-6,
        "model_type": "t5",
        "n_positions": shape.max_positions,
        "num_decoder_layers": shape.decoder_layers,
        "num_heads": shape.encoder_heads,
        "num_layers": shape.encoder_layers,
        "pad_token_id": shape.pad,
        "relative_attention_max_distance": shape.max_distance,
        "relative_attention_num_buckets": shape.position_buckets,
        "tie_word_embeddings": shape.tied_head,
        "vocab_size": shape.vocab_size,
    }


_CONFIGS: dict[Family, dict[str, Any]] = {
    "m2m100": {"architectures": ["M2M100ForConditionalGeneration"], "model_type": "m2m_100", "bos_token_id": 0},
    "marian": {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        "bos_token_id": 0,
        "add_final_layer_norm": False,
        "normalize_before": False,
        "normalize_embedding": False,
        "static_position_embeddings": True,
    },
}


def generation_config(shape: Variant) -> dict[str, Any]:
    """`generation_config.json`: M2M100's says little, Marian's forces, forbids and renormalises like opus-mt's."""
    tokens = {"decoder_start_token_id": shape.decoder_start, "eos_token_id": shape.eos, "pad_token_id": shape.pad}
    if shape.is_t5:
        return tokens
    if shape.family == "m2m100":
        return tokens | {"bos_token_id": 0, "max_length": min(40, shape.max_positions)}
    forced = {"forced_eos_token_id": shape.eos, "bad_words_ids": [[shape.pad]], "renormalize_logits": True}
    return tokens | forced | {"bos_token_id": 0, "max_length": shape.max_positions, "num_beams": 4}


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")


# ---- tensors ----------------------------------------------------------------------------------------------------


def tensors(shape: Variant) -> Tensors:
    """All tensors by transformers' names, each once, float32; a linear layer's weight is [out, in]."""
    random = _generator(shape, "weights")
    gain = _GAINS[shape.family]
    made = {name: _eight_bits(_values(random, name, size, gain)) for name, size in tensor_shapes(shape).items()}
    for name in made.keys() & {_shared_name(shape), *_embedding_names(shape)}:
        made[name][shape.pad] = 0  # as `nn.Embedding` keeps the row of its padding index
        made[name][shape.eos] *= 2  # so that outputs end now and then
    if not shape.tied_head:
        made["lm_head.weight"][shape.eos] *= 2
    if shape.family == "m2m100" and not shape.tied_head:
        # transformers ties the two embeddings to `shared` only where the head is tied too: else it wants them all
        made |= dict.fromkeys(_embedding_names(shape), made["model.shared.weight"])
    return made


def tensor_shapes(shape: Variant) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that is no copy of another."""
    if shape.is_t5:
        return _t5_shapes(shape)
    d = shape.d_model
    sizes: dict[str, tuple[int, ...]] = {}
    if shape.target_vocab_size is None:
        sizes["model.shared.weight"] = (shape.vocab_size, d)
    else:
        sizes["model.encoder.embed_tokens.weight"] = (shape.vocab_size, d)
        sizes["model.decoder.embed_tokens.weight"] = (shape.target_vocab_size, d)
    for i in range(shape.encoder_layers):
        sizes |= _layer(f"model.encoder.layers.{i}", d, shape.encoder_ffn_dim, ("self_attn",))
    for i in range(shape.decoder_layers):
        sizes |= _layer(f"model.decoder.layers.{i}", d, shape.decoder_ffn_dim, ("self_attn", "encoder_attn"))
    if shape.family == "m2m100":
        sizes |= _norm("model.encoder.layer_norm", d) | _norm("model.decoder.layer_norm", d)
    else:
        sizes["final_logits_bias"] = (1, shape.decoder_vocab_size)
    if not shape.tied_head:
        sizes["lm_head.weight"] = (shape.decoder_vocab_size, d)
    return sizes


def _layer(path: str, d: int, ffn_dim: int, attentions: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    sizes = _linear(f"{path}.fc1", d, ffn_dim) | _linear(f"{path}.fc2", ffn_dim, d)
    for attention in attentions:
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            sizes |= _linear(f"{path}.{attention}.{projection}", d, d)
        sizes |= _norm(f"{path}.{attention}_layer_norm", d)
    return sizes | _norm(f"{path}.final_layer_norm", d)


def _linear(path: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{path}.weight": (outputs, inputs), f"{path}.bias": (outputs,)}


def _norm(path: str, d: int) -> dict[str, tuple[int, ...]]:
    return {f"{path}.weight": (d,), f"{path}.bias": (d,)}


def _t5_shapes(shape: Variant) -> dict[str, tuple[int, ...]]:
    d, inner = shape.d_model, shape.encoder_heads * shape.head_size
    sizes: dict[str, tuple[int, ...]] = {"shared.weight": (shape.vocab_size, d)}
    ends = ("wi_0", "wi_1") if shape.gated else ("wi",)
    for side, layers in (("encoder", shape.encoder_layers), ("decoder", shape.decoder_layers)):
        attentions = ("SelfAttention",) if side == "encoder" else ("SelfAttention", "EncDecAttention")
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        sizes[bias] = (shape.position_buckets, shape.encoder_heads)
        for path in (f"{side}.block.{i}.layer" for i in range(layers)):
            for block, attention in enumerate(attentions):
                sizes |= {f"{path}.{block}.{attention}.{part}.weight": (inner, d) for part in "qkv"}
                sizes |= {f"{path}.{block}.{attention}.o.weight": (d, inner), f"{path}.{block}.layer_norm.weight": (d,)}
            last = f"{path}.{len(attentions)}"
            sizes |= {f"{last}.DenseReluDense.{end}.weight": (shape.encoder_ffn_dim, d) for end in ends}
            sizes |= {f"{last}.DenseReluDense.wo.weight": (d, shape.encoder_ffn_dim), f"{last}.layer_norm.weight": (d,)}
        sizes[f"{side}.final_layer_norm.weight"] = (d,)
    return sizes if shape.tied_head else sizes | {"lm_head.weight": (shape.vocab_size, d)}


# Where the norm comes after each block, more would drown the tokens: every step would give the same one.
_GAINS: dict[Family, float] = {"m2m100": 3.0, "marian": 1.4, "t5": 3.0, "madlad": 3.0}


def _values(random: np.random.Generator, name: str, size: tuple[int, ...], gain: float) -> np.ndarray:
    """Uniform values, large enough for peaked logits: no layer's output is lost beside the embeddings.

    Norms have weights of both signs: with a tied head, a token would otherwise always be followed by itself.
    """
    uniform = random.random(size) * 2 - 1
    if name.endswith("norm.weight"):
        return uniform + np.copysign(0.5, uniform)
    if name.endswith("bias"):
        return uniform if name == "final_logits_bias" else uniform / 5
    if "relative" in name:
        return uniform * 3
    if ".q.weight" in name:  # T5 does not scale the scores of its attention
        return uniform * gain / size[1]
    if "embed" in name or name in ("model.shared.weight", "shared.weight", "lm_head.weight"):
        return uniform * 1.6
    return uniform * gain / np.sqrt(np.prod(size[1:]))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Rounded to eight significant bits, tiny values to zero: exact in float32, float16 and bfloat16 alike."""
    mantissa, exponent = np.frexp(values)
    rounded = np.ldexp(np.round(mantissa * 256) / 256, exponent)
    return np.where(np.abs(rounded) < 2**-12, 0, rounded).astype(np.float32)


def _generator(shape: Variant, purpose: Literal["weights", "inputs"]) -> np.random.Generator:
    """Independent streams for the weights and for the inputs."""
    return np.random.Generator(np.random.PCG64([shape.seed, {"weights": 0, "inputs": 1}[purpose]]))


# ---- weight files -----------------------------------------------------------------------------------------------


def _write_safetensors(folder: Path, shape: Variant, dtype: Dtype) -> None:
    write_safetensors(folder / "model.safetensors", tensors(shape), dtype=dtype)


def _write_sharded(folder: Path, shape: Variant, dtype: Dtype) -> None:
    """Two files of half the tensors each, and the index that says where each tensor is."""
    items = list(tensors(shape).items())
    half = len(items) // 2
    shards = {"model-00001-of-00002.safetensors": items[:half], "model-00002-of-00002.safetensors": items[half:]}
    for file, part in shards.items():
        write_safetensors(folder / file, dict(part), dtype=dtype)
    weight_map = {name: file for file, part in shards.items() for name, _ in part}
    total = sum((folder / file).stat().st_size for file in shards)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(folder / "model.safetensors.index.json", index)


def _write_torch_zip(folder: Path, shape: Variant, dtype: Dtype) -> None:
    write_torch_zip(folder / "pytorch_model.bin", _state_dict(shape), dtype=dtype)


def _write_torch_legacy(folder: Path, shape: Variant, dtype: Dtype) -> None:
    write_torch_legacy(folder / "pytorch_model.bin", _state_dict(shape), dtype=dtype)


_WRITERS: dict[Weights, Callable[[Path, Variant, Dtype], None]] = {
    "safetensors": _write_safetensors,
    "sharded": _write_sharded,
    "torch-zip": _write_torch_zip,
    "torch-legacy": _write_torch_legacy,
}


def _state_dict(shape: Variant) -> Tensors:
    """The tensors as `torch.save` has them: also under the names of their aliases, and Marian's position tables."""
    made = tensors(shape)
    if shape.target_vocab_size is None:
        made |= dict.fromkeys(_embedding_names(shape), made[_shared_name(shape)])
    if shape.tied_head:
        made["lm_head.weight"] = made[_embedding_names(shape)[1]]
    if shape.family == "marian":
        made |= dict.fromkeys(_position_names(), _positions(shape))
    return made


def _shared_name(shape: Variant) -> str:
    return "shared.weight" if shape.is_t5 else "model.shared.weight"


def _embedding_names(shape: Variant) -> tuple[str, str]:
    prefix = "" if shape.is_t5 else "model."
    return f"{prefix}encoder.embed_tokens.weight", f"{prefix}decoder.embed_tokens.weight"


def _position_names() -> tuple[str, str]:
    return "model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"


def _positions(shape: Variant) -> np.ndarray:
    """Marian's table [max_positions, d_model]: sin(p / 10000^(2i/d)) in the first half, cos in the second."""
    angles = np.arange(shape.max_positions)[:, None] / 10000 ** (np.arange(0, shape.d_model, 2) / shape.d_model)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
