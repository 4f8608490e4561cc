"""Folders and files that appear under their names only when they are complete: written beside, then renamed.

What an interrupted process leaves has another name, which begins with a dot and ends with `.partial`.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def staged_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """A new folder that becomes `target` when the block ends well, and vanishes when it does not.

    replace: it takes the place of a folder that is there. Else what another process has put there meanwhile stays,
    and is as good. Raises `OSError`.
    """
    with _beside(target) as work:
        staging = work / target.name
        staging.mkdir()
        yield staging
        if replace and target.exists():
            _exchange(staging, target, work.with_suffix(".old"))
            return
        try:
            staging.rename(target)
        except OSError:
            if replace or not target.is_dir():
                raise


@contextlib.contextmanager
def staged_file(target: Path) -> Iterator[Path]:
    """The place of a new file that replaces `target` when the block ends well, and vanishes when it does not.

    Raises `OSError`.
    """
    with _beside(target) as work:
        staging = work / target.name
        yield staging
        staging.replace(target)


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder on the disk of `target`, where a rename moves no bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix, folder = f".{target.name}.", target.parent
    with tempfile.TemporaryDirectory(".partial", prefix, folder, ignore_cleanup_errors=True) as work:
        yield Path(work)


def _exchange(staging: Path, target: Path, old: Path) -> None:
    """Move a folder to where another one is, which goes; where that fails, the other one is put back."""
    target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
