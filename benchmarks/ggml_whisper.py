"""A checkpoint of Whisper in the format of whisper.cpp (ggml), so that its Python package can take part.

The layout is that of whisper.cpp's `models/README.md` and of its loader: sizes, mel filters, the words of the
vocabulary, then each tensor with its name, dimensions last to first. Matrices are float16, vectors and positions
float32, as in the files that whisper.cpp publishes.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import transformers

from quartet.families.whisper import OPENAI_NAMES

MAGIC = 0x67676D6C
FLOAT32, FLOAT16 = 0, 1
IN_FLOAT32 = ("positional_embedding", "conv1.bias", "conv2.bias")


def write_ggml(checkpoint: Path, out: Path) -> Path:
    """Write the model in `checkpoint` to the file `out`, and return it."""
    model = transformers.WhisperForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    tokenizer = transformers.WhisperTokenizer.from_pretrained(checkpoint)
    filters = transformers.WhisperFeatureExtractor.from_pretrained(checkpoint).mel_filters.T.astype(np.float32)
    with out.open("wb") as file:
        _write_sizes(file, model.config)
        file.write(struct.pack("2i", *filters.shape) + filters.tobytes())
        _write_words(file, tokenizer)
        for name, tensor in model.state_dict().items():
            if name != "proj_out.weight":  # the embedding once more
                _write_tensor(file, _renamed(name), tensor.numpy())
    return out


def _write_sizes(file: BinaryIO, config: transformers.WhisperConfig) -> None:
    audio = config.max_source_positions, config.d_model, config.encoder_attention_heads, config.encoder_layers
    text = config.max_target_positions, config.d_model, config.decoder_attention_heads, config.decoder_layers
    file.write(struct.pack("12i", MAGIC, config.vocab_size, *audio, *text, config.num_mel_bins, FLOAT16))


def _write_words(file: BinaryIO, tokenizer: transformers.WhisperTokenizer) -> None:
    """The bytes of each piece of text; control tokens whisper.cpp names itself."""
    pieces = sorted(tokenizer.encoder, key=tokenizer.encoder.__getitem__)
    file.write(struct.pack("i", len(pieces)))
    for piece in pieces:
        text = bytes(tokenizer.byte_decoder[letter] for letter in piece)
        file.write(struct.pack("i", len(text)) + text)


def _renamed(name: str) -> str:
    """The name of transformers in OpenAI's checkpoints."""
    name = name.removeprefix("model.")
    for ours, theirs in OPENAI_NAMES:
        name = name.replace(ours, theirs)
    return name


def _write_tensor(file: BinaryIO, name: str, values: np.ndarray) -> None:
    if "conv" in name and name.endswith("bias"):
        values = values[:, None]
    kept = values.ndim < 2 or name.endswith(IN_FLOAT32)
    encoded = name.encode()
    file.write(struct.pack("3i", values.ndim, len(encoded), FLOAT32 if kept else FLOAT16))
    file.write(struct.pack(f"{values.ndim}i", *reversed(values.shape)) + encoded)
    file.write(values.astype(np.float32 if kept else np.float16).tobytes())
