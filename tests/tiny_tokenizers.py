"""Tiny checkpoints of every family with real tokeniser files, to be cut down to some of their languages."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import tiny
import tiny_text
from checkpoint_files import write_safetensors

TOKENS = Path(__file__).parent / "golden" / "tokens"
SPARE_ROWS = 3  # that no token has, as in many checkpoints


def make(folder: Path, kind: str) -> Path:
    """`nllb`, `m2m100`, `m2m100-untied`, `marian` (many targets), or `marian-separate` (two vocabularies)."""
    if kind == "nllb":
        return tiny_text.make(folder)
    folder.mkdir(parents=True)
    family = kind.partition("-")[0]
    shutil.copytree(TOKENS / family, folder, dirs_exist_ok=True)
    entries = json.loads((folder / "vocab.json").read_text("utf-8"))
    if family == "m2m100":
        rows = len(entries) + 100 + SPARE_ROWS
        shape = replace(tiny.VARIANTS["m2m100-base"], vocab_size=rows, tied_head=kind == "m2m100")
    else:
        shape = replace(tiny.VARIANTS["marian-base"], vocab_size=len(entries))
    if kind == "marian-separate":
        shape = _separate(folder, entries, shape)
    (folder / "config.json").write_text(json.dumps(tiny.config(shape)))
    (folder / "generation_config.json").write_text(json.dumps(tiny.generation_config(shape)))
    write_safetensors(folder / "model.safetensors", tiny.tensors(shape))
    return folder


def _separate(folder: Path, entries: dict[str, int], shape: tiny.Variant) -> tiny.Variant:
    """The target's vocabulary has the pieces in another order, and only its own control tokens."""
    words = [piece for piece in entries if not piece.startswith(">>") and piece not in ("</s>", "<unk>", "<pad>")]
    target = ["</s>", "<unk>", *reversed(words)]
    table = {piece: i for i, piece in enumerate(target)} | {"<pad>": entries["<pad>"]}
    (folder / "target_vocab.json").write_text(json.dumps(table))
    # the padding token is the last row of both: of the target, some before it have no token
    return replace(shape, target_vocab_size=len(entries))
