import io
import struct

import numpy as np
import pytest

from quartet.audio.audio import BLOCK, RATE, in_blocks, open_audio
from quartet.errors import AudioError, OptionError
from sounds import Unseekable, encoded, pictures, tone, wav

pytest.importorskip("av")


def played(source, **options) -> np.ndarray:
    return np.concatenate(list(open_audio(source, **options).play()))


def test_a_wav_file_comes_out_as_it_is(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(tone()))
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        assert np.abs(played(source) - tone()).max() < 1e-4
    assert open_audio(path).duration == 1.0


@pytest.mark.parametrize(
    ("name", "codec"),
    [("mp3", "libmp3lame"), ("flac", "flac"), ("ogg", "libopus"), ("mp4", "aac"), ("aiff", "pcm_s16be")],
)
def test_codecs(name, codec):
    found = played(encoded(name, codec, 48_000))
    assert abs(len(found) / RATE - 1) < 0.08
    spectrum = np.abs(np.fft.rfft(found[4000:12000]))
    assert abs(spectrum.argmax() * RATE / 8000 - 440) < 5


@pytest.mark.parametrize(("rate", "channels", "width"), [(8000, 1, 1), (96_000, 6, 2), (44_100, 2, 2), (11_025, 1, 2)])
def test_any_rate_and_channels(rate, channels, width):
    found = played(wav(tone(rate=rate), rate, channels, width))
    assert abs(len(found) - RATE) <= 2
    middle = slice(2000, 14000)
    assert np.corrcoef(found[middle], tone()[: len(found)][middle])[0, 1] > 0.99


def test_arrays():
    samples = tone()
    assert np.array_equal(played(samples), samples)
    assert np.array_equal(played(samples.astype(np.float64)), samples)
    assert np.abs(played((samples * 32767).astype(np.int16)) - samples).max() < 1e-4
    assert np.abs(played(np.stack([samples, samples])) - samples).max() < 1e-6
    assert np.abs(played(np.stack([samples, samples], axis=1)) - samples).max() < 1e-6
    assert abs(len(played(tone(rate=48_000), rate=48_000)) - RATE) <= 2
    every_other = tone(rate=96_000)[::2]
    assert abs(len(played(every_other, rate=48_000)) - RATE) <= 2


def test_a_stream_that_cannot_be_rewound_plays_once():
    audio = open_audio(io.BufferedReader(Unseekable(encoded("mp3", "libmp3lame"))))
    assert not audio.rewindable
    assert sum(map(len, audio.play())) > 0.9 * RATE


def test_a_file_object_plays_from_where_it_stands():
    file = io.BytesIO(b"before" + wav(tone()))
    file.seek(6)
    audio = open_audio(file)
    assert sum(map(len, audio.play())) == sum(map(len, audio.play())) == RATE


def test_a_truncated_mp3_plays_as_far_as_it_goes():
    data = encoded("mp3", "libmp3lame")
    found = played(data[: len(data) // 2 + 77])
    assert 0.2 * RATE < len(found) < 0.8 * RATE


def test_blocks_are_whole():
    audio = open_audio(np.zeros(2 * BLOCK + 5, np.float32))
    assert [len(block) for block in audio.play()] == [BLOCK, BLOCK, 5]
    assert [len(b) for b in in_blocks([np.zeros(3, np.float32)] * 5, 4)] == [4, 4, 4, 3]
    assert list(in_blocks([])) == []


def test_files_without_sound(tmp_path):
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "text.wav").write_text("this is no sound\n" * 100)
    (tmp_path / "silent.wav").write_bytes(wav(np.zeros(0)))
    (tmp_path / "video.mp4").write_bytes(pictures("mp4", "mpeg4", "yuv420p"))
    said = {
        "empty.mp3": "is empty",
        "text.wav": "no audio file that can be read",
        "silent.wav": "holds no sound: its length is 0",
        "video.mp4": "has no audio track",
        "missing.wav": "no such file",
        "": "is a folder",
    }
    for name, message in said.items():
        with pytest.raises(AudioError, match=message) as caught:
            played(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_samples_that_are_no_numbers():
    samples = tone(11)
    samples[170_000] = np.nan
    with pytest.raises(AudioError, match=r"sample 170000 \(10.62 s\) is nan"):
        played(samples)
    header, data = wav(np.zeros(2))[:44], np.array([0, np.inf], "<f4").tobytes()
    floats = header[:20] + struct.pack("<HHIIHH", 3, 1, RATE, 4 * RATE, 4, 32) + b"data" + struct.pack("<I", 8) + data
    with pytest.raises(AudioError, match=r"sample 1 .* is inf"):
        played(floats)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros(0, np.float32), "length is 0"),
        (np.zeros((100, 100)), r"shape \(100, 100\)"),
        (np.array(["a"]), "no audio"),
        (np.zeros(3, complex), "complex128 is no audio"),
        (b"", "is empty"),
    ],
)
def test_arrays_that_are_no_sound(source, message):
    with pytest.raises(AudioError, match=message):
        played(source)


def test_other_objects():
    with pytest.raises(OptionError, match="audio is a int"):
        open_audio(3)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="sampling_rate is 0"):
        open_audio(tone(), rate=0)


@pytest.mark.parametrize("name", ["mp4", "mov", "ipod"])
@pytest.mark.parametrize("options", [{}, {"movflags": "frag_keyframe+empty_moov"}])
def test_an_mp4_from_a_pipe_is_heard_wherever_its_index_is(name, options, caplog):
    data = encoded(name, "aac", options=options)
    samples = np.concatenate(list(open_audio(io.BufferedReader(Unseekable(data))).play()))
    np.testing.assert_array_equal(samples, np.concatenate(list(open_audio(data).play())))
    assert caplog.messages == []


@pytest.mark.parametrize(("number", "name"), [(0, "standard input"), (7, "file 7")])
def test_a_file_that_was_opened_by_its_number_has_a_name_in_messages(number, name):
    pipe = Unseekable(b"")
    pipe.name = number
    with pytest.raises(AudioError, match=rf"^{name} is no audio file"):
        list(open_audio(pipe).play())
