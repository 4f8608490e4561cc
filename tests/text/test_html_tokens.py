"""Tokens are those of a browser, and joined they are the source."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.text.html_tokens import tokens

PIECES = (
    *"<>/!-=\"' \n&?[]",
    *("a", "b ", "é", "--", "<b>", "</b>", "<a href=x>", '<p class="y">', "<!--", "-->", "--!>", "<br/>", "&amp;"),
    *(
        "<script>",
        "</script>",
        "<title>",
        "</title>",
        "<textarea>",
        "</textarea >",
        "<style>",
        "</STYLE>",
        "</",
        "< b>",
    ),
    *("<!DOCTYPE html>", "<?xml?>", "<![CDATA[", "]]>", "<1>", "<plaintext>", "\0", "\ud800"),
)
sources = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


@settings(max_examples=500)
@given(sources | st.text(max_size=40), st.booleans())
def test_joined_they_are_the_source(source, xml):
    found = list(tokens(source, xml=xml))
    assert "".join(token.source for token in found) == source
    for token in found:
        for attribute in token.attributes().values() if token.kind in ("open", "void") else ():
            assert 0 < attribute.start <= attribute.end < len(token.source)


def short(source: str, xml: bool = False) -> list[tuple[str, str]]:
    return [(token.kind, token.name or token.source) for token in tokens(source, xml=xml)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b <b>", [("text", "a < b "), ("open", "b")]),
        ('<a title="x > y" b>c', [("open", "a"), ("text", "c")]),
        ("<a title='>' \">c", [("open", "a"), ("text", "c")]),
        ("<a href=x/>c</A >", [("open", "a"), ("text", "c"), ("close", "a")]),
        ("<br/><IMG src=x>", [("void", "br"), ("void", "img")]),
        ("<!-- > --><!--> a", [("other", "<!-- > -->"), ("other", "<!-->"), ("text", " a")]),
        ("<!-- --!>a", [("other", "<!-- --!>"), ("text", "a")]),
        ("<!doctype html><?php ?></ x>", [("other", "<!doctype html>"), ("other", "<?php ?>"), ("other", "</ x>")]),
        ('<a title="x', [("other", '<a title="x')]),
        ("<!-- x", [("other", "<!-- x")]),
        (
            "<script>if (a<b) '</p>'</script >x",
            [("open", "script"), ("text", "if (a<b) '</p>'"), ("close", "script"), ("text", "x")],
        ),
        (
            "<script><!-- <script></script> --></script>x",
            [("open", "script"), ("text", "<!-- <script></script> -->"), ("close", "script"), ("text", "x")],
        ),
        ("<script><!--></script>x", [("open", "script"), ("text", "<!-->"), ("close", "script"), ("text", "x")]),
        ("<title><b></title>", [("open", "title"), ("text", "<b>"), ("close", "title")]),
        ("<style></styles>", [("open", "style"), ("text", "</styles>")]),
        ("<plaintext></plaintext>", [("open", "plaintext"), ("text", "</plaintext>")]),
    ],
)
def test_html(source, expected):
    assert short(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<A:b x='>'/><br></br>", [("void", "A:b"), ("open", "br"), ("close", "br")]),
        ("<script><b/></script>", [("open", "script"), ("void", "b"), ("close", "script")]),
        ("<![CDATA[ <b> ]]>x", [("other", "<![CDATA[ <b> ]]>"), ("text", "x")]),
        ("<?a > ?>x", [("other", "<?a > ?>"), ("text", "x")]),
        ("<!DOCTYPE a [ <!ENTITY b 'c'> ]>x", [("other", "<!DOCTYPE a [ <!ENTITY b 'c'> ]>"), ("text", "x")]),
        ("<1>", [("text", "<1>")]),
    ],
)
def test_xml(source, expected):
    assert short(source, xml=True) == expected


def test_attributes_and_where_their_values_are():
    (tag,) = tokens('<a  HREF = x/y title=\'a "b"\' alt title=c checked data-x="">')
    found = {name: tag.value(name) for name in tag.attributes()}
    assert found == {"href": "x/y", "title": 'a "b"', "data-x": ""}
