"""Tiny checkpoints of every family with real tokeniser files, to be cut down to some of their languages."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

import tiny
import tiny_text
from checkpoint_files import write_safetensors

TOKENS = Path(__file__).parent / "golden" / "tokens"
SPARE_ROWS = 3  # that no token has, as in many checkpoints


def make(folder: Path, kind: str) -> Path:
    """`nllb`, `m2m100`, `m2m100-untied`, `marian` (many targets), `marian-separate` (two vocabularies), or `madlad`."""
    if kind == "nllb":
        return tiny_text.make(folder)
    folder.mkdir(parents=True)
    if kind == "madlad":
        return _madlad(folder)
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
    return _write_model(folder, shape)


def _write_model(folder: Path, shape: tiny.Variant) -> Path:
    (folder / "config.json").write_text(json.dumps(tiny.config(shape)))
    (folder / "generation_config.json").write_text(json.dumps(tiny.generation_config(shape)))
    write_safetensors(folder / "model.safetensors", tiny.tensors(shape))
    return folder


def _madlad(folder: Path) -> Path:
    """A vocabulary with all letters of its tags, as MADLAD-400's has them; other letters are bytes."""
    path = folder / "spiece.model"
    texts = ["Where is the train station? It's 10:45 a.m., and I don't know!", "0 < 2 > / x f", "je ne sais pas"]
    with path.open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter(texts * 9),
            model_writer=file,
            vocab_size=400,
            hard_vocab_limit=False,
            character_coverage=1.0,
            user_defined_symbols=["<2en>", "<2fr>"],
            byte_fallback=True,
            normalization_rule_name="identity",
            num_threads=1,
            minloglevel=2,
        )
    specials = {"unk_token": "<unk>", "pad_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", **specials}))
    rows = len(SentencePieceProcessor(model_file=str(path))) + SPARE_ROWS
    return _write_model(folder, replace(tiny.VARIANTS["madlad"], vocab_size=rows))


def _separate(folder: Path, entries: dict[str, int], shape: tiny.Variant) -> tiny.Variant:
    """The target's vocabulary has the pieces in another order, and only its own control tokens."""
    words = [piece for piece in entries if not piece.startswith(">>") and piece not in ("</s>", "<unk>", "<pad>")]
    target = ["</s>", "<unk>", *reversed(words)]
    table = {piece: i for i, piece in enumerate(target)} | {"<pad>": entries["<pad>"]}
    (folder / "target_vocab.json").write_text(json.dumps(table))
    # the padding token is the last row of both: of the target, some before it have no token
    return replace(shape, target_vocab_size=len(entries))
