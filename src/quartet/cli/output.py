"""Where results go."""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from quartet.cli.part_file import Facts, PartFile, check_folder
from quartet.errors import OptionError, OutputError
from quartet.staging import staged_file

MOST_LINKS = 40  # as the system has it
STANDARD_INPUT = 0  # as one of the inputs

Input = str | os.PathLike[str] | int  # a file, a folder of which files are read, or what is open under a number


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
def opened(path: Path | None, *inputs: Input) -> Iterator[Output]:
    """stdout, a device or a pipe; or a file, which keeps its old content until the new one is complete.

    Until then that is in `FILE.part`, where it stays when the block ends with an error; a note to the error says so.
    A file that cannot be written, or is one of the inputs, is refused before any work. So is stdout where it is closed,
    or appended to an input.

    Raises `OptionError`, `OutputError`.
    """
    if path is None:
        if sys.stdout is None:
            raise OutputError("there is no standard output; name a file with --output")
        _check_stream(sys.stdout, "standard output", inputs)
        yield _Stream(None, sys.stdout)
    elif _is_stream(path):
        with _naming(path):
            stream = path.open("a", encoding="utf-8", errors="replace", newline="\n")
        try:
            _check_stream(stream, f"--output {path}", inputs)
            yield _Stream(path, stream)
        finally:
            with contextlib.suppress(OSError):  # what could not be flushed has been told of
                stream.close()
    else:
        yield from _beside(path, PartFile(Path(os.path.realpath(path))), inputs)


def check_files(folder: Path, names: Sequence[str], option: str, *inputs: Input) -> None:
    """Make a folder in which files of these names can be written and replaced, none of which is one of the inputs.

    Raises `OptionError`, `OutputError`.
    """
    with _naming(folder, option):
        folder.mkdir(parents=True, exist_ok=True)
        check_folder(folder)
        for name in names:
            path = folder / name
            check_is_no_input(f"{option} {folder}: {name}", path, inputs)
            if path.is_dir():
                raise OutputError(f"{option} {folder}: {name} in it is a folder")


def write_files(folder: Path, files: Mapping[str, bytes], option: str) -> None:
    """Write files into a folder, each of them whole or not at all; raises `OutputError`."""
    with _naming(folder, option):
        for name, content in files.items():
            with staged_file(folder / name) as path:
                path.write_bytes(content)


def check_is_no_input(shown: str, place: Path | int, inputs: Sequence[Input]) -> None:
    """Raise `OptionError` where what is written is what is read, under whatever name."""
    for other in inputs:
        if _is_same_file(place, other):
            raise OptionError(f"{shown} is the input itself; name another file")
        if isinstance(place, Path) and _is_inside(place, other):
            raise OptionError(f"{shown} is inside of {other}, which is read; name another file")


def _check_stream(stream: TextIO, shown: str, inputs: Sequence[Input]) -> None:
    """What is appended to a file would be read again, without an end."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # it is none of the system's
        return
    check_is_no_input(shown, number, inputs)


def _beside(path: Path, part: PartFile, inputs: Sequence[Input]) -> Iterator[Output]:
    for place in (part.target, part.path):
        check_is_no_input(f"--output {path}", place, inputs)
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
def _naming(path: Path | None, option: str = "--output") -> Iterator[None]:
    """Errors of the system, in one line with the option's name; those of stdout stay what they are."""
    try:
        yield
    except OSError as error:
        if path is None or isinstance(error, OutputError):
            raise
        raise OutputError(f"{option} {path}: {error.strerror or error}") from None


def _is_same_file(one: Input, other: Input) -> bool:
    """Also by a symbolic or hard link, and on a disk where capitals make no other name."""
    with contextlib.suppress(OSError, ValueError):
        found = os.stat(one), os.stat(other)  # noqa: PTH116 - of numbers too
        return all(stat.S_ISREG(each.st_mode) for each in found) and os.path.samestat(*found)
    return False


def _is_inside(path: Path, folder: Input) -> bool:
    return not isinstance(folder, int) and Path(folder).is_dir() and Path(folder).resolve() in path.resolve().parents


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
