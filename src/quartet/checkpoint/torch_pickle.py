"""Reads `pytorch_model.bin`, in torch's zip format and in the stream format of torch before 1.6, without torch.

zip: members `NAME/data.pkl` (a pickle whose persistent ids name storages) and `NAME/data/KEY` (a storage's bytes),
all stored uncompressed, so that a tensor has a place in the file.
stream: pickles of a magic number, a protocol version, facts about the system, the object and the list of storage
keys, one after the other; then for each key an int64 count of elements and the bytes.
"""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

from quartet.checkpoint.archives import DAMAGE, check_stored, open_zip
from quartet.checkpoint.shards import Tensors, brief, index_sharded, refuse_pointer
from quartet.checkpoint.tensors import TensorEntry, itemsize, normal_strides
from quartet.checkpoint.unpickler import Storage, Tensor, unpickle
from quartet.errors import CheckpointError

SINGLE = "pytorch_model.bin"
SHARDED = "pytorch_model.bin.index.json"
FILES = (SINGLE, SHARDED)

NESTED_UNDER = ("model_state_dict", "state_dict", "model")  # where training scripts and Whisper keep the state dict
MAX_PICKLE_BYTES = 16 << 20  # a pickle has some 100 bytes per tensor
STREAM_MAGIC = 0x1950A86A20F9469CFC6C
STREAM_PROTOCOL = 1001
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip member: signature, lengths of the name and of the extra field

Places = dict[str, int]  # storage key -> offset in the file, in bytes


def index(folder: Path) -> Tensors:
    """All tensors of `pytorch_model.bin`, or else of the shards of `pytorch_model.bin.index.json`."""
    single = folder / SINGLE
    return index_file(single) if single.is_file() else index_sharded(folder / SHARDED, index_file)


def index_file(path: Path) -> Tensors:
    """All tensors of the state dict in one file. Tensors that share a storage are entries of the same bytes.

    Raises `CheckpointError` where the file is damaged, or its pickle asks for anything but tensors.
    """
    return tensors_of(path, *load(path))


def tensors_of(path: Path, value: Any, places: Places) -> Tensors:
    """All tensors of the state dict in the object that `load` gives."""
    state_dict = _state_dict(value)
    tensors = {name: _entry(path, name, t, places) for name, t in state_dict.items() if isinstance(t, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors by name")
    return tensors


def load(path: Path) -> tuple[Any, Places]:
    """The whole object in a file, with `Tensor`s for its tensors, and the places of their storages."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
            file.seek(0)
            refuse_pointer(path, head)
            if head.startswith(b"PK\x03\x04"):
                return _load_zip(path, file, size)
            if head[257:262] == b"ustar":
                raise CheckpointError(f"{path} is in torch's tar format of 2016: save it anew with a later torch")
            return _load_stream(path, file, size)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None


def _state_dict(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        return {}
    nested = (value[key] for key in NESTED_UNDER if isinstance(value.get(key), dict))
    return next(nested, value)


def _entry(path: Path, name: Any, tensor: Tensor, places: Places) -> TensorEntry:
    storage = tensor.storage
    offset = places[storage.key] + tensor.offset * itemsize(storage.dtype)
    strides = normal_strides(tensor.shape, tensor.strides)
    return TensorEntry(path, offset, tensor.shape, storage.dtype, strides, str(name))


# ---- zip --------------------------------------------------------------------------------------------------------


def _load_zip(path: Path, file: io.BufferedReader, size: int) -> tuple[Any, Places]:
    try:
        with open_zip(path, file) as archive:
            members = {info.filename: info for info in archive.infolist()}
        root = _root(path, members)
        _check_byte_order(path, file, members.get(f"{root}byteorder"))
        pickled = _read_small(path, file, members[f"{root}data.pkl"])
        unpickled = unpickle(path, io.BytesIO(pickled))
        places = {
            key: _storage_place(path, file, members.get(f"{root}data/{key}"), storage, size)
            for key, storage in unpickled.storages.items()
        }
        return unpickled.value, places
    except CheckpointError:
        raise
    except DAMAGE as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}") from None


def _root(path: Path, members: dict[str, zipfile.ZipInfo]) -> str:
    """The folder inside the archive, with its slash."""
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(f"{path} is a zip file, but no torch checkpoint: it has {len(roots)} members data.pkl")
    return roots[0]


def _check_byte_order(path: Path, file: io.BufferedReader, member: zipfile.ZipInfo | None) -> None:
    """Files without this member are older than it, and little-endian."""
    if member is not None and _read_small(path, file, member) != b"little":
        raise _big_endian(path)


def _big_endian(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} was saved on a big-endian machine; only little-endian files are read")


def _read_small(path: Path, file: io.BufferedReader, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"{path}: {brief(member.filename)} has {member.file_size} bytes, at most {MAX_PICKLE_BYTES}"
        )
    file.seek(_member_place(path, file, member))
    return file.read(member.file_size)


def _member_place(path: Path, file: io.BufferedReader, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes lie, whose checksum is checked; it has to be stored as it is."""
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise CheckpointError(f"{path}: {brief(member.filename)} is compressed, which torch's files never are")
    file.seek(member.header_offset)
    signature, name_length, extra_length = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    if signature != b"PK\x03\x04":
        raise CheckpointError(f"{path} is truncated or damaged: {brief(member.filename)} is not where it should be")
    place = member.header_offset + LOCAL_HEADER.size + int(name_length) + int(extra_length)
    check_stored(path, file, member, place)
    return place


def _storage_place(
    path: Path, file: io.BufferedReader, member: zipfile.ZipInfo | None, storage: Storage, size: int
) -> int:
    """Where a storage lies."""
    nbytes = storage.count * itemsize(storage.dtype)
    if member is None or member.file_size < nbytes:
        found = 0 if member is None else member.file_size
        raise CheckpointError(f"{path} is damaged: storage {brief(storage.key)} has {found} of {nbytes} bytes")
    place = _member_place(path, file, member)
    if place + nbytes > size:
        raise CheckpointError(f"{path} is truncated or damaged: storage {brief(storage.key)} ends behind its end")
    return place


# ---- stream -----------------------------------------------------------------------------------------------------


def _load_stream(path: Path, file: io.BufferedReader, size: int) -> tuple[Any, Places]:
    head = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    if (unpickle(path, head).value, unpickle(path, head).value) != (STREAM_MAGIC, STREAM_PROTOCOL):
        raise CheckpointError(f"{path} is a pickle, but no torch checkpoint")
    system = unpickle(path, head).value
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _big_endian(path)
    unpickled = unpickle(path, head)
    keys = unpickle(path, head).value
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CheckpointError(f"{path} is damaged: where its storages should be listed is something else")
    if len(set(keys)) < len(keys) or set(keys) != unpickled.storages.keys():
        raise CheckpointError(f"{path} is damaged: it does not list the storages that its tensors need")
    file.seek(head.tell())
    places, end = _walk_storages(path, file, [unpickled.storages[key] for key in keys])
    if end > size:
        raise CheckpointError(f"{path} is truncated: {size} of {end} bytes")
    return unpickled.value, places


def _walk_storages(path: Path, file: io.BufferedReader, storages: list[Storage]) -> tuple[Places, int]:
    """Where the storages lie that follow one another from the file's position on, and where the last one ends."""
    places: Places = {}
    for storage in storages:
        count = int.from_bytes(file.read(8), "little")
        if count != storage.count:
            problem = f"storage {storage.key!r} has {count} elements, not {storage.count}"
            raise CheckpointError(f"{path} is truncated or damaged: {problem}")
        places[storage.key] = file.tell()
        file.seek(count * itemsize(storage.dtype), io.SEEK_CUR)
    return places, file.tell()
