"""Where results go."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from quartet.errors import OutputError, QuartetError


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line per row, never wrapped, so that `grep` finds whole ones."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[TextIO]:
    """stdout, or a file: opened before any work, so that a name that cannot be written costs none, but not emptied.

    A new file into which nothing was written before an error is taken away again.
    """
    if path is None:
        yield sys.stdout
        return
    new = not path.exists()
    try:
        with path.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
            yield file
    except BaseException as error:
        if new and path.is_file() and not path.stat().st_size:
            path.unlink()
        if not isinstance(error, OSError) or isinstance(error, QuartetError) or error.filename not in (None, str(path)):
            raise
        raise OutputError(f"--output {path}: {error.strerror or error}") from None
