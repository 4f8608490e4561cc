"""What time stamps say about when sound is heard, without any sound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.audio.clock import BACK, GAP, LONGEST_GAP, OVERLAP, Clock

FRAME = 0.02


def ends(stamps, **of_clock) -> list[float]:
    """Where the sound has got to after frames of 20 ms with these time stamps."""
    clock = Clock(**of_clock)
    found = []
    for stamp in stamps:
        clock.advance(stamp, FRAME)
        found.append(round(clock.position, 6))
    return found


def test_sound_that_follows_is_one_section():
    clock = Clock()
    assert {clock.advance(0.02 * number, FRAME) for number in range(1000)} == {0.0}
    assert clock.position == pytest.approx(20)


def test_what_has_no_time_stamps_follows():
    assert ends([None, None, None]) == [0.02, 0.04, 0.06]


def test_gaps_late_starts_and_overlaps():
    assert ends([2.0, 2.02]) == [2.02, 2.04]
    assert ends([0.0, 3.0, 3.02]) == [0.02, 3.02, 3.04]
    clock = Clock()
    assert [clock.advance(stamp, 1.0) for stamp in (0.0, 0.5, 1.5, 4.0)] == [0.0, 0.5, 0.5, 4.0]
    assert (clock.gaps, clock.silent, clock.odd) == ([2.5], 1.5, [])


def test_what_is_there_twice_is_a_section_of_its_own():
    """Even where it begins where the section before did."""
    clock = Clock()
    sections = []
    for stamp in (0.0, 4.0, 4.5, 4.0, 4.5):
        clock.advance(stamp, 0.5)
        sections.append((clock.sections, clock.section))
    assert sections == [(1, 0.0), (2, 4.0), (2, 4.0), (3, 4.0), (3, 4.0)]
    assert clock.position == 5.0


def test_a_clock_that_is_a_little_fast_is_followed_and_not_told():
    clock = Clock()
    for number in range(50_000):
        clock.advance(0.02 * 1.001 * number, FRAME)
    assert abs(clock.position - 1001) <= GAP + FRAME
    assert (clock.gaps, clock.silent) == ([], 0)


def test_what_is_damaged_is_silent_where_nothing_has_time_stamps():
    clock = Clock()
    clock.advance(None, 1.0)
    clock.lose(0.5)
    clock.lose(0.5)
    assert clock.advance(None, 1.0) == 2.0
    assert (clock.position, clock.gaps, clock.silent) == (3.0, [1.0], 1.0)


def test_time_stamps_say_how_much_is_damaged():
    clock = Clock()
    clock.advance(0.0, 1.0)
    clock.lose(0.5)
    assert clock.advance(4.0, 1.0) == 4.0
    assert clock.advance(5.0, 1.0) == 4.0
    assert (clock.position, clock.silent) == (6.0, 3.0)


def test_a_late_start_is_nothing_missing():
    clock = Clock()
    clock.advance(5.0, FRAME)
    assert (clock.gaps, clock.position) == ([], 5.02)


def test_nothing_is_cut_before_the_first_sound():
    assert ends([-0.5, -0.48]) == [0.02, 0.04]


def test_the_beginning_is_what_the_container_begins_with():
    assert ends([1.4, 1.42], zero=1.4) == [0.02, 0.04]
    assert ends([3.4, 3.42], zero=1.4) == [2.02, 2.04]


@pytest.mark.parametrize("back", [0.0, -5.0])
def test_a_clock_that_begins_anew_goes_on(back):
    clock = Clock()
    for stamp in (0.0, 10.0, back, back + 10.0):
        clock.advance(stamp, 10.0)
    assert clock.position == 40
    assert clock.section == 0


def test_a_short_recording_before_another_one_is_not_cut():
    clock = Clock()
    for stamp in (0.0, 0.2, 0.0, 0.2):
        clock.advance(stamp, 0.2)
    assert clock.position == pytest.approx(0.8)


@pytest.mark.parametrize("gap", [LONGEST_GAP + 1, 1e9, 1e300])
def test_absurd_gaps_are_left_out_and_told(gap):
    clock = Clock()
    for stamp in (0.0, gap, gap + 0.02, gap + 2.04):
        clock.advance(stamp, FRAME)
    assert clock.odd == [0.02]
    assert clock.position < 3


def test_a_long_gap_ends_within_the_recording():
    assert ends([0.0, 100.0], length=101.0)[-1] == 100.02
    assert ends([0.0, 100.0], length=50.0)[-1] == 0.04
    assert ends([0.0, 30.0], length=10.0)[-1] == 30.02


def test_silence_has_a_bound_in_all():
    """A megabyte of frames an hour apart would be years of silence."""
    clock = Clock()
    for number in range(1000):
        clock.advance(3000.0 * number, FRAME)
    assert clock.position < LONGEST_GAP + 100
    assert clock.odd


@given(st.lists(st.floats(-GAP / 2, GAP / 2), min_size=1, max_size=200))
def test_time_stamps_may_waver(offsets):
    """As long as none is late by more than a gap, nothing is filled or cut."""
    clock = Clock()
    for number, offset in enumerate(offsets):
        clock.advance(max(0.0, FRAME * number + offset), FRAME)
    assert clock.position == pytest.approx(FRAME * len(offsets))


@given(st.lists(st.tuples(st.floats(0.001, 0.1), st.one_of(st.just(0.0), st.floats(0, 50)))), st.floats(0, 100))
def test_sound_is_where_its_time_stamps_say(frames, zero):
    clock, stamp = Clock(zero), zero
    for seconds, gap in frames:
        stamp += gap
        clock.advance(stamp, seconds)
        assert -1e-6 <= stamp + seconds - zero - clock.position <= GAP + 1e-6
        stamp += seconds


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32)), max_size=100),
    st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_whatever_stamps_say_time_is_bounded(stamps, length):
    clock = Clock(length=length)
    for count, stamp in enumerate(stamps, 1):
        assert 0 <= clock.advance(stamp, FRAME) <= clock.position  # which an overlap takes back
        assert clock.position <= LONGEST_GAP + 2 * FRAME * count + 1e-6


def test_small_overlaps_are_left():
    assert OVERLAP < BACK
    assert ends([0.0, 0.02 - OVERLAP / 2 + 0.01])[-1] == 0.04
