"""Which of several tracks is heard, by what the container says of them."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.audio.audio import RATE, Wanted, open_audio
from quartet.audio.tracks import LONGEST, Track, chosen, tracks_of
from quartet.errors import AudioError
from sounds import Unseekable

av = pytest.importorskip("av")

TRACKS = [
    Track(1, "eng", "Original", is_default=True),
    Track(2, "fre", "Doublage"),
    Track(3, "fre", "Commentaires du réalisateur"),
    Track(4, "de", "2"),
    Track(5),
]


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("1", 1),
        ("2", 2),  # a number is a number, whatever titles there are
        (3, 3),
        ("5", 5),
        ("fr", 2),
        ("French", 2),
        ("fra", 2),
        ("deu", 4),
        ("doublage", 2),
        ("ORIGINAL", 1),
        ("commentaires", 3),
    ],
)
def test_a_track_by_number_language_or_title(wanted, number):
    assert chosen(TRACKS, wanted, (), "a.mkv").number == number


@pytest.mark.parametrize("wanted", ["0", "6", "-1", "es", "Spanish", "", " ", "Director", "1.0"])
def test_a_track_that_is_not_there(wanted):
    listed = "its tracks of sound are 1: English, Original; 2: French, Doublage; 3: "
    with pytest.raises(AudioError) as caught:
        chosen(TRACKS, wanted, (), "a.mkv")
    assert str(caught.value).startswith(f"a.mkv has no track {wanted!r}; {listed}")


@pytest.mark.parametrize(
    ("languages", "number"), [((), 1), (("en",), 1), (("fr",), 2), (("de", "fr"), 2), (("es",), 1), (("en", "fr"), 1)]
)
def test_without_a_choice_the_default_one_unless_another_language_is_spoken(languages, number):
    assert chosen(TRACKS, None, languages, "a.mkv").number == number


def test_a_default_among_those_of_a_language_comes_first():
    tracks = [Track(1, "en"), Track(2, "fr"), Track(3, "fr", is_default=True)]
    assert chosen(tracks, None, ("fr",), "a").number == 3
    assert chosen(tracks, None, (), "a").number == 3
    assert chosen(tracks[:2], None, (), "a").number == 1


def test_what_streams_say():
    streams = [
        SimpleNamespace(metadata={"language": "und", "handler_name": "SoundHandler"}, disposition=0),
        SimpleNamespace(metadata={"language": "fra", "handler_name": "Sous-titres"}, disposition=2),
        SimpleNamespace(metadata={"LANGUAGE": "por", "title": "Legendas"}, disposition=1),
        SimpleNamespace(metadata={}),  # as PyAV 13 has it
    ]
    assert tracks_of(streams) == [
        Track(1),
        Track(2, "fra", "Sous-titres"),
        Track(3, "por", "Legendas", True),
        Track(4),
    ]


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=40), st.text(max_size=5))
def test_whatever_a_file_says_is_told_in_one_line(facts, language):
    streams = [SimpleNamespace(metadata={"language": code, "title": title}) for code, title in facts]
    tracks = tracks_of(streams)
    assert chosen(tracks, None, (language,), "a") in tracks
    with pytest.raises(AudioError) as caught:
        chosen(tracks, "x" * (LONGEST + 1), (), "a")  # no title is so long
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 4000


def two_tracks(container: str, codec: str) -> bytes:
    """A low tone in English, and a high one in French."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        streams = []
        for language, title in (("eng", "Low"), ("fre", "High")):
            stream = out.add_stream(codec, rate=48_000)
            stream.layout = "mono"
            stream.metadata.update(language=language, title=title)
            stream.codec_context.open()
            streams.append(stream)
        for stream, hertz in zip(streams, (300, 2000), strict=True):
            samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(48_000) / 48_000)
            frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate = 48_000
            size = stream.codec_context.frame_size
            converter = av.AudioResampler(stream.format.name, "mono", 48_000, frame_size=size)
            for piece in (*converter.resample(frame), *converter.resample(None)):
                out.mux(stream.encode(piece))
            out.mux(stream.encode(None))
    return file.getvalue()


def pitch(source, **wanted) -> float:
    found = np.concatenate(list(open_audio(source, wanted=Wanted(**wanted)).play()))
    middle = found[RATE // 4 : 3 * RATE // 4]
    return float(np.abs(np.fft.rfft(middle)).argmax() * RATE / len(middle))


@pytest.mark.parametrize(("container", "codec"), [("matroska", "libopus"), ("mp4", "aac"), ("mpegts", "aac")])
def test_the_track_that_is_wanted_is_heard(container, codec, caplog):
    caplog.set_level("INFO", "quartet")
    data = two_tracks(container, codec)
    assert pitch(data) == pitch(data, track="eng") == pitch(data, track=1) == pytest.approx(300, abs=5)
    assert pitch(data, track="French") == pitch(data, track=2) == pytest.approx(2000, abs=5)
    assert pitch(data, languages=("fr",)) == pytest.approx(2000, abs=5)
    told = [message for message in caplog.messages if "tracks of sound" in message]
    assert [message.rpartition("; ")[2] for message in told] == ["track 1 is heard", "track 2 is heard"]
    with pytest.raises(AudioError, match=r"has no track 'de'; its tracks of sound are 1: English.*; 2: French"):
        open_audio(data, wanted=Wanted("de"))
    if container == "matroska":
        assert pitch(io.BufferedReader(Unseekable(data)), track=2) == pytest.approx(2000, abs=5)
