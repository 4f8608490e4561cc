"""Pages of mapped weight files: large ones where the system has them, and none that will not be read for a while.

All of it is for Linux; elsewhere nothing happens.
"""

import contextlib
import ctypes
import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path

MADV_DONTNEED, MADV_HUGEPAGE, MADV_POPULATE_READ = 4, 14, 22
AT_ONCE = 32 << 20  # bytes of a file that are mapped on their way into the page cache

Pages = tuple[str, ...]  # mappings as the system writes them: addresses, access, offset, device, inode, file


def forget(path: Path) -> None:
    """Let the page cache forget a file that nobody has mapped."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            os.fdatasync(file.fileno())  # what is not on the disk yet is not forgotten
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_in_large_pages(path: Path) -> None:
    """Let the system read what it has not cached of a file in pages of 2 MB, where it can (ext4 and others).

    What it reads as it is touched lies in small pages, and a step that reads all weights spends a fifth of its time on
    finding them (docs/log.md).
    """
    if not sys.platform.startswith("linux"):
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


def mapped_pages(files: Sequence[Path]) -> Pages:
    """Where this process maps files and has written nothing; empty where the system does not say."""
    names = {str(file.resolve()) for file in files}
    found: list[str] = []
    for line in _lines("/proc/self/smaps"):
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):  # a mapping begins
            mapping, wanted = line, len(rest) == 5 and rest[-1] in names
        elif wanted and first == "Anonymous:" and rest[0] == "0":
            found.append(mapping)
    return tuple(found)


def want_large(pages: Pages) -> None:
    """Ask for large pages where those of mapped files are read again."""
    _advise(pages, MADV_HUGEPAGE)


def give_back(pages: Pages) -> None:
    """Let go of pages of mapped files that will not be read for a while; the next read finds them in the page cache.

    What is mapped no more is left alone: its addresses may be somebody else's by now.
    """
    if pages:
        _advise(tuple(set(pages).intersection(_lines("/proc/self/maps"))), MADV_DONTNEED)


def _advise(pages: Pages, advice: int) -> None:
    if not pages:
        return
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    for mapping in pages:
        start, end = (int(address, 16) for address in mapping.split(maxsplit=1)[0].split("-"))
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


def _lines(path: str) -> list[str]:
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return []
