"""Reads an ONNX file without its weights: these stay where they are, as places in the file or in its external data.

An ONNX file is a protocol buffer (`onnx.proto`). Before it is parsed, the bytes of every initializer are cut out of it
and replaced with the note that ONNX has for weights in another file, here naming the file itself. So a decoder of two
gigabytes costs what its nodes cost.
"""

import contextlib
import logging
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from quartet.checkpoint.shards import brief, is_file_name, refuse_pointer
from quartet.checkpoint.tensors import DType, TensorEntry, read
from quartet.errors import CheckpointError
from quartet.protobuf_wire import BYTES, bytes_field, fields, number_field

# message -> its fields that hold messages to look into
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {6: "graph"},
}
_DATA_TYPE, _FLOAT_DATA, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 2, 4, 9, 13, 14  # fields of a tensor
_FLOAT = 1  # its data type float32

DTYPES: dict[ir.DataType, DType] = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.FLOAT16: "float16",
    ir.DataType.BFLOAT16: "bfloat16",
    ir.DataType.DOUBLE: "float64",
    ir.DataType.INT8: "int8",
    ir.DataType.UINT8: "uint8",
}


def read_graph(path: Path) -> ir.Graph:
    """The graph of a file, its initializers as `ExternalTensor`s. Raises `CheckpointError` where it is no ONNX file."""
    try:
        with path.open("rb") as file:
            refuse_pointer(path, file.read(64))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                slim = _without_weights(mapped, "model", (0, len(mapped)), path.name)
        model = onnx.ModelProto.FromString(slim)
        if not model.graph.node:
            raise ValueError("it has no nodes")
        with _silent_library():
            graph = ir.serde.deserialize_model(model).graph
        undefined = _undefined(graph, frozenset())
        if undefined is not None:
            raise ValueError(f"nothing in it makes {brief(undefined)}")
        return graph
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # the libraries raise what they like on damaged files
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is truncated or no ONNX file: {reason}") from None


@contextlib.contextmanager
def _silent_library() -> Iterator[None]:
    """Without what `onnx_ir` logs of invalid graphs, a line for each node."""
    logger = logging.getLogger("onnx_ir")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _undefined(graph: ir.Graph, outer: frozenset[str | None]) -> str | None:
    """A value that is used in a graph or its branches and comes from nowhere; None where all is well."""
    inside = {value.name for value in graph.inputs} | graph.initializers.keys()
    known = outer | inside | {value.name for node in graph for value in node.outputs}
    for node in graph:
        for value in node.inputs:
            if value is not None and value.name not in known:
                return str(value.name)
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                found = _undefined(attribute.as_graph(), known)
                if found is not None:
                    return found
    return None


def entry_of(value: ir.Value, folder: Path) -> TensorEntry:
    """Where an initializer lies. Raises `CheckpointError` where its file is missing or too short."""
    tensor, name = value.const_value, str(value.name)
    if not isinstance(tensor, ir.ExternalTensor) or tensor.dtype not in DTYPES:
        kind = getattr(tensor, "dtype", "unknown")
        raise CheckpointError(f"{folder}: initializer {name!r} is stored in a way that is not read (type {kind})")
    location, offset, dtype = str(tensor.location), tensor.offset or 0, DTYPES[tensor.dtype]
    path = folder / location
    if path.parent != folder or not is_file_name(location):
        raise CheckpointError(f"{folder}: {brief(name)} lies in {brief(location)}, which is no file of this folder")
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: it holds {name!r} and other weights of the export")
    entry = TensorEntry(path, offset, tuple(tensor.shape.numpy()), dtype, None, name)
    if offset + entry.nbytes > path.stat().st_size:
        size = path.stat().st_size
        raise CheckpointError(f"{path} is truncated: {name!r} ends at byte {offset + entry.nbytes} of {size}")
    return entry


def array_of(value: ir.Value, folder: Path) -> np.ndarray:
    """The numbers of a small initializer, such as scales."""
    tensor = value.const_value
    assert tensor is not None
    if isinstance(tensor, ir.ExternalTensor):
        return read(entry_of(value, folder))
    return tensor.numpy()


def _without_weights(data: mmap.mmap, message: str, span: tuple[int, int], location: str) -> bytes:
    """A message in which the bytes of tensors are replaced with their places."""
    if message == "tensor":
        return _without_bytes(data, span, location)
    parts: list[bytes] = []
    for field in fields(data, *span):
        inner = _FIELDS[message].get(field.number)
        if inner and field.wire_type == BYTES:
            body = _without_weights(data, inner, (field.value, field.end), location)
            parts.append(bytes_field(field.number, body))
        else:
            parts.append(data[field.start : field.end])
    return b"".join(parts)


def _without_bytes(data: mmap.mmap, span: tuple[int, int], location: str) -> bytes:
    found = list(fields(data, *span))
    dtype = next((data[field.value] for field in found if field.number == _DATA_TYPE), 0)
    parts: list[bytes] = []
    outside = b""  # comes last, and so counts more than a note that the bytes are inside
    for field in found:
        held = field.number == _RAW_DATA or (field.number == _FLOAT_DATA and dtype == _FLOAT)
        if held and field.wire_type == BYTES:
            place = {"location": location, "offset": str(field.value), "length": str(field.end - field.value)}
            parts += [
                bytes_field(_EXTERNAL_DATA, bytes_field(1, k.encode()) + bytes_field(2, v.encode()))
                for k, v in place.items()
            ]
            outside = number_field(_DATA_LOCATION, 1)
        else:
            parts.append(data[field.start : field.end])
    return b"".join(parts) + outside
