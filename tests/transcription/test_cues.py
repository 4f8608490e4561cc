"""Cues hold every word once and in order, in lines that fit, one after the other, long enough to be read."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quartet.errors import OptionError
from quartet.text.phrases import columns, gaps
from quartet.transcription.cues import LONGEST, SHORTEST, Cue, CueMaker, CueOptions, SpeakerCues
from quartet.transcription.segments import Segment, Word

SPACED = ["the", "harbour", "Yes.", "and", "of", "extraordinarily", "- No.", "40", "“well,”", "♪", "(sighs)", "где"]
UNSPACED = ["今日は", "東京", "に", "行きました。", "コンピューター", "很好，", "สวัสดี", "「はい」"]
TIMES = st.floats(0, 4).map(lambda seconds: round(seconds, 2))
WORDS = st.tuples(st.sampled_from(SPACED).map(" {}".format) | st.sampled_from(UNSPACED), TIMES, TIMES)
SEGMENTS = st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=30), st.booleans(), TIMES), max_size=6)
OPTIONS = st.builds(
    CueOptions,
    max_line_width=st.integers(1, 60),
    max_lines=st.integers(1, 3),
    max_cps=st.floats(4, 40),
    min_gap=st.sampled_from([0.0, 0.08, 0.125, 0.5]),
)


def segment(start: float, words: list[tuple[str, float, float]], with_words: bool = True, **facts: object) -> Segment:
    """A segment of words, each as long as its second number after a silence of its first one, in seconds."""
    now, found = start, []
    for word, silence, length in words:
        found.append(Word(round(now + silence, 2), round(now + silence + length, 2), word, 1.0))
        now = found[-1].end
    text = "".join(word.word for word in found)
    return Segment(1, 0, start, now, text, [], 0.0, 1.0, 0.0, found if with_words else None, 0.0, **facts)


def in_order(given_: list[tuple[list[tuple[str, float, float]], bool, float]]) -> list[Segment]:
    now, found = 0.0, []
    for words, with_words, silence in given_:
        found.append(segment(round(now + silence, 2), words, with_words))
        now = found[-1].end
    return found


def spoken(text: str, start: float = 0.0, rate: float = 15.0, **facts: object) -> Segment:
    """A segment whose words are said at so many characters a second."""
    words = [(f" {word}", 0.0, (len(word) + 1) / rate) for word in text.split()]
    return segment(start, words, **facts)


def cues_of(segments: list[Segment], options: CueOptions = CueOptions(), duration: float | None = None) -> list[Cue]:  # noqa: B008
    maker = CueMaker(options, duration)
    return [cue for one in segments for cue in maker.add(one)] + maker.rest()


def texts(segments: list[Segment], options: CueOptions = CueOptions()) -> list[str]:  # noqa: B008
    return ["\n".join(cue.lines) for cue in cues_of(segments, options)]


def letters(text: str) -> str:
    return "".join(text.split())


# ---- whatever is said ----


@given(SEGMENTS, OPTIONS)
@example([([(" Yes.", 0.0, 0.0)] * 30, True, 0.0)], CueOptions())
def test_no_word_is_lost_or_moved(given_, options):
    segments = in_order(given_)
    said = letters("".join(one.text for one in segments))
    assert letters("".join(itertools.chain.from_iterable(cue.lines for cue in cues_of(segments, options)))) == said


@given(SEGMENTS, OPTIONS)
def test_lines_fit(given_, options):
    for cue in cues_of(in_order(given_), options):
        assert 1 <= len(cue.lines) <= options.max_lines
        for line in cue.lines:
            assert line == line.strip() != ""
            assert columns(line) <= options.max_line_width or not gaps(line, None), "but for a word that is longer"


@given(SEGMENTS, OPTIONS)
def test_cues_do_not_overlap_and_have_a_gap(given_, options):
    cues = cues_of(in_order(given_), options)
    assert all(cue.start < cue.end for cue in cues)
    for cue, following in itertools.pairwise(cues):
        assert following.start - cue.end >= options.min_gap - 1e-6


@given(SEGMENTS, OPTIONS)
def test_cues_are_long_enough_to_be_read_where_time_allows(given_, options):
    cues = cues_of(in_order(given_), options)
    for cue, following in itertools.zip_longest(cues, cues[1:]):
        wanted = min(LONGEST, max(SHORTEST, sum(map(columns, cue.lines)) / options.max_cps))
        latest = following.start - options.min_gap if following else float("inf")
        assert cue.end >= min(cue.start + wanted, latest) - 0.0101


@given(SEGMENTS, st.integers(0, 6))
def test_what_has_come_is_whole_after_any_segment(given_, count):
    segments = in_order(given_)[:count]
    assert letters("".join(texts(segments))) == letters("".join(one.text for one in segments))


@given(st.text(), st.sampled_from([None, "en", "ja", "th"]))
def test_any_text(text, language):
    one = Segment(1, 0, 1.0, 3.0, text, [], 0.0, 1.0, 0.0, None, 0.0, language)
    found = cues_of([one, one])
    assert letters("".join("".join(cue.lines) for cue in found)) == letters(text) * 2


# ---- as a subtitler would ----


def test_breaks_are_at_phrases():
    said = (
        "The harbor at the little town lies between two hills, and every morning the fishing boat comes back before "
        "the sun is up. A young woman named Martha opens the bakery at five o'clock, and sets the first loaf on the "
        "shelf."
    )
    assert texts([spoken(said, language="en")]) == [
        "The harbor at the little town lies\nbetween two hills,",
        "and every morning the fishing boat\ncomes back before the sun is up.",
        "A young woman named Martha opens\nthe bakery at five o'clock,",
        "and sets the first loaf on the shelf.",
    ]


def test_a_segment_may_end_anywhere_in_a_sentence():
    first = spoken("Every morning the fishing boat", language="en")
    second = spoken("comes back before the sun is up. That is all.", first.end, language="en")
    assert texts([first, second]) == ["Every morning the fishing boat comes back\nbefore the sun is up. That is all."]


def test_what_fits_on_a_line_is_on_one():
    assert texts([spoken("This is a line of forty-two columns, yes.", language="en")]) == [
        "This is a line of forty-two columns, yes."
    ]


def test_a_silence_parts_cues():
    words = [(" Wait", 0, 0.3), (" for", 0, 0.2), (" me", 0, 0.2), (" please", 2.5, 0.4)]
    assert texts([segment(0.0, words, language="en")]) == ["Wait for me", "please"]


def test_a_cue_stays_until_it_is_read_and_no_longer_than_the_recording():
    fast = segment(0.0, [(f" {word}", 0, 0.02) for word in ("a", "quick", "remark", "of", "some", "more")])
    assert cues_of([fast])[0].end == pytest.approx(27 / 17, abs=0.02)
    assert cues_of([fast], duration=1.2)[0].end == 1.2
    (short,) = cues_of([segment(3.0, [(" Yes.", 0, 0.1)])])
    assert short.end - short.start == pytest.approx(SHORTEST, abs=0.02)


def test_a_gap_that_would_flicker_is_closed_to_two_frames():
    first, second = cues_of([spoken("That is enough for today."), spoken("[door closes]", 2.0)])
    assert second.start - first.end == pytest.approx(0.08)


def test_two_speakers_share_a_cue_a_line_for_each():
    assert texts([spoken("- Are you there? - No. - Well, then.", language="en")]) == [
        "- Are you there?\n- No.",
        "- Well, then.",
    ]


def test_sounds_and_songs_are_cues_of_their_own():
    said = ["[door opens]", "Come in", "and sit down.", "♪ Love is all ♪", "Thanks."]
    starts = itertools.count(0.0, 1.0)
    found = texts([spoken(text, start, language="en") for text, start in zip(said, starts, strict=False)])
    assert found == ["[door opens]", "Come in and sit down.", "♪ Love is all ♪", "Thanks."]


def test_two_languages_share_no_cue():
    first, second = spoken("I said", language="en"), spoken("bonjour à tous", 0.5, language="fr")
    assert texts([first, second]) == ["I said", "bonjour à tous"]


def test_wide_characters_count_double_and_do_not_begin_lines_that_they_may_not():
    said = "今日は東京に行きました。とても楽しかったです、コンピューターを買ったり、寿司を食べたりしました。"
    one = segment(0.0, [(character, 0, 0.15) for character in said], language="ja")
    found = [line for text in texts([one]) for line in text.split("\n")]
    assert "".join(found) == said
    assert all(columns(line) <= 42 for line in found)
    assert not [line for line in found if line[0] in "。、ーュっりた"]


def test_nothing_waits_for_ever():
    """Text without stops or silences is cut while it comes: memory stays flat."""
    maker, now = CueMaker(CueOptions()), 0.0
    seen = []
    for _ in range(40):
        one = spoken("and so on and so on and so on and so on", now, language="en")
        now = one.end
        seen.append(len(maker.add(one)))
    assert sum(seen) > 10
    assert len(maker.rest()) < 7


def test_without_a_width_each_segment_is_a_cue():
    one = spoken("a " * 60)
    assert cues_of([one], CueOptions(max_line_width=0)) == [Cue(one.start, one.end, (one.text.strip(),))]


def test_a_long_segment_without_times_of_words_is_not_torn_apart():
    one = Segment(1, 0, 0.0, 30.0, " Thank you very much.", [], 0.0, 1.0, 0.0, None, 0.0, "en")
    assert texts([one]) == ["Thank you very much."]


@pytest.mark.parametrize(
    ("name", "value"), [("max_line_width", -1), ("max_lines", 0), ("max_cps", 0), ("min_gap", -0.1), ("max_cps", "x")]
)
def test_bad_options_are_named(name, value):
    with pytest.raises(OptionError, match=f"{name} is {value!r}"):
        CueOptions(**{name: value})


def test_every_cue_begins_with_its_first_word():
    """However much waits, and whatever is cut off of it: words know their times."""
    words = [(f" number{k}{',' * (k % 7 == 0)}", 0.1, 0.3) for k in range(300)]
    pieces = [segment(k * 0.4, words[k : k + 11], language="en") for k in range(0, 300, 11)]
    cues = cues_of(pieces)
    assert len(cues) > 30
    for cue in cues:
        number = int(cue.lines[0].split()[0].strip(",").removeprefix("number"))
        assert cue.start == pytest.approx(number * 0.4 + 0.1, abs=0.011)


@settings(max_examples=25)
@given(SEGMENTS, SEGMENTS)
def test_each_cue_of_split_channels_names_its_speaker_once_in_order(one, two):
    segments = [replace(found, channel=n) for n, given_ in enumerate((one, two), 1) for found in in_order(given_)]
    maker, options = SpeakerCues(CueOptions()), CueOptions(max_line_width=42 - len("Speaker 1: "))
    cues = [cue for found in sorted(segments, key=lambda one: one.start) for cue in maker.add(found)] + maker.rest()
    assert [cue.start for cue in cues] == sorted(cue.start for cue in cues)
    for channel in (1, 2):
        name = f"Speaker {channel}: "
        own = [cue for cue in cues if cue.lines[0].startswith(name)]
        unnamed = [replace(cue, lines=(cue.lines[0].removeprefix(name), *cue.lines[1:])) for cue in own]
        assert unnamed == cues_of([found for found in segments if found.channel == channel], options)


def test_who_speaks_while_another_does_can_be_read():
    maker, long = SpeakerCues(CueOptions()), "Please bring your passport, your ticket and some warm clothes."
    said = [spoken(long, channel=1), spoken("Yes, I will.", 1.0, channel=2), spoken(long, 4.5, channel=1)]
    cues = [cue for one in said for cue in maker.add(one)] + maker.rest()
    assert min(cue.end - cue.start for cue in cues) > SHORTEST - 0.02
    assert cues[1].start < cues[0].end
