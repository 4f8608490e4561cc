"""Elements come out once each and nested as they were, wherever their marks went."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.text.inline_markup import Segment, marked

TAG = re.compile(r"<(/?)(\w+)[^>]*?(/?)>")


def segments(source: str) -> list[Segment]:
    found = []
    for piece in re.findall(r"<[^>]*>|[^<]+", source):
        tag = TAG.fullmatch(piece)
        if tag is None:
            found.append(Segment("text", piece, text=piece))
        else:
            found.append(Segment("void" if tag[3] else "close" if tag[1] else "open", piece, tag[2]))
    return found


def put(source: str, translation: str) -> str:
    sentence = marked(segments(source))
    text, stretches = sentence.stretches(translation)
    return sentence.written(text, stretches, str)


@pytest.mark.parametrize(
    ("source", "marks"),
    [
        ("He <b>said</b> it", "He <1>said</1> it"),
        ("a <i>b <u>c</u></i><br/> d", "a <1>b <2>c</2></1><3/> d"),
        ("a</b> c <i>d", "a</1> c <2>d"),
        ("a <b><i>c</b> d</i> e", "a <1><2>c</1> d</3> e"),
        ("a <b>c</i> d</b>", "a <1>c<2/> d</1>"),
    ],
)
def test_marks(source, marks):
    sentence = marked(segments(source))
    assert sentence.with_marks == marks
    text, stretches = sentence.stretches(marks)
    assert text == re.sub("<[^>]*>", "", source)
    assert sentence.written(text, stretches, str) == source


def test_marks_of_the_text_itself_are_text():
    sentence = marked([Segment("text", "", text="a <1> "), Segment("open", "<b>", "b"), Segment("text", "", text="c")])
    assert sentence.with_marks == "a <1> <2>c"
    assert sentence.stretches("x <2>y <1> z") == ("x y <1> z", [(2, 9)])


@pytest.mark.parametrize(
    ("source", "translation", "expected"),
    [
        ("the <b>red</b> <i>car</i>", "l'<2>auto</2> <1>rouge</1>", "l'<i>auto</i> <b>rouge</b>"),
        ("the <b>red</b> car", "l'auto </1>rouge<1>", "l'auto <b>rouge</b>"),
        ("the <b>red</b> car", "l'auto <1> rouge </1> vif", "l'auto <b>rouge</b> vif"),
        ("the <b>red</b> car", "l'auto <1>rouge</1> <1>vif</1>", "l'auto <b>rouge</b> vif"),
        ("the <b>red</b> <i>car</i>", "l'<2>auto <1>rouge</2> vif</1>", "l'<i>auto rouge</i><b> vif</b>"),
        ("<i>a <b>c</b></i> d", "x <2>y</2> <1>z</1>", "x y <i><b></b>z</i>"),
        ("one two <b>three</b> four", "un deux trois quatre", "un deux <b>trois</b> quatre"),
        ("one two<br/> three", "un deux trois", "un deux <br/>trois"),
        ("a</b> c <i>d", "<2>x </1>y", "x </b><i>y"),
    ],
)
def test_places_in_translations(source, translation, expected):
    assert put(source, translation) == expected


names = st.sampled_from("abi")
trees = st.recursive(
    st.sampled_from(["x", " y ", "<br/>", "z z"]),
    lambda inner: st.tuples(names, st.lists(inner, max_size=4)).map(lambda t: f"<{t[0]}>{''.join(t[1])}</{t[0]}>"),
    max_leaves=12,
)


def is_well_formed(source: str) -> bool:
    begun = []
    for close, name, void in TAG.findall(source):
        if close and (not begun or begun.pop() != name):
            return False
        if not close and not void:
            begun.append(name)
    return not begun


@settings(max_examples=300)
@given(st.lists(trees, max_size=6).map("".join), st.randoms(use_true_random=False))
def test_whatever_a_model_makes_of_marks_the_elements_are_those_of_the_source(source, chance: random.Random):
    pieces = re.findall(r"<[^>]*>|\S+|\s", marked(segments(source)).with_marks)
    chance.shuffle(pieces)
    translation = "".join(piece for piece in pieces if chance.random() < 0.9)
    found = put(source, translation)
    assert is_well_formed(found)
    assert sorted(TAG.findall(found)) == sorted(TAG.findall(source))
    assert re.sub(r"<[^>]*>|\s", "", found) == re.sub(r"<[^>]*>|\s", "", translation)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["<b>", "</b>", "<i>", "</i>", "<br/>", "x", " y "]), max_size=12).map("".join))
def test_what_is_not_well_formed_comes_out_too(source):
    sentence = marked(segments(source))
    text, stretches = sentence.stretches(sentence.with_marks)
    assert sorted(TAG.findall(sentence.written(text, stretches, str))) == sorted(TAG.findall(source))
    text, stretches = sentence.stretches("un deux")
    assert sorted(TAG.findall(sentence.written(text, stretches, str))) == sorted(TAG.findall(source))


def test_any_depth():
    source = "<b>" * 5_000 + "x" + "</b>" * 5_000 + "</i>" * 5_000
    assert put(source, marked(segments(source)).with_marks) == source
