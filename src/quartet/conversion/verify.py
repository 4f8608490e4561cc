"""Check a finished quartet without loading it: structure, sizes, and that no weight is stored twice."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from quartet.errors import ManifestError
from quartet.spec import FILES, LM_HEAD, FileEntry


@dataclass(frozen=True)
class Stored:
    """Where an initializer's bytes lie: the graph that names it, and data file, offset and length in bytes."""

    graph: str
    name: str
    data_file: str
    offset: int
    length: int


def stored_weights(folder: Path) -> Iterator[Stored]:
    """Every initializer of the four graphs that lies in a data file."""
    for file in FILES:
        yield from _stored(folder, file)


def _stored(folder: Path, file: str) -> Iterator[Stored]:
    for value in ir.load(folder / f"{file}.onnx").graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor):
            length = tensor.length if tensor.length is not None else tensor.nbytes
            yield Stored(file, tensor.name, str(tensor.location), tensor.offset or 0, length)


def _holds(weight: Stored, part: Stored) -> bool:
    return (
        weight.data_file == part.data_file
        and weight.offset <= part.offset
        and part.offset + part.length <= weight.offset + weight.length
    )


def verify(folder: Path, files: dict[str, FileEntry]) -> None:
    """Raise `ManifestError` where a weight lies outside its data file, overlaps another, or is named twice."""
    weights = list(stored_weights(folder))
    for weight in weights:
        size = files[weight.data_file].bytes
        if weight.offset + weight.length > size:
            end = weight.offset + weight.length
            raise ManifestError(f"{weight.name} ends at byte {end} of {size} in {weight.data_file}")
    _refuse_overlaps(weights)
    for borrowed in _stored(folder, LM_HEAD):
        if not any(_holds(weight, borrowed) for weight in weights):
            raise ManifestError(f"{borrowed.name} of {LM_HEAD} lies in no weight of {borrowed.data_file}")
    names = Counter(w.name for w in weights)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise ManifestError(f"named more than once: {', '.join(twice)}")


def _refuse_overlaps(weights: list[Stored]) -> None:
    """Two names for the same bytes are one weight (in two shapes); bytes that only overlap are a mistake."""
    places = sorted({(w.data_file, w.offset, w.length) for w in weights})
    for (file, offset, length), (next_file, next_offset, _) in itertools.pairwise(places):
        if file == next_file and next_offset < offset + length:
            raise ManifestError(f"{file} has weights that overlap at byte {next_offset}")
