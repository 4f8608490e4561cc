"""Terms are found as whole words, the longest first, and files of them are read line by line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet.errors import OptionError
from quartet.text.glossary import Glossary, lacking, read_glossary, read_terms
from quartet.text.kept import KeptSpan, kept_spans

TERMS = {"cat": "matou", "cat food": "pâtée", "Windows": "Windows", "電車": "Bahn", "Île": "Insel"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A cat sat.", {"cat": "matou"}),
        ("The CAT's food", {"CAT": "matou"}),
        ("Cat food for a cat", {"Cat food": "pâtée", "cat": "matou"}),
        ("cat\nfood", {"cat\nfood": "pâtée"}),
        ("Cats, catfood and a tomcat, cat2, cat_ and cat\u0301", {"cat": "matou"}),
        ("windows are not Windows", {"windows": "Windows", "Windows": "Windows"}),
        ("私は電車で行く", {"電車": "Bahn"}),
        ("İ, the île", {"île": "Insel"}),
        ("See https://example.org/cat or {cat}.", {}),
        ("", {}),
    ],
)
def test_terms_in_texts(text, expected):
    found = Glossary(TERMS).found(text, kept_spans(text))
    assert {text[span.start : span.end]: span.becomes for span in found} == expected


words = st.text("abé ß-İ'中文\n\u0301", min_size=1, max_size=4).filter(str.strip)


@settings(max_examples=300)
@given(st.dictionaries(words, words, max_size=6), st.lists(words, max_size=12).map(" ".join))
def test_what_is_found_is_there_and_apart(terms, text):
    glossary = Glossary(terms)
    kept = kept_spans(text)
    place = 0
    for span in glossary.found(text, kept):
        assert place <= span.start < span.end <= len(text)
        assert span.becomes in glossary.terms.values()
        assert not any(one.start < span.end and span.start < one.end for one in kept)
        place = span.end


@pytest.mark.parametrize(
    ("becomes", "translation", "is_there"),
    [
        ("matou", "Un matou dort.", True),
        ("matou", "Matou, viens !", True),
        ("matou", "LE MATOU", True),
        ("matou", "Un matous dort.", False),
        ("Windows", "Les windows", False),
        ("Windows", "SOUS WINDOWS", True),
        ("电车", "我坐电车去", True),
        ("matou", "", False),
    ],
)
def test_whether_what_it_becomes_is_there(becomes, translation, is_there):
    assert (lacking([KeptSpan(0, 3, "term", becomes)], translation) == ()) is is_there


def test_a_term_counts_as_often_as_it_is_there():
    spans = [KeptSpan(0, 3, "term", "matou"), KeptSpan(9, 12, "term", "matou")]
    assert lacking(spans, "un matou et un chat") == ("matou",)
    assert lacking(spans, "un matou et un matou") == ()


@pytest.mark.parametrize(
    "terms", [{"": "x"}, {"x": " "}, {"a\0": "x"}, {"x": 3}, {"x" * 1025: "y"}, {"x": "\ud800"}, ["x"]]
)
def test_terms_that_cannot_be(terms):
    with pytest.raises(OptionError, match="glossary"):
        Glossary(terms)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "\ufeffcat\tmatou\r\n\r\ncat food \tpâtée, fine\r\n"),
        ("a.CSV", 'cat,matou\n"cat food","pâtée, fine",EN,FR\n'),
    ],
)
def test_files_of_terms(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode())
    assert read_glossary(path).terms == {"cat": "matou", "cat food": "pâtée, fine"}


@pytest.mark.parametrize(
    ("content", "commas", "message"),
    [
        ("cat\tmatou\ndog", False, "terms, line 2: 'dog'; expected a term, a tab, and what it becomes"),
        ("cat\tmatou\tfélin", False, "line 1: 'cat'; expected a term, a tab"),
        ("cat\t", False, "line 1: 'cat' becomes '', and one of them is empty"),
        ("cat\tmatou\ndog\tx\ncat\tfélin", False, "line 3: 'cat' becomes something else in line 1"),
        ("cat", True, "line 1: 'cat'; expected a term, a comma"),
        ('a,b\n"cat,matou', True, "line 2: "),
    ],
)
def test_bad_lines_are_named(content, commas, message):
    with pytest.raises(OptionError) as error:
        read_terms(content, "terms", commas=commas)
    assert message in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"caf\xe9\tx\n")
    for name, reason in (("a.tsv", "it is not UTF-8"), ("b.tsv", "No such file"), (".", "directory")):
        with pytest.raises(OptionError, match=reason):
            read_glossary(tmp_path / name)


def test_many_terms_are_found_in_linear_time():
    """A text is looked at place by place, whatever the number of terms: ten thousand are no ten thousand searches."""
    glossary = Glossary({f"term {number}": str(number) for number in range(10_000)})
    text = "no term 12345 in a text of which every word begins as one: t te ter term " * 200
    assert glossary.found(text) == []
