"""A graph and its weights as one file, for readers that open single files.

An ONNX file is a protocol buffer, and of such messages two that follow one another are one message with the contents
of both. So the graph without its weights is written first, and behind it each weight as a further piece of the same
graph, streamed from the data file. Field numbers are those of `onnx.proto`.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir

from quartet.spec import FileEntry

LIMIT = 2**31 - 1  # bytes that a protocol buffer can have
SLICE_BYTES = 16 << 20

_GRAPH, _INITIALIZER = 7, 5  # of a model, and of a graph
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9  # of a tensor
_VARINT, _BYTES = 0, 2  # wire types


def write_single(graph: Path, out: Path, renamed_dims: dict[str, str]) -> FileEntry:
    """Copy `NAME.onnx` and what it needs of its data file to `out`; dimensions of inputs get other names."""
    model = ir.load(graph)
    for value in model.graph.inputs:
        dims = value.shape if value.shape is not None else ()
        value.shape = ir.Shape([dim if isinstance(dim, int) else renamed_dims.get(str(dim), str(dim)) for dim in dims])
    weights = [value for value in model.graph.initializers.values() if isinstance(value.const_value, ir.ExternalTensor)]
    for value in weights:
        assert value.name is not None
        del model.graph.initializers[value.name]
    digest, size = hashlib.sha256(), 0
    with out.open("wb") as file:
        for piece in _pieces(model, weights):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return FileEntry(size, digest.hexdigest())


def _pieces(model: ir.Model, weights: list[ir.Value]) -> Iterator[bytes]:
    yield ir.serde.serialize_model(model).SerializeToString()
    for value in weights:
        tensor = value.const_value
        assert isinstance(tensor, ir.ExternalTensor)
        about = b"".join([_key(_DIMS, _VARINT) + _varint(dim) for dim in tensor.shape.numpy()])
        about += _key(_DATA_TYPE, _VARINT) + _varint(int(tensor.dtype))
        name = tensor.name.encode("utf-8")
        about += _key(_NAME, _BYTES) + _varint(len(name)) + name
        about += _key(_RAW_DATA, _BYTES) + _varint(tensor.nbytes)
        initializer = _key(_INITIALIZER, _BYTES) + _varint(len(about) + tensor.nbytes) + about
        yield _key(_GRAPH, _BYTES) + _varint(len(initializer) + tensor.nbytes) + initializer
        yield from _data(tensor)


def _data(tensor: ir.ExternalTensor) -> Iterator[bytes]:
    with Path(tensor.path).open("rb") as file:
        file.seek(tensor.offset or 0)
        for start in range(0, tensor.nbytes, SLICE_BYTES):
            yield file.read(min(SLICE_BYTES, tensor.nbytes - start))


def _key(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _varint(value: int) -> bytes:
    """A number in groups of seven bits, the lowest first; all but the last are marked."""
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
