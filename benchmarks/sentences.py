"""Sentences and their translations: the arguments that name them, and how they are read."""

import argparse
from pathlib import Path

from quartet.bench.data import open_test_set


def add_sentence_arguments(parser: argparse.ArgumentParser, count: int) -> None:
    """Languages, the folder with one file for each, and how many lines to take."""
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with one file of sentences per language")
    parser.add_argument("--sentences", type=int, default=count)


def read_sentences(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Sources and references, line by line."""
    found = open_test_set([args.data], args.source, args.target, args.sentences)
    return list(found.sources), list(found.references)
