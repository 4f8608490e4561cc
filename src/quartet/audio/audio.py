"""From whatever holds sound to a stream of blocks: 16 kHz, mono, float32, some seconds at a time.

Nothing here keeps a whole recording. What can be read again from its start is read as often as it is asked for.
"""

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quartet.audio.decode import (
    EVERYTHING,
    MOST_CHANNELS,
    Notices,
    Wanted,
    as_float,
    check_rate,
    decoded,
    described,
    resampled,
)
from quartet.audio.mixing import RATE, Samples, to_one
from quartet.errors import AudioError, OptionError

__all__ = ["BLOCK", "EVERYTHING", "RATE", "Audio", "Samples", "Source", "Wanted", "in_blocks", "open_audio"]

BLOCK = 10 * RATE  # samples of a block, but for the last one

Source = str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any]


@dataclass(frozen=True)
class Audio:
    """Sound that can be played."""

    name: str  # for messages
    play: Callable[[], Iterator[Samples]]  # blocks from the start on
    rewindable: bool  # whether it can be played more than once
    duration: float | None = None  # seconds, as far as its container says; for progress bars only
    channels: int | None = None  # where it can be played more than once


def open_audio(source: Source, rate: int = RATE, wanted: Wanted = EVERYTHING) -> Audio:
    """Sound in a file (a path, an open binary file, or its bytes), or in an array of samples.

    An open file plays from where it stands; where there is no sound from there on, from its beginning.

    rate: samples per second of an array: float samples within ±1 or integers of full scale, [n], or with two axes of
    which the short one is the channels. Files know their own. wanted: one of several tracks of a file, one channel of
    two. Raises `AudioError` for what holds no sound that can be read, some of it only when it is played; `OptionError`
    for another kind of object.
    """
    if isinstance(source, np.ndarray):
        return _of_array(source, rate, wanted)
    if isinstance(source, bytes | bytearray | memoryview):
        return _of_file(io.BytesIO(source), f"audio of {len(source)} bytes", wanted)
    if isinstance(source, str | os.PathLike):
        return _of_path(Path(source), wanted)
    if hasattr(source, "read"):
        return _of_file(source, _name(source), wanted)
    raise OptionError(f"audio is a {type(source).__name__}; a path, a binary file, bytes or a numpy array is expected")


def _name(file: object) -> str:
    """What messages call an open file. One that was opened by its descriptor has a number for a name."""
    name = getattr(file, "name", None)
    if isinstance(name, int):
        return "standard input" if name == 0 else f"file {name}"
    return "audio" if name is None else str(name)


def _checked(blocks: Iterable[Samples], name: str) -> Iterator[Samples]:
    """The blocks, as long as they are numbers. Raises `AudioError` at the first that is not, or where there is none."""
    position = 0
    for block in blocks:
        finite = np.isfinite(block)
        if not finite.all():
            place = position + int(np.argmin(finite))
            raise AudioError(f"{name}: sample {place} ({place / RATE:.2f} s) is {block[place - position]}, no number")
        position += len(block)
        yield block
    if not position:
        raise AudioError(f"{name} holds no sound: its length is 0")


def in_blocks(pieces: Iterable[Samples], size: int = BLOCK) -> Iterator[Samples]:
    """Pieces of any length as blocks of `size`; the last one is shorter."""
    waiting: list[Samples] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= size:
            joined = np.concatenate(waiting)
            whole = len(joined) // size * size
            yield from np.split(joined[:whole], range(size, whole, size))
            waiting = [joined[whole:]]
    rest = np.concatenate([np.zeros(0, np.float32), *waiting])
    if len(rest):
        yield rest


# ---- arrays -------------------------------------------------------------------------------------------------------


def _of_array(array: NDArray[Any], rate: int, wanted: Wanted) -> Audio:
    check_rate(rate)
    if wanted.track is not None:
        raise OptionError(f"audio_track is {wanted.track!r}, but an array has no tracks")
    channels = _channels(array)
    kept = channels if len(channels) <= 2 else channels.mean(0, dtype=np.float64).astype(array.dtype)[None]
    length = kept.shape[1]

    def play() -> Iterator[Samples]:
        pieces = (as_float(kept[:, start : start + BLOCK]) for start in range(0, length, BLOCK))
        alike = pieces if rate == RATE else resampled(pieces, rate)
        return _checked(in_blocks(to_one(alike, wanted.channel)), "the array")

    return Audio("the array", play, rewindable=True, duration=length / rate, channels=len(channels))


def _channels(array: NDArray[Any]) -> NDArray[Any]:
    """[channels, n] of an array [n], [channels, n] or [n, channels]."""
    if array.dtype.kind not in "fiu":
        raise AudioError(f"an array of {array.dtype} is no audio; floats within ±1 or integers are expected")
    if array.ndim == 2 and min(array.shape) <= MOST_CHANNELS:
        return array if np.argmin(array.shape) == 0 else array.T
    if array.ndim != 1:
        raise AudioError(f"an array of shape {array.shape} is no audio; [samples] or [channels, samples] is expected")
    return array[None]


# ---- files --------------------------------------------------------------------------------------------------------


def _of_path(path: Path, wanted: Wanted) -> Audio:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # a folder on the way that may not be entered, a name that cannot be one
        raise AudioError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(found.st_mode):
        raise AudioError(f"{path} is a folder; an audio file is expected")
    rewindable = stat.S_ISREG(found.st_mode)  # a named pipe is not
    if rewindable and not found.st_size:
        raise AudioError(f"{path} is empty: its length is 0")

    @contextlib.contextmanager
    def source() -> Iterator[BinaryIO]:
        """Opened here: what FFmpeg is given a name of, it takes for an address."""
        try:
            file = path.open("rb", buffering=0)  # of a pipe comes what is there
        except OSError as error:
            raise AudioError(f"{path}: {error.strerror or error}") from None
        with file:
            yield file

    return _of_container(source, str(path), rewindable, wanted)


def _of_file(file: BinaryIO, name: str, wanted: Wanted) -> Audio:
    if not (hasattr(file, "seekable") and file.seekable()):
        return _of_container(lambda: nullcontext(file), name, False, wanted)
    stands = file.tell()
    try:
        return _from(file, stands, name, wanted)
    except AudioError as error:
        if not stands:
            raise
        try:  # a file that was read has its sound before where it stands
            return _from(file, 0, name, wanted)
        except AudioError:
            raise error from None


def _from(file: BinaryIO, start: int, name: str, wanted: Wanted) -> Audio:
    def rewound() -> AbstractContextManager[BinaryIO]:
        file.seek(start)
        return nullcontext(file)

    with rewound():
        if not file.read(1):
            raise AudioError(f"{name} is empty: its length is 0")
    return _of_container(rewound, name, True, wanted)


def _of_container(
    source: Callable[[], AbstractContextManager[BinaryIO]], name: str, rewindable: bool, wanted: Wanted
) -> Audio:
    notices = Notices(name, is_quiet=wanted.channel == 1)  # the other channel has said it
    seconds = channels = None
    if rewindable:
        with source() as file:
            seconds, channels = described(file, notices, wanted)

    def sound() -> Iterator[Samples]:
        with source() as file:
            yield from decoded(file, notices, wanted, seconds)

    def play() -> Iterator[Samples]:
        return _checked(in_blocks(sound()), name)

    return Audio(name, play, rewindable, seconds, channels)
