"""Reads `model.safetensors`: 8 bytes with the length of a JSON header, the header, the tensors' bytes.

The format: https://huggingface.co/docs/safetensors/index#format
"""

import math
from pathlib import Path
from typing import Any

from quartet.checkpoint.shards import Tensors, brief, index_sharded, parse_json_object, refuse_pointer
from quartet.checkpoint.tensors import DType, TensorEntry, is_shape, itemsize
from quartet.errors import CheckpointError

SINGLE = "model.safetensors"
SHARDED = "model.safetensors.index.json"
FILES = (SINGLE, SHARDED)

MAX_HEADER_BYTES = 100_000_000  # the limit of the format's own reader
DTYPES: dict[str, DType] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def index(folder: Path) -> Tensors:
    """All tensors of `model.safetensors`, or else of the shards of `model.safetensors.index.json`."""
    single = folder / SINGLE
    return index_file(single) if single.is_file() else index_sharded(folder / SHARDED, index_file)


def index_file(path: Path) -> Tensors:
    """All tensors of one file. Raises `CheckpointError` where it is truncated or its header makes no sense."""
    header, start, length = _read_header(path)
    header.pop("__metadata__", None)
    tensors = {name: _entry(path, name, described, start, length) for name, described in header.items()}
    _refuse_gaps(path, tensors, start, length)
    return tensors


def _refuse_gaps(path: Path, tensors: Tensors, start: int, length: int) -> None:
    """The format has the tensors one behind the other and nothing else: where bytes are lost or added, that shows."""
    end = start
    for entry in sorted(tensors.values(), key=lambda entry: (entry.offset, entry.nbytes)):
        if entry.offset != end:
            raise CheckpointError(
                f"{path} has a corrupt header: {brief(entry.name)} begins at byte {entry.offset} of the "
                f"file, and what is before it ends at byte {end}"
            )
        end += entry.nbytes
    if end != start + length:
        raise CheckpointError(f"{path} is damaged: it has {start + length} bytes, and its tensors end at byte {end}")


def _read_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header, the offset of the data behind it, and the data's length in bytes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            refuse_pointer(path, prefix + file.peek(32))
            start = 8 + int.from_bytes(prefix, "little")
            if len(prefix) < 8 or start > min(size, 8 + MAX_HEADER_BYTES):
                raise CheckpointError(f"{path} is truncated or no safetensors file: {size} bytes, header to {start}")
            return parse_json_object(file.read(start - 8)), start, size - start
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path} has a corrupt header: {error}") from None


def _entry(path: Path, name: str, described: Any, start: int, length: int) -> TensorEntry:
    match described:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if is_shape(shape):
            pass
        case _:
            raise CheckpointError(
                f"{path} has a corrupt header: {brief(name)} has no proper dtype, shape and data_offsets"
            )
    if dtype not in DTYPES:
        raise CheckpointError(f"{path}: {brief(name)} has type {brief(dtype)}; what is read is {', '.join(DTYPES)}")
    if not 0 <= begin <= end <= length:
        raise CheckpointError(
            f"{path} is truncated or corrupt: {name!r} is at bytes {begin} to {end} of {length} bytes of data"
        )
    if end - begin != math.prod(shape) * itemsize(DTYPES[dtype]):
        raise CheckpointError(f"{path} has a corrupt header: {name!r} is {dtype} {shape} but {end - begin} bytes")
    return TensorEntry(path, start + begin, tuple(shape), DTYPES[dtype], None, name)
