"""Pipes, WAV headers and arrays as PCM, and sound that waits for whoever takes it."""

import io
import itertools
import os
import struct
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.audio.audio import RATE
from quartet.errors import AudioError, OptionError
from quartet.live.stream import Pcm, Waiting, pcm_of, read_ahead
from sounds import tone, wav

SOUND = (tone(0.2) * 32767).astype("<i2")


class Dripping(io.RawIOBase):
    """A pipe that gives at most so many bytes at a time."""

    def __init__(self, data, sizes):
        self._data, self._sizes = io.BytesIO(data), sizes

    def readable(self):
        return True

    def read(self, size=-1):
        return self._data.read(min(size, next(self._sizes)))


def samples(stream, rate=RATE):
    found = pcm_of(stream, rate)
    return found.rate, np.frombuffer(b"".join(found.pieces), "<i2")


def header(kind=1, channels=1, rate=RATE, bits=16, size=0xFFFFFFFF, extra=b""):
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    return b"RIFF\xff\xff\xff\xffWAVE" + chunks + b"data" + struct.pack("<I", size)


@given(st.lists(st.integers(1, 9000), min_size=1), st.booleans())
def test_a_pipe_is_heard_whole_however_its_bytes_come(sizes, has_header):
    def forever():
        while True:
            yield from sizes

    data = (header() if has_header else b"") + SOUND.tobytes()
    rate, found = samples(Dripping(data, forever()))
    assert rate == RATE
    assert (found == SOUND).all()


def test_a_wav_header_says_rate_and_channels():
    rate, found = samples(io.BytesIO(wav(tone(0.2), rate=8000, channels=2)), rate=44_100)
    assert rate == 8000
    assert np.abs(found - SOUND.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("kind", "bits", "dtype", "scale"), [(3, 32, "<f4", 1), (3, 64, "<f8", 1), (1, 32, "<i4", 2**31 - 1)]
)
def test_other_numbers_become_16_bits(kind, bits, dtype, scale):
    data = (tone(0.2).astype(float) * scale).astype(dtype).tobytes()
    _, found = samples(io.BytesIO(header(kind, bits=bits) + data))
    assert np.abs(found - SOUND.astype(int)).max() <= 1


def test_an_extensible_header_names_its_format_further_on():
    extra = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    _, found = samples(io.BytesIO(header(0xFFFE, extra=extra) + SOUND.tobytes()))
    assert (found == SOUND).all()


def test_what_follows_the_sound_of_a_wav_file_is_not_heard():
    data = header(size=SOUND.nbytes) + SOUND.tobytes() + b"LIST....INFO of some program"
    assert (samples(io.BytesIO(data))[1] == SOUND).all()


@given(st.integers(1, 50))
def test_samples_of_24_bit_are_heard_however_they_come(size):
    wide = SOUND[:200].astype("<i4") * 65536
    data = header(bits=24) + wide.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes() + b"xx"
    assert (samples(Dripping(data, itertools.repeat(size)))[1] == SOUND[:200]).all()


def test_half_a_sample_at_the_end_is_left_out():
    assert (samples(io.BytesIO(SOUND.tobytes() + b"x"))[1] == SOUND).all()
    assert len(samples(io.BytesIO(b""))[1]) == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"OggS" + bytes(40), "Ogg"),
        (b"fLaC" + bytes(40), "FLAC"),
        (b"ID3\x04" + bytes(40), "MP3"),
        (b"\0\0\0 ftypM4A " + bytes(40), "MP4"),
        (b"\x1a\x45\xdf\xa3" + bytes(40), "Matroska"),
        (header(bits=20), "20 bit"),
        (header(kind=7, bits=8), "format 7"),
        (header(channels=0), "0 channels"),
        (header(rate=3), "3 samples per second"),
        (b"RIFF\0\0\0\0WAVEfmt ", "ends before its sound"),
        (b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x7f", "damaged"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "does not say"),
        (header(3, bits=32) + struct.pack("<f", float("nan")), "no numbers"),
    ],
)
def test_what_is_no_pcm_is_told_in_a_line(data, words):
    with pytest.raises(AudioError, match=words) as error:
        samples(io.BytesIO(data))
    assert "\n" not in str(error.value)


def test_arrays_of_any_kind_are_a_stream():
    floats = tone(0.2)
    for piece in (floats, SOUND, floats[:, None], np.stack([floats, floats]), floats.astype(np.float64)):
        _, found = samples([piece, piece])
        assert np.abs(found - np.tile(SOUND, 2).astype(int)).max() <= 1


@pytest.mark.parametrize("piece", [[0.0, 1.0], "text", np.array(["a"]), np.zeros((2, 2, 2)), np.array([np.inf])])
def test_pieces_that_are_no_sound_are_refused(piece):
    with pytest.raises(AudioError, match="a piece of the stream"):
        samples([piece])


@pytest.mark.parametrize("stream", ["talk.wav", b"bytes", np.zeros(5), 7, None])
def test_what_is_no_stream_is_refused(stream):
    with pytest.raises(OptionError, match="stream is a"):
        pcm_of(stream)


def test_a_file_of_text_is_refused():
    with pytest.raises(AudioError, match="gave a str"):
        samples(io.StringIO("words"))


# ---- sound that waits -----------------------------------------------------------------------------------------------


def test_all_that_waits_is_taken_at_once_and_in_order():
    waiting = Waiting(RATE, 10)
    for piece in (b"one", b"two", b"three"):
        assert waiting.put(piece)
    waiting.end()
    assert not waiting.put(b"late")
    assert list(waiting) == [b"onetwothree"]
    assert list(waiting) == []


def test_who_brings_too_much_waits_until_it_is_taken():
    taken = []
    pieces = iter([bytes(RATE * 2)] * 100)

    def noted():
        for piece in pieces:
            taken.append(len(piece))
            yield piece

    waiting = read_ahead(Pcm(RATE, noted()))
    found = iter(waiting)
    size = len(next(found))
    assert sum(taken) - size <= 32 * RATE * 2  # half a minute, the piece that waits, and one just taken
    assert size + sum(map(len, found)) == 100 * RATE * 2


def test_an_error_comes_after_the_sound_before_it():
    def broken():
        yield b"ab"
        raise AudioError("it broke")

    found = []
    with pytest.raises(AudioError, match="it broke"):
        found.extend(iter_into(read_ahead(Pcm(RATE, broken())), found))
    assert b"".join(found) == b"ab"


def iter_into(pieces, found):
    for piece in pieces:
        found.append(piece)
    return []


def test_a_slow_machine_is_told_of_once(caplog):
    waiting = Waiting(RATE, 100)
    for _ in range(2):
        waiting.put(bytes(10 * RATE))
        next(iter(waiting))
    assert caplog.text.count("wait for the model") == 1
    assert "5 s of sound" in caplog.text


def test_a_file_is_not_late(tmp_path, caplog):
    (tmp_path / "a.raw").write_bytes(bytes(20 * RATE))
    with (tmp_path / "a.raw").open("rb") as file:
        for stream in (file, io.BytesIO(bytes(20 * RATE))):
            waiting = read_ahead(pcm_of(stream))
            assert sum(map(len, waiting)) == 20 * RATE
    assert not caplog.text
    read, write = os.pipe()
    os.write(write, bytes(100))
    with os.fdopen(read, "rb") as pipe:
        assert pcm_of(pipe).is_live
    os.close(write)


def test_ending_wakes_whoever_brings_sound():
    waiting = Waiting(RATE, 0.1)
    waiting.put(bytes(RATE))
    thread = threading.Thread(target=lambda: waiting.put(bytes(RATE)))
    thread.start()
    waiting.end()
    thread.join(30)
    assert not thread.is_alive()
