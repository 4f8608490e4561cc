"""What kinds of options accept, and what is said of the rest."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.errors import OptionError
from quartet.options.kinds import (
    Choice,
    Either,
    Flag,
    Integer,
    Many,
    Name,
    Option,
    Real,
    RefusedError,
    Size,
    Text,
    TextOrNumber,
    Times,
    checked,
    shown,
)

NUMBERS = Many(Real(0, 10), "numbers", 1)


def value_of(kind, value, **more):
    return checked(Option("it", kind, None, "", **more), value)


def said_of(kind, value) -> str:
    with pytest.raises(OptionError) as caught:
        value_of(kind, value)
    assert caught.value.option == "it"
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "given", "plain"),
    [
        (Integer(1, 9), 9, 9),
        (Integer(1, 9), np.int64(3), 3),
        (Integer(1, 9), np.uint8(3), 3),
        (Real(0, 10), 3, 3.0),
        (Real(0, 10), np.float32(0.5), 0.5),
        (Real(0, 10), Fraction(1, 2), 0.5),
        (Real(0, 10), -0.0, 0.0),
        (Real(), -math.inf, -math.inf),
        (Choice(("a", "b")), "b", "b"),
        (Choice(("a", "b")), np.str_("b"), "b"),
        (Choice((4, 8)), np.int32(4), 4),
        (Flag(), np.True_, True),
        (Text(), "", ""),
        (TextOrNumber(), 2, "2"),
        (TextOrNumber(), "fr", "fr"),
        (Name(as_path=False), "demo", "demo"),
        (NUMBERS, np.array([1, 2]), (1.0, 2.0)),
        (NUMBERS, (x for x in (1, 2)), (1.0, 2.0)),
        (Many(Text(), "texts"), [], ()),
        (Either(Real(0, 10), NUMBERS), 0, 0.0),
        (Either(Real(0, 10), NUMBERS), [0, 1], (0.0, 1.0)),
        (Times(), "0, 1.5,1.5", (0.0, 1.5, 1.5)),
        (Times(), "", ()),
        (Times(), [0, 3], (0.0, 3.0)),
    ],
)
def test_what_is_right_comes_back_in_its_plain_form(kind, given, plain):
    found = value_of(kind, given)
    assert (found, type(found)) == (plain, type(plain))


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (Integer(1, 64), -1, "it is -1; expected an integer from 1 to 64"),
        (Integer(1, 64), True, "it is True; expected an integer from 1 to 64"),
        (Integer(1, 64), 2.0, "it is 2.0; expected"),
        (Integer(1, 64), "2", "it is '2'; expected"),
        (Integer(1, 64), None, "it is None; expected"),
        (Integer(1, 64), np.True_, "it is True; expected"),
        (Integer(1, 30, "seconds", "the window"), 31, "an integer from 1 to 30 seconds (the window)"),
        (Real(0, 10), math.nan, "it is nan; expected a number from 0 to 10"),
        (Real(0, 10), np.float64("nan"), "it is nan; expected"),
        (Real(0, 10), math.inf, "it is inf; expected"),
        (Real(0, 10), 10**400, "expected a number from 0 to 10"),
        (Real(0, 10), Decimal(1), "it is 1; expected"),
        (Real(0, 10, above=True), 0, "it is 0; expected a number above 0 up to 10"),
        (Real(), math.nan, "it is nan; expected a number"),
        (Real(1), 0, "expected a number from 1 up"),
        (Choice(("a", "b", "c")), "d", "it is 'd'; expected a, b or c"),
        (Choice((4, 8)), 4.0, "it is 4.0; expected 4 or 8"),
        (Choice((1, 8)), True, "it is True; expected 1 or 8"),
        (Flag(), 1, "it is 1; expected True or False"),
        (Flag(), "no", "it is 'no'; expected True or False"),
        (Text(), b"x", "it is b'x'; expected text"),
        (TextOrNumber("a track"), True, "it is True; expected a track"),
        (TextOrNumber("a track"), -1, "it is -1; expected a track"),
        pytest.param(TextOrNumber("a track"), 10**5000, "expected a track", id="a number of 5,000 digits"),
        (Name("a path"), "a\0b", "it is 'a\\x00b'; expected a path"),
        (Name("a path"), " ", "it is ' '; expected a path"),
        (Name("a path"), "\ud800", "expected a path"),
        (Name("a path"), b"x", "expected a path"),
        (Name("a path"), "x" * 256, "expected a path"),
        (Name("a path"), "é" * 128, "expected a path"),
        (Name("a path"), "x/" * 3000, "expected a path"),
        (NUMBERS, [1, math.nan], "it[1] is nan; expected a number from 0 to 10"),
        (NUMBERS, [], "it is []; expected a list of numbers, not an empty one"),
        (NUMBERS, "12", "it is '12'; expected a list of numbers"),
        (NUMBERS, {1, 2}, "it is {1, 2}; expected a list of numbers"),
        (NUMBERS, np.array(1), "it is array(1); expected a list of numbers"),
        (Many(NUMBERS, "rows"), [[1], [1, -1]], "it[1][1] is -1; expected"),
        (Either(Real(0, 10), NUMBERS), None, "it is None; expected a number from 0 to 10, or a list of numbers"),
        (Times(), "0,x", "it[1] is 'x'; expected seconds from 0 up in ascending order"),
        (Times(), "3,1", "it[1] is 1.0; expected seconds from 0 up in ascending order, as 0,12.5; 3 comes before it"),
        (Times(), "0,,1", "it[1] is ''; expected seconds"),
        (Times(), [0, math.inf], "it[1] is inf; expected seconds"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(kind, wrong, said):
    assert said in said_of(kind, wrong)


def test_an_integer_with_more_digits_than_python_shows():
    assert "it is a value of type int that cannot be shown; expected" in said_of(Integer(1, 64), 10**5000)


def test_none_is_refused_unless_it_stands_for_something():
    assert value_of(Integer(1, 2), None, none="all") is None
    assert "expected" in said_of(Integer(1, 2), None)


class Unspeakable:
    """Something that cannot be shown."""

    def __repr__(self):
        raise RuntimeError


@given(st.one_of(st.text(), st.binary(), st.floats(), st.integers(), st.lists(st.text()), st.builds(Unspeakable)))
def test_any_value_is_shown_on_one_short_line(value):
    line = shown(value)
    assert len(line) <= 60
    assert "\n" not in line
    line.encode()


@given(st.integers(), st.integers(), st.integers())
def test_integers_between_the_limits_and_no_others(least, most, value):
    kind = Integer(least, most)
    if least <= value <= most:
        assert value_of(kind, value) == value
    else:
        assert str(least) in said_of(kind, value)


@given(st.text())
def test_what_is_typed_is_a_number_or_refused(text):
    for kind in (Integer(-(10**9), 10**9), Real(-1e9, 1e9)):
        typed = kind.read(text)
        if isinstance(typed, str):
            assert "expected" in said_of(kind, typed)
        elif isinstance(typed, int) or not isinstance(kind, Integer):
            assert str(float(typed)) == str(float(text))


# ---- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "size"),
    [("500MB", 500_000_000), ("1.5 GB", 1_500_000_000), ("4G", 4 * 10**9), ("1gib", 2**30), ("12b", 12), (7, 7)],
)
def test_a_size_is_bytes_with_a_unit(given, size):
    assert Size().accept(given) == size


@pytest.mark.parametrize(
    "given", ["500", "", "MB", "-1MB", "0MB", "5 TB", "1e3MB", "nanGB", "٣MB", "9" * 16 + "GB", 0, True, 1.5, None]
)
def test_what_is_no_size_is_refused(given):
    with pytest.raises(RefusedError):
        Size().accept(given)
