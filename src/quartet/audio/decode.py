"""Sound out of an open file, by FFmpeg's codecs in PyAV. FFmpeg opens nothing by itself, it is handed bytes.

FFmpeg also reads lists of other files and addresses (`.m3u8`, `.sdp`, `concat:`), and takes what stands before a colon
in a name for a protocol. So it gets no name, no protocol, and no readers but those of files that hold sound themselves.
"""

import functools
import io
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quartet.errors import AudioError, OptionError

RATE = 16_000  # samples per second that Whisper, and the voice detector, want
RATES = (1_000, 3_000_000)  # samples per second that are read: from slow telemetry to eightfold DSD
MOST_CHANNELS = 64
NAMED_CHANNELS = 8  # with more, FFmpeg may not know where each one stands
# FFmpeg's names of containers that hold sound themselves; each is also the name of some raw codecs
CONTAINERS = (
    *("wav", "w64", "aiff", "au", "caf", "voc", "sox", "ircam", "nistsphere", "iff"),
    *("flac", "wv", "ape", "tta", "tak", "mpc", "mpc8", "dsf"),
    *("mp3", "aac", "loas", "ac3", "eac3", "dts", "dtshd", "truehd", "ogg", "oma", "xwma"),
    *("amr", "amrnb", "amrwb", "gsm", "g722", "g729", "g723_1", "ilbc", "qcp", "act", "sln", "alaw", "mulaw", "sbc"),
    *("mov", "matroska", "asf", "avi", "flv", "mpeg", "mpegts", "mxf", "rm", "dv"),
)
HEAD = 4096  # bytes that tell text from sound
MOST_QUIET = 1 << 28  # bytes that are read without sound: a second of film, a cover; FFmpeg keeps some of them

Samples = NDArray[np.float32]

log = logging.getLogger("quartet")


def duration(file: BinaryIO, name: str) -> float | None:
    """Seconds, as far as the container says; may be a lie. Raises `AudioError` where there is no sound."""
    with _opened(_Reader(file, name), name) as container:
        return container.duration / 1e6 if container.duration and container.duration > 0 else None


def decoded(file: BinaryIO, name: str) -> Iterator[Samples]:
    """Pieces of sound at `RATE`, mono, in the length that the codec has; the file is read from where it stands.

    Damaged packets are left out, with a notice at the end. Raises `AudioError`.
    """
    reader = _Reader(file, name)
    with _opened(reader, name) as container:
        yield from _resampled(_frames(container, reader, name), name)
    if reader.has_given_up:
        log.warning("%s: %d MB without sound; what follows was not read", name, MOST_QUIET >> 20)


def check_rate(rate: int) -> None:
    """Raises `OptionError` for samples per second that make no sense."""
    if not RATES[0] <= rate <= RATES[1]:
        raise OptionError(f"sampling_rate is {rate}; {RATES[0]:,} to {RATES[1]:,} samples per second are expected")


def resampled(pieces: Iterable[Samples], rate: int) -> Iterator[Samples]:
    """Mono pieces of another rate at `RATE`."""
    av = _pyav()
    return _resampled((_mono_frame(av, piece, rate) for piece in pieces), "the array")


class Resampler:
    """Mono sound of another rate at `RATE`, piece by piece; the last few samples come with the next piece."""

    def __init__(self, rate: int) -> None:
        self._av, self._rate = _pyav(), rate
        self._resampler = self._av.AudioResampler(format="flt", layout="mono", rate=RATE)

    def resampled(self, piece: Samples) -> Samples:
        """What comes out of a piece."""
        if not len(piece):
            return piece
        found = list(_samples(self._resampler, _mono_frame(self._av, piece, self._rate)))
        return np.concatenate([np.zeros(0, np.float32), *found])


def as_float(samples: NDArray[Any]) -> Samples:
    """Integers of full scale, or floats, as floats within ±1."""
    if samples.dtype.kind == "f":
        return np.ascontiguousarray(samples, np.float32)  # PyAV takes no others
    scale = np.float32(2 ** (8 * samples.dtype.itemsize - 1))
    centre = scale if samples.dtype.kind == "u" else np.float32(0)
    scaled: Samples = (samples.astype(np.float32) - centre) / scale
    return scaled


# ---- opening --------------------------------------------------------------------------------------------------------


class _Reader:
    """A file as FFmpeg may have it: what can be read and sought, from where it stands now, and of its name the ending.

    PyAV copies what `read` returns without a look at its length, so this is where that is checked.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._shown = file, name
        self.head = b""
        self.quiet = 0  # bytes since there was sound
        self.has_given_up = False
        self.interrupt: BaseException | None = None  # what PyAV would lose
        self.name = re.sub("[^.a-z0-9]", "", Path(name).suffix.casefold()) or "sound"  # codecs without a header need it
        if hasattr(file, "seekable") and file.seekable():
            self._start = file.tell()
            self.seek, self.tell = self._seek, self._tell

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none after an interrupt, or where no sound is found any more. Raises `AudioError`."""
        if self.interrupt is not None:
            return b""
        if self.quiet > MOST_QUIET:
            self.has_given_up = True
            return b""
        try:
            found = self._file.read(size)
        except OSError as error:
            raise AudioError(f"{self._shown} cannot be read: {error.strerror or error}") from None
        except (KeyboardInterrupt, SystemExit) as interrupt:
            self.interrupt = interrupt
            return b""
        if not isinstance(found, bytes) or len(found) > size:
            what = f"{len(found)} bytes" if isinstance(found, bytes) else f"a {type(found).__name__}"
            raise AudioError(f"{self._shown}: read({size}) gave {what}; a binary file is expected that waits for bytes")
        if len(self.head) < HEAD:
            self.head += found[:HEAD]
        self.quiet += len(found)
        return found

    def pass_on(self) -> None:
        """Raise what came while `read` waited for bytes."""
        if self.interrupt is not None:
            raise self.interrupt

    def _seek(self, offset: int, whence: int) -> int:
        """Places that a damaged header names may not be there: FFmpeg is told so by a negative number."""
        try:
            return self._file.seek(offset + (self._start if whence == io.SEEK_SET else 0), whence) - self._start
        except (OSError, ValueError, OverflowError):
            return -1

    def _tell(self) -> int:
        return self._file.tell() - self._start


def _pyav() -> Any:
    try:
        import av  # noqa: PLC0415 - 0.1 s and 40 MB, for files only
    except ImportError:
        raise OptionError("reading audio needs PyAV; install it with pip install 'quartet-onnx[speech]'") from None
    av.logging.set_level(av.logging.PANIC)  # what matters comes as an exception
    return av


@functools.cache
def _codecs() -> str:
    """Names of all decoders of sound: pictures are not even looked at."""
    av = _pyav()
    found = []
    for name in av.codecs_available:
        try:
            codec = av.codec.Codec(name, "r")
        except ValueError:  # it only encodes
            continue
        if codec.type == "audio":
            found.append(name)
    return ",".join(sorted(found))


def _opened(reader: _Reader, name: str) -> Any:
    av = _pyav()
    try:
        container = _container(av, reader)
    except AudioError:  # of the reader
        raise
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        reader.pass_on()
        reason = getattr(error, "strerror", None) or str(error)
        if _is_text(reader.head):
            reason = "it is text; files that a playlist names are not opened"
        raise AudioError(f"{name} is no audio file that can be read ({reason})") from None
    reader.pass_on()
    reader.quiet = 0
    missing = _missing(container)
    if missing:
        container.close()
        raise AudioError(f"{name} {missing}")
    return container


def _container(av: Any, reader: _Reader) -> Any:
    """The file opened, whatever bytes its tags are made of: PyAV takes them as they are from version 19 on."""
    only = {"format_whitelist": ",".join(CONTAINERS), "codec_whitelist": _codecs(), "protocol_whitelist": "none"}
    if int(av.__version__.split(".")[0]) >= 19:
        return av.open(reader, mode="r", container_options=only, io_open=_refuse)
    return av.open(reader, mode="r", container_options=only, io_open=_refuse, metadata_errors="ignore")


def _refuse(url: str, flags: int, options: dict[str, str]) -> object:
    """What FFmpeg calls to open something else."""
    del flags, options
    raise AudioError(f"the sound is elsewhere, in {url}, and only the file that was given is read")


def _missing(container: Any) -> str | None:
    """Why no sound can come out of it."""
    if not container.streams.audio:
        return "has no audio track"
    if container.streams.audio[0].codec_context is None:
        return "has sound in a codec that PyAV cannot read"
    return None


def _is_text(head: bytes) -> bool:
    try:
        text = head[: HEAD - 4].decode()
    except UnicodeDecodeError:
        return False
    return bool(text) and "\0" not in text


# ---- decoding -------------------------------------------------------------------------------------------------------


def _frames(container: Any, reader: _Reader, name: str) -> Iterator[Any]:
    av = _pyav()
    stream = container.streams.audio[0]
    stream.thread_type = "NONE"  # codecs of sound are quick, and the cores are the model's
    damaged = 0
    for packet in _packets(av, container, stream, name):
        reader.pass_on()
        if _is_encrypted(packet):
            raise AudioError(f"{name} is encrypted; its sound cannot be read without the key")
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            reader.quiet = 0
            frame.pts = None  # gaps between time stamps are not filled
            yield frame
    if damaged:
        log.warning("%s: damaged in %d places, which were left out", name, damaged)


def _is_encrypted(packet: Any) -> bool:
    """As far as PyAV tells: its version 13 does not, and no packet of such a file can be decoded."""
    return hasattr(packet, "has_sidedata") and bool(packet.has_sidedata("encryption_info"))


def _packets(av: Any, container: Any, stream: Any, name: str) -> Iterator[Any]:
    """All packets, and the empty one at the end that makes a codec give what it still has; up to a broken end."""
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError as error:
        log.warning("%s is cut off or damaged: %s", name, error.strerror)
    except IndexError:
        log.debug("%s got more tracks on its way", name)  # PyAV empties those too, which it does not have; ours is done


def _resampled(frames: Iterable[Any], name: str) -> Iterator[Samples]:
    """Samples of frames, whose rate or channels may change on the way."""
    av = _pyav()
    resampler = before = None
    for frame in frames:
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if not (RATES[0] <= rate <= RATES[1] and 1 <= channels <= MOST_CHANNELS):
            raise AudioError(
                f"{name} has {rate:,} samples per second in {channels} channels; "
                f"{RATES[0]:,} to {RATES[1]:,} in up to {MOST_CHANNELS} are read"
            )
        has_no_layout = channels > NAMED_CHANNELS and frame.layout.name.endswith("channels")
        if has_no_layout and frame.format.is_planar:  # PyAV 18 would read behind the planes of more than 8 channels
            raise AudioError(f"{name} has sound that cannot be mixed: {channels} channels without a layout")
        heard = _mixed(av, frame) if has_no_layout else frame
        kind = (rate, heard.layout.name, heard.format.name)
        try:
            if kind != before:
                yield from _samples(resampler, None)
                resampler, before = av.AudioResampler(format="flt", layout="mono", rate=RATE), kind
            yield from _samples(resampler, heard)
        except (av.error.FFmpegError, MemoryError) as error:
            raise AudioError(f"{name} has sound that cannot be mixed ({frame.layout.name}, {rate:,} Hz)") from error
    yield from _samples(resampler, None)


def _samples(resampler: Any, frame: Any) -> Iterator[Samples]:
    for piece in resampler.resample(frame) if resampler else ():
        if piece is not None:
            yield piece.to_ndarray()[0]


def _mixed(av: Any, frame: Any) -> Any:
    """The mean of channels that come sample by sample, for layouts that FFmpeg cannot mix."""
    samples = as_float(frame.to_ndarray().reshape(-1, frame.layout.nb_channels))
    return _mono_frame(av, samples.mean(1), frame.sample_rate)


def _mono_frame(av: Any, samples: Samples, rate: int) -> Any:
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate = rate
    return frame
