"""Folders in the cache that are derived from a model: marked as quartet's own, with hashes of what is in them.

The hashes find what a disk, a crash or a mistake has changed. They are no signatures: whoever may write to the cache
can write new ones.
"""

import hashlib
import json
import random
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

MARK = "derived.json"
BLOCK = 128 << 10  # bytes that have a hash of their own
SAMPLED = 4  # blocks of a file of weights that are looked at whenever it is opened
WEIGHTS = ".data"  # ending of files of weights; all others are small, and always looked at wholly
LARGEST_MARK = 64 << 20  # bytes; hashes of a terabyte take less


def seal(folder: Path, of: str) -> None:
    """Write the mark of a finished folder: what it is derived from, sizes and hashes of its files."""
    files = {path.name: {"bytes": path.stat().st_size, "blocks": list(_hashes(path))} for path in folder.iterdir()}
    mark = {"of": of, "block": BLOCK, "files": files, "hash": _hash(json.dumps(files).encode())}
    (folder / MARK).write_text(json.dumps(mark), encoding="utf-8")


def claim(folder: Path) -> None:
    """Mark a folder as quartet's own whose hashes are kept elsewhere. Raises `OSError`."""
    if not is_marked(folder):
        (folder / MARK).write_text(json.dumps({"of": folder.name}), encoding="utf-8")


def is_marked(folder: Path) -> bool:
    """Whether quartet has made this folder; one that is damaged is its own, too."""
    return (folder / MARK).is_file() and not folder.is_symlink()


def damage(folder: Path, of: str, needed: Collection[str], *, wholly: bool = False) -> str | None:
    """What of a folder is not as it was sealed, in words; None: nothing was found.

    of: what it is to be derived from. needed: names of files that are to be there. wholly: every byte is looked at;
    else sizes, all of small files, and of files of weights the beginning and some blocks by chance.
    """
    try:
        mark = _read_mark(folder)
        if mark["of"] != of or mark["block"] != BLOCK:
            return f"{MARK} is of something else"
        if mark["hash"] != _hash(json.dumps(mark["files"]).encode()):
            return f"{MARK} is damaged"
        missing = sorted(set(needed) - mark["files"].keys())
        if missing:
            return f"{MARK} does not name {missing[0]}"
        if any(not name or Path(name).name != name for name in mark["files"]):
            return f"{MARK} names what is not in its folder"
        changed = (name for name, entry in mark["files"].items() if not _is_as_sealed(folder / name, entry, wholly))
        name = next(changed, None)
        return None if name is None else f"{name} has changed since it was made"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{MARK} is damaged"


def _read_mark(folder: Path) -> Any:
    path = folder / MARK
    if path.stat().st_size > LARGEST_MARK:
        raise ValueError("too large")
    return json.loads(path.read_text(encoding="utf-8"))


def _is_as_sealed(path: Path, entry: Any, wholly: bool) -> bool:
    size, blocks = entry["bytes"], entry["blocks"]
    if not path.is_file() or path.stat().st_size != size:
        return False
    if len(blocks) != -(-size // BLOCK):
        return False
    with path.open("rb") as file:
        for number in range(len(blocks)) if wholly else _some(path, len(blocks)):
            file.seek(number * BLOCK)
            if _hash(file.read(BLOCK)) != blocks[number]:
                return False
    return True


def _some(path: Path, count: int) -> list[int]:
    """Numbers of the blocks that are looked at: in ever other places, so that many starts see much of a file."""
    if path.suffix != WEIGHTS or count <= SAMPLED:
        return list(range(count))
    return [0, *sorted(random.SystemRandom().sample(range(1, count), SAMPLED - 1))]  # not the caller's own sequence


def _hashes(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield _hash(block)


def _hash(block: bytes) -> str:
    return hashlib.sha256(block).hexdigest()[:32]
