"""Sentences and their translations: the arguments that name them, and how they are read."""

import argparse
from pathlib import Path


def add_sentence_arguments(parser: argparse.ArgumentParser, count: int) -> None:
    """Languages, the folder with one file for each, and how many lines to take."""
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with one file of sentences per language")
    parser.add_argument("--sentences", type=int, default=count)


def read_sentences(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Sources and references, line by line."""
    source, target = (
        (args.data / f"{language}.txt").read_text(encoding="utf-8").splitlines()[: args.sentences]
        for language in (args.source, args.target)
    )
    return source, target
