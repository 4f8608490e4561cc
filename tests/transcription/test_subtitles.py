"""Files of subtitles are what others read in them, pysubs2 being one of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.transcription.cues import Cue, CueOptions
from quartet.transcription.options import TranscriptionOptions
from quartet.transcription.segments import Segment, TranscriptionInfo, Word
from quartet.transcription.subtitles import FORMATS, Writer, clock, needs_words, written

pysubs2 = pytest.importorskip("pysubs2")

INFO = TranscriptionInfo("en", 0.98, 4000.0, 4000.0, None, TranscriptionOptions(), None)
SEGMENTS = [
    Segment(1, 0, 0.0, 2.5, " Hello\n--> you", [1], -0.1, 1.0, 0.0, [Word(0.0, 2.5, " Hello", 0.9)], 0.0),
    Segment(2, 0, 3661.5, 3662.0, " Bye.", [2], -0.1, 1.0, 0.0, None, 0.0),
]
PLAIN = CueOptions(max_line_width=0)
SUBTITLES = [name for name, form in FORMATS.items() if form.cue]
LINES = st.lists(
    st.sampled_from(
        ["Yes.", "where the station is", "{\\an8}", "a\\Nb", "<i>", "AT&T", "&amp;", "a < b", "-->", "今日は。", "1"]
    ),
    min_size=1,
    max_size=3,
)


def parsed(name: str, content: str) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds, and the text with its lines, of each cue."""
    file = pysubs2.SSAFile.from_string(content, format_=name)
    return [(event.start, event.end, event.text) for event in file]


def test_every_format():
    assert written("text", SEGMENTS, INFO) == "Hello --> you\nBye.\n"
    assert written("srt", SEGMENTS, INFO, PLAIN) == (
        "1\n00:00:00,000 --> 00:00:02,500\nHello -> you\n\n2\n01:01:01,500 --> 01:01:02,000\nBye.\n\n"
    )
    assert written("vtt", SEGMENTS[:1], INFO, PLAIN) == "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nHello -> you\n\n"
    assert written("ass", SEGMENTS[1:], INFO, PLAIN).endswith(
        "Dialogue: 0,1:01:01.50,1:01:02.00,Default,,0,0,0,,Bye.\n"
    )
    assert written("tsv", SEGMENTS, INFO) == "start\tend\ttext\n0\t2500\tHello --> you\n3661500\t3662000\tBye.\n"
    assert clock(59.9996, ".") == "00:01:00.000"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_json_is_whole_after_any_segment(count):
    found = json.loads(written("json", SEGMENTS[:count], INFO))
    assert found["language"] == "en"
    assert [one["text"] for one in found["segments"]] == [one.text for one in SEGMENTS[:count]]


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("name", SUBTITLES)
def test_subtitles_are_whole_after_any_segment(name, count):
    assert len(parsed(name, written(name, SEGMENTS[:count], INFO))) == count


@pytest.mark.parametrize("name", SUBTITLES)
def test_others_read_what_was_written(name):
    said = "The harbor at the little town lies between two hills, and every morning it is seen."
    words = said.split()
    spoken = [Word(k * 0.3, k * 0.3 + 0.3, f" {word}", 1.0) for k, word in enumerate(words)]
    one = Segment(1, 0, 0.0, spoken[-1].end, "".join(word.word for word in spoken), [], 0, 1, 0, spoken, 0.0, "en")
    assert parsed(name, written(name, [one], INFO)) == [
        (0, 2920, r"The harbor at the little town lies\Nbetween two hills,"),
        (3000, 4800, "and every morning it is seen."),
    ]


@pytest.mark.parametrize("name", SUBTITLES)
@given(lines=LINES, start=st.integers(0, 10**6), length=st.integers(1, 1000))
def test_whatever_is_said_is_text(name, lines, start, length):
    """No command, tag or line of times: one cue, of as many lines, at its time."""
    cue = Cue(start / 100, (start + length) / 100, tuple(lines))
    writer = Writer(name, INFO)
    content = writer.begin() + FORMATS[name].cue(cue, 1) + FORMATS[name].cue(Cue(10**5, 10**5 + 1, ("Bye.",)), 2)
    (begin, end, text), last = parsed(name, content)
    assert (begin, end) == (start * 10, (start + length) * 10)
    assert last == (10**8, 10**8 + 1000, "Bye.")
    if name == "ass":
        file = pysubs2.SSAFile.from_string(content, format_="ass")
        assert file[0].plaintext.count("\n") == len(lines) - 1
        assert "{" not in text


def test_a_tag_that_was_said_is_shown_in_webvtt():
    assert FORMATS["vtt"].cue(Cue(0, 1, ("a <b> & c &amp; a < b",)), 1).splitlines()[1] == (
        "a &lt;b> & c &amp;amp; a < b"
    )


def test_words_are_timed_where_lines_are_made():
    assert [name for name in FORMATS if needs_words(name, CueOptions())] == SUBTITLES
    assert not any(needs_words(name, PLAIN) for name in FORMATS)
