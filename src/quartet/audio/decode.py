"""Sound out of an open file, by FFmpeg's codecs in PyAV. FFmpeg opens nothing by itself, it is handed bytes.

FFmpeg also reads lists of other files and addresses (`.m3u8`, `.sdp`, `concat:`), and takes what stands before a colon
in a name for a protocol. So it gets no name, no protocol, and no readers but those of files that hold sound themselves.
"""

import functools
import io
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quartet.audio.clock import Clock
from quartet.audio.mixing import RATE, Samples, joined, to_one
from quartet.audio.ogg_links import PAGE, Links
from quartet.audio.tracks import chosen, listed, tracks_of
from quartet.audio.wav_links import HEADER, RIFF, WavLinks, is_wav, length_of
from quartet.errors import AudioError, OptionError

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
# those with time stamps; in others FFmpeg counts samples, and goes wrong where their rate changes
STAMPED = frozenset(("ogg", "mov", "matroska", "asf", "avi", "flv", "mpeg", "mpegts", "mxf", "rm", "dv"))
HEAD = 4096  # bytes that tell text from sound
MOST_QUIET = 1 << 28  # bytes that are read without sound: a second of film, a cover; FFmpeg keeps some of them
MIXED = RATE // 2  # samples that are mixed at a time
BEFORE_INDEX = (b"ftyp", b"free", b"skip", b"wide")  # boxes of an MP4
READ = 1 << 15  # bytes, of Ogg files
MOST_SILENT_LINKS = 100  # files one after the other without sound
ATTACHED_PICTURE = 1024  # of what FFmpeg says of a stream
HEADERS = (b"Xing", b"Info", b"VBRI")  # what a packet of MP3 without sound has, at the beginning of a file
TAGS = (b"ID3", b"TAG", b"APE")  # and of what stands around such a file

Section = tuple[int, float]  # number, and second at which it begins: within one, sound follows without a gap

log = logging.getLogger("quartet")


@dataclass(frozen=True)
class Wanted:
    """What of a recording is heard."""

    track: str | int | None = None  # number from 1 on, language or title; None: what players take
    languages: Sequence[str] = ()  # that are spoken: one of them goes before the usual track in another language
    channel: int | None = None  # 0 or 1: one of two alone; None: all, mixed


EVERYTHING = Wanted()


@dataclass
class Notices:
    """What there is to say about a recording, each thing once, however often it is played."""

    name: str
    is_quiet: bool = False
    _said: set[str] = field(default_factory=set)

    def warn(self, message: str, *args: object) -> None:
        """Say something about the recording."""
        self._say(logging.WARNING, message, *args)

    def inform(self, message: str, *args: object) -> None:
        """Say something that is no fault."""
        self._say(logging.INFO, message, *args)

    def _say(self, level: int, message: str, *args: object) -> None:
        text = f"{self.name}{message % args if args else message}"
        if text not in self._said and not self.is_quiet:
            self._said.add(text)
            log.log(level, "%s", text)


def described(file: BinaryIO, notices: Notices, wanted: Wanted = EVERYTHING) -> tuple[float | None, int]:
    """Seconds, as far as the container says, which may be a lie, and channels of the track that is wanted.

    Raises `AudioError` where there is no such sound.
    """
    with _opened(_Reader(file, notices.name)) as container:
        stream = _stream(container, wanted, notices)
        seconds = container.duration / 1e6 if container.duration and container.duration > 0 else None
        return seconds, stream.codec_context.channels


def decoded(
    file: BinaryIO, notices: Notices, wanted: Wanted = EVERYTHING, length: float | None = None
) -> Iterator[Samples]:
    """Pieces of sound at `RATE`, mono, at their times by the container; the file is read from where it stands.

    Its beginning is that of whatever begins first, picture or sound. Gaps between time stamps are silent, which is also
    how damaged packets sound; that is said at the end. length: seconds, as far as they are known. Raises `AudioError`.
    """
    clock = Clock(length=length)
    reader = _Reader(file, notices.name, in_links=True)
    pieces = _in_time(_frames(reader, clock, notices, wanted), notices.name)
    yield from to_one(joined(pieces, MIXED), wanted.channel)
    _tell(notices, reader, clock)


def _tell(notices: Notices, reader: "_Reader", clock: Clock) -> None:
    """What was wrong, in one line each."""
    if clock.gaps:
        where = f"{_places(len(clock.gaps))}{', the first' if len(clock.gaps) > 1 else ''} at {clock.gaps[0]:.1f} s"
        notices.warn(": %.1f s are missing in %s; they are silent", clock.silent, where)
    elif reader.damaged:
        notices.warn(
            ": damaged in %s, which %s left out", _places(reader.damaged), "was" if reader.damaged == 1 else "were"
        )
    if clock.odd:
        notices.warn(": its time stamps make no sense from %.1f s on; times may be wrong from there", clock.odd[0])
    if reader.has_given_up:
        notices.warn(": %d MB without sound; what follows was not read", MOST_QUIET >> 20)


def _places(count: int) -> str:
    return f"{count} place{'s' if count > 1 else ''}"


def check_rate(rate: int) -> None:
    """Raises `OptionError` for samples per second that make no sense."""
    if not RATES[0] <= rate <= RATES[1]:
        raise OptionError(f"sampling_rate is {rate}; {RATES[0]:,} to {RATES[1]:,} samples per second are expected")


def resampled(pieces: Iterable[Samples], rate: int) -> Iterator[Samples]:
    """Pieces [channels, n], of one or two channels, of another rate at `RATE`."""
    av = _pyav()
    return _resampled((_frame(av, piece, rate) for piece in pieces), "the array")


class Resampler:
    """Mono sound of another rate at `RATE`, piece by piece; the last few samples come with the next piece."""

    def __init__(self, rate: int) -> None:
        self._av, self._rate = _pyav(), rate
        self._resampler = self._av.AudioResampler(format="fltp", layout="mono", rate=RATE)

    def resampled(self, piece: Samples) -> Samples:
        """What comes out of a piece."""
        if not len(piece):
            return piece
        found = [one[0] for one in _samples(self._resampler, _frame(self._av, piece[None], self._rate))]
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

    def __init__(self, file: BinaryIO, name: str, in_links: bool = False) -> None:
        """in_links: Ogg and WAV files that follow each other come one by one, and are not sought in."""
        self._file, self.shown = file, name
        self.head = b""
        self.quiet = 0  # bytes since there was sound
        self.damaged = 0  # packets
        self.failed = False
        self.has_given_up = False
        self.interrupt: BaseException | None = None  # what PyAV would lose
        self.name = re.sub("[^.a-z0-9]", "", Path(name).suffix.casefold()) or "sound"  # codecs without a header need it
        seekable = bool(hasattr(file, "seekable") and file.seekable())
        self._start = file.tell() if seekable else 0
        self._first = b""  # bytes that were looked at
        self._links = self._found_links(seekable) if in_links else None
        if in_links and not seekable and self._links is None and self._index_is_last():
            self._file, seekable = self._in_memory(), True
        if seekable and self._links is None:
            self.seek, self.tell = self._seek, self._tell

    def _look(self, count: int) -> None:
        """Look at the first bytes, as far as there are so many."""
        while len(self._first) < count and (more := self._bytes(count - len(self._first))):
            self._first += more

    def _look_again(self) -> None:
        """Go back to the beginning of a file that can be sought in."""
        self._first = b""
        self._file.seek(self._start)

    def _found_links(self, seekable: bool) -> Links | WavLinks | None:
        """What reads files that follow each other one by one, where this may be such; else all is still to be read."""
        self._look(len(PAGE))
        if self._first == PAGE:
            return Links(self._bytes_from_first, READ)
        if self._first == RIFF and (not seekable or self._is_followed()):
            return WavLinks(self._bytes_from_first)
        if seekable:
            self._look_again()
        return None

    def _is_followed(self) -> bool:
        """Whether another WAV file comes after the one that begins here, in a file that can be sought in."""
        self._look(HEADER)
        at, found = length_of(self._first), b""
        if at is not None and self._seek(at, io.SEEK_SET) >= 0:
            found = self._bytes(HEADER + 1)
        self._look_again()
        return is_wav(found) or is_wav(found[1:])

    def _index_is_last(self) -> bool:
        """Whether this is an MP4 whose sound comes before its index: FFmpeg has to seek in it."""
        place = 0
        while place <= HEAD:
            self._look(place + 8)
            size, kind = int.from_bytes(self._first[place : place + 4]), self._first[place + 4 : place + 8]
            if kind == b"mdat" or kind not in BEFORE_INDEX or size < 8:
                return kind == b"mdat"
            place += size
        return False

    def _in_memory(self) -> BinaryIO:
        """All that comes from the pipe, as far as anything is read without sound."""
        held = io.BytesIO()
        more = self._first
        while more:
            held.write(more)
            more = self._bytes(1 << 20)
        held.seek(0)
        self._first = b""
        return held

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none after an interrupt, or where no sound is found any more. Raises `AudioError`."""
        return self._links.read(size) if self._links else self._bytes_from_first(size)

    def next_link(self) -> bool:
        """Go to the next file of several in one. False where there is none."""
        return self._links is not None and self._links.next()

    def _bytes_from_first(self, size: int) -> bytes:
        found, self._first = self._first[:size], self._first[size:]
        return found or self._bytes(size)

    def _bytes(self, size: int) -> bytes:
        if self.interrupt is not None:
            return b""
        if self.quiet > MOST_QUIET:
            self.has_given_up = True
            return b""
        try:
            found = self._file.read(size)
        except OSError as error:
            self.failed = True
            raise AudioError(f"{self.shown} cannot be read: {error.strerror or error}") from None
        except (KeyboardInterrupt, SystemExit) as interrupt:
            self.interrupt = interrupt
            return b""
        if not isinstance(found, bytes) or len(found) > size:
            self.failed = True
            what = f"{len(found)} bytes" if isinstance(found, bytes) else f"a {type(found).__name__}"
            raise AudioError(f"{self.shown}: read({size}) gave {what}; a binary file is expected that waits for bytes")
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


def _opened(reader: _Reader) -> Any:
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
        raise AudioError(f"{reader.shown} is no audio file that can be read ({reason})") from None
    reader.pass_on()
    reader.quiet = 0
    if not container.streams.audio:
        container.close()
        raise AudioError(f"{reader.shown} has no audio track")
    return container


def _stream(container: Any, wanted: Wanted, notices: Notices, is_told: bool = False) -> Any:
    """The track that is wanted; with `is_told` a notice says which of several.

    Raises `AudioError` where there is none, or it cannot be read.
    """
    streams = container.streams.audio
    tracks = tracks_of(streams)
    track = chosen(tracks, wanted.track, wanted.languages, notices.name)
    if is_told and len(tracks) > 1 and wanted.track is None:
        notices.inform(" has %d tracks of sound (%s); track %d is heard", len(tracks), listed(tracks), track.number)
    stream = streams[track.number - 1]
    if stream.codec_context is None:
        raise AudioError(f"{notices.name} has sound in a codec that PyAV cannot read")
    return stream


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


def _is_text(head: bytes) -> bool:
    try:
        text = head[: HEAD - 4].decode()
    except UnicodeDecodeError:
        return False
    return bool(text) and "\0" not in text


# ---- decoding -------------------------------------------------------------------------------------------------------


def _frames(reader: _Reader, clock: Clock, notices: Notices, wanted: Wanted) -> Iterator[tuple[Section, Any]]:
    """Frames, each with its section."""
    without = 0  # files in a row that have no sound
    is_first = True
    while is_first or (without < MOST_SILENT_LINKS and reader.next_link()):
        try:
            container = _opened(reader)
            stream = _stream(container, wanted if is_first else EVERYTHING, notices, is_told=is_first)
        except AudioError as error:
            if is_first or reader.failed:
                raise
            log.debug("%s", error)
            without += 1
            continue
        with container:
            first, begin = _first_packet(container, stream, notices)
            clock.begin_anew(begin)
            before = clock.position
            stamped = not STAMPED.isdisjoint(container.format.name.split(","))
            for frame in _frames_of(chain(first, _packets(container, [stream], notices)), stream, reader, clock):
                seconds = frame.samples / max(1, frame.sample_rate)
                begin = clock.advance(frame.time if stamped else None, seconds)
                yield (clock.sections, begin), frame
        without = without + 1 if clock.position == before else 0
        is_first = False
    reader.pass_on()


def _first_packet(container: Any, stream: Any, notices: Notices) -> tuple[Iterator[Any], float]:
    """The first packet of a track, if it has one, and where the container begins by its own clock, in seconds.

    FFmpeg does not tell when pictures begin whose codec it may not open. But their packets come before those of sound
    that begins later.
    """
    begin = (container.start_time or 0) / 1e6
    films = filter(_is_film, container.streams.video)
    for packet in _packets(container, [stream, *films], notices):
        if packet.stream_index == stream.index:
            return iter([packet] if packet.size else []), begin
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None and not packet.is_discard:  # those before a cut, which are decoded and not shown
            begin = min(begin, float(stamp * packet.time_base))
    return iter([]), begin


def _is_film(stream: Any) -> bool:
    """Whether pictures move: a cover does not."""
    return not getattr(stream, "disposition", 0) & ATTACHED_PICTURE


def _frames_of(packets: Iterable[Any], stream: Any, reader: _Reader, clock: Clock) -> Iterator[Any]:
    av = _pyav()
    stream.thread_type = "NONE"  # codecs of sound are quick, and the cores are the model's
    for packet in packets:
        reader.pass_on()
        if _is_encrypted(packet):
            raise AudioError(f"{reader.shown} is encrypted; its sound cannot be read without the key")
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            if not _is_header(packet):
                reader.damaged += 1
                clock.lose(packet.duration * packet.time_base if packet.duration else 0)
            continue
        for frame in frames:
            reader.quiet = 0
            yield frame


def _is_header(packet: Any) -> bool:
    """Whether it holds facts about a file of MP3 that follows another one, and no sound."""
    content = bytes(packet)[:HEAD]
    return content.startswith(TAGS) or any(header in content for header in HEADERS)


def _is_encrypted(packet: Any) -> bool:
    """As far as PyAV tells: its version 13 does not, and no packet of such a file can be decoded."""
    return hasattr(packet, "has_sidedata") and bool(packet.has_sidedata("encryption_info"))


def _packets(container: Any, streams: Sequence[Any], notices: Notices) -> Iterator[Any]:
    """All packets, and the empty ones at the end that make a codec give what it still has; up to a broken end."""
    av = _pyav()
    try:
        yield from container.demux(*streams)
    except av.error.FFmpegError as error:
        notices.warn(" is cut off or damaged: %s", error.strerror)
    except IndexError:
        # PyAV empties those too, which it does not have; ours is done
        log.debug("%s got more tracks on its way", notices.name)


def _in_time(frames: Iterable[tuple[Section, Any]], name: str) -> Iterator[Samples]:
    """Sections of sound, each at its time: with silence before it, or without what is there already."""
    written = 0
    for (_, start), section in groupby(frames, key=lambda found: found[0]):
        silence = round(start * RATE) - written
        for piece in _resampled((frame for _, frame in section), name):
            while silence > 0:
                yield np.zeros((len(piece), min(silence, RATE)), np.float32)
                written += min(silence, RATE)
                silence -= min(silence, RATE)
            kept = piece[:, -silence:]
            silence += piece.shape[1] - kept.shape[1]
            if kept.shape[1]:
                yield kept
                written += kept.shape[1]


def _resampled(frames: Iterable[Any], name: str) -> Iterator[Samples]:
    """Pieces [channels, n] of frames, whose rate or channels may change on the way: two as they are, others mixed."""
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
        heard.pts = None  # PyAV refuses stamps that do not follow each other; `Clock` looks at them
        kind = (rate, heard.layout.name, heard.format.name)
        try:
            if kind != before:
                yield from _samples(resampler, None)
                layout = "stereo" if channels == 2 else "mono"
                resampler, before = av.AudioResampler(format="fltp", layout=layout, rate=RATE), kind
            yield from _samples(resampler, heard)
        except (av.error.FFmpegError, MemoryError) as error:
            raise AudioError(f"{name} has sound that cannot be mixed ({frame.layout.name}, {rate:,} Hz)") from error
    yield from _samples(resampler, None)


def _samples(resampler: Any, frame: Any) -> Iterator[Samples]:
    for piece in resampler.resample(frame) if resampler else ():
        if piece is not None:
            yield piece.to_ndarray()


def _mixed(av: Any, frame: Any) -> Any:
    """The mean of channels that come sample by sample, for layouts that FFmpeg cannot mix."""
    samples = as_float(frame.to_ndarray().reshape(-1, frame.layout.nb_channels))
    return _frame(av, samples.mean(1)[None], frame.sample_rate)


def _frame(av: Any, samples: Samples, rate: int) -> Any:
    """A frame of PyAV of [channels, n], one channel or two."""
    layout = "stereo" if len(samples) == 2 else "mono"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate = rate
    return frame
