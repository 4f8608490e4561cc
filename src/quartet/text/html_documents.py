"""HTML and XML documents as texts to be translated, and all the rest, which stays letter for letter.

A document is cut at its block elements. What is between two of them is a text: its white space is as a browser shows
it, its character references are characters, and its inline elements go with it (`inline_markup`). Code stays, and so
does what says that it is not to be translated. Attributes that people read are texts too.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from html.entities import html5
from itertools import pairwise

from quartet.text.html_tokens import RAW, Attribute, Token, tokens
from quartet.text.inline_markup import Marked, Segment, marked

_BLOCKS = (
    "address article aside audio blockquote body br button canvas caption center col colgroup datalist dd details "
    "dialog dir div dl dt embed fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header "
    "hgroup hr html legend li link listing main menu meta nav noembed noframes noscript object ol optgroup option p "
    "param plaintext pre script search section select source style summary table tbody td template textarea tfoot th "
    "thead title tr track ul video xmp"
)
_KEPT = "code kbd listing math pre rp rt samp svg var"
_READ = "alt title placeholder aria-label aria-description aria-roledescription"
_READ_META = "description og:title og:description og:image:alt twitter:title twitter:description twitter:image:alt"
BLOCKS = frozenset(_BLOCKS.split())
KEPT = RAW - {"title"} | frozenset(_KEPT.split())  # elements that stay, with all that is in them
READ = frozenset(_READ.split())  # attributes
READ_META = frozenset(_READ_META.split())  # what a `meta` is, whose content is read
LABELLED = frozenset({"option", "optgroup", "track"})  # elements whose attribute `label` is read
BUTTONS = frozenset({"button", "submit", "reset"})  # types of inputs whose values are read
ENDS = {  # elements without an end tag, by the start tags that end them
    "li": frozenset({"li"}),
    "dt": frozenset({"dt", "dd"}),
    "dd": frozenset({"dt", "dd"}),
    "option": frozenset({"option"}),
    "optgroup": frozenset({"option", "optgroup"}),
    "tr": frozenset({"tr", "td", "th"}),
    "td": frozenset({"td", "th"}),
    "th": frozenset({"td", "th"}),
}
LOOKED_AT = 8  # elements that are open, for one that a start tag ends
MOST_MARKS = 500  # in a text; where there are more elements, they are put back after the same share of words

_BLANK = re.compile(r"[\t\n\f\r ]+")
_REFERENCE = re.compile(r"&(?:#(?:\d+|[xX][\da-fA-F]+)|[A-Za-z_:][\w:.-]*);")
_SEPARATOR = re.compile("[|·•›»>→/–—]")
_NAME = re.compile(r"<([^\t\n\f\r />]+)")
_IS_XML = re.compile(r"\ufeff?\s*<\?xml\b")


@dataclass(frozen=True)
class Rules:
    """What is told about a document."""

    xml: bool = False
    target: str | None = None  # language of the translation, for `lang` of the whole document
    kept: frozenset[str] = frozenset()  # further elements that stay as they are
    splitting: frozenset[str] = frozenset()  # further elements that end a sentence
    joining: frozenset[str] = frozenset()  # elements that do not
    outline: bool = True  # of XML: elements that have no text beside them end a sentence


@dataclass(frozen=True)
class AttributeText:
    """The value of an attribute. `put` gives what is written instead of `source`."""

    text: str
    source: str
    quote: str
    line: int = 1
    column: None = None

    def put(self, translation: str) -> str:
        """The translation as a value; the text itself gives `source`."""
        return self.source if translation == self.text else _as_value(translation, self.quote)


@dataclass(frozen=True)
class InlineText:
    """A text with its inline elements, and below it, a line each, the attributes of these that people read."""

    text: str
    source: str
    marked: Marked
    attributes: tuple[tuple[int, Attribute], ...] = ()  # with the numbers of their elements
    line: int = 1
    column: None = None

    def put(self, translation: str) -> str:
        """The translation with the elements in it; the text itself gives `source`."""
        if translation == self.text:
            return self.source
        first, *values = translation.split("\n")
        if len(values) != len(self.attributes):
            first, values = translation.replace("\n", " ") if not self.attributes else first, []
        openings = [one.opening for one in self.marked.elements]
        lines = zip(self.attributes, self.text.split("\n")[1:], values, strict=False)
        for (number, attribute), text, value in reversed(list(lines)):  # the places of those before stay
            if text != value:
                openings[number] = _with_value(openings[number], attribute, value)
        return self.marked.written(*self.marked.stretches(first), _encoded, openings)


HtmlText = AttributeText | InlineText


def html_parts(source: str, rules: Rules = Rules()) -> Iterator[str | HtmlText]:
    """A document's texts in order, and between them, as strings, all that stays letter for letter."""
    line = 1
    for part in _Reader(rules).parts(source):
        if part != "":
            yield part if isinstance(part, str) else replace(part, line=line)
        line += (part if isinstance(part, str) else part.source).count("\n")


def is_xml(source: str) -> bool:
    """Whether a document says that it is XML."""
    return _IS_XML.match(source) is not None


@dataclass(frozen=True)
class _Open:
    """An element that has begun."""

    name: str
    is_off: bool  # nothing in it is translated
    is_block: bool


@dataclass
class _Reader:
    """Goes through a document once."""

    rules: Rules
    open: list[_Open] = field(default_factory=list)
    names: Counter[str] = field(default_factory=Counter)  # of what is open
    run: list[Segment] = field(default_factory=list)  # since the last block
    is_behind_off: bool = False  # the last segment is what is not translated

    def parts(self, source: str) -> Iterator[str | HtmlText]:
        """As `html_parts`, without the lines."""
        found: Iterable[Token] = tokens(source, xml=self.rules.xml)
        blocks: Iterator[bool] | None = None
        if self.rules.xml:
            found = list(found)
            blocks = iter(_blocks_of_xml(found, self.rules))
        for token in found:
            is_block = next(blocks) if blocks else self._is_block(token)
            was_off = self._is_off
            if token.kind == "open":
                is_block = self._begin(token, is_block)
            is_off = was_off if token.kind == "text" else was_off or self._is_off or _says(token) is False
            if token.kind == "close" and (ended := self._end(token.name)):
                is_block = ended.is_block
            if is_block:
                yield from self._of_run()
                yield from self._told(token, is_off)
            else:
                self._add(token, is_off)
        yield from self._of_run()

    # ---- elements ---------------------------------------------------------------------------------------------------

    @property
    def _is_off(self) -> bool:
        return bool(self.open) and self.open[-1].is_off

    def _is_block(self, token: Token) -> bool:
        if not token.name or token.name in self.rules.joining:
            return False
        return token.name in BLOCKS or token.name in self.rules.splitting

    def _begin(self, token: Token, is_block: bool) -> bool:
        """An element begins; returns whether it ends a sentence."""
        if not self.rules.xml:
            self._end_what_is_over(token.name, is_block)
        says = _says(token)
        is_off = token.name in self.rules.kept or (not self.rules.xml and token.name in KEPT)
        if says is not None and not (token.name in RAW and not self.rules.xml):
            is_off = not says
        elif not is_off:
            is_off = self._is_off
        is_block = is_block or (says is True and self._is_off)  # translated inside of what is not
        self.open.append(_Open(token.name, is_off, is_block))
        self.names[token.name] += 1
        return is_block

    def _end_what_is_over(self, name: str, is_block: bool) -> None:
        over = ENDS.get(name, frozenset()) | (frozenset({"p"}) if is_block else frozenset())
        for one in self.open[: -LOOKED_AT - 1 : -1]:
            if one.name in over:
                self._end(one.name)
            elif one.is_block:
                break

    def _end(self, name: str) -> _Open | None:
        """An element ends, and all that has begun in it; nothing where there is none of this name."""
        if not self.names[name]:
            return None
        while True:
            one = self.open.pop()
            self.names[one.name] -= 1
            if one.name == name:
                return one

    # ---- texts ------------------------------------------------------------------------------------------------------

    def _add(self, token: Token, is_off: bool) -> None:
        """Add to what is between two blocks."""
        if is_off:
            before = self.run.pop().source if self.is_behind_off else ""
            self.run.append(Segment("word", before + token.source))
        elif token.kind == "text":
            self.run += _texts(token.source, self.rules.xml)
        else:
            self.run.append(Segment("void" if token.kind == "other" else token.kind, token.source, token.name))
        self.is_behind_off = is_off

    def _of_run(self) -> Iterator[str | HtmlText]:
        """What is between two blocks: a text, and what is around it."""
        run, self.run, self.is_behind_off = [_without_words(segment) for segment in self.run], [], False
        for some in _separated(run):
            start, end = _without_edges(some) if _has_letters(some) else (0, 0)
            for segment in some[:start]:
                yield from self._told_of(segment)
            if start < end:
                yield from _text_of(some[start:end])
            for segment in some[end:]:
                yield from self._told_of(segment)

    def _told_of(self, segment: Segment) -> Iterator[str | HtmlText]:
        if segment.kind in ("open", "void") and segment.name:
            yield from self._told(Token("open", segment.source, segment.name), is_off=False)
        else:
            yield segment.source

    def _told(self, token: Token, is_off: bool) -> Iterator[str | HtmlText]:
        """A tag that is in no text, with its attributes."""
        source, place = token.source, 0
        if token.name.lower() == "html" and token.kind == "open" and self.rules.target:
            source = _with_language(token, self.rules.target)
            token = replace(token, source=source)
        for attribute in () if is_off or token.kind == "close" else _read(token):
            yield source[place : attribute.start]
            value = source[attribute.start : attribute.end]
            yield AttributeText(_shown(html.unescape(value)), value, attribute.quote)
            place = attribute.end
        yield source[place:]


# ---- elements and attributes ----------------------------------------------------------------------------------------


def _blocks_of_xml(found: Sequence[Token], rules: Rules) -> list[bool]:
    """Of each token, whether it ends a sentence: tags of elements whose parents have no text of their own."""
    parents: list[int] = []  # of each token, the place of the tag that it is in
    starts: list[int] = []  # of end tags, the place of their start tags
    with_text: set[int] = set()
    begun: list[int] = []
    for place, token in enumerate(found):
        starts.append(place)
        if token.kind == "close" and begun and found[begun[-1]].name == token.name:
            starts[-1] = begun.pop()
        parents.append(begun[-1] if begun else -1)
        if token.kind == "open":
            begun.append(place)
        elif token.kind == "text" and token.source.strip():
            with_text.add(parents[-1])

    def is_block(place: int) -> bool:
        name = found[place].name
        if not name or name in rules.joining:
            return False
        return name in rules.splitting or (rules.outline and parents[place] not in with_text)

    return [is_block(start) for start in starts]


def _says(token: Token) -> bool | None:
    """Whether a tag says that its element is translated, or that it is not."""
    if token.kind not in ("open", "void") or "translate" not in token.source.lower():
        return None
    attributes = token.attributes()
    if "notranslate" in (token.value("class") or "").lower().split():
        return False
    if "translate" in attributes:
        return {"no": False, "yes": True, "": True}.get((token.value("translate") or "").strip().lower())
    return None


def _read(token: Token) -> list[Attribute]:
    """The attributes of a tag that people read and that have letters."""
    if "=" not in token.source:
        return []
    name, attributes = token.name.lower(), token.attributes()

    def value(of: str) -> str:
        return (token.value(of) or "").strip().lower()

    names = set(READ)
    if name in LABELLED:
        names.add("label")
    if name == "input" and value("type") in BUTTONS:
        names.add("value")
    if name == "meta":
        names = {"content"} if {value("name"), value("property")} & READ_META else set()
    found = [attribute for name, attribute in attributes.items() if name in names]
    return [one for one in found if any(map(str.isalpha, html.unescape(token.source[one.start : one.end])))]


def _with_language(token: Token, language: str) -> str:
    """The start tag of a document with the language of its translation, where it names one."""
    source = token.source
    for attribute in sorted(token.attributes().values(), key=lambda one: -one.start):
        if attribute.name in ("lang", "xml:lang"):
            source = _with_value(source, attribute, language)
    return source


# ---- texts ----------------------------------------------------------------------------------------------------------


def _texts(source: str, xml: bool) -> Iterator[Segment]:
    """A text, and in XML what stands for texts that are not known here."""
    if not xml:
        yield Segment("text", source, text=_BLANK.sub(" ", html.unescape(source)))
        return
    place = 0
    for found in _REFERENCE.finditer(source):
        if not found[0].startswith("&#") and found[0][1:] not in html5:
            yield from _texts(source[place : found.start()], xml=False)
            yield Segment("word", found[0])
            place = found.end()
    if place < len(source):
        yield from _texts(source[place:], xml=False)


def _without_words(segment: Segment) -> Segment:
    """What is not translated, as void where it has no words."""
    is_read = segment.kind == "word" and any(map(str.isalnum, re.sub(r"<[^<>]*>", "", segment.source)))
    return replace(segment, kind="void") if segment.kind == "word" and not is_read else segment


def _has_letters(run: Iterable[Segment]) -> bool:
    return any(any(map(str.isalpha, segment.text)) for segment in run)


def _separated(run: Sequence[Segment]) -> Iterator[Sequence[Segment]]:
    """Elements with nothing but separators between them, as in `<a>Home</a> | <a>News</a>`, each by itself."""
    partners, place = _partners(run), 0
    units: list[Sequence[Segment]] = []
    while place < len(run):
        end = max(partners.get(place, place), place) + 1
        units.append(run[place:end])
        place = end
    between = [unit[0] for unit in units if len(unit) == 1]
    is_list = not _has_letters(between) and not any(segment.kind == "word" for segment in between)
    full = [at for at, unit in enumerate(units) if _has_letters(unit)]
    gaps = [units[before + 1 : behind] for before, behind in pairwise(full)]
    if is_list and gaps and all(any(_SEPARATOR.search(unit[0].text) for unit in gap) for gap in gaps):
        yield from units
    else:
        yield run


def _without_edges(run: Sequence[Segment]) -> tuple[int, int]:
    """Where a text begins and ends without white space, and what belongs to none or to all of its words."""
    partners = _partners(run)
    has_text = [segment.kind == "word" or bool(segment.text.strip()) for segment in run]
    texts = [place for place, has in enumerate(has_text) if has]
    start, end = 0, len(run)
    while start < texts[0]:
        if run[start].kind == "open" and (partner := partners.get(start)) is not None and partner > texts[0]:
            if partner < texts[-1]:
                break
            end = partner
        start += 1
    while end > texts[-1] + 1:
        if run[end - 1].kind == "close" and start <= partners.get(end - 1, -1) <= texts[-1]:
            break
        end -= 1
    return start, end


def _partners(run: Sequence[Segment]) -> dict[int, int]:
    """The places of end tags by those of their start tags, and the other way round."""
    partners: dict[int, int] = {}
    begun: list[int] = []
    known: Counter[str] = Counter()
    for place, segment in enumerate(run):
        if segment.kind == "open":
            begun.append(place)
            known[segment.name] += 1
        elif segment.kind == "close" and known[segment.name]:
            while True:
                start = begun.pop()
                known[run[start].name] -= 1
                if run[start].name == segment.name:
                    break
            partners |= {start: place, place: start}
    return partners


def _text_of(run: Sequence[Segment]) -> Iterator[str | HtmlText]:
    """A text, and the white space before and behind it."""
    source = "".join(segment.source for segment in run)
    before, behind = _blank_before(run[0]), _blank_behind(run[-1])
    whole = marked(_joined(run))
    attributes = [
        (number, attribute)
        for number, one in enumerate(whole.elements)
        if one.opening.startswith("<") and not one.is_word and (name := _NAME.match(one.opening))
        for attribute in _read(Token("open", one.opening, name[1]))
    ]
    values = [_shown(html.unescape(whole.elements[number].opening[one.start : one.end])) for number, one in attributes]
    text = whole.with_marks if len(whole.elements) <= MOST_MARKS else whole.text
    yield source[:before]
    yield InlineText("\n".join([text, *values]), source[before : len(source) - behind], whole, tuple(attributes))
    yield source[len(source) - behind :]


def _joined(run: Sequence[Segment]) -> Iterator[Segment]:
    """The segments without white space at the edges and twice between words."""
    last = max(place for place, segment in enumerate(run) if segment.kind == "text")
    blank = True
    for place, segment in enumerate(run):
        text = segment.text
        if segment.kind == "text":
            text = text.lstrip(" ") if blank else text
            text = text.rstrip(" ") if place == last == len(run) - 1 else text
            blank = text.endswith(" ") if text else blank
        elif segment.kind in ("word", "void") and segment.name + segment.kind != "void":  # comments are not seen
            blank = False
        yield replace(segment, text=text)


def _blank_before(segment: Segment) -> int:
    return len(segment.source) - len(segment.source.lstrip("\t\n\f\r ")) if segment.kind == "text" else 0


def _blank_behind(segment: Segment) -> int:
    return len(segment.source) - len(segment.source.rstrip("\t\n\f\r ")) if segment.kind == "text" else 0


def _shown(text: str) -> str:
    return _BLANK.sub(" ", text).strip(" ")


def _encoded(text: str) -> str:
    return html.escape(text, quote=False)


def _as_value(text: str, quote: str) -> str:
    """A text as the value of an attribute, in new quotes where it had none."""
    text = _encoded(text).replace(quote or '"', "&quot;" if quote != "'" else "&#39;")
    return text if quote else f'"{text}"'


def _with_value(tag: str, attribute: Attribute, value: str) -> str:
    return tag[: attribute.start] + _as_value(value, attribute.quote) + tag[attribute.end :]
