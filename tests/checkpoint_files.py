"""Writers of checkpoint files for the tests: safetensors and both of torch's formats, with numpy and pickle alone.

All take `{name: array}`. `dtype` ("float32", "float16" or "bfloat16") is what floating arrays are stored as, None
keeps their own; integers and booleans always keep theirs. The torch writers do what `torch.save` does with views:
arrays that share memory share one storage, and a transposed array is written as a view with strides. So
`{"shared": w, "lm_head": w}` are tied tensors and `w.T` is a transposed one.
"""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np

SAFETENSORS_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
STORAGE_NAMES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], dtype: str | None = None) -> None:
    """One `.safetensors` file. Arrays that share memory are written once each: leave duplicates out of `tensors`."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    parts = []
    end = 0
    for name, array in tensors.items():
        data, stored_as = _encode(array, dtype)
        header[name] = {
            "dtype": SAFETENSORS_NAMES[stored_as],
            "shape": list(array.shape),
            "data_offsets": [end, end + len(data)],
        }
        parts.append(data)
        end += len(data)
    write_safetensors_raw(path, json.dumps(header).encode(), b"".join(parts))


def write_safetensors_raw(path: Path, header: bytes, data: bytes = b"") -> None:
    """A `.safetensors` file from its header's text, which may be nonsense."""
    header += b" " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def write_torch_zip(
    path: Path,
    tensors: dict[str, np.ndarray],
    dtype: str | None = None,
    under: str | None = None,
    dims: dict[str, int] | None = None,
) -> None:
    """A file as `torch.save` writes it; `under` nests the state dict in `{under: state_dict, "epoch": 3}`.

    With `dims` these are in the place of the epoch, as in OpenAI's checkpoints of Whisper.
    """
    storages = _Storages(dtype)
    state_dict = pickled_state_dict(tensors, storages, legacy=False, under=under, dims=dims)
    write_torch_zip_raw(path, state_dict, {key: data for key, (_, data) in storages.items()})


def write_torch_zip_raw(
    path: Path, pickled: bytes, storages: dict[str, bytes], byteorder: str = "little", compression: int = 0
) -> None:
    """A torch zip file from its pickle and its storages' bytes, which may be nonsense."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", byteorder)
        for key, data in storages.items():
            info = zipfile.ZipInfo(f"archive/data/{key}")
            info.compress_type = compression
            info.extra = struct.pack("<HH", 0x4246, 16) + b"Z" * 16  # torch pads here to align the data
            archive.writestr(info, data)
        archive.writestr("archive/version", "3\n")


def write_torch_legacy(
    path: Path, tensors: dict[str, np.ndarray], dtype: str | None = None, under: str | None = None
) -> None:
    """A file as `torch.save(..., _use_new_zipfile_serialization=False)` and torch before 1.6 write it."""
    storages = _Storages(dtype)
    state_dict = pickled_state_dict(tensors, storages, legacy=True, under=under)
    write_torch_legacy_raw(path, state_dict, storages.items())


def write_torch_legacy_raw(
    path: Path, pickled: bytes, storages: list[tuple[str, tuple[int, bytes]]], little_endian: bool = True
) -> None:
    """A torch stream from its pickle and its storages `[(key, (count, bytes))]`, which may be nonsense."""
    out = io.BytesIO()
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    for head in (LEGACY_MAGIC, 1001, system):
        out.write(pickle.dumps(head, 2))
    out.write(pickled)
    out.write(pickle.dumps([key for key, _ in storages], 2))
    for _, (count, data) in storages:
        out.write(struct.pack("<q", count) + data)
    path.write_bytes(out.getvalue())


def pickled_state_dict(
    tensors: dict[str, np.ndarray],
    storages: "_Storages",
    legacy: bool,
    under: str | None = None,
    dims: dict[str, int] | None = None,
) -> bytes:
    """The pickle of an OrderedDict of tensors, opcode by opcode, since there may be no torch to pickle from."""
    items = b"".join(_op(name) + _op_tensor(array, storages, legacy) for name, array in tensors.items())
    metadata = _op_empty_ordered_dict() + b"}" + _op("_metadata") + _op_empty_ordered_dict() + b"sb"
    state_dict = metadata + b"(" + items + b"u"
    if under is not None:
        sizes = b"".join(_op(name) + _op(size) for name, size in (dims or {}).items())
        other = _op("epoch") + _op(3) if dims is None else _op("dims") + b"}(" + sizes + b"u"
        state_dict = b"}(" + _op(under) + state_dict + other + b"u"
    return b"\x80\x02" + state_dict + b"."


def op_global(module: str, name: str) -> bytes:
    """The opcode that asks for `module.name`."""
    return f"c{module}\n{name}\n".encode()


def op_storage(type_name: str, key: str, count: int, legacy: bool) -> bytes:
    """The opcodes of a persistent id that stands for a storage."""
    view = b"N" if legacy else b""
    parts = _op("storage") + op_global("torch", type_name) + _op(key) + _op("cpu") + _op(count) + view
    return b"(" + parts + b"tQ"


def op_rebuild_tensor(storage: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """The opcodes of a tensor: a view of a storage, offset and strides in elements."""
    arguments = storage + _op(offset) + _op(shape) + _op(strides) + b"\x89" + _op_empty_ordered_dict()
    return op_global("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def _op_tensor(array: np.ndarray, storages: "_Storages", legacy: bool) -> bytes:
    root = _root(array)
    key, type_name, count = storages.add(root)
    offset = (array.__array_interface__["data"][0] - root.__array_interface__["data"][0]) // array.itemsize
    strides = tuple(s // array.itemsize for s in array.strides)
    assert min(strides, default=0) >= 0, "torch has no negative strides"
    return op_rebuild_tensor(op_storage(type_name, key, count, legacy), offset, array.shape, strides)


def _op(value: object) -> bytes:
    """The opcodes of a plain value: its pickle without PROTO and STOP."""
    return pickle.dumps(value, 2)[2:-1]


def _op_empty_ordered_dict() -> bytes:
    return op_global("collections", "OrderedDict") + b")R"


class _Storages:
    """The distinct blocks of memory behind the arrays, encoded."""

    def __init__(self, dtype: str | None) -> None:
        self._dtype = dtype
        self._by_id: dict[int, tuple[str, str, int]] = {}
        self._bytes: dict[str, tuple[int, bytes]] = {}
        self._roots: list[np.ndarray] = []  # kept alive, so that ids stay theirs

    def add(self, root: np.ndarray) -> tuple[str, str, int]:
        """Key, torch's type name and number of elements of a root array's storage."""
        if id(root) not in self._by_id:
            data, stored_as = _encode(root.ravel(order="K"), self._dtype)
            key = str(len(self._by_id))
            self._by_id[id(root)] = (key, STORAGE_NAMES[stored_as], root.size)
            self._bytes[key] = (root.size, data)
            self._roots.append(root)
        return self._by_id[id(root)]

    def items(self) -> list[tuple[str, tuple[int, bytes]]]:
        """`[(key, (count, bytes))]`."""
        return list(self._bytes.items())


def _root(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _encode(array: np.ndarray, dtype: str | None) -> tuple[bytes, str]:
    """Bytes in C order, and the name of the stored type."""
    stored_as = dtype if dtype and array.dtype.kind == "f" else str(array.dtype)
    if stored_as == "bfloat16":
        return to_bfloat16(array).tobytes(), stored_as
    return array.astype(stored_as).tobytes(), stored_as


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    """The upper halves of float32, rounded to nearest even, as uint16."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
