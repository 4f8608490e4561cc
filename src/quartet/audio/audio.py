"""From whatever holds sound to a stream of blocks: 16 kHz, mono, float32, some seconds at a time.

Nothing here keeps a whole recording. What can be read again from its start is read as often as it is asked for.
Files are decoded by PyAV, which brings FFmpeg's codecs in its wheel.
"""

import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quartet.errors import AudioError, OptionError

RATE = 16_000  # samples per second that Whisper, and the voice detector, want
BLOCK = 10 * RATE  # samples of a block, but for the last one
MOST_CHANNELS = 32  # of an array with two axes: the axis that is this short is the channels'

Samples = NDArray[np.float32]
Source = str | os.PathLike[str] | bytes | BinaryIO | NDArray[Any]

log = logging.getLogger("quartet")


@dataclass(frozen=True)
class Audio:
    """Sound that can be played."""

    name: str  # for messages
    play: Callable[[], Iterator[Samples]]  # blocks from the start on
    rewindable: bool  # whether it can be played more than once
    duration: float | None = None  # seconds, as far as its container says; for progress bars only


def open_audio(source: Source, rate: int = RATE) -> Audio:
    """Sound in a file (a path, an open binary file, or its bytes), or in an array of samples.

    rate: samples per second of an array: float samples within ±1 or integers of full scale, [n], or with two axes of
    which the short one is the channels. Files know their own. Raises `AudioError` for what holds no sound that can be
    read, some of it only when it is played; `OptionError` for another kind of object.
    """
    if isinstance(source, np.ndarray):
        return _of_array(source, rate)
    if isinstance(source, bytes | bytearray | memoryview):
        return _of_file(io.BytesIO(source), f"audio of {len(source)} bytes")
    if isinstance(source, str | os.PathLike):
        return _of_path(Path(source))
    if hasattr(source, "read"):
        return _of_file(source, str(getattr(source, "name", "audio")))
    raise OptionError(f"audio is a {type(source).__name__}; a path, a binary file, bytes or a numpy array is expected")


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


def _of_array(array: NDArray[Any], rate: int) -> Audio:
    if rate < 1:
        raise OptionError(f"sampling_rate is {rate}; samples per second are expected")
    mono = _mono(array)

    def play() -> Iterator[Samples]:
        pieces = (_as_float(mono[start : start + BLOCK]) for start in range(0, len(mono), BLOCK))
        return _checked(pieces if rate == RATE else in_blocks(_resampled(pieces, rate)), "the array")

    return Audio("the array", play, rewindable=True, duration=len(mono) / rate)


def _mono(array: NDArray[Any]) -> NDArray[Any]:
    """Samples [n] of an array [n], [channels, n] or [n, channels]."""
    if array.dtype.kind not in "fiu":
        raise AudioError(f"an array of {array.dtype} is no audio; floats within ±1 or integers are expected")
    if array.ndim == 2 and min(array.shape) <= MOST_CHANNELS:
        kind = array.dtype
        mean: NDArray[Any] = array.mean(axis=int(np.argmin(array.shape)), dtype=np.float64).astype(kind)
        return mean
    if array.ndim != 1:
        raise AudioError(f"an array of shape {array.shape} is no audio; [samples] or [channels, samples] is expected")
    return array


def _as_float(samples: NDArray[Any]) -> Samples:
    if samples.dtype.kind == "f":
        return np.ascontiguousarray(samples, np.float32)  # PyAV takes no others
    scale = np.float32(2 ** (8 * samples.dtype.itemsize - 1))
    centre = scale if samples.dtype.kind == "u" else np.float32(0)
    scaled: Samples = (samples.astype(np.float32) - centre) / scale
    return scaled


def _resampled(pieces: Iterable[Samples], rate: int) -> Iterator[Samples]:
    av = _pyav()
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    for piece in pieces:
        frame = av.AudioFrame.from_ndarray(piece[None], format="flt", layout="mono")
        frame.sample_rate = rate
        yield from _resample(resampler, frame)
    yield from _resample(resampler, None)


# ---- files --------------------------------------------------------------------------------------------------------


def _of_path(path: Path) -> Audio:
    if path.is_dir():
        raise AudioError(f"{path} is a folder; an audio file is expected")
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    rewindable = path.is_file()  # a named pipe is not
    if rewindable and not path.stat().st_size:
        raise AudioError(f"{path} is empty: its length is 0")
    return _of_container(lambda: str(path), str(path), rewindable)


def _of_file(file: BinaryIO, name: str) -> Audio:
    if not (hasattr(file, "seekable") and file.seekable()):
        return _of_container(lambda: _ReadOnly(file), name, rewindable=False)
    start = file.tell()

    def rewound() -> BinaryIO:
        file.seek(start)
        return file

    if not file.read(1):
        raise AudioError(f"{name} is empty: its length is 0")
    return _of_container(rewound, name, rewindable=True)


class _ReadOnly:
    """A stream without the methods that it has but cannot do: PyAV would call them."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read


def _of_container(source: Callable[[], object], name: str, rewindable: bool) -> Audio:
    def play() -> Iterator[Samples]:
        return _checked(in_blocks(_decoded(source(), name)), name)

    if not rewindable:
        return Audio(name, play, rewindable=False)
    with _opened(source(), name) as container:
        duration = container.duration / 1e6 if container.duration else None
    return Audio(name, play, rewindable=True, duration=duration)


def _pyav() -> Any:
    try:
        import av  # noqa: PLC0415 - 0.1 s and 40 MB, for files only
    except ImportError:
        raise OptionError("reading audio needs PyAV; install it with pip install 'quartet-onnx[speech]'") from None
    av.logging.set_level(av.logging.PANIC)  # what matters comes as an exception
    return av


def _container(av: Any, source: object) -> Any:
    """The file opened, whatever bytes its tags are made of: PyAV takes them as they are from version 19 on."""
    if int(av.__version__.split(".")[0]) >= 19:
        return av.open(source, mode="r")
    return av.open(source, mode="r", metadata_errors="ignore")


def _opened(source: object, name: str) -> Any:
    av = _pyav()
    try:
        container = _container(av, source)
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{name} is no audio file that can be read ({reason})") from None
    if not container.streams.audio:
        container.close()
        raise AudioError(f"{name} has no audio track")
    return container


def _decoded(source: object, name: str) -> Iterator[Samples]:
    """Pieces of sound, in the length that the codec has. Damaged packets are left out, with a notice at the end."""
    av = _pyav()
    damaged = 0
    with _opened(source, name) as container:
        stream = container.streams.audio[0]
        stream.thread_type = "NONE"  # codecs of sound are quick, and the cores are the model's
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        for packet in _packets(av, container, stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                yield from _resample(resampler, frame)
        yield from _resample(resampler, None)
    if damaged:
        log.warning("%s: damaged in %d places, which were left out", name, damaged)


def _packets(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """All packets, and the empty one at the end that makes a codec give what it still has; up to a broken end."""
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError as error:
        log.warning("%s", f"the file is cut off or damaged: {error.strerror}")


def _resample(resampler: Any, frame: Any) -> Iterator[Samples]:
    if frame is not None:
        frame.pts = None  # gaps between time stamps are not filled
    for resampled in resampler.resample(frame):
        yield resampled.to_ndarray()[0]
