"""A graph and its weights as one file, for readers that open single files.

An ONNX file is a protocol buffer, and of such messages two that follow one another are one message with the contents
of both. So the graph without its weights is written first, and behind it each weight as a further piece of the same
graph, streamed from the data file. Field numbers are those of `onnx.proto`.
"""

from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir

from quartet.protobuf_wire import bytes_field, bytes_field_head, number_field

LIMIT = 2**31 - 1  # bytes that a protocol buffer can have
SLICE_BYTES = 16 << 20

_GRAPH, _INITIALIZER = 7, 5  # of a model, and of a graph
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9  # of a tensor


def write_single(graph: Path, out: Path, renamed_dims: dict[str, str]) -> None:
    """Copy `NAME.onnx` and what it needs of its data file to `out`; dimensions of inputs get other names."""
    model = ir.load(graph)
    for value in model.graph.inputs:
        dims = value.shape if value.shape is not None else ()
        value.shape = ir.Shape([dim if isinstance(dim, int) else renamed_dims.get(str(dim), str(dim)) for dim in dims])
    weights = [value for value in model.graph.initializers.values() if isinstance(value.const_value, ir.ExternalTensor)]
    for value in weights:
        assert value.name is not None
        del model.graph.initializers[value.name]
    with out.open("wb") as file:
        file.writelines(_pieces(model, weights))


def _pieces(model: ir.Model, weights: list[ir.Value]) -> Iterator[bytes]:
    yield ir.serde.serialize_model(model).SerializeToString()
    for value in weights:
        tensor = value.const_value
        assert isinstance(tensor, ir.ExternalTensor)
        about = b"".join(number_field(_DIMS, dim) for dim in tensor.shape.numpy())
        about += number_field(_DATA_TYPE, int(tensor.dtype)) + bytes_field(_NAME, tensor.name.encode("utf-8"))
        about += bytes_field_head(_RAW_DATA, tensor.nbytes)
        initializer = bytes_field_head(_INITIALIZER, len(about) + tensor.nbytes) + about
        yield bytes_field_head(_GRAPH, len(initializer) + tensor.nbytes) + initializer
        yield from _data(tensor)


def _data(tensor: ir.ExternalTensor) -> Iterator[bytes]:
    with Path(tensor.path).open("rb") as file:
        file.seek(tensor.offset or 0)
        for start in range(0, tensor.nbytes, SLICE_BYTES):
            yield file.read(min(SLICE_BYTES, tensor.nbytes - start))
