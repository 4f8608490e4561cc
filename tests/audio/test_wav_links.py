"""WAV files one after the other in one file: where each ends, and that all of them are heard."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.audio.audio import RATE, open_audio
from quartet.audio.wav_links import WavLinks
from sounds import links_of, tone, wav


def riff(content: bytes) -> bytes:
    return struct.pack("<4sI4s", b"RIFF", 4 + len(content), b"WAVE") + content


def told(data: bytes, asked: int) -> list[bytes]:
    """The files, read so many bytes at a time."""
    return links_of(WavLinks(io.BytesIO(data).read), asked)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.integers(1, 100))
def test_files_come_one_by_one(contents, asked):
    made = [riff(content) for content in contents if b"RIFF" not in content]
    assert told(b"".join(made), asked) == (made or [b""])


@given(st.binary(min_size=1, max_size=40), st.binary(max_size=60), st.integers(1, 100))
def test_what_is_no_file_is_not_lost(content, more, asked):
    if b"RIFF" not in more:
        assert told(riff(content) + more, asked) == [riff(content) + more]


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_file_without_a_length_goes_on_to_the_end(size):
    data = struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + b"abc" + riff(b"def")
    assert told(data, 7) == [data]


def test_a_byte_that_makes_a_length_even_is_no_sound():
    assert told(riff(b"abc") + b"\0" + riff(b"de"), 5) == [riff(b"abc"), riff(b"de")]


class Pipe(io.BytesIO):
    def seekable(self):
        return False


@pytest.mark.parametrize("is_pipe", [False, True])
def test_all_files_are_heard(is_pipe):
    pytest.importorskip("av")
    one, other = wav(tone(1)), wav(np.repeat(tone(1), 2), 2 * RATE)
    data = one + other + one
    file = (Pipe if is_pipe else io.BytesIO)(data)
    heard = np.concatenate(list(open_audio(file).play()))
    assert len(heard) == pytest.approx(3 * RATE, abs=100)
    alone = np.concatenate(list(open_audio(one).play()))
    assert heard[: RATE // 2] == pytest.approx(alone[: RATE // 2])
    assert heard[-RATE // 2 :] == pytest.approx(alone[-RATE // 2 :])
    whole = np.concatenate(list(open_audio((Pipe if is_pipe else io.BytesIO)(one)).play()))
    assert whole == pytest.approx(alone)
