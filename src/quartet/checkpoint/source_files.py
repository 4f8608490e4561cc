"""Which files of a source conversion reads: what is downloaded from the hub, and what a cached conversion depends on.

This module is imported wherever a model is named, so it imports nothing that reads weights.
"""

from pathlib import Path

from quartet.checkpoint.card import CARD
from quartet.checkpoint.ctranslate2 import argos
from quartet.checkpoint.optimum import FOLDERS

# In this order: where a repository has several formats, the first one is taken and nothing is downloaded twice.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.bin",  # of CTranslate2
)
VOCABULARIES = ("shared_vocabulary", "source_vocabulary", "target_vocabulary", "vocabulary")  # of CTranslate2
OTHER_FILES = (
    "config.json",
    "generation_config.json",
    CARD,  # its head names the licence and the languages
    "sentencepiece.bpe.model",
    "spiece.model",
    "source.spm",
    "target.spm",
    "vocab.json",
    "merges.txt",
    "target_vocab.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    # beside CTranslate2's weights
    *(f"{name}.{ending}" for name in VOCABULARIES for ending in ("json", "txt")),
    "sentencepiece.model",
    "preprocessor_config.json",
)
# On a disk weights have any names: shards, exports, and whatever files an export keeps them in.
SUFFIXES = {".json", ".safetensors", ".bin", ".model", ".spm", ".onnx", ".onnx_data", ".data", ".pt", ".pth"}
SUBFOLDERS = (*(folder.rstrip("/") for folder in FOLDERS if folder), argos.MODEL)


def source_files(source: Path) -> list[Path]:
    """What conversion may read of a checkpoint: a folder, an Argos package, or a file with its tokeniser beside it."""
    if source.suffix == argos.SUFFIX:
        return [source]
    if source.is_file():
        return [source, *source_files(source.parent)]
    folders = [folder for folder in (source, *(source / name for name in SUBFOLDERS)) if folder.is_dir()]
    return sorted(path for folder in folders for path in folder.iterdir() if is_read(path.name) and path.is_file())


def is_read(name: str) -> bool:
    """Whether conversion may read a file of this name."""
    return name in OTHER_FILES or name in WEIGHTS or Path(name).suffix in SUFFIXES
