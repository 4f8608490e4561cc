"""A small random Whisper that has a tokeniser: 40 letters and signs, each a token. What it says makes no sense."""

import json
from pathlib import Path

import tiny_speech

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
