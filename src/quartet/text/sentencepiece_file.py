"""SentencePiece model files: their pieces, and a copy with fewer of them.

The file is a protocol buffer (`sentencepiece_model.proto`): field 1 is a piece, with its text, score and type in
fields 1 to 3; field 4 holds self-tests. Only these are looked at, everything else is copied as it is.
"""

from collections.abc import Set
from pathlib import Path
from typing import NamedTuple

from quartet.errors import CheckpointError
from quartet.protobuf_wire import bytes_field, fields, number_field, read_varint

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
TEXT_TYPES = (NORMAL, USER_DEFINED, BYTE)  # what text becomes
CONTROL_TYPES = (UNKNOWN, CONTROL)

_PIECE, _SELF_TEST = 1, 4  # fields of the model
_TEXT, _TYPE = 1, 3  # fields of a piece
_AS_UNUSED = number_field(_TYPE, UNUSED)  # appended to a piece: of a repeated scalar the last one counts


class Piece(NamedTuple):
    """A piece of a model, and the bytes that say so."""

    text: str
    type: int
    raw: bytes


def read_pieces(path: Path) -> list[Piece]:
    """The pieces in the order of their ids. Raises `CheckpointError` where the file is no SentencePiece model."""
    return _parts(path)[0]


def without(path: Path, dropped: Set[str]) -> bytes:
    """A copy of the model in which text never becomes one of the `dropped` pieces.

    What cannot come out of text stands first, then the remaining pieces in their order. Of the dropped ones, those
    spelled with letters of remaining ones stay as `UNUSED`: byte pair encoding passes through them on its way to
    longer pieces, and takes them apart again where it ends in one. Text without dropped pieces is so encoded as before.
    """
    pieces, rest = _parts(path)
    kept = [piece for piece in pieces if piece.type in TEXT_TYPES and piece.text not in dropped]
    letters = {letter for piece in kept for letter in piece.text}
    passed = [p for p in pieces if p.text in dropped and len(p.text) > 1 and letters >= set(p.text)]
    unused = passed + [piece for piece in pieces if piece.type == UNUSED]
    first = [piece for piece in pieces if piece.type in CONTROL_TYPES]
    bodies = [piece.raw for piece in (*first, *kept)] + [piece.raw + _AS_UNUSED for piece in unused]
    return b"".join([*(bytes_field(_PIECE, body) for body in bodies), *rest])


def _parts(path: Path) -> tuple[list[Piece], list[bytes]]:
    """The pieces of a model, and its other fields as they stand in the file, without the self-tests."""
    data = path.read_bytes()
    try:
        found = list(fields(data))
        pieces = [_piece(data[field.value : field.end]) for field in found if field.number == _PIECE]
    except ValueError as error:
        raise CheckpointError(f"{path} is no SentencePiece model: {error}") from None
    return pieces, [data[field.start : field.end] for field in found if field.number not in (_PIECE, _SELF_TEST)]


def _piece(body: bytes) -> Piece:
    text, kind = b"", NORMAL
    for field in fields(body):
        if field.number == _TEXT:
            text = body[field.value : field.end]
        elif field.number == _TYPE:
            kind = read_varint(body, field.value, field.end)[0]
    return Piece(text.decode("utf-8"), kind, body)
