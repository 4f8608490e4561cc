"""Where the weights of a packed file lie in it: large ones begin where a page of 2 MB does.

ONNX Runtime maps each matrix by itself. A large page of the file is mapped as one only where the mapping covers it all.
"""

import bisect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import StringStringEntryProto as Entry

PAGE = 2 << 20
SMALL_PAGE = 4096  # what is smaller begins at a multiple of this, so that it is not mapped with its neighbours
PREPACKED = "prepacked_"  # entries of ONNX Runtime: a name, then for each buffer `|offset;length;padding`
BUFFER = re.compile(r"\|(\d+);(\d+)")


class Piece(NamedTuple):
    """Bytes of a data file."""

    start: int
    length: int


def lay_out_in_large_pages(path: Path) -> None:
    """Write the data file `{path}.data` of a model anew, and the places of its weights into the model.

    For models as ONNX Runtime saves them: all weights in that one file, with what it packed beside them.
    """
    model = onnx.load(path, load_external_data=False)
    places = [tensor.external_data for tensor in model.graph.initializer if tensor.external_data]
    if not places:
        return
    old = sorted({piece for entries in places for piece in _pieces(entries)})
    new = dict(zip(old, positions([piece.length for piece in old]), strict=True))
    data = path.with_name(f"{path.name}.data")
    moved = path.with_name(f"{path.name}.moved")
    with data.open("rb") as source, moved.open("wb") as target:
        for piece, start in new.items():
            source.seek(piece.start)
            target.seek(start)
            target.write(source.read(piece.length))
    moved.replace(data)
    for entries in places:
        _move(entries, new)
    onnx.save(model, path)


def positions(lengths: Iterable[int]) -> list[int]:
    """Where pieces of these lengths may begin: large ones at large pages, the others in the gaps between them."""
    lengths = list(lengths)
    starts, end = [0] * len(lengths), 0
    gaps: list[tuple[int, int]] = []  # (length, start), ascending
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = bisect.bisect_left(gaps, (lengths[i], 0))  # the smallest gap that is large enough
        if place < len(gaps):
            room, start = gaps.pop(place)
            stop = start + room
        else:
            start = end
            stop = end = _up(start + lengths[i], PAGE if lengths[i] >= PAGE else SMALL_PAGE)
        starts[i], rest = start, _up(start + lengths[i], SMALL_PAGE)
        if stop > rest:
            bisect.insort(gaps, (stop - rest, rest))
    return starts


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _pieces(entries: Iterable[Entry]) -> list[Piece]:
    """A tensor's own bytes, and what was packed of them."""
    found = {entry.key: entry.value for entry in entries}
    packed = [value for key, value in found.items() if key.startswith(PREPACKED)]
    buffers = [buffer for value in packed for buffer in BUFFER.finditer(value)]
    return [Piece(int(found["offset"]), int(found["length"])), *map(_piece, buffers)]


def _piece(buffer: re.Match[str]) -> Piece:
    return Piece(int(buffer[1]), int(buffer[2]))


def _move(entries: Iterable[Entry], new: dict[Piece, int]) -> None:
    own, *_ = _pieces(entries)
    for entry in entries:
        if entry.key == "offset":
            entry.value = str(new[own])
        elif entry.key.startswith(PREPACKED):
            entry.value = BUFFER.sub(lambda buffer: f"|{new[_piece(buffer)]};{buffer[2]}", entry.value)
