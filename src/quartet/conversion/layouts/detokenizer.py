"""Whisper's tokens to text as a graph of plain operators, without ONNX Runtime's library of extensions.

A token is a few bytes, not always whole letters. A string of ONNX is bytes as well: each token's are looked up in a
table and appended to those before, and where the last one is in, they are UTF-8. Bytes that are none stay what they
are.
"""

import json
from functools import lru_cache
from pathlib import Path

import onnx_ir as ir

from quartet.errors import CheckpointError
from quartet.graph.builder import Builder
from quartet.quantize.recipes import Recipe

DETOKENIZER = "detokenizer"


def detokenizer(tokens: list[bytes]) -> Builder:
    """`sequences` int32 [1, 1, n] to `text`, a string [1, 1]; tokens: the bytes of each id."""
    b = Builder(DETOKENIZER, Recipe("fp32"))
    sequences = b.input("sequences", ir.DataType.INT32, [1, 1, "n"])
    ids = b.op("Reshape", [sequences, b.integers("all", -1)], "/ids")
    pieces = b.op("Gather", [b.strings("/tokens", tokens, [len(tokens)]), ids], "/pieces")

    body = b.subgraph("body")
    place = body.input("/body/place", ir.DataType.INT64, [])
    going_on = body.input("/body/going_on", ir.DataType.BOOL, [])
    before = body.input("/body/before", ir.DataType.STRING, [1, 1])
    piece = body.op("Gather", [pieces, place], "/body/piece")
    body.output(body.op("Identity", [going_on], "/body/more"), "/body/more", ir.DataType.BOOL, [])
    text = body.op("StringConcat", [before, piece], "/body/text")
    body.output(text, "/body/text", ir.DataType.STRING, [1, 1])

    start = [b.op("Size", [pieces], "/count"), None, b.strings("/empty", [b""], [1, 1])]
    whole = b.op("Loop", start, "/text", {"body": body.branch_graph()})
    b.output(whole, "text", ir.DataType.STRING, [1, 1])
    return b


def token_bytes(tokenizer: Path, count: int) -> list[bytes]:
    """The bytes of each of `count` ids, by a `tokenizer.json` of byte pairs (GPT-2); control tokens have none.

    Raises `CheckpointError` for a tokeniser of another kind.
    """
    try:
        data = json.loads(tokenizer.read_text(encoding="utf-8"))
        letters, vocab = _bytes_of_letters(), data["model"]["vocab"]
        known = {int(i): bytes(letters[letter] for letter in text) for text, i in vocab.items()}
        control = {int(token["id"]) for token in data.get("added_tokens", [])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{tokenizer} is no tokeniser of byte pairs, as Whisper's is") from None
    return [b"" if i in control else known.get(i, b"") for i in range(count)]


@lru_cache(maxsize=1)
def _bytes_of_letters() -> dict[str, int]:
    """The letters that stand for bytes in GPT-2's vocabulary: visible ones of Latin-1 for themselves, then the rest."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + i): byte for i, byte in enumerate(others)}
