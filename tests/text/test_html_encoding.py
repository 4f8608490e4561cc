"""Pages say what their bytes are."""

import codecs
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.errors import OptionError
from quartet.text.html_encoding import html_of


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<p>é".encode(), "<p>é"),
        (b"\xef\xbb\xbf<meta charset=latin1>\xc3\xa9", "\ufeff<meta charset=latin1>é"),
        (codecs.BOM_UTF16_LE + '<meta charset="utf-16">é'.encode("utf-16-le"), '\ufeff<meta charset="utf-8">é'),
        (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), "\ufeffé"),
        (b'<meta charset="UTF-8">\xc3\xa9', '<meta charset="UTF-8">é'),
        (b"<META CHARSET = 'windows-1252'>\x80", "<META CHARSET = 'utf-8'>€"),
        (b"<meta charset=ascii>\xe9", "<meta charset=utf-8>é"),
        (b"<meta charset=utf-16>\xc3\xa9", "<meta charset=utf-8>é"),
        (
            b'<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">\xc1',
            '<meta http-equiv="Content-Type" content="text/html; charset=utf-8">а',
        ),
        (b'<?xml version="1.0" encoding="iso-8859-2"?>\xb1', '<?xml version="1.0" encoding="utf-8"?>ą'),
        (b"<meta charset=gb2312>\xc4\xe3", "<meta charset=utf-8>你"),
        (b"<meta charset=x-sjis>\x83\x65", "<meta charset=utf-8>テ"),
        (b"<p>charset=koi8-r \xc3\xa9", "<p>charset=koi8-r é"),
    ],
)
def test_encodings(content, text):
    assert html_of(content, "a.html") == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<p>\n\xe9", "a.html, line 2: byte 0xe9 is not UTF-8, and it names no other encoding"),
        (b"<meta charset=utf-8>\xe9", "a.html, line 1: byte 0xe9 is not utf-8"),
        (b"<meta charset=klingon>", "a.html names the encoding 'klingon', which is not read here; save it as UTF-8"),
        (b"<meta charset=base64>", "'base64', which is not read here"),
        (b"<meta charset=utf-7>", "'utf-7', which is not read here"),
        (b"<meta charset=unicode_escape>", "'unicode_escape', which is not read here"),
    ],
)
def test_what_cannot_be_read(content, message):
    with pytest.raises(OptionError) as error:
        html_of(content, "a.html")
    assert message in str(error.value)


@given(st.sampled_from([b"", b"<meta charset=", b"<?xml encoding='", codecs.BOM_UTF16_LE]), st.binary(max_size=40))
def test_any_bytes_are_text_or_one_error(start, content):
    with contextlib.suppress(OptionError):
        assert isinstance(html_of(start + content, "a.html"), str)
