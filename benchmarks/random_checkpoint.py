"""Write a checkpoint of random weights in the shape of a real NLLB-200 or MADLAD-400 model, in little memory.

    python benchmarks/random_checkpoint.py nllb-600M /tmp/nllb-600M --dtype float32

The folder has `config.json`, `generation_config.json` and one `model.safetensors`, and no tokeniser. The weights
are about N(0, 0.02): every tensor reads a block of normal values from a place of its own, so no two are alike
while the disk, and not the generator, sets the pace. Memory stays below 300 MB whatever the size.
"""

import argparse
import json
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

Dtype = Literal["float32", "float16", "bfloat16"]
Size = tuple[int, ...]

BLOCK = 1 << 23  # values in the block of normal values: 32 MB in float32
STANDARD_DEVIATION = 0.02
CODES: dict[Dtype, str] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


@dataclass(frozen=True)
class Shape:
    """The dimensions of a dense NLLB-200 model, or of a T5 with gated feed-forward blocks and an LM head of its own."""

    d_model: int
    layers: int  # of the encoder, and of the decoder
    ffn_dim: int
    heads: int = 16
    vocab_size: int = 256206
    max_positions: int = 1024
    t5_head_size: int | None = None  # None: it is no T5


SHAPES = {
    "tiny": Shape(d_model=64, layers=2, ffn_dim=128, heads=4, vocab_size=1000),  # to try a script out
    "nllb-600M": Shape(d_model=1024, layers=12, ffn_dim=4096),  # facebook/nllb-200-distilled-600M
    "nllb-1.3B": Shape(d_model=1024, layers=24, ffn_dim=8192),  # facebook/nllb-200-distilled-1.3B
    "nllb-3.3B": Shape(d_model=2048, layers=24, ffn_dim=8192),  # facebook/nllb-200-3.3B
    "tiny-t5": Shape(d_model=64, layers=2, ffn_dim=128, heads=4, vocab_size=1000, t5_head_size=32),
    "madlad-3B": Shape(1024, layers=32, ffn_dim=8192, vocab_size=256000, t5_head_size=128),  # google/madlad400-3b-mt
}


def big(folder: Path, shape: str, dtype: Dtype = "float32") -> Path:
    """Write the checkpoint into `folder` and return it; `shape` is a key of `SHAPES`."""
    model = SHAPES[shape]
    folder.mkdir(parents=True, exist_ok=True)
    t5 = model.t5_head_size is not None
    tokens = T5_GENERATION if t5 else GENERATION
    _write_json(folder / "config.json", (t5_config(model) if t5 else config(model)) | {"dtype": dtype})
    _write_json(folder / "generation_config.json", tokens | {"max_length": 200})
    _write_tensors(folder / "model.safetensors", (t5_shapes if t5 else tensor_shapes)(model), dtype)
    return folder


GENERATION: dict[str, object] = {"bos_token_id": 0, "decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1}
T5_GENERATION: dict[str, object] = {"decoder_start_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}


def config(model: Shape) -> dict[str, object]:
    """`config.json` of an M2M100 model of this shape."""
    return GENERATION | {
        "activation_function": "relu",
        "architectures": ["M2M100ForConditionalGeneration"],
        "d_model": model.d_model,
        "decoder_attention_heads": model.heads,
        "decoder_ffn_dim": model.ffn_dim,
        "decoder_layers": model.layers,
        "encoder_attention_heads": model.heads,
        "encoder_ffn_dim": model.ffn_dim,
        "encoder_layers": model.layers,
        "is_encoder_decoder": True,
        "max_position_embeddings": model.max_positions,
        "model_type": "m2m_100",
        "num_hidden_layers": model.layers,
        "scale_embedding": True,
        "tie_word_embeddings": True,
        "tokenizer_class": "NllbTokenizer",
        "vocab_size": model.vocab_size,
    }


def t5_config(model: Shape) -> dict[str, object]:
    """`config.json` of a MADLAD-400 model of this shape."""
    return T5_GENERATION | {
        "architectures": ["T5ForConditionalGeneration"],
        "d_ff": model.ffn_dim,
        "d_kv": model.t5_head_size,
        "d_model": model.d_model,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "layer_norm_epsilon": 1e-6,
        "model_type": "t5",
        "n_positions": 512,
        "num_decoder_layers": model.layers,
        "num_heads": model.heads,
        "num_layers": model.layers,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "vocab_size": model.vocab_size,
    }


def t5_shapes(model: Shape) -> dict[str, Size]:
    """Name and shape of every tensor of a T5 with gated blocks; the LM head is a matrix of its own."""
    d, inner = model.d_model, model.heads * (model.t5_head_size or 0)
    sizes: dict[str, Size] = {"shared.weight": (model.vocab_size, d), "lm_head.weight": (model.vocab_size, d)}
    for stack, attentions in (("encoder", ("SelfAttention",)), ("decoder", ("SelfAttention", "EncDecAttention"))):
        sizes[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (32, model.heads)
        for path in (f"{stack}.block.{i}.layer" for i in range(model.layers)):
            for block, attention in enumerate(attentions):
                sizes |= {f"{path}.{block}.{attention}.{part}.weight": (inner, d) for part in "qkv"}
                sizes |= {f"{path}.{block}.{attention}.o.weight": (d, inner), f"{path}.{block}.layer_norm.weight": (d,)}
            end = f"{path}.{len(attentions)}"
            sizes |= {f"{end}.DenseReluDense.{part}.weight": (model.ffn_dim, d) for part in ("wi_0", "wi_1")}
            sizes |= {f"{end}.DenseReluDense.wo.weight": (d, model.ffn_dim), f"{end}.layer_norm.weight": (d,)}
        sizes[f"{stack}.final_layer_norm.weight"] = (d,)
    return sizes


def tensor_shapes(model: Shape) -> dict[str, Size]:
    """Name and shape of every tensor; the tied matrix is there once, as `model.shared.weight`."""
    d = model.d_model
    sizes: dict[str, Size] = {"model.shared.weight": (model.vocab_size, d)}
    for stack, attentions in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn"))):
        for i in range(model.layers):
            sizes |= _layer(f"model.{stack}.layers.{i}", d, model.ffn_dim, attentions)
        sizes |= _norm(f"model.{stack}.layer_norm", d)
    return sizes


def _layer(path: str, d: int, ffn_dim: int, attentions: tuple[str, ...]) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for attention in attentions:
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            sizes |= _linear(f"{path}.{attention}.{projection}", d, d)
        sizes |= _norm(f"{path}.{attention}_layer_norm", d)
    sizes |= _linear(f"{path}.fc1", d, ffn_dim) | _linear(f"{path}.fc2", ffn_dim, d)
    return sizes | _norm(f"{path}.final_layer_norm", d)


def _linear(path: str, inputs: int, outputs: int) -> dict[str, Size]:
    return {f"{path}.weight": (outputs, inputs), f"{path}.bias": (outputs,)}


def _norm(path: str, d: int) -> dict[str, Size]:
    return {f"{path}.weight": (d,), f"{path}.bias": (d,)}


def _write_tensors(path: Path, sizes: dict[str, Size], dtype: Dtype) -> None:
    """One safetensors file: length and text of its header, then the tensors in the header's order."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    width = 4 if dtype == "float32" else 2
    end = 0
    for name, size in sizes.items():
        start, end = end, end + math.prod(size) * width
        header[name] = {"dtype": CODES[dtype], "shape": list(size), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = _block(dtype)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, size in sizes.items():
            _write_tensor(file, name, math.prod(size), block)


def _write_tensor(file: BinaryIO, name: str, count: int, block: np.ndarray) -> None:
    if name.endswith("norm.weight"):
        file.write(_encoded(np.ones(count, np.float32), block.dtype))
        return
    for part in _parts(name, count, len(block)):
        file.write(block[part].data)


def _parts(name: str, count: int, length: int) -> Iterator[slice]:
    """Slices of the block that add up to `count` values, from starts that the tensor's name decides."""
    random = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    while count:
        start = int(random.integers(length // 2))  # a start of its own each time: no period within the tensor either
        part = slice(start, min(start + count, length))
        count -= part.stop - part.start
        yield part


def _block(dtype: Dtype) -> np.ndarray:
    """Normal values as they are stored: float32, float16, or bfloat16 as uint16."""
    random = np.random.Generator(np.random.PCG64(0))
    values = random.standard_normal(BLOCK, dtype=np.float32) * np.float32(STANDARD_DEVIATION)
    stored = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}[dtype]
    return np.frombuffer(_encoded(values, np.dtype(stored)), stored)


def _encoded(values: np.ndarray, stored: np.dtype) -> bytes:
    """float32 values as bytes of the stored type; uint16 stands for bfloat16, cut off rather than rounded."""
    if stored == np.uint16:
        return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.astype(stored).tobytes()


def _write_json(path: Path, data: dict[str, object]) -> None:
    path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Write the checkpoint that the command line asks for."""
    parser = argparse.ArgumentParser(description="Write a random checkpoint in the shape of a real one.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=CODES, default="float32")
    options = parser.parse_args()
    big(options.folder, options.shape, options.dtype)


if __name__ == "__main__":
    main()
