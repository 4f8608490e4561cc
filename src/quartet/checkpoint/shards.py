"""What the weight formats have in common: JSON that is checked, and tensors spread over several files by an index."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quartet.checkpoint.tensors import TensorEntry
from quartet.errors import CheckpointError

Tensors = dict[str, TensorEntry]
MAX_JSON_BYTES = 64 << 20  # of a config, or of an index, which has some 100 bytes per tensor
MAX_NAME_BYTES = 255
BRIEF = 80  # characters
LFS_POINTER = b"version https://git-lfs"


def index_sharded(index_path: Path, index_file: Callable[[Path], Tensors]) -> Tensors:
    """The tensors of all shards that `{"weight_map": {tensor name: file name}}` names, with the index checked."""
    weight_map = read_json_object(index_path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        raise CheckpointError(f'{index_path} has no "weight_map" of tensor names to file names')
    tensors: Tensors = {}
    for file_name in sorted(set(weight_map.values())):
        shard = index_file(_shard_path(index_path, file_name))
        twice = sorted(tensors.keys() & shard.keys())
        if twice:
            raise CheckpointError(f"{brief(twice[0])} is in {tensors[twice[0]].path.name} and again in {file_name}")
        tensors |= shard
    for name, file_name in weight_map.items():
        if name not in tensors or tensors[name].path.name != file_name:
            raise CheckpointError(f"{index_path} says that {file_name} holds {brief(name)}, which it does not")
    return tensors


def brief(value: object) -> str:
    """A value that a file has, for a message: on one line, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= BRIEF else f"{text[: BRIEF - 3]}..."


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises `CheckpointError` where there is no such thing."""
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path} has {size} bytes; at most {MAX_JSON_BYTES} are read")
        return parse_json_object(path.read_bytes())
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not a JSON object: {error}") from None


def parse_json_object(text: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 with no key twice; raises ValueError for anything else."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__}")
    return value


def is_file_name(name: str) -> bool:
    """Whether this can be the name of a file in a folder; the use of any other may end in an error of its own kind."""
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False
    return "/" not in name and "\0" not in name and 0 < length <= MAX_NAME_BYTES


def refuse_pointer(path: Path, head: bytes) -> None:
    """Refuse what git leaves in place of a large file that it did not fetch."""
    if head.startswith(LFS_POINTER):
        raise CheckpointError(f"{path} is a git-lfs pointer, not the weights: fetch them with `git lfs pull`")


def _shard_path(index_path: Path, file_name: str) -> Path:
    path = index_path.parent / file_name
    if path.parent != index_path.parent or not is_file_name(file_name):
        raise CheckpointError(f"{index_path} names {brief(file_name)}, which is not a file of the same folder")
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: {index_path.name} says that it holds weights")
    return path


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members; ValueError where a key comes twice, since the two may disagree."""
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{brief(twice)} comes twice")
    return members
