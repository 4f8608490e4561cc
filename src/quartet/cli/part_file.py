"""A file that is written beside another one, and takes its place when it is complete."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from quartet.errors import OptionError
from quartet.staging import staged_file

Facts = Mapping[str, str | int | bool | None]  # what a result follows from: input, model, options


class PartFile:
    """`FILE.part`, which becomes FILE; and `FILE.part.state`, which says how far it is, where `describe` was called.

    Its first line are the facts, in JSON; then comes `texts bytes` for each step: so many texts are done, and the part
    is so long. A step is on the disk before its line is written, so a line is true whatever ended the process.
    Nothing changes on the disk before the first `write`. Methods raise `OSError`.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.state = target.with_name(f"{target.name}.part.state")
        self._facts: Facts | None = None
        self._steps: list[tuple[int, int]] = []  # of an earlier run that is gone on with
        self._file: BinaryIO | None = None

    def check(self) -> None:
        """Whether it can be written and take the place of what is there."""
        if os.path.lexists(self.target):
            with self.target.open("ab"):
                pass
        for path in (self.path, self.state):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{path.name} beside it is a folder")
        check_folder(self.target.parent)

    def describe(self, facts: Facts | None) -> None:
        """Keep with the part what it follows from."""
        self._facts = facts

    def resume(self, facts: Facts) -> int:
        """Go on with the part of an earlier run; returns how many texts of it are done. None where there is no part.

        Raises `OptionError` where that run was another one.
        """
        self._facts = facts
        self._steps = _steps_within(self.path, self.state, facts) if self.path.exists() else []
        return self._steps[-1][0] if self._steps else 0

    @property
    def begun(self) -> bool:
        """Whether this run has written anything."""
        return self._file is not None

    @property
    def can_be_resumed(self) -> bool:
        """Whether it is known what the part follows from."""
        return self._facts is not None

    def write(self, content: bytes) -> None:
        """Append."""
        self._open().write(content)

    def flush(self) -> None:
        """Hand over what was written to the system."""
        if self._file:
            self._file.flush()

    def step(self, texts: int) -> None:
        """So many texts are done: all that was written up to now would be kept by `resume`."""
        size = self._secured().tell()
        if self._facts is not None:
            with self.state.open("ab") as state:
                state.write(f"{texts} {size}\n".encode())
                state.flush()
                os.fsync(state.fileno())

    def complete(self) -> None:
        """Take the place of the file, with its permissions."""
        self._secured().close()
        if self.target.exists():
            _take_permissions(self.target, self.path)
        self.path.replace(self.target)
        self.state.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the part, which stays."""
        if self._file:
            with contextlib.suppress(OSError):  # a full disk has been told of
                self._file.close()

    def _secured(self) -> BinaryIO:
        """The part, all of it on the disk; raises where it is no longer there, for another run may have begun."""
        file = self._open()
        file.flush()
        os.fsync(file.fileno())
        if not (self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(file.fileno()))):
            raise FileNotFoundError(errno.ENOENT, f"{self.path.name} was removed or replaced by another run")
        return file

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._file = self._continued() if self._steps else self._new()
        return self._file

    def _new(self) -> BinaryIO:
        """An empty part. Another run may hold the one that is there, so it is not emptied but left."""
        self.path.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)
        if self._facts is not None:
            self.state.write_bytes(_in_state(self._facts, []))
        return self.path.open("xb")

    def _continued(self) -> BinaryIO:
        assert self._facts is not None
        with staged_file(self.state) as state:  # which may end within a line
            state.write_bytes(_in_state(self._facts, self._steps))
        file = self.path.open("r+b")
        file.truncate(self._steps[-1][1])
        file.seek(0, os.SEEK_END)
        return file


def check_folder(folder: Path) -> None:
    """Raise `OSError` where no file can be made in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except PermissionError as error:
        raise PermissionError(error.errno, f"its folder cannot be written ({error.strerror})") from None


def _in_state(facts: Facts, steps: list[tuple[int, int]]) -> bytes:
    return "".join([json.dumps(facts), "\n", *(f"{texts} {size}\n" for texts, size in steps)]).encode()


def _steps_within(part: Path, state: Path, facts: Facts) -> list[tuple[int, int]]:
    """The steps of an earlier run that the part holds in full: a killed process may leave less, or half a line."""
    try:
        first, *lines = state.read_bytes().split(b"\n")
        earlier = json.loads(first)
        steps = [tuple(map(int, line.split())) for line in lines[:-1]]  # behind the last line feed nothing is whole
    except (FileNotFoundError, ValueError):
        earlier, steps = None, []
    if not isinstance(earlier, dict):
        raise OptionError(f"--resume: nothing says what {part} follows from; delete it, or leave out --resume")
    other = [name for name in {**facts, **earlier} if facts.get(name) != earlier.get(name)]
    if other:
        raise OptionError(f"--resume: {part} is of another run (other {', '.join(other)}); leave out --resume")
    size = part.stat().st_size
    return [(step[0], step[1]) for step in steps if len(step) == 2 and step[1] <= size]


def _take_permissions(old: Path, new: Path) -> None:
    """The mode of a file, and where that is allowed its owner."""
    was = old.stat()
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(new, was.st_uid, was.st_gid)
    shutil.copymode(old, new)
