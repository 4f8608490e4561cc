"""Folders and files that appear under their names only when they are complete: written beside, then renamed.

All of it is on the disk before it appears. What an interrupted process leaves has another name, which begins with a dot
and ends with `.partial`. Its folder is locked for as long as somebody writes, so that leftovers are told from work: the
next one to write the same removes them.
"""

import contextlib
import ctypes
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PARTIAL, OLD = ".partial", ".old"
STAGED = re.compile(r"\.(?P<target>.+)\.[a-z0-9_]{8}(?P<ending>\.partial|\.old)")
ABANDONED = 24 * 3600  # seconds without a change, where the system locks no folders
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux' `renameat2`


@contextlib.contextmanager
def staged_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """A new folder that becomes `target` when the block ends well, and vanishes when it does not.

    replace: it takes the place of a folder that is there. Else what another process has put there meanwhile stays,
    and is as good. Raises `OSError`.
    """
    with folder_beside(target) as work:
        staging = work / target.name
        staging.mkdir()
        yield staging
        _sync_all(staging)
        if replace and target.exists():
            _exchange(staging, target, work.with_suffix(OLD))
        else:
            try:
                staging.rename(target)
            except OSError:
                if replace or not target.is_dir():
                    raise
        _sync(target.parent)


@contextlib.contextmanager
def staged_file(target: Path) -> Iterator[Path]:
    """The place of a new file that replaces `target` when the block ends well, and vanishes when it does not.

    Raises `OSError`.
    """
    with folder_beside(target) as work:
        staging = work / target.name
        yield staging
        _sync(staging)
        staging.replace(target)
        _sync(target.parent)


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A new folder on the disk of `target`, where a rename or a link moves no bytes; it is gone after the block.

    What an interrupted process has left of the same is removed first. Raises `OSError`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent, target.name)
    work, lock = _new_folder(target)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_at_once(path: Path) -> None:
    """Remove a folder, so that nobody sees half of it; or a file, or a link. Raises `OSError`."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    with folder_beside(path) as beside:
        path.rename(beside / path.name)
        shutil.rmtree(beside / path.name)


def remove_abandoned(folder: Path, target: str | None = None) -> int:
    """Remove what interrupted processes have left in a folder, of one target or of all; returns the bytes freed.

    A folder that was replaced is put back where its replacement never came.
    """
    freed = 0
    for path in _entries(folder):
        found = STAGED.fullmatch(path.name)
        if found and target in (None, found["target"]) and path.is_dir() and not path.is_symlink():
            with _abandoned(path.with_suffix(PARTIAL)) as abandoned:
                if abandoned:
                    freed += _put_back_or_remove(path, folder / found["target"], found["ending"])
    return freed


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):  # there is none, or it may be written to but not be read
        return sorted(folder.iterdir())
    return []


def _put_back_or_remove(path: Path, target: Path, ending: str) -> int:
    if ending == OLD and not os.path.lexists(target):
        with contextlib.suppress(OSError):
            path.rename(target)
        return 0
    size = bytes_of(path)
    shutil.rmtree(path, ignore_errors=True)
    return size - bytes_of(path)


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links are not followed."""
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(p.lstat().st_size for p in path.rglob("*") if p.is_symlink() or p.is_file())


def _new_folder(target: Path) -> tuple[Path, int | None]:
    """A folder beside the target, and its lock. Whoever looks for leftovers may find it before it is locked."""
    while True:
        work = Path(tempfile.mkdtemp(PARTIAL, f".{target.name}.", target.parent))
        with contextlib.suppress(BlockingIOError):
            lock = _locked(work)
            if work.is_dir():
                return work, lock
            if lock is not None:
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """The lock of a folder; the system frees it when the process dies. None: there are no such locks here.

    Raises `BlockingIOError` where another one holds it.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def _abandoned(work: Path) -> Iterator[bool]:
    """Whether nobody writes to a folder, or there is none; nobody begins to while the block lasts."""
    if not work.is_dir():
        yield True
        return
    try:
        lock = _locked(work)
    except BlockingIOError:
        yield False
        return
    if lock is None:
        yield _is_old(work)
        return
    try:
        yield True
    finally:
        os.close(lock)


def _is_old(work: Path) -> bool:
    with contextlib.suppress(OSError):
        newest = max(path.lstat().st_mtime for path in (work, *work.rglob("*")))
        return time.time() - newest > ABANDONED
    return False


def _exchange(staging: Path, target: Path, old: Path) -> None:
    """Move a folder to where another one is, which goes; where that fails, the other one is put back."""
    if _exchanged(staging, target):
        return
    target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two folders have taken each other's names, at once; False where the system cannot do that."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    return bool(rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0)


def _sync_all(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            _sync(path)


def _sync(path: Path) -> None:
    """Put a file, or the names in a folder, on the disk."""
    if not path.is_dir():
        _sync_file(path)
    elif os.name != "nt":  # where folders cannot be opened
        with contextlib.suppress(OSError):  # not every file system can do that
            _sync_file(path)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
