"""A small random model with a real tokeniser, the demo's: it translates any text into nonsense within milliseconds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import tiny
from checkpoint_files import write_safetensors
from demo_model import CONFIG, DEMO

TOKENIZER_FILES = ("sentencepiece.bpe.model", "special_tokens_map.json", "tokenizer_config.json")


def make(folder: Path) -> Path:
    """Write the checkpoint into `folder`: M2M100 of one layer, English and French, a window of 64 tokens."""
    shape = replace(tiny.VARIANTS["m2m100-one-layer"], seed=11, vocab_size=CONFIG["vocab_size"])
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(DEMO / name, folder / name)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\nlanguage: [en, fr]\n---\n")
    (folder / "config.json").write_text(json.dumps(tiny.config(shape)))
    (folder / "generation_config.json").write_text(json.dumps(tiny.generation_config(shape)))
    write_safetensors(folder / "model.safetensors", tiny.tensors(shape))
    return folder


def errors(err: str | bytes) -> list[str]:
    """What was said on stderr, but that translations are not complete: those of a tiny model, which talks nonsense."""
    lines = (err.decode() if isinstance(err, bytes) else err).splitlines()
    return [line for line in lines if "missing in the translation" not in line and "are not complete" not in line]
