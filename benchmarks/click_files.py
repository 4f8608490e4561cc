"""Recordings of clicks at known times, in any container and codec that PyAV writes. They are ten seconds long."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np

SECONDS = 10
CLICKS = (1.0, 3.0, 7.0, 9.0)  # seconds
GAP = (4.0, 6.0)  # seconds whose packets are left out where a recording has a gap
PICTURES = 10  # a second


@dataclass(frozen=True)
class Recording:
    """How the clicks are stored."""

    name: str
    container: str
    codec: str
    rate: int = 44_100
    start: float = 0.0  # time stamp of the first sample; below 0 an edit list says that so much is not played
    gap: bool = False
    film: bool = False
    film_start: float = 0.0  # time stamp of its first picture, likewise
    options: dict[str, str] = field(default_factory=dict)  # of the container

    @property
    def clicks(self) -> list[float]:
        """When they are heard, in seconds from where the first picture or sound is."""
        begin = max(0.0, min(self.start, self.film_start) if self.film else self.start)
        return [self.start + click - begin for click in CLICKS if self.start + click >= 0]


def sound(rate: int, clicks: Iterable[float] = CLICKS, seconds: float = SECONDS) -> np.ndarray:
    """[n]: bursts of 5 ms in silence."""
    samples = np.zeros(round(seconds * rate), np.float32)
    burst = (0.9 * np.sin(2 * np.pi * 2000 * np.arange(round(0.005 * rate)) / rate)).astype(np.float32)
    for click in clicks:
        first = round(click * rate)
        samples[first : first + len(burst)] = burst
    return samples


def written(recording: Recording) -> bytes:
    """The file."""
    file = io.BytesIO()
    with av.open(file, "w", format=recording.container, options=recording.options) as out:
        film = _film(out) if recording.film else None
        stream = out.add_stream(recording.codec, rate=recording.rate)
        stream.layout = "mono"
        packets = [packet for packet in _sound(stream, recording) if not (recording.gap and _is_lost(packet))]
        packets += _pictures(film, recording.film_start) if film else []
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return file.getvalue()


def onsets(samples: np.ndarray, rate: int = 16_000) -> list[float]:
    """When clicks begin in sound, in seconds."""
    loud = np.flatnonzero(np.abs(samples) > 0.3 * np.abs(samples).max(initial=1e-9))
    first = np.diff(loud, prepend=-rate) > 0.2 * rate
    return [float(place) / rate for place in loud[first]]


def _sound(stream, recording: Recording) -> list:
    samples, rate = sound(recording.rate), recording.rate
    context = stream.codec_context
    context.open()
    size = context.frame_size or 1024
    converter = av.AudioResampler(stream.format.name, "mono", rate, frame_size=size)
    packets, position = [], round(recording.start * rate)
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate = rate
    for piece in (*converter.resample(frame), *converter.resample(None)):
        if piece is not None:
            piece.pts, piece.time_base = position, Fraction(1, rate)
            position += piece.samples
            packets += stream.encode(piece)
    return packets + stream.encode(None)


def _is_lost(packet) -> bool:
    return GAP[0] <= packet.pts * packet.time_base < GAP[1]


def _film(out):
    film = out.add_stream("mpeg4", rate=PICTURES)
    film.width = film.height = 32
    film.pix_fmt = "yuv420p"
    return film


def _pictures(film, start: float) -> list:
    packets = []
    for number in range(SECONDS * PICTURES):
        picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), format="rgb24")
        picture.pts, picture.time_base = number + round(start * PICTURES), Fraction(1, PICTURES)
        packets += film.encode(picture)
    return packets + film.encode(None)


RECORDINGS = (
    Recording("wav", "wav", "pcm_s16le"),
    Recording("mp3 with a Xing header", "mp3", "libmp3lame"),
    Recording("mp3 without", "mp3", "libmp3lame", options={"write_xing": "0"}),
    Recording("m4a", "ipod", "aac"),
    Recording("aac", "adts", "aac"),
    Recording("mkv, AAC", "matroska", "aac"),
    Recording("webm, Opus", "webm", "libopus", 48_000),
    Recording("ogg, FLAC", "ogg", "flac"),
    Recording("opus", "opus", "libopus", 48_000),
    Recording("flac", "flac", "flac"),
    Recording("mp4 with a film", "mp4", "aac", film=True),
    Recording("mp4, sound 2 s late", "mp4", "aac", start=2.0, film=True),
    Recording("mkv, sound 2 s late", "matroska", "libopus", 48_000, start=2.0, film=True),
    Recording("mp4 with a gap of 2 s", "mp4", "aac", gap=True),
    Recording("webm with a gap of 2 s", "webm", "libopus", 48_000, gap=True),
    Recording("ts with a gap of 2 s", "mpegts", "mp2", gap=True),
    Recording("mp4, edit list leaves out 1.5 s", "mp4", "aac", start=-1.5),
)
