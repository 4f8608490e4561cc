"""Only the file that was handed over is read, whatever it names; and whatever it says, time and memory are bounded."""

import io
import os
import select
import socket
import struct
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from quartet.audio import decode
from quartet.audio.audio import BLOCK, RATE, open_audio
from quartet.errors import AudioError
from sounds import Unseekable, encoded, pictures, tone, wav

av = pytest.importorskip("av")
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


def played(source) -> np.ndarray:
    return np.concatenate(list(open_audio(source).play()))


def refusal(source) -> str:
    with pytest.raises(AudioError) as caught:
        played(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- nothing else is opened ----

PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{target}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "m3u": "{target}\n",
    "pls": "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    "asx": '<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
    "lines": "/" * 600 + "{target}\n" * 600,
}


@pytest.fixture
def listening():
    """A server of this machine that nobody is to call; its address."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        assert not select.select([server], [], [], 0)[0], "it was called"


@pytest.mark.parametrize("suffix", [".m3u8", ".wav", ""])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_what_a_playlist_names_is_not_opened(kind, suffix, listening, tmp_path):
    (tmp_path / "sound.wav").write_bytes(wav(tone()))
    path = tmp_path / f"list{suffix}"
    for target in (listening, "sound.wav", str(tmp_path / "sound.wav")):
        content = PLAYLISTS[kind].format(target=target).encode()
        path.write_bytes(content)
        with path.open("rb") as file:
            for source in (path, file, content, io.BufferedReader(Unseekable(content))):
                assert refusal(source).endswith("(it is text; files that a playlist names are not opened)")


def test_a_reader_of_playlists_could_open_nothing_either(monkeypatch, tmp_path):
    """The second fence behind the list of containers."""
    monkeypatch.setattr(decode, "CONTAINERS", ("concat", "wav"))
    (tmp_path / "sound.wav").write_bytes(wav(tone()))
    (tmp_path / "list").write_text("ffconcat version 1.0\nfile 'sound.wav'\n")
    monkeypatch.chdir(tmp_path)
    refusal("list")
    with pytest.raises(AudioError, match=r"the sound is elsewhere, in sound\.wav, and only the file that was given"):
        decode._refuse("sound.wav", 0, {})


NAMES = (
    "call:1.wav",
    "concat:a|b.wav",
    "file:a.wav",
    "pipe:0",
    "http:a.wav",
    "data:audio,x",
    "subfile,,:a.wav",
    "%d.wav",
)


@posix
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(name) == f"{name}: no such file"
    (tmp_path / name).write_bytes(wav(tone()))
    assert len(played(name)) == len(played(f"./{name}")) == RATE


def test_every_container_is_one_that_ffmpeg_has():
    assert [name for name in decode.CONTAINERS if not av.format.ContainerFormat(name, "r").is_input] == []


# ---- where sound comes from ----


@posix
@pytest.mark.parametrize("name", ["/dev/zero", "/dev/urandom", "/dev/null"])
def test_devices_that_hold_no_sound(name):
    assert "no audio file that can be read" in refusal(name)


@posix
def test_a_named_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    content = wav(tone())
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(content))
    writer.start()
    assert len(played(tmp_path / "pipe")) == RATE
    writer.join()


@posix
def test_sound_of_a_pipe_comes_before_its_end():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0), os.fdopen(writing, "wb", 0) as writer:
        fill = threading.Thread(target=writer.write, args=(wav(tone(70)),))
        fill.start()
        blocks = open_audio(f"/dev/fd/{reading}").play()
        assert len(next(blocks)) == len(next(blocks)) == BLOCK  # and the writer is still there
        rest = threading.Thread(target=lambda: (fill.join(), writer.close()))
        rest.start()
        assert sum(map(len, blocks)) == 70 * RATE - 2 * BLOCK
        rest.join()


def test_a_file_that_stands_elsewhere_and_is_read_out_of_order():
    """The index of an MP4 comes last: places in the file count from where it stood."""
    content = encoded("mp4", "aac")
    file = io.BytesIO(b"before" + content)
    file.seek(6)
    assert np.array_equal(played(file), played(content))


class Odd(io.BytesIO):
    def __init__(self, answer):
        super().__init__(wav(tone()))
        self.answer = answer

    def read(self, size=-1):
        return self.answer if size > 1 else super().read(size)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(bytes(40_000), "40000 bytes"), ("text", "a str"), (None, "a NoneType"), (bytearray(9), "a byte")],
)
def test_what_is_no_binary_file(answer, said):
    assert f"gave {said}" in refusal(Odd(answer))


def test_a_file_that_breaks_while_it_is_read():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 40_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    assert refusal(Broken(wav(tone(5)))) == "audio cannot be read: Input/output error"


@posix
def test_what_cannot_be_opened(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(tone()))
    assert refusal(tmp_path / "a.wav" / "b.wav").endswith("Not a directory")
    assert refusal("a" * 5000).endswith("File name too long")
    assert "embedded null" in refusal("a\0b")  # in the words of each Python


# ---- what a file says of itself ----


@pytest.mark.parametrize("rate", [1, 999, 3_000_001, 10**9, 2**31 - 1])
def test_rates_of_no_recording(rate):
    assert f"has {rate:,} samples per second" in refusal(wav(tone(), rate=rate))


@pytest.mark.parametrize("rate", [1000, 768_000, 3_000_000])
def test_unusual_rates(rate):
    assert abs(len(played(wav(np.zeros(3 * rate // 10), rate=rate))) - 0.3 * RATE) <= 2


@pytest.mark.parametrize("channels", [9, 12, 24, 32, 63, 64])
@pytest.mark.parametrize("width", [1, 2])
def test_many_channels(channels, width):
    found = played(wav(tone(), channels=channels, bytes_per_sample=width))
    assert len(found) == RATE
    assert np.corrcoef(found, tone())[0, 1] > 0.99


@pytest.mark.parametrize("channels", [65, 255])
def test_too_many_channels(channels):
    assert f"in {channels} channels" in refusal(wav(tone(0.1), channels=channels))


def test_planes_of_many_channels_are_not_asked_for():
    layout = SimpleNamespace(nb_channels=9, name="9 channels")
    frame = SimpleNamespace(sample_rate=RATE, layout=layout, format=SimpleNamespace(name="fltp", is_planar=True))
    with pytest.raises(AudioError, match="a has sound that cannot be mixed: 9 channels without a layout"):
        list(decode._resampled([frame], "a"))


def test_rate_and_channels_that_change_on_the_way():
    files = [encoded("mp3", "libmp3lame", rate) for rate in (44_100, 48_000, 32_000)]
    assert abs(len(played(b"".join(files))) / RATE - 3) < 0.3


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFF])
def test_a_length_that_is_not_there(size):
    content = wav(tone())
    assert len(played(content[:40] + struct.pack("<I", size) + content[44:])) == RATE


@pytest.mark.parametrize(("name", "codec"), [("mp3", "libmp3lame"), ("flv", "aac"), ("flac", "flac")])
def test_no_end_of_nothing(name, codec, monkeypatch, tmp_path, caplog):
    """A file of holes is as long as anybody likes: 1 TB here."""
    monkeypatch.setattr(decode, "MOST_QUIET", 1 << 24)
    path = tmp_path / "sparse"
    path.write_bytes(encoded(name, codec))
    os.truncate(path, 1 << 40)
    assert abs(len(played(path)) / RATE - 1) < 0.1
    assert caplog.messages[-1] == f"{path}: 16 MB without sound; what follows was not read"


def with_video(name: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=name) as out:
        video, sound = out.add_stream("mpeg4", rate=10), out.add_stream("aac", rate=RATE)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        sound.layout = "mono"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        heard = av.AudioFrame.from_ndarray(tone()[None], format="fltp", layout="mono")
        heard.sample_rate = RATE
        for packet in (*video.encode(frame), *sound.encode(heard), *video.encode(None), *sound.encode(None)):
            out.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize("name", ["mp4", "matroska", "avi", "mpegts"])
def test_the_sound_of_films(name):
    assert abs(len(played(with_video(name))) / RATE - 1) < 0.1


def test_pictures_are_not_decoded():
    assert "aac" in decode._codecs().split(",")
    assert {"h264", "mpeg4", "png", "mjpeg", "ass"}.isdisjoint(decode._codecs().split(","))


def test_pictures_hold_no_sound():
    assert "no audio file that can be read" in refusal(pictures("image2pipe", "png", "rgb24"))


@pytest.mark.skipif(not hasattr(av.Packet, "has_sidedata"), reason="this PyAV does not tell")
def test_encrypted_sound():
    key = "00112233445566778899aabbccddeeff"
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    assert refusal(encoded("mp4", "aac", options=options)).endswith(
        "is encrypted; its sound cannot be read without the key"
    )


def test_sections_are_at_their_times():
    """A gap is silent, what is there already is cut, however the pieces come out of the resampler."""

    def frame(value: float, rate: int):
        return decode._frame(av, np.full((1, rate), value, np.float32), rate)

    sections = [((1, 0.0), 0.1), ((2, 3.0), 0.2), ((3, 3.5), 0.3), ((4, 3.5), 0.4), ((5, 6.0), 0.5)]
    for rate in (RATE, 48_000, 44_100):
        frames = [(section, frame(value, rate)) for section, value in sections]
        (found,) = np.concatenate(list(decode._in_time(frames, "a")), axis=1)
        assert abs(len(found) - 7 * RATE) <= 2
        at = {0.5: 0.1, 2: 0, 3.25: 0.2, 3.75: 0.2, 4.25: 0.3, 5: 0, 6.5: 0.5}
        middles = {second: found[int(second * RATE)] for second in at}
        assert middles == pytest.approx(at, abs=0.01)


def test_a_track_that_appears_on_the_way():
    """PyAV asks for it at the end, and does not find it."""

    def demuxed(_container, stream):
        yield from ()
        raise IndexError("list index out of range")

    container = SimpleNamespace(demux=lambda stream: demuxed(container, stream))
    assert list(decode._packets(container, [None], decode.Notices("a"))) == []
