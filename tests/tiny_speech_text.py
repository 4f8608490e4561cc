"""A small random Whisper that has a tokeniser: 40 letters and signs, each a token. What it says makes no sense."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import tiny_speech
from checkpoint_files import write_safetensors

LETTERS = "abcdefghijklmnopqrstuvwxyz.,?!-'()\":;01"
STEERING = (
    "endoftext",
    "startoftranscript",
    "en",
    "fr",
    "de",
    "translate",
    "transcribe",
    "startoflm",
    "startofprev",
    "nospeech",
    "notimestamps",
)


def make(folder: Path, variant: str = "base") -> Path:
    """Write the checkpoint into `folder` and return it."""
    tiny_speech.make(folder, variant)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()), encoding="utf-8")
    return folder


def make_fine_tuned(
    folder: Path, words: Sequence[str] = (), *, padding: int = 0, generation: bool = True, times: bool = True
) -> Path:
    """Likewise, of one whose vocabulary got further words and then rows that no token has; return it.

    It says the last of these rows again and again, and never ends by itself. generation: with a generation config.
    times: its tokeniser names the timestamps.
    """
    make(folder)
    rows = tiny_speech.VOCABULARY + len(words) + padding
    made = tiny_speech.tensors(tiny_speech.BASE)
    norm = "model.decoder.layer_norm"
    says = np.linspace(-1, 1, tiny_speech.BASE.d_model, dtype=np.float32)
    made[f"{norm}.weight"], made[f"{norm}.bias"] = np.zeros_like(says), says
    table = np.zeros((rows, len(says)), np.float32)
    table[: tiny_speech.VOCABULARY] = made["model.decoder.embed_tokens.weight"]
    table[tiny_speech.END], table[-1] = -2 * says, 2 * says
    if words and padding:  # what it would say if it could not say that
        table[tiny_speech.VOCABULARY] = says
    made["model.decoder.embed_tokens.weight"] = table
    write_safetensors(folder / "model.safetensors", made)
    described = tiny_speech.config(tiny_speech.BASE) | {"vocab_size": rows}
    (folder / "config.json").write_text(json.dumps(described), encoding="utf-8")
    if not generation:
        (folder / "generation_config.json").unlink()
    content = tokenizer()
    if not times:
        content["added_tokens"] = [one for one in content["added_tokens"] if one["id"] < tiny_speech.BEGIN]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    added = [{"id": tiny_speech.VOCABULARY + i, "content": word, **flags} for i, word in enumerate(words)]
    content["added_tokens"] += added
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def tokenizer() -> dict:
    """`tokenizer.json`: byte pairs without a single pair, and the control tokens."""
    vocab = {letter: i for i, letter in enumerate("Ġ" + LETTERS)}
    times = (f"{i * 0.02:.2f}" for i in range(tiny_speech.POSITIONS + 1))
    names = [f"<|{name}|>" for name in (*STEERING, *times)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": tiny_speech.END + i, "content": name, **flags} for i, name in enumerate(names)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "vocab": vocab, "merges": []},
    }
