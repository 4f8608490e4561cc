"""Pages of mapped weight files: large ones where the system has them, and none that will not be read for a while.

All of it is for Linux; elsewhere nothing happens.
"""

import contextlib
import ctypes
import functools
import mmap
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

MADV_DONTNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_POPULATE_READ = 4, 14, 15, 22
AT_ONCE = 32 << 20  # bytes of a file that are mapped on their way into the page cache
ON_LINUX = sys.platform.startswith("linux")


class Mapping(NamedTuple):
    """Addresses of a mapped file, in bytes."""

    start: int
    length: int


Mappings = tuple[Mapping, ...]

# of files that sessions are being opened over; a process that is forked has none
_opening: dict[str, threading.Lock] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_opening.clear)


@functools.cache
def c_library() -> ctypes.CDLL:
    """The C library, once: each time that it is loaded makes a class, which only the garbage collector takes away."""
    return ctypes.CDLL(None)


def forget(path: Path) -> None:
    """Let the page cache forget a file that nobody has mapped."""
    if ON_LINUX:
        with contextlib.suppress(OSError), path.open("rb") as file:
            os.fdatasync(file.fileno())  # what is not on the disk yet is not forgotten
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_in_large_pages(path: Path) -> None:
    """Let the system read what it has not cached of a file in pages of 2 MB, where it can (ext4 and others).

    What it reads as it is touched lies in small pages, and a step that reads all weights spends a fifth of its time on
    finding them (docs/log.md).
    """
    if not ON_LINUX:
        return
    with (
        contextlib.suppress(OSError, ValueError, AttributeError),  # no file, an empty one, an older kernel
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        mapped.madvise(MADV_HUGEPAGE)
        for start in range(0, len(mapped), AT_ONCE):
            part = start, min(AT_ONCE, len(mapped) - start)
            mapped.madvise(MADV_POPULATE_READ, *part)
            mapped.madvise(MADV_DONTNEED, *part)


@contextlib.contextmanager
def new_mappings(file: Path) -> Iterator[list[Mapping]]:
    """Where whoever opens `file` in this block maps it and writes nothing; the list is filled when the block ends.

    Mappings of the same file that were there before are somebody else's. Two blocks over one file take turns, so that
    each finds its own. The kernel never joins the mappings of two openings of a file. Only private mappings count, as
    ONNX Runtime's are: what Python maps meanwhile, in another thread, is shared, and would be gone before the session.
    """
    found: list[Mapping] = []
    if not ON_LINUX:
        yield found
        return
    name = str(file.resolve())
    with _opening.setdefault(name, threading.Lock()):
        before = {line for line in _lines("/proc/self/maps") if line.endswith(name)}
        yield found
        found += (_mapping(line) for line in _unwritten(name) if line not in before)


def _unwritten(name: str) -> Iterator[str]:
    """The lines of private mappings of a file that have no page of this process's own."""
    wanted = False
    for line in _lines("/proc/self/smaps"):
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):  # a mapping begins
            mapping, wanted = line, len(rest) == 5 and rest[-1] == name and rest[0].endswith("p")
        elif wanted and first == "Anonymous:" and rest[0] == "0":
            yield mapping


def _mapping(line: str) -> Mapping:
    start, end = (int(address, 16) for address in line.split(maxsplit=1)[0].split("-"))
    return Mapping(start, end - start)


def want_large(mappings: Mappings) -> None:
    """Ask for large pages where those of mapped files are read again."""
    _advise(mappings, MADV_HUGEPAGE)


def give_back(mappings: Mappings) -> None:
    """Let go of pages of mapped files that will not be read for a while; the next read finds them in the page cache.

    Only for whoever holds what has mapped them: addresses that are mapped no more may be somebody else's by now, and
    would read as zeros.
    """
    _advise(mappings, MADV_DONTNEED)


def _advise(mappings: Mappings, advice: int) -> None:
    if not mappings or not ON_LINUX:
        return
    madvise = c_library().madvise
    for start, length in mappings:
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice)


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return []


def untouched(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[np.generic]:
    """An array that takes no memory but for the pages that are written to, and gives all of it back when it goes.

    What the C library has kept of smaller arrays does not fit a larger one: a cache that grows left half of itself
    behind as gaps.
    """
    count = int(np.prod(shape))
    memory = mmap.mmap(-1, max(1, count * np.dtype(dtype).itemsize))
    with contextlib.suppress(OSError, AttributeError, ValueError):
        memory.madvise(MADV_NOHUGEPAGE)  # a large page would be touched whole
    return np.frombuffer(memory, dtype, count).reshape(shape)
