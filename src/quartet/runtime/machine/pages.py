"""Pages of mapped weight files: large ones where the system has them, and none that will not be read for a while.

All of it is for Linux; elsewhere nothing happens.
"""

import contextlib
import ctypes
import functools
import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quartet.staging import folder_beside

MADV_DONTNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_POPULATE_READ = 4, 14, 15, 22
AT_ONCE = 32 << 20  # bytes of a file that are mapped on their way into the page cache
ON_LINUX = sys.platform.startswith("linux")


class Mapping(NamedTuple):
    """Addresses of a mapped file, in bytes."""

    start: int
    length: int


Mappings = tuple[Mapping, ...]


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
def own_names(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """A folder in which files of `folder` have second names, for this block alone; `folder` itself where none can be.

    The system lists a mapping under the name by which its file was opened. So what is listed under a second name
    belongs to whoever opened the file in this block, and to nobody else. Only for folders that are quartet's own: to
    some readers a file of two names is an attack (onnx 1.23).
    """
    if not ON_LINUX:
        yield folder
        return
    with contextlib.ExitStack() as stack:
        linked = folder
        with contextlib.suppress(OSError):  # a folder that cannot be written, or a file system without links
            beside = stack.enter_context(folder_beside(folder))
            for name in names:
                os.link(folder / name, beside / name)
            linked = beside
        yield linked


def mappings_of(path: Path) -> Mappings:
    """What is mapped of a file under this very name and has no page of this process's own: no change is lost.

    Empty where that cannot be found out.
    """
    name, wanted = str(path.resolve()), False
    unwritten: list[Mapping] = []
    for line in _lines("/proc/self/smaps") if ON_LINUX else ():
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):  # a mapping begins
            mapping, wanted = line, len(rest) == 5 and rest[-1] == name
        elif wanted and first == "Anonymous:" and rest[0] == "0":
            unwritten.append(_mapping(mapping))
    return tuple(unwritten)


def _mapping(line: str) -> Mapping:
    start, end = (int(address, 16) for address in line.split(maxsplit=1)[0].split("-"))
    return Mapping(start, end - start)


def want_large(mappings: Mappings) -> None:
    """Ask for large pages where those of mapped files are read again."""
    _advise(mappings, MADV_HUGEPAGE)


def give_back(mappings: Mappings) -> None:
    """Let go of pages of mapped files that will not be read for a while; the next read finds them in the page cache.

    Only for whoever holds what has mapped them (`model.OpenFile`): addresses that are mapped no more may be somebody
    else's by now, whose memory would read as zeros.
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
