"""What gives sound while it is made, as pieces of 16 bit samples (little endian, mono), and a place where they wait.

A stream is arrays of samples, or a binary file of raw PCM or WAV; what FFmpeg writes into a pipe is one of these.
"""

import io
import logging
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quartet.audio.audio import RATE
from quartet.audio.decode import MOST_CHANNELS, as_float, check_rate
from quartet.audio.wav_links import HEADER, is_wav
from quartet.errors import AudioError, OptionError
from quartet.live.sound import BYTES, as_pcm

PIECE = 1 << 16  # bytes that are asked for at a time; of a pipe comes what is there
AHEAD = 30.0  # seconds of sound that are read before they are wanted
BEHIND = 3.0  # seconds of sound that wait: the machine is too slow for looks in between
LONGEST_CHUNK = 1 << 20  # bytes of a chunk of a WAV file that is not sound
LONGEST_FORMAT = 40
ENDLESS = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # sizes of the sound in a WAV file that was not known when they were written
INTEGERS, FLOATS, EXTENSIBLE = 1, 3, 0xFFFE  # formats of WAV (https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats)
DTYPES = {
    **{(INTEGERS, bits): dtype for bits, dtype in ((8, "u1"), (16, "<i2"), (24, "V3"), (32, "<i4"))},
    **{(FLOATS, bits): dtype for bits, dtype in ((32, "<f4"), (64, "<f8"))},
}
COMPRESSED = {  # how files begin that are no PCM
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3": "MP3",
    b"\xff\xfb": "MP3",
    b"\xff\xf1": "AAC",
    b"\x1a\x45\xdf\xa3": "Matroska or WebM",
    b"RF64": "RF64",
    b"FORM": "AIFF",
    b"caff": "CAF",
}
FFMPEG = "ffmpeg -i ... -f s16le -ac 1 -ar 16000 - makes that of anything"

log = logging.getLogger("quartet")


class Pcm(NamedTuple):
    """Pieces of 16 bit samples, mono, and how many samples are a second."""

    rate: int
    pieces: Iterable[bytes]
    is_live: bool = True  # not from a file, which is read as fast as it is listened to


Stream = BinaryIO | Iterable[NDArray[Any]] | Pcm


def pcm_of(stream: Stream, rate: int = RATE) -> Pcm:
    """A stream as PCM. rate: samples per second of arrays and raw PCM; a WAV file knows its own.

    Arrays are [n], [n, channels] or [channels, n], floats within ±1 or integers of full scale. Raises `OptionError` for
    another kind of object, and `AudioError`, also later, for what is no sound.
    """
    if isinstance(stream, Pcm):
        return stream
    if hasattr(stream, "read"):
        return _of_file(stream, rate)._replace(is_live=not _is_kept(stream))
    if isinstance(stream, np.ndarray | str | bytes) or not isinstance(stream, Iterable):
        kind = type(stream).__name__
        raise OptionError(f"stream is a {kind}; a binary file, or something that gives arrays one by one, is expected")
    return Pcm(rate, (_mono(piece) for piece in stream))


def _mono(samples: Any) -> bytes:
    if not isinstance(samples, np.ndarray) or samples.dtype.kind not in "fiu" or samples.ndim not in (1, 2):
        what = f"an array of {samples.dtype}, {samples.shape}" if isinstance(samples, np.ndarray) else type(samples)
        raise AudioError(f"a piece of the stream is {what}; an array of samples [n] or [n, channels] is expected")
    floats = as_float(samples)
    if not np.isfinite(floats).all():
        raise AudioError("a piece of the stream holds samples that are no numbers")
    if floats.ndim == 2:
        floats = floats.mean(axis=int(np.argmin(floats.shape)))
    return as_pcm(floats).tobytes()


# ---- files ----------------------------------------------------------------------------------------------------------


def _is_kept(file: Any) -> bool:
    """Whether a file is on a disk, or in memory, so that nothing is late."""
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (AttributeError, OSError):
        return isinstance(file, io.BytesIO)


def _of_file(file: Any, rate: int) -> Pcm:
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    head = _exactly(read, HEADER)
    if is_wav(head):
        return _of_wav(read)
    for magic, name in COMPRESSED.items():
        if head.startswith(magic) or (magic == b"ID3" and head[4:8] == b"ftyp"):
            found = "MP4" if head[4:8] == b"ftyp" else name
            raise AudioError(f"the stream is {found}; 16 bit PCM or WAV is expected: {FFMPEG}")
    return Pcm(rate, _whole(_read(read, head), BYTES, lambda piece: piece))


def _of_wav(read: Callable[[int], bytes]) -> Pcm:
    form: bytes | None = None
    while True:
        header = _exactly(read, 8)
        if len(header) < 8:
            raise AudioError("the stream is a WAV file that ends before its sound")
        name, size = header[:4], int.from_bytes(header[4:], "little")
        if name == b"data":
            break
        if size > LONGEST_CHUNK:
            raise AudioError(f"the stream is a WAV file with {size} bytes before its sound; it is damaged")
        content = _exactly(read, size + size % 2)
        form = content if name == b"fmt " else form
    if form is None or len(form) < 16:
        raise AudioError("the stream is a WAV file that does not say what its sound is")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if kind == EXTENSIBLE and len(form) >= LONGEST_FORMAT:
        kind = int.from_bytes(form[24:26], "little")
    dtype = DTYPES.get((kind, bits))
    if dtype is None or not 1 <= channels <= MOST_CHANNELS:
        what = f"format {kind}, {bits} bit, {channels} channels"
        raise AudioError(f"the stream is a WAV file of {what}; PCM of 8, 16, 24 or 32 bit or floats are read: {FFMPEG}")
    try:
        check_rate(rate)
    except OptionError:
        raise AudioError(f"the stream is a WAV file with {rate} samples per second; 16000 would do") from None
    known = None if size in ENDLESS else size

    def mono(piece: bytes) -> bytes:
        samples = (_of_24_bit(piece) if bits == 24 else np.frombuffer(piece, dtype)).reshape(-1, channels)
        if not np.isfinite(samples).all():
            raise AudioError("the stream holds samples that are no numbers")
        return as_pcm(as_float(samples).mean(axis=1)).tobytes()

    return Pcm(rate, _whole(_read(read, b"", known), np.dtype(dtype).itemsize * channels, mono))


def _of_24_bit(piece: bytes) -> NDArray[np.int32]:
    """Samples [n] of three bytes each, as 32 bit."""
    found = np.zeros((len(piece) // 3, 4), np.uint8)
    found[:, 1:] = np.frombuffer(piece, np.uint8).reshape(-1, 3)
    return found.view("<i4")[:, 0]


def _read(read: Callable[[int], bytes], head: bytes, left: int | None = None) -> Iterator[bytes]:
    """What comes, up to so many bytes."""
    if head:
        yield head
    while left is None or left > 0:
        try:
            piece = read(PIECE if left is None else min(PIECE, left))
        except OSError as error:
            raise AudioError(f"the stream cannot be read: {error.strerror or error}") from None
        if not isinstance(piece, bytes):
            raise AudioError(
                f"the stream gave a {type(piece).__name__}; a binary file is expected that waits for bytes"
            )
        if not piece:
            return
        left = None if left is None else left - len(piece)
        yield piece


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    """So many bytes; fewer at the end."""
    found = b""
    for piece in _read(read, b"", size):
        found += piece
    return found


def _whole(pieces: Iterable[bytes], size: int, change: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Pieces of whole frames of so many bytes, changed."""
    left = b""
    for piece in pieces:
        joined = left + piece
        whole = len(joined) // size * size
        left = joined[whole:]
        if whole:
            yield change(joined[:whole])


# ---- sound that waits -----------------------------------------------------------------------------------------------


class Waiting:
    """Pieces that came while nobody took them. Who takes them gets all at once, so that a slow machine catches up."""

    def __init__(self, rate: int, most: float, is_live: bool = True) -> None:
        """most: seconds of sound that may wait; who brings more waits too. is_live: too much is told of."""
        self.rate = rate
        self._second, self._most = rate * BYTES, most * rate * BYTES
        self._was_told = not is_live
        self._pieces: list[bytes] = []
        self._changed = threading.Condition()
        self._is_over = False
        self._error: BaseException | None = None

    @property
    def pcm(self) -> Pcm:
        """The sound as it is taken."""
        return Pcm(self.rate, self)

    def put(self, piece: bytes, wait: bool = True) -> bool:
        """Bring a piece; whether it was taken: where too much waits and `wait` is off, it is not."""
        with self._changed:
            while self._has_too_much() and wait and not self._is_over:
                self._changed.wait()
            if self._is_over or self._has_too_much():
                return False
            self._pieces.append(piece)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """No more comes; whoever takes the rest gets the error after it."""
        with self._changed:
            self._is_over, self._error = True, self._error or error
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        """All that waits, again and again, until no more comes."""
        while True:
            with self._changed:
                while not self._pieces and not self._is_over:
                    self._changed.wait()
                found = b"".join(self._pieces)
                self._pieces.clear()
                self._changed.notify_all()
            if not found:
                break
            self._tell(len(found) / self._second)
            yield found
        if self._error is not None:
            raise self._error

    def _tell(self, seconds: float) -> None:
        if seconds > BEHIND and not self._was_told:
            self._was_told = True
            log.warning("%.0f s of sound wait for the model: partial text is left out, no sound is", seconds)

    def _has_too_much(self) -> bool:
        return sum(map(len, self._pieces)) >= self._most


def read_ahead(pcm: Pcm) -> Waiting:
    """Pieces that a thread takes as they come, half a minute more than were asked for at most."""
    pieces, waiting = pcm.pieces, Waiting(pcm.rate, AHEAD, pcm.is_live)

    def read() -> None:
        try:
            for piece in pieces:
                if not waiting.put(piece):
                    return
        except BaseException as error:  # it is raised where the pieces are taken
            waiting.end(error)
        else:
            waiting.end()

    threading.Thread(target=read, name="quartet-listen", daemon=True).start()
    return waiting
