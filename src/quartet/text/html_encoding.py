"""Bytes of HTML as text: the encoding is that of a byte order mark, or the one that the document names, or UTF-8.

What is written again is UTF-8, which knows the letters of all languages, and then the document says so. As browsers do
it: https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding
"""

import codecs
import re

from quartet.errors import OptionError
from quartet.json_schema import shown

LOOKED_AT = 1024  # bytes in which a document names its encoding

_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NAMED = re.compile(
    r"""(<meta\b[^>]*?\bcharset\s*=\s*["']?\s*|^\ufeff?\s*<\?xml\b[^>]*?\bencoding\s*=\s*["'])([\w.:-]+)""",
    re.IGNORECASE,
)
_READ_AS = {  # browsers know more letters
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "tis-620": "cp874",
    "utf-16": "utf-8",  # in which it would not have been found
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}
_PREFIX = re.compile(r"^(?:x-|windows-(?=\d+$)|dos-)")  # Python has not
_OF_THE_WEB = re.compile(  # https://encoding.spec.whatwg.org/; others, such as UTF-7, hide tags from who looks for them
    r"utf-8|iso8859-\d+|cp125\d|cp(?:866|874|932|949)|koi8-[ru]|mac-(?:roman|cyrillic)|gb18030|big5|big5hkscs|euc_jp|"
    "iso2022_jp"
)


def html_of(content: bytes, name: str) -> str:
    """The text of a document, which says that it is UTF-8 where it names an encoding. `name` is its own in errors.

    Raises `OptionError` where bytes are no characters, or the encoding is not known.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _renamed("\ufeff" + _decoded(content[len(mark) :], encoding, name, "UTF-16"))
    if content.startswith(codecs.BOM_UTF8):
        return _decoded(content, "utf-8", name, "UTF-8")
    found = _NAMED.search(content[:LOOKED_AT].decode("latin-1"))
    if found is None:
        return _decoded(content, "utf-8", name, "UTF-8, and it names no other encoding")
    text = _decoded(content, _codec(found[2], name), name, found[2])
    return _renamed(text)


def _codec(label: str, name: str) -> str:
    try:
        codec = codecs.lookup(_PREFIX.sub(lambda found: "cp" if found[0] != "x-" else "", label.lower())).name
    except LookupError:
        codec = ""
    codec = _READ_AS.get(codec, codec)
    if not _OF_THE_WEB.fullmatch(codec):
        raise OptionError(f"{name} names the encoding {shown(label)}, which is not read here; save it as UTF-8")
    return codec


def _decoded(content: bytes, encoding: str, name: str, called: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise OptionError(f"{name}, line {line}: byte {error.object[error.start]:#04x} is not {called}") from None
    except UnicodeError:
        raise OptionError(f"{name} is not {called}") from None


def _renamed(text: str) -> str:
    """The text with UTF-8 for the encoding that it names."""
    found = _NAMED.search(text[:LOOKED_AT])
    if found is None or found[2].lower().replace("_", "-") in ("utf-8", "utf8"):
        return text
    return text[: found.start(2)] + "utf-8" + text[found.end(2) :]
