"""HTML and XML as tokens: tags, comments and text, with their places in the source.

HTML is read as browsers do (https://html.spec.whatwg.org/multipage/parsing.html#tokenization): whatever is there is
some token, nothing raises, and the tokens' sources joined are the source. It takes linear time. Parsers that build a
tree know more, but give back another file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "open", "close", "void", "other"]

_VOID = "area base br col embed hr img input link meta param source track wbr"
_RAW = "script style xmp iframe noembed noframes textarea title plaintext"
VOID = frozenset(_VOID.split())
RAW = frozenset(_RAW.split())  # no tags in them

_VALUE = r"\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >\"'][^\t\n\f\r >]*+"
_ATTRIBUTE = re.compile(rf"([^\t\n\f\r />][^\t\n\f\r />=]*+)(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+({_VALUE})?)?")
_INSIDE = rf"(?>(?:[\t\n\f\r /]++|[^\t\n\f\r />][^\t\n\f\r />=]*+(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:{_VALUE})?)?)*)"
_TOKEN = re.compile(
    r"(?P<other><!--(?:-?>|(?s:.*?)(?:--!?>|\Z))|<!(?!--)[^>]*+(?:>|\Z)|<\?[^>]*+(?:>|\Z)|</(?![A-Za-z])[^>]*+(?:>|\Z))"
    rf"|<(?P<close>/?)(?P<name>[A-Za-z][^\t\n\f\r />]*+){_INSIDE}(?:>|(?P<cut>\Z))"
)
_XML_TOKEN = re.compile(
    r"(?P<other><!--(?s:.*?)(?:-->|\Z)|<!\[CDATA\[(?s:.*?)(?:\]\]>|\Z)|<\?(?s:.*?)(?:\?>|\Z)"
    r"|<!(?>(?:[^>\[]|\[[^\]]*+(?:\]|\Z))*)(?:>|\Z))"
    rf"|<(?P<close>/?)(?P<name>[^\s<>/!?=\"'&\d.-][^\t\n\f\r />]*+){_INSIDE}(?:>|(?P<cut>\Z))"
)
_IN_SCRIPT = re.compile(r"<!--|-->|<(/?)script(?=[\t\n\f\r />])", re.IGNORECASE)


@dataclass(frozen=True)
class Attribute:
    """One of a tag, and where its value is in the tag's source; for a value in quotes, without these."""

    name: str  # in small letters
    start: int
    end: int
    quote: str  # `"`, `'` or none


@dataclass(frozen=True)
class Token:
    """A piece of the source. `void` is a tag that is an element by itself, `other` a comment, doctype or the like."""

    kind: Kind
    source: str
    name: str = ""  # of a tag, in XML as it is written, else in small letters

    def attributes(self) -> dict[str, Attribute]:
        """Of a tag, by their names; of several with one name, the first counts."""
        found: dict[str, Attribute] = {}
        names: set[str] = set()
        for match in _ATTRIBUTE.finditer(self.source, 1 + len(self.name), len(self.source) - 1):
            name, (start, stop) = match[1].lower(), match.span(2)
            quote = match[2][0] if match[2] and match[2][0] in "\"'" else ""
            if name not in names and start >= 0:
                found[name] = Attribute(name, start + len(quote), max(stop - len(quote), start), quote)
            names.add(name)
        return found

    def value(self, name: str) -> str | None:
        """Of an attribute of a tag, as it is in the source."""
        found = self.attributes().get(name)
        return None if found is None else self.source[found.start : found.end]


def tokens(source: str, *, xml: bool = False) -> Iterator[Token]:
    """All of the source, in order. xml: what XML has and HTML has not: `<a/>` for any element, CDATA."""
    pattern = _XML_TOKEN if xml else _TOKEN
    place = begin = 0
    while (place := source.find("<", place)) >= 0:
        match = pattern.match(source, place)
        if match is None:
            place += 1
            continue
        if begin < place:
            yield Token("text", source[begin:place])
        token = _token(match, xml)
        yield token
        place = begin = match.end()
        if token.kind == "open" and token.name in RAW and not xml:
            place = begin = _end_of_raw(source, token.name, begin)
            if match.end() < begin:
                yield Token("text", source[match.end() : begin])
    if begin < len(source):
        yield Token("text", source[begin:])


def _token(match: re.Match[str], xml: bool) -> Token:
    if match["other"] is not None or match["cut"] is not None:  # what ends within a tag has no tag
        return Token("other", match[0])
    name = match["name"] if xml else match["name"].lower()
    if match["close"]:
        return Token("close", match[0], name)
    is_void = match[0].endswith("/>") if xml else name in VOID
    return Token("void" if is_void else "open", match[0], name)


def _end_of_raw(source: str, name: str, start: int) -> int:
    """Where the text of an element without tags ends: before its end tag."""
    if name == "plaintext":
        return len(source)
    if name == "script":
        return _end_of_script(source, start)
    found = re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE).search(source, start)
    return found.start() if found else len(source)


def _end_of_script(source: str, start: int) -> int:
    """The same for a script, of which an end tag is a part where it is in a comment and a start tag is before it."""
    in_comment = in_script = False
    place = start
    while found := _IN_SCRIPT.search(source, place):
        place = found.end()
        if found[0] == "<!--":
            in_comment = True
            place -= 2  # `<!-->` is a whole comment
        elif found[0] == "-->":
            in_comment = in_script = False
        elif found[1] and not in_script:
            return found.start()
        elif in_comment:
            in_script = not found[1]
    return len(source)
