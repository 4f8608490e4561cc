"""Whatever is done with a text takes time that grows with its length, of any text: CPU time of a text and of four."""

from functools import partial

import pytest

from cpu_time import cpu_seconds
from quartet.text import (
    coverage,
    detect,
    glossary,
    html_documents,
    kept,
    languages,
    line_formats,
    phrases,
    sentences,
    spread,
    stand_ins,
    tidy,
    tokenizer,
    unknown,
)

LENGTH = 800
MOST = 9.0  # times the CPU for four times the text: 4 where it is linear, 16 where quadratic
LEAST = 0.04  # seconds; what takes less for the long text would, if it were quadratic, take 6 s for 40,000 characters

SIGNS = (
    *(
        ".",
        "!",
        "?",
        ",",
        "'",
        '"',
        "(",
        ")",
        "[",
        "{",
        "}",
        "<",
        ">",
        "%",
        "&",
        "`",
        "#",
        "@",
        "$",
        "\\",
        "/",
        "-",
        "—",
    ),
    *("*", "_", "~", "=", ":", "|", " ", "\t", "\n", "\r", "\u00a0", "\u200b", "\u200d", "\u0301", "\ufe0f", "“", "„"),
    *(
        "«",
        "»",
        "‘",
        "’",
        "…",
        "。",
        "「",
        "0",
        "1",
        "a",
        "A",
        "I",
        "é",
        "İ",
        "ก",
        "中",
        "अ",
        "😀",
        "🇩",
        "\ud800",
        "\0",
    ),
)
WORDS = (
    *(
        "a.",
        "a. ",
        "1.",
        "1.1.",
        "1. ",
        "A.B.",
        "Dr. ",
        "z. B. ",
        "http://",
        "http://a.",
        "www.",
        "a@",
        "a@b.",
        "{a",
        "{{",
    ),
    *(
        "{%",
        "%s",
        "%(",
        "<a",
        "<a ",
        "</",
        "<!--",
        "&a",
        "&#",
        "``",
        "`a ",
        "\\n",
        "/a",
        "../",
        "~/",
        "C:\\a ",
        "a_",
        "a-",
    ),
    *(
        "- ",
        "> ",
        "| a ",
        "| a |\n",
        "- a\n",
        "\n\n",
        "\r\n",
        '"a" ',
        '"a. ',
        "(a ",
        "[[a",
        "“a.”",
        "‘a",
        "‘a’",
        "l'",
        "… ",
    ),
    *("?a", "a:b", "1,000 ", "1 000", "1-", "12.12.", "+1 ", "0x", "v1.2-", "A1-", "aB", "ABC ", "e\u0301", "😀\u200d"),
    *(
        "กข ",
        "中，",
        "「中。」",
        "²",
        "½ ",
        "DE89 3704 ",
        "deadbeef",
        "a.com ",
        "()",
        "a::b",
        "__A",
        ":)",
        "xD",
        "$1",
        "1 %",
    ),
    *(
        "{n, plural, ",
        "{a|",
        "00:01 --> 00:02\na\n\n",
        "<i>a</i>",
        "{\\an8}",
        "-a\n",
        ">>fr<< ",
        "ΆΕΊ ",
        "DAS HAUS. ",
        "Tom ",
    ),
    *(
        "<b>",
        "</b>",
        "<p>a",
        "<b>a</b> ",
        "<a title=x>a",
        "<!-- c --> a",
        "<li translate=no>",
        "<code>a</code>",
        "&lt;a",
    ),
    *(
        "<script>",
        "<script><!--",
        "<textarea>",
        "<!DOCTYPE [",
        "<![CDATA[",
        '<a b="',
        "<i>a</b>",
        "{1} <b>a",
        "<a>a</a>|",
    ),
)


def quarters(text: str) -> int:
    """Tokens of a model with four letters each."""
    return len(text) // 4 + 1


def split(text: str) -> None:
    spans = [(span.start, span.end) for span in kept.kept_spans(text)]
    for language, wrapped in (("en", False), ("zh", True)):
        pieces = sentences.split_text(text, language, 50, quarters, wrapped=wrapped, kept=spans)
        sentences.join_pieces(pieces, [piece.text for piece in pieces], "fr")


def tidied(text: str) -> None:
    for language in ("fr", "de", "el", None):
        tidy.lowered(tidy.raised(tidy.plain(text, language), language), language)
    for source, translation in ((text, text), ("a", text), (text, "a.")):
        tidy.without_added_end(source, translation)
        tidy.dashes_as_typed(source, translation)
    tidy.in_capitals(text), tidy.is_lone_word(text, "en")


def covered(text: str) -> None:
    coverage.missing(text, text, "en", "fr")
    coverage.missing("There are 3 words.", text, "en", "fr")


def replaced(text: str) -> None:
    spans = stand_ins.joined_spans(text, kept.kept_spans(text))
    items = [text[span.start : span.end] for span in spans]
    for style in ("X1", "Tom", "1", "as it is"):
        sent, names = stand_ins.replaced(text, spans, style)
        stand_ins.restored(sent, names, items)
    stand_ins.put_back(stand_ins.left_out(text, spans), text, spans)


def as_markup(text: str) -> None:
    for xml in (False, True):
        for part in html_documents.html_parts(text, html_documents.Rules(xml=xml)):
            assert isinstance(part, str) or part.put(part.text + "x")
            assert isinstance(part, str) or part.put("a b")


def taken_apart(text: str) -> None:
    for form in ("text", "srt", "vtt", "tsv"):
        for head in ("", "1\n00:01,000 --> 00:02,000\n"):
            lines = (head + text).splitlines(keepends=True)
            for part in line_formats.parts(lines, form, wrapped=form == "text", joined=True):
                assert isinstance(part, str) or part.put(part.text + "x")


GLOSSARY = glossary.Glossary({"a": "b", "a a a a": "c", "a.a": "d", "中": "e"} | {f"a {n}": "f" for n in range(1000)})


def with_terms(text: str) -> None:
    glossary.lacking(GLOSSARY.found(text, kept.kept_spans(text)), text)
    glossary.lacking([kept.KeptSpan(0, 1, "term", "a a")], text)


def as_subtitles(text: str) -> None:
    phrases.divide(text, (1, 2, 1), "ja")
    for texts in ([text, "it is."], ["and", text], [text] * 4):
        spread.spread(texts, "en").divided(texts, "fr")
        spread.goes_on(*texts[:2])
        spread.goes_on(*texts[:2], "en", punctuated=True)


def rest(text: str) -> None:
    detect.detect_all([text], ("en", "fr", "zh", "th"))
    unknown.unknown_stretches(tokenizer.valid_unicode(text), lambda part: not part.isascii())
    languages.typed_tag(text)
    tokenizer.clean_up(text)


@pytest.mark.parametrize(
    "work", [split, tidied, covered, replaced, with_terms, as_markup, taken_apart, rest], ids=lambda work: work.__name__
)
def test_time_grows_with_the_length(work):
    work("Where is it? There are 3 of them.")  # what is read once
    slow = []
    for unit in (*SIGNS, *WORDS):
        text = unit * (LENGTH // len(unit) + 1)
        long = cpu_seconds(partial(work, text * 4), LEAST)
        if long > LEAST and long > MOST * cpu_seconds(partial(work, text)):
            slow.append((unit, long))
    assert not slow
