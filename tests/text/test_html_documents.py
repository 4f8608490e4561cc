"""Documents are cut into texts, and what is no text stays letter for letter."""

import random
import re
from collections import Counter
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.text.html_documents import InlineText, Rules, html_parts
from quartet.text.html_tokens import tokens

HTML = Rules()
PAGE = """<!DOCTYPE html>
<html lang="en">
 <head><meta charset="utf-8"><title>Cats &amp; dogs</title>
  <meta name="description" content="All about cats"><meta name=viewport content=wide>
  <style>p { color: red }</style><script>document.write("<p>No</p>")</script></head>
 <body>
  <h1 class=big>Our   cats</h1>
  <!-- not this -->
  <p>A <b>black
    cat</b> types <code>ls -l</code> &lt;here&gt;.<br>
    It sleeps <a href="/x?a=1&b=2" title="Go &quot;home&quot;">here</a>!</p>
  <ul><li translate=no>Felix<li>A <img src=c.png alt="Cat"> and <em>a <span class="notranslate">Tom</span></em></ul>
  <form><input placeholder='Your name' value=keep><input type=submit value=Send></form>
  <pre>not this</pre> 12 <div translate="no">not <span translate="yes">but this</span> this</div>
 </body>
</html>
"""


def texts(source: str, rules: Rules = HTML) -> list[str]:
    return [part.text for part in html_parts(source, rules) if not isinstance(part, str)]


def put(source: str, translate=lambda text: text, rules: Rules = HTML) -> str:
    return "".join(
        part if isinstance(part, str) else part.put(translate(part.text)) for part in html_parts(source, rules)
    )


def test_texts_of_a_page():
    assert texts(PAGE) == [
        "Cats & dogs",
        "All about cats",
        "Our cats",
        "A <1>black cat</1> types {2} <here>.",
        'It sleeps <1>here</1>!\nGo "home"',
        "A <1/> and <2>a {3}</2>\nCat",
        "Your name",
        "Send",
        "but this",
    ]


def test_lines_of_texts():
    lines = PAGE.splitlines()
    for part in html_parts(PAGE):
        if not isinstance(part, str):
            word = re.findall(r"[A-Za-z]+", part.text)[0]
            assert word in lines[part.line - 1]


def test_a_page_that_is_translated():
    small = put(PAGE, str.lower, Rules(target="fr"))
    expected = PAGE
    for old in (
        *(
            "Cats &amp; dogs",
            "All about cats",
            "Our   cats",
            "A <b>black\n    cat</b>",
            "It sleeps",
            'Go &quot;home&quot;"',
        ),
        *("A <img", 'alt="Cat"', "'Your name'"),
    ):
        expected = expected.replace(old, re.sub(r"\s+", " ", old.lower()))
    expected = expected.replace("value=Send", 'value="send"').replace('lang="en"', 'lang="fr"')
    assert small == expected


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>One<p>Two <b>three</b>", ["One", "Two <1>three</1>"]),
        ("<li translate=no>A<li>B", ["B"]),
        ("<p translate=no>A<div>B</div>", ["B"]),
        ("<tr><td translate=no>A<td>B<tr><td>C", ["B", "C"]),
        ("<p><code>A</p><p>B</p>", ["B"]),
        ("<b>All</b>", ["All"]),
        ("<i><b>All</b> of it</i>", ["<1>All</1> of it"]),
        ("<b>One</b> <i>two</i>", ["<1>One</1> <2>two</2>"]),
        ("<a>One</a> | <a><b>two</b></a> &middot; <i></i> three", ["<1>One</1> | <2><3>two</3></2> · <4></4>three"]),
        ("<a>One</a> | <a>two <b>three</b></a> &middot; <a>4</a>", ["One", "two <1>three</1>"]),
        ("<a>One</a>, <a>two</a>", ["<1>One</1>, <2>two</2>"]),
        ("a</b> b", ["a</1> b"]),
        ("</b>a<i>", ["a"]),
        ("<a><div>In</div></a>", ["In"]),
        ("A<!-- c --> B", ["A<1/> B"]),
        ("&lt;1&gt; a <b>b</b>", ["<1> a <2>b</2>"]),
        ("{1} a <b>b</b> c", ["{1} a <2>b</2> c"]),
        ("&nbsp;12 &ndash; 13", []),
        ("<svg><title>A</title></svg> B", ["B"]),
        ("<math><mi>x</mi></math> is B", ["{1} is B"]),
        ("<textarea>A</textarea><button>B</button>", ["B"]),
        ("<option label=A>B", ["A", "B"]),
        ("<title>A <b></title>", ["A <b>"]),
        ('<img alt="" title=" 3 ">', []),
        ("A\u2009B&shy;C", ["A\u2009B\u00adC"]),
        ("", []),
    ],
)
def test_what_is_a_text(source, found):
    assert texts(source) == found
    assert put(source) == source


@pytest.mark.parametrize(
    ("source", "translation", "expected"),
    [
        ("<p>a &amp; b</p>", "x < y & z", "<p>x &lt; y &amp; z</p>"),
        ("<p>&lt;b&gt; c</p>", "<b> d", "<p>&lt;b&gt; d</p>"),
        ('<img alt="a">', 'say "b" & <c>', '<img alt="say &quot;b&quot; &amp; &lt;c&gt;">'),
        ("<img alt='a'>", "l'eau", "<img alt='l&#39;eau'>"),
        ("<img alt=a>", "b c", '<img alt="b c">'),
        ("a <img alt=b title='c'> d", "x <1/> y\nB\nC", "x <img alt=\"B\" title='C'> y"),
        ("a <img alt=b> d", "x <1/> y", "x <img alt=b> y"),
        ("a <b>b</b>", "x\ny", "x <b>y</b>"),
        ("  a  b  ", "c", "  c  "),
    ],
)
def test_what_is_written(source, translation, expected):
    assert put(source, lambda _: translation) == expected


def test_the_language_of_the_document():
    xhtml = '<html xml:lang="en" lang=en><p lang="en">a</p>'
    assert put(xhtml, rules=Rules(target="fr")) == '<html xml:lang="fr" lang="fr"><p lang="en">a</p>'
    assert put("<html><p>a", rules=Rules(target="fr")) == "<html><p>a"


@pytest.mark.parametrize(
    ("source", "rules", "found"),
    [
        ("<d><t>One</t><t>Two <x>three</x></t></d>", Rules(), ["One", "Two <1>three</1>"]),
        ("<d><t>One</t> and <t>two</t></d>", Rules(), ["<1>One</1> and <2>two</2>"]),
        ("a<par>b</par>", Rules(splitting=frozenset({"par"})), ["a", "b"]),
        ("<d><t>a</t><t>b</t></d>", Rules(outline=False), ["<1>a</1><2>b</2>"]),
        ("<d><t>a</t><t>b</t></d>", Rules(joining=frozenset({"t"})), ["<1>a</1><2>b</2>"]),
        ("a <x>b <y>c</y></x> d", Rules(kept=frozenset({"x"})), ["a {1} d"]),
        ("<p>a &company; b &nbsp;c &lt;</p>", Rules(), ["a {1} b \u00a0c <"]),
        ("<script>a</script><code>b</code>", Rules(), ["a", "b"]),
        ('<t title="x">a</t>', Rules(), ["x", "a"]),
    ],
)
def test_xml(source, rules, found):
    rules = Rules(True, rules.target, rules.kept, rules.splitting, rules.joining, rules.outline)
    assert texts(source, rules) == found
    assert put(source, rules=rules) == source


names = st.sampled_from(["p", "div", "b", "i", "span", "code", "x", "li"])
words = st.sampled_from(
    ["one", " two ", "&lt;3&gt; a", "12", " ", "<br/>", '<img alt="a b"/>', "<!-- c -->", "{1}", "é"]
)
trees = st.recursive(
    words,
    lambda inner: st.tuples(names, st.lists(inner, max_size=4)).map(lambda t: f"<{t[0]}>{''.join(t[1])}</{t[0]}>"),
    max_leaves=15,
)


def elements(source: str) -> Counter[str]:
    return Counter(one.tag for one in ElementTree.fromstring(source).iter())


@settings(max_examples=300)
@given(st.lists(trees, max_size=5).map("".join), st.randoms(use_true_random=False), st.booleans())
def test_what_is_well_formed_stays_so_with_the_same_elements(inner, chance: random.Random, xml):
    source = f"<body>{inner}</body>"
    rules = Rules(xml=xml)
    assert put(source, rules=rules) == source

    def shuffled(text: str) -> str:
        pieces = re.findall(r"</?\d+/?>|\{\d+\}|[^\s<{]+|\s|.", text)
        chance.shuffle(pieces)
        return "".join(piece for piece in pieces if chance.random() < 0.9) + " <&>"

    assert elements(put(source, shuffled, rules)) == elements(source)


PIECES = (
    *"<>/!-=\"' \n&",
    *("a b", "<b>", "</b>", "<p>", "</p>", "<a title='x y'>", "</a>", "<!--", "-->", "<br>", "&amp;", "<script>"),
    *("</script>", "<code>", "</code>", "<li translate=no>", "<i class=notranslate>", "</i>", "<td translate=yes>"),
    *("<title>", "</title>", "<?xml?>", "<x/>", "&c;", "\0", "\ud800", "é", "<svg>", "</svg>", "<html lang=a>"),
)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=30), st.booleans())
def test_anything_comes_out_as_it_is_and_with_its_tags(source, xml):
    rules = Rules(xml=xml)
    assert "".join(part if isinstance(part, str) else part.source for part in html_parts(source, rules)) == source
    assert put(source, rules=rules) == source

    def tags(text: str) -> Counter[str]:
        return Counter(token.name for token in tokens(text, xml=xml) if token.name and token.kind != "text")

    assert tags(put(source, lambda text: f"{text} - {text}", rules)) == tags(source)


def test_any_depth_and_many_elements():
    deep = "<b>" * 3000 + "a" + "</b>" * 3000 + "</i>" * 3000
    wide = "a <b>b</b> " * 3000
    for source in (deep, wide, "<b>" * 3000, "<li>" * 3000 + "a", "</p>" * 3000 + "a"):
        assert put(source) == source
        assert put(source, str.upper) == source.replace("a", "A").replace(" <b>b", " <b>B")


def test_more_elements_than_a_model_can_copy_have_no_marks():
    (part,) = (part for part in html_parts("a <b>b</b> " * 600) if isinstance(part, InlineText))
    assert "<" not in part.text
