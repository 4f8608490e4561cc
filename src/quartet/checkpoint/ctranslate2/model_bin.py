"""Reads CTranslate2's `model.bin`: a version, the kind of model, then each variable's name, shape, type and bytes.

Little-endian: uint32 binary version, string kind, uint32 revision of the kind, uint32 number of variables; for each a
string name, uint8 rank, uint32 per dimension, uint8 type, uint32 number of bytes, the bytes; uint32 number of aliases;
for each a string alias and the string name of a variable. A string is a uint16 length, bytes and a final zero, which
the length counts. Written by `ModelSpec._serialize` in ctranslate2/specs/model_spec.py.
"""

import struct
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

from quartet.checkpoint.shards import Tensors, refuse_pointer
from quartet.checkpoint.tensors import DType, TensorEntry, is_shape
from quartet.errors import CheckpointError, UnsupportedModelError

VERSION = 6
DTYPES: tuple[DType, ...] = ("float32", "int8", "int16", "int32", "float16", "bfloat16")  # by number
QUANTIZED = ("int8", "int16")
SCALE = "_scale"  # `weight_scale` is what the rows of `weight`, or all of it, were multiplied by
MAX_VARIABLES = 1_000_000  # a model has some 20 per layer


@dataclass(frozen=True)
class ModelBin:
    """The variables of a model by name: weights, with their scales taken in, and numbers that describe it.

    An alias is the very entry of the variable that it stands for.
    """

    path: Path
    kind: str  # `TransformerSpec`, `WhisperSpec`, ...
    revision: int
    variables: Tensors


def index_file(path: Path) -> ModelBin:
    """Where everything in a `model.bin` lies.

    Raises `CheckpointError` where the file is truncated or damaged, `UnsupportedModelError` for another version.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            refuse_pointer(path, file.peek(64)[:64])
            return _index(path, file, size)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except (struct.error, UnicodeDecodeError):
        raise CheckpointError(f"{path} is truncated, damaged, or no CTranslate2 model") from None


def _index(path: Path, file: BufferedReader, size: int) -> ModelBin:
    version = _number(file, "<I")
    if version != VERSION:
        raise UnsupportedModelError(
            f"{path} has binary version {version}, or is no CTranslate2 model; version {VERSION} is read, which "
            "CTranslate2 has written since 3.0: convert the original model again with a newer CTranslate2"
        )
    kind, revision = _string(file), _number(file, "<I")
    stored = dict(_variable(path, file, size) for _ in range(_count(path, file)))
    variables = {name: _scaled(path, name, stored) for name in stored if not _is_scale(name, stored)}
    for _ in range(_count(path, file)):
        alias, name = _string(file), _string(file)
        if name not in variables:
            raise CheckpointError(f"{path} is damaged: {alias!r} stands for {name!r}, which it does not have")
        variables[alias] = variables[name]
    if file.tell() != size:
        raise CheckpointError(f"{path} is damaged: it has {size} bytes, and what it holds ends at byte {file.tell()}")
    return ModelBin(path, kind, revision, variables)


def _variable(path: Path, file: BufferedReader, size: int) -> tuple[str, TensorEntry]:
    """The next variable; the file is left behind its bytes."""
    name = _string(file)
    shape = tuple(_number(file, "<I") for _ in range(_number(file, "<B")))
    dtype, nbytes = _number(file, "<B"), _number(file, "<I")
    if dtype >= len(DTYPES) or not is_shape(shape):
        raise CheckpointError(f"{path} is damaged: {name!r} has type {dtype} and shape {list(shape)}")
    entry = TensorEntry(path, file.tell(), shape, DTYPES[dtype], name=name)
    if entry.nbytes != nbytes:
        raise CheckpointError(f"{path} is damaged: {name!r} is {entry.dtype} {list(shape)} but {nbytes} bytes")
    if entry.offset + nbytes > size:
        raise CheckpointError(f"{path} is truncated: {name!r} ends at byte {entry.offset + nbytes} of {size}")
    file.seek(nbytes, 1)
    return name, entry


def _is_scale(name: str, stored: Tensors) -> bool:
    return name.endswith(SCALE) and name.removesuffix(SCALE) in stored


def _scaled(path: Path, name: str, stored: Tensors) -> TensorEntry:
    """A variable with its scale, which integer weights have to have: none, one number, or one a row."""
    entry, scale = stored[name], stored.get(name + SCALE)
    if entry.dtype not in QUANTIZED or not entry.shape:
        return entry
    if scale is None or scale.shape not in ((), entry.shape[:1]):
        found = "no scale" if scale is None else f"a scale of shape {list(scale.shape)}"
        raise CheckpointError(f"{path} is damaged: {name!r}, {entry.dtype} {list(entry.shape)}, has {found}")
    return replace(entry, scale=scale)


def _count(path: Path, file: BufferedReader) -> int:
    count = _number(file, "<I")
    if count > MAX_VARIABLES:
        raise CheckpointError(f"{path} is damaged: it says that it has {count} variables")
    return count


def _string(file: BufferedReader) -> str:
    length = _number(file, "<H")
    text = file.read(length)
    if len(text) < length or not text.endswith(b"\0"):
        raise struct.error
    return text[:-1].decode("utf-8")


def _number(file: BufferedReader, form: str) -> int:
    value: int = struct.unpack(form, file.read(struct.calcsize(form)))[0]
    return value
