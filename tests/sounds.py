"""Sound made for tests, and files of it."""

import io
import wave

import numpy as np

from quartet.audio.audio import RATE


def tone(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def wav(samples: np.ndarray, rate: int = RATE, channels: int = 1, bytes_per_sample: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(bytes_per_sample)
        out.setframerate(rate)
        eight_bits = (samples * 127 + 128).astype(np.uint8)
        stored = eight_bits if bytes_per_sample == 1 else (samples * 32767).astype("<i2")
        out.writeframes(np.repeat(stored, channels).tobytes())
    return file.getvalue()


def pictures(name: str, codec: str, pixels: str) -> bytes:
    """A file with one small picture and no sound."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=name) as out:
        stream = out.add_stream(codec, rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = pixels
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    return file.getvalue()


def encoded(name: str, codec: str, rate: int = 44_100, options: dict[str, str] | None = None) -> bytes:
    """A second of sound. options: of the container."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=name, options=options) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = "stereo"
        resampler = av.AudioResampler(format=stream.format.name, layout="stereo", rate=rate)
        frame = av.AudioFrame.from_ndarray(tone()[None], format="flt", layout="mono")
        frame.sample_rate = RATE
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            for packet in stream.encode(piece):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return file.getvalue()


class Unseekable(io.RawIOBase):
    def __init__(self, data: bytes):
        self.file = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.file.readinto(buffer)


def links_of(links, asked: int) -> list[bytes]:
    """The files that `links` reads one by one, so many bytes at a time."""
    found = []
    while True:
        pieces = list(iter(lambda: links.read(asked), b""))
        assert all(len(piece) <= asked for piece in pieces)
        found.append(b"".join(pieces))
        if not links.next():
            return found
