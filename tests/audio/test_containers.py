"""Clicks at known times, in any container: they are heard where players have them."""

import io
import logging
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from quartet.audio.audio import Wanted, open_audio
from quartet.errors import AudioError
from sounds import Unseekable

av = pytest.importorskip("av")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from click_files import CLICKS, RECORDINGS, Recording, onsets, sound, written  # noqa: E402

MOST = 0.03  # seconds
FILMS = {"matroska": "aac", "mp4": "aac", "mov": "aac", "mpegts": "mp2"}


def played(source, **wanted) -> np.ndarray:
    return np.concatenate(list(open_audio(source, wanted=Wanted(**wanted)).play()))


def off(found: list[float], expected: list[float]) -> float:
    assert len(found) == len(expected), found
    return max(abs(a - b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_clicks_are_at_their_times(recording):
    data = written(recording)
    assert off(onsets(played(data)), recording.clicks) <= MOST
    if recording.container not in ("mp4", "ipod", "wav"):  # an index may come last; WAV stands for itself
        assert off(onsets(played(io.BufferedReader(Unseekable(data)))), recording.clicks) <= MOST


@pytest.mark.parametrize(
    ("container", "codec", "start"),
    [
        ("avi", "mp2", 0.0),  # whose writer notes no start
        *((kind, codec, start) for kind, codec in FILMS.items() for start in (0.0, 1.7)),
    ],
)
def test_a_late_start_beside_a_film(container, codec, start):
    recording = Recording("", container, codec, start=start, film=True)
    assert off(onsets(played(written(recording))), recording.clicks) <= MOST


@pytest.mark.parametrize("container", ["mp4", "mov"])
@pytest.mark.parametrize("start", [-1.55, 0.0, 2.0])
@pytest.mark.parametrize("film_start", [-1.55, 0.0, 1.0])
def test_what_an_edit_list_leaves_out(container, start, film_start):
    """Pictures before a cut are in the file, since others are made of them, and the film does not begin there."""
    recording = Recording("", container, "aac", start=start, film=True, film_start=film_start)
    assert off(onsets(played(written(recording))), recording.clicks) <= MOST


def test_what_begins_first_is_the_beginning():
    """Sound alone begins where it begins, whatever its time stamps count from; so players have it."""
    recording = Recording("", "matroska", "libopus", 48_000, start=5.0)
    assert off(onsets(played(written(recording))), list(CLICKS)) <= MOST


def test_a_recording_of_a_station_from_the_middle_on():
    data = written(Recording("", "ogg", "libopus", 48_000))
    places = [place for place in range(len(data)) if data.startswith(b"OggS", place)]  # of pages, a second each
    assert off(onsets(played(data[: places[2]] + data[places[5] :])), [click - 3 for click in CLICKS[1:]]) <= MOST


def test_a_gap_is_told_once_however_often_it_is_played(caplog):
    audio = open_audio(written(Recording("", "matroska", "aac", gap=True)))
    for _ in range(2):
        assert off(onsets(np.concatenate(list(audio.play()))), list(CLICKS)) <= MOST
    (message,) = caplog.messages
    assert "2.0 s are missing in 1 place at 4.0 s; they are silent" in message


@pytest.mark.parametrize(("container", "codec", "size"), [("matroska", "aac", 60), ("mp4", "libmp3lame", 1000)])
def test_damaged_packets_are_silent(container, codec, size, caplog):
    data = bytearray(written(Recording("", container, codec)))
    for place in range(len(data) // 2, len(data) // 2 + size):
        data[place] = 0x55
    assert off(onsets(played(bytes(data)))[-1:], [CLICKS[-1]]) <= MOST
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == 1


def test_pages_that_are_lost_are_silent(caplog):
    data = bytearray(written(Recording("", "ogg", "libopus", 48_000)))
    page = data.index(b"OggS", len(data) // 2)
    data[page + 60] ^= 0xFF  # its checksum is wrong now
    assert off(onsets(played(bytes(data)))[-1:], [CLICKS[-1]]) <= MOST
    assert "are missing in 1 place" in caplog.text


# ---- one after the other ----

TWO = [*CLICKS, *(10 + click for click in CLICKS)]


@pytest.mark.parametrize(
    ("container", "codec", "rates"),
    [
        ("mp3", "libmp3lame", (44_100, 44_100)),
        ("mp3", "libmp3lame", (44_100, 22_050)),
        ("mp3", "libmp3lame", (48_000, 44_100)),
        ("adts", "aac", (44_100, 44_100)),
        ("adts", "aac", (44_100, 22_050)),
        ("flac", "flac", (44_100, 44_100)),
        ("ogg", "flac", (44_100, 44_100)),
        ("ogg", "flac", (44_100, 16_000)),
        ("ogg", "libopus", (48_000, 48_000)),
        ("ogg", "libopus", (48_000, 16_000)),
        ("mpegts", "mp2", (44_100, 44_100)),
        ("mpegts", "aac", (44_100, 44_100)),
    ],
)
def test_files_one_after_the_other(container, codec, rates, caplog):
    data = b"".join(written(Recording("", container, codec, rate)) for rate in rates)
    for source in (data, io.BufferedReader(Unseekable(data))):
        found = onsets(played(source))
        assert len(found) == len(TWO)
        assert off(found, TWO) <= 0.15  # what a codec adds at both ends of a file is there twice
    assert [one.message for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_codecs_one_after_the_other():
    kinds = (("flac", 44_100), ("libopus", 48_000), ("flac", 16_000))
    data = b"".join(written(Recording("", "ogg", codec, rate)) for codec, rate in kinds)
    found = onsets(played(data))
    assert off(found, [10 * n + click for n in range(3) for click in CLICKS]) <= MOST


class Failing(io.RawIOBase):
    """A pipe that gives a few bytes at a time, and at the end something else."""

    def __init__(self, data: bytes, size: int, error: BaseException | None = None):
        self.file, self.size, self.error = io.BytesIO(data), size, error

    def readable(self):
        return True

    def read(self, size=-1):
        found = self.file.read(min(size, self.size))
        if not found and self.error:
            raise self.error
        return found


def test_a_pipe_that_gives_little_at_a_time():
    data = b"".join(written(Recording("", "ogg", codec, 48_000)) for codec in ("flac", "libopus"))
    assert off(onsets(played(Failing(data, 3))), TWO) <= MOST


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("rest", [0, 40, 3000])
def test_what_breaks_off_between_two_files_is_told(count, rest):
    """Not taken for a file without sound."""
    data = written(Recording("", "ogg", "libopus", 48_000))
    data = data * (count + 1) + data[:rest]
    with pytest.raises(AudioError, match="cannot be read: Input/output error"):
        played(Failing(data, 1 << 16, OSError(5, "Input/output error")))
    with pytest.raises(KeyboardInterrupt):
        played(Failing(data, 1 << 16, KeyboardInterrupt()))


def test_what_follows_an_ogg_file_and_is_none():
    data = written(Recording("", "ogg", "libopus", 48_000))
    assert off(onsets(played(data + bytes(5000))), list(CLICKS)) <= MOST


def test_files_of_nothing_one_after_the_other_end(monkeypatch):
    """Each would be opened."""
    data = written(Recording("", "ogg", "libopus", 48_000))
    head = data[: data.index(b"OggS", data.index(b"OggS", 4) + 4)]  # two pages: what it is, and its tags
    assert off(onsets(played(data + head * 3 + data)), TWO) <= MOST
    assert off(onsets(played(data + head * 150 + data)), list(CLICKS)) <= MOST


# ---- channels ----


@pytest.mark.parametrize(
    ("layout", "container", "codec"),
    [
        *((layout, "wav", "pcm_s16le") for layout in ("5.1", "5.1(side)", "7.1", "3.0", "quad")),
        ("5.1(side)", "matroska", "ac3"),
        ("5.1", "mp4", "aac"),
    ],
)
def test_a_voice_in_any_channel_is_heard(layout, container, codec):
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    for name in names:
        if name != "LFE":
            data = _of_layout(layout, names.index(name), container, codec)
            assert np.abs(played(data)).max() > 0.08, name


def _of_layout(layout: str, channel: int, container: str, codec: str) -> bytes:
    """Clicks in one of many channels."""
    file = io.BytesIO()
    names = av.AudioLayout(layout).channels
    samples = np.zeros((len(names), 48_000), np.float32)
    samples[channel] = sound(48_000, [0.5], 1)
    packed = np.ascontiguousarray(samples.T).reshape(1, -1)  # PyAV 18 looks for a ninth plane of eight
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000)
        stream.layout = layout
        stream.bit_rate = 640_000
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        converter = av.AudioResampler(stream.format.name, layout, 48_000, frame_size=size)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate = 48_000
        for piece in (*converter.resample(frame), *converter.resample(None)):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


# ---- from anywhere ----


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
@pytest.mark.parametrize("name", ["webm, Opus", "mp3 with a Xing header", "webm with a gap of 2 s"])
def test_a_pipe(name):
    recording = next(one for one in RECORDINGS if one.name == name)
    reading, writing = os.pipe()
    data = written(recording)

    def fill() -> None:
        with os.fdopen(writing, "wb") as out:
            out.write(data)

    thread = threading.Thread(target=fill)
    thread.start()
    with os.fdopen(reading, "rb", 0) as file:
        assert off(onsets(played(file)), recording.clicks) <= MOST
    thread.join()


@pytest.mark.parametrize("container", ["wav", "mp4", "ogg"])
def test_a_file_that_was_read_before(container, tmp_path):
    """All of it, or only what tells its kind."""
    codec = {"wav": "pcm_s16le", "mp4": "aac", "ogg": "libopus"}[container]
    (tmp_path / "a").write_bytes(written(Recording("", container, codec, 48_000)))
    with (tmp_path / "a").open("rb") as file:
        for size in (-1, 12):
            file.seek(0)
            file.read(size)
            audio = open_audio(file)
            for _ in range(2):
                assert off(onsets(np.concatenate(list(audio.play()))), list(CLICKS)) <= MOST


def test_a_file_without_sound_that_was_read_before():
    file = io.BytesIO(b"no sound " * 1000)
    file.seek(20)
    with pytest.raises(AudioError, match="it is text"):
        open_audio(file)
    empty = io.BytesIO()
    empty.seek(7)
    with pytest.raises(AudioError, match="is empty: its length is 0"):
        open_audio(empty)
