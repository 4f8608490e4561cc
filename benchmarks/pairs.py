"""Sentences by language, and pairs of English and another language in the files that the demo is trained on."""

import gzip
import hashlib
from pathlib import Path


def read_lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def read_pairs(folder: Path, language: str) -> list[tuple[str, str]]:
    """All pairs of `en-LANGUAGE.tsv.gz`, English first."""
    with gzip.open(folder / f"en-{language}.tsv.gz", "rt", encoding="utf-8", newline="\n") as lines:
        parts = (line.rstrip("\n").split("\t") for line in lines)
        return [(english, other) for english, other in parts]


def is_held_out(english: str) -> bool:
    """Whether the demo was not trained on a sentence, as `training/demo.py` has it."""
    return int(hashlib.md5(english.encode()).hexdigest(), 16) % 1000 < 6
