"""Stream the weights of a graph into its data file and write the graph beside it.

`NAME.onnx` holds the nodes, `NAME.onnx.data` the weights. A tensor is read, stored and forgotten before the next one;
a large table goes slice by slice, so memory stays near the largest single matrix.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx_ir as ir

from quartet.checkpoint.tensors import TensorEntry, read, row_slices
from quartet.graph.builder import Builder, Weight
from quartet.spec import FileEntry, file_entry

SLICE_BYTES = 16 << 20
ALIGNMENT = 4096  # of tensors large enough to be mapped on their own
SMALL_ALIGNMENT = 64
SMALL = 64 << 10


def data_name(file: str) -> str:
    """Name of the data file of `encoder` and its like."""
    return f"{file}.onnx.data"


def write(
    builder: Builder, tensors: Mapping[str, TensorEntry], folder: Path, advance: Callable[[int], None]
) -> dict[str, FileEntry]:
    """Write one of the four files. `tensors` are by canonical name; `advance` is told of bytes as they are written."""
    model = builder.model()
    with _HashingFile(folder / data_name(builder.name)) as out:
        for weight in builder.weights.values():
            offset = out.align(ALIGNMENT if weight.nbytes >= SMALL else SMALL_ALIGNMENT)
            for block in _blocks(weight, [tensors[s] for s in weight.sources]):
                out.write(block)
                advance(block.nbytes)
            _place(builder.initializers[weight.name], weight, data_name(builder.name), offset)
    graph_path = folder / f"{builder.name}.onnx"
    ir.save(model, graph_path)
    return {graph_path.name: file_entry(graph_path), data_name(builder.name): out.entry()}


def _place(value: ir.Value, weight: Weight, location: str, offset: int) -> None:
    value.const_value = ir.ExternalTensor(
        location, offset, weight.nbytes, ir.DataType.FLOAT, shape=ir.Shape(weight.shape), name=weight.name
    )


def _blocks(weight: Weight, entries: list[TensorEntry]) -> Iterator[np.ndarray]:
    """The bytes of a weight as it is stored, in pieces: float32, C order."""
    if weight.transposed:
        matrix = np.concatenate([read(entry) for entry in entries])
        yield np.ascontiguousarray(matrix.T)
        return
    for entry in entries:
        for start, stop in row_slices(entry.shape, SLICE_BYTES):
            yield read(entry, start, stop)


class _HashingFile:
    """A file that is written once from front to back, and hashed on the way."""

    def __init__(self, path: Path) -> None:
        self.path, self.size, self.digest = path, 0, hashlib.sha256()

    def __enter__(self) -> "_HashingFile":
        self.file: BinaryIO = self.path.open("wb")
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, data: "np.ndarray | bytes") -> None:
        view = np.frombuffer(data, np.uint8).data if isinstance(data, bytes) else data.reshape(-1).view(np.uint8).data
        self.file.write(view)
        self.digest.update(view)
        self.size += view.nbytes

    def align(self, alignment: int) -> int:
        """Pad with zeros to a multiple of `alignment`; returns the offset reached."""
        self.write(bytes(-self.size % alignment))
        return self.size

    def entry(self) -> FileEntry:
        return FileEntry(self.size, self.digest.hexdigest())
