"""Where results go."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from quartet.cli.part_file import Facts, PartFile
from quartet.errors import OptionError, OutputError

MOST_LINKS = 40  # as the system has it


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line per row, never wrapped, so that `grep` finds whole ones."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


class Output(Protocol):
    """What a command writes to."""

    def begin(self, facts: Facts | None, resume: bool) -> int:
        """Say what the results follow from, if it can be said; returns how many are there already, of an earlier run.

        Raises `OptionError` where that one followed from something else, or nothing can be resumed.
        """

    def write(self, text: str) -> None:
        """Append."""

    def flush(self) -> None:
        """Let others see what was written."""

    def done(self, results: int) -> None:
        """So many results are written, in all."""


@contextlib.contextmanager
def opened(path: Path | None, *inputs: Path) -> Iterator[Output]:
    """stdout, a device or a pipe; or a file, which keeps its old content until the new one is complete.

    Until then that is in `FILE.part`, where it stays when the block ends with an error; a note to the error says so.
    A file that cannot be written, or is one of the inputs, is refused before any work.

    Raises `OptionError`, `OutputError`.
    """
    if path is None:
        yield _Stream(None, sys.stdout)
    elif _is_stream(path):
        with _naming(path):
            stream = path.open("a", encoding="utf-8", errors="replace", newline="\n")
        try:
            yield _Stream(path, stream)
        finally:
            with contextlib.suppress(OSError):  # what could not be flushed has been told of
                stream.close()
    else:
        yield from _beside(path, PartFile(Path(os.path.realpath(path))), inputs)


def _beside(path: Path, part: PartFile, inputs: Sequence[Path]) -> Iterator[Output]:
    for place in (part.target, part.path):
        if any(_same_file(place, other) for other in inputs):
            raise OptionError(f"--output {path} is the input itself; name another file")
    with _naming(path):
        part.check()
    try:
        yield _File(path, part)
        with _naming(path):
            part.complete()
    except BaseException as error:
        if part.begun:
            how = "; --resume goes on from there" if part.can_be_resumed else ""
            error.add_note(f"what is done is in {part.path}{how}")
        raise
    finally:
        part.close()


@dataclass(frozen=True)
class _Stream:
    """What takes all at once and for good. path: None for stdout."""

    path: Path | None
    stream: TextIO

    def begin(self, facts: Facts | None, resume: bool) -> int:
        """Nothing is kept."""
        del facts
        if resume:
            raise OptionError("--resume goes on with a file; name it with --output")
        return 0

    def write(self, text: str) -> None:
        """Append."""
        with _naming(self.path):
            self.stream.write(text)

    def flush(self) -> None:
        """Hand over."""
        with _naming(self.path):
            self.stream.flush()

    def done(self, results: int) -> None:
        """Nothing is kept."""
        del results


@dataclass(frozen=True)
class _File:
    """A file in the making."""

    path: Path
    part: PartFile

    def begin(self, facts: Facts | None, resume: bool) -> int:
        """Keep the facts beside the part, or compare them with those of an earlier run."""
        with _naming(self.path):
            if resume and facts is not None:
                return self.part.resume(facts)
            self.part.describe(facts)
            return 0

    def write(self, text: str) -> None:
        """Append."""
        with _naming(self.path):
            self.part.write(text.encode("utf-8", "replace"))

    def flush(self) -> None:
        """Hand over to the system."""
        with _naming(self.path):
            self.part.flush()

    def done(self, results: int) -> None:
        """Secure what is there."""
        with _naming(self.path):
            self.part.step(results)


@contextlib.contextmanager
def _naming(path: Path | None) -> Iterator[None]:
    """Errors of the system, in one line with the option's name; those of stdout stay what they are."""
    try:
        yield
    except OSError as error:
        if path is None or isinstance(error, OutputError):
            raise
        raise OutputError(f"--output {path}: {error.strerror or error}") from None


def _same_file(one: Path, other: Path) -> bool:
    """Also by a symbolic or hard link."""
    return one.is_file() and other.is_file() and one.samefile(other)


def _is_stream(path: Path) -> bool:
    """A device, a pipe, or what the shell has opened, as `/dev/stdout`: nothing that can be replaced."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return True
    for _ in range(MOST_LINKS):
        folder = os.path.realpath(path.parent)
        if folder == "/dev/fd" or folder.startswith("/proc/"):
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False
