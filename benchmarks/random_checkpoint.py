"""Write a checkpoint of random weights in the shape of a real NLLB-200 model, in little memory.

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
    """The dimensions of a dense NLLB-200 model."""

    d_model: int
    layers: int  # of the encoder, and of the decoder
    ffn_dim: int
    heads: int = 16
    vocab_size: int = 256206
    max_positions: int = 1024


SHAPES = {
    "tiny": Shape(d_model=64, layers=2, ffn_dim=128, heads=4, vocab_size=1000),  # to try a script out
    "nllb-600M": Shape(d_model=1024, layers=12, ffn_dim=4096),  # facebook/nllb-200-distilled-600M
    "nllb-1.3B": Shape(d_model=1024, layers=24, ffn_dim=8192),  # facebook/nllb-200-distilled-1.3B
    "nllb-3.3B": Shape(d_model=2048, layers=24, ffn_dim=8192),  # facebook/nllb-200-3.3B
}


def big(folder: Path, shape: str, dtype: Dtype = "float32") -> Path:
    """Write the checkpoint into `folder` and return it; `shape` is a key of `SHAPES`."""
    model = SHAPES[shape]
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", config(model) | {"dtype": dtype})
    _write_json(folder / "generation_config.json", GENERATION | {"max_length": 200})
    _write_tensors(folder / "model.safetensors", tensor_shapes(model), dtype)
    return folder


GENERATION: dict[str, object] = {"bos_token_id": 0, "decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1}


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
