"""SentencePiece model files: their pieces, and a copy with fewer of them.

The file is a protocol buffer (`sentencepiece_model.proto`): field 1 is a piece, with its text, score and type in
fields 1 to 3; field 4 holds self-tests. Only these are looked at, everything else is copied as it is.
"""

from collections.abc import Iterator, Set
from pathlib import Path
from typing import NamedTuple

from quartet.errors import CheckpointError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
TEXT_TYPES = (NORMAL, USER_DEFINED, BYTE)  # what text becomes
CONTROL_TYPES = (UNKNOWN, CONTROL)

_PIECE, _SELF_TEST = 1, 4  # fields of the model
_TEXT, _TYPE = 1, 3  # fields of a piece
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_AS_UNUSED = bytes([_TYPE << 3 | _VARINT, UNUSED])  # appended to a piece: of a repeated scalar the last one counts


class Piece(NamedTuple):
    """A piece of a model, and the bytes that say so."""

    text: str
    type: int
    raw: bytes


class _Field(NamedTuple):
    number: int
    value: int | bytes
    raw: bytes  # key and value as they stand in the file


def read_pieces(path: Path) -> list[Piece]:
    """The pieces in the order of their ids. Raises `CheckpointError` where the file is no SentencePiece model."""
    return [_piece(field.value) for field in _model(path) if field.number == _PIECE]


def without(path: Path, dropped: Set[str]) -> bytes:
    """A copy of the model in which text never becomes one of the `dropped` pieces.

    What cannot come out of text stands first, then the remaining pieces in their order. Of the dropped ones, those
    spelled with letters of remaining ones stay as `UNUSED`: byte pair encoding passes through them on its way to
    longer pieces, and takes them apart again where it ends in one. Text without dropped pieces is so encoded as before.
    """
    fields = _model(path)
    pieces = [_piece(field.value) for field in fields if field.number == _PIECE]
    kept = [piece for piece in pieces if piece.type in TEXT_TYPES and piece.text not in dropped]
    letters = {letter for piece in kept for letter in piece.text}
    passed = [p for p in pieces if p.text in dropped and len(p.text) > 1 and letters >= set(p.text)]
    unused = passed + [piece for piece in pieces if piece.type == UNUSED]
    first = [piece for piece in pieces if piece.type in CONTROL_TYPES]
    bodies = [piece.raw for piece in (*first, *kept)] + [piece.raw + _AS_UNUSED for piece in unused]
    rest = [field.raw for field in fields if field.number not in (_PIECE, _SELF_TEST)]
    return b"".join([*map(_as_field, bodies), *rest])


def _piece(body: int | bytes) -> Piece:
    assert isinstance(body, bytes)
    values = {field.number: field.value for field in _fields(body)}
    text, kind = values.get(_TEXT, b""), values.get(_TYPE, NORMAL)
    assert isinstance(text, bytes)
    assert isinstance(kind, int)
    return Piece(text.decode("utf-8"), kind, body)


def _model(path: Path) -> list[_Field]:
    try:
        return list(_fields(path.read_bytes()))
    except (IndexError, ValueError) as error:
        raise CheckpointError(f"{path} is no SentencePiece model: {error}") from None


def _fields(data: bytes) -> Iterator[_Field]:
    """The fields of a message, one level deep."""
    position = 0
    while position < len(data):
        start = position
        key, position = _varint(data, position)
        wire_type, value = key & 7, b""
        if wire_type == _VARINT:
            number, position = _varint(data, position)
            yield _Field(key >> 3, number, data[start:position])
            continue
        if wire_type == _BYTES:
            length, position = _varint(data, position)
        else:
            length = {_FIXED32: 4, _FIXED64: 8}[wire_type] if wire_type in (_FIXED32, _FIXED64) else -1
        if not 0 <= length <= len(data) - position:
            raise ValueError(f"byte {start} begins no field")
        value, position = data[position : position + length], position + length
        yield _Field(key >> 3, value, data[start:position])


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where the next one begins."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _as_field(body: bytes) -> bytes:
    """A piece as a field of the model."""
    length, size = len(body), b""
    while length >= 0x80:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([_PIECE << 3 | _BYTES]) + size + bytes([length]) + body
