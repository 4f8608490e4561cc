r"""What of a text is kept letter for letter: addresses, paths, placeholders, markup, emoji, codes.

One pass with one pattern: at each place the first kind that fits wins, and the search goes on behind it. Every part of
the pattern either begins only where a word begins, or cannot run over the sign that it begins with, or is bounded, and
repetitions do not go back, so that the time is linear in the length of the text (those with choices in them are atomic
groups: Python up to 3.11.4 reads them wrongly if they are possessive). What could as well be prose (`100 % of`,
`a < b`, `and/or`, `3.14`, a missing space after a full stop) is left alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.entities import html5
from typing import Literal, get_args

Found = Literal[
    "url",
    "email",
    "phone",
    "path",
    "version",
    "placeholder",
    "tag",
    "entity",
    "emoji",
    "hashtag",
    "mention",
    "code",
    "product",
]
KINDS: tuple[Found, ...] = get_args(Found)
Kind = (
    Found | Literal["number", "unknown", "term"]
)  # others keep numbers that a model lost, what it cannot spell, terms


@dataclass(frozen=True)
class KeptSpan:
    """`text[start:end]` is kept as it is, or becomes what is said here."""

    start: int
    end: int
    kind: Kind
    becomes: str | None = None

    def from_place(self, place: int) -> "KeptSpan":
        """The same in the text that begins at a place of this one."""
        return KeptSpan(self.start - place, self.end - place, self.kind, self.becomes)

    def item(self, text: str) -> str:
        """What comes out in its place."""
        return text[self.start : self.end] if self.becomes is None else self.becomes


def kept_spans(text: str) -> list[KeptSpan]:
    """What is kept of a text: sorted, disjoint, none empty. Linear in the length of the text; never raises."""
    return list(_spans(text)) if _SIGNS.search(text) else []


def between(text: str, spans: Sequence[KeptSpan]) -> list[str]:
    """What is before, between and behind spans (sorted, disjoint), one more than these."""
    edges = [0, *(edge for span in spans for edge in (span.start, span.end)), len(text)]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _spans(text: str) -> Iterator[KeptSpan]:
    place = 0
    while found := _KEPT.search(text, place):
        kind = found.lastgroup or ""
        start, end = found.span()
        if kind in ("url", "path"):
            end = _end_of_address(text, start, end)
        if kind == "placeholder":
            start, end = _with_affixes(text, max(place, start - 1), start, end)
        place = max(end, start + 1)
        if not _is_prose(kind, text[start:end]):
            yield KeptSpan(start, end, _KIND_OF.get(kind, kind))  # type: ignore[arg-type]


def _with_affixes(text: str, before: int, start: int, end: int) -> tuple[int, int]:
    """A placeholder with what touches it and would lose its place: `€{price}`, `{n}px`, `{n}th`, `{name}.txt`."""
    start = before if before < start and text[before] in "€$£¥" else start
    found = None if text.endswith("%}", start, end) else _SUFFIX.match(text, end)
    return start, found.end() if found else end


def _end_of_address(text: str, start: int, end: int) -> int:
    """Where an address ends without the punctuation of the sentence, and without brackets that it has not opened."""
    surplus = {close: text.count(close, start, end) - text.count(open_, start, end) for open_, close in _BRACKETS}
    while end > start:
        last = text[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return end


def _is_prose(kind: str, found: str) -> bool:
    """What a pattern alone cannot tell."""
    if kind == "entity":
        return found[1] != "#" and found[1:] not in html5
    if kind == "version":
        return bool(_NUMBER_OR_DATE.fullmatch(found))
    if kind == "hexadecimal":
        return not (any(map(str.isdigit, found)) and any(map(str.isalpha, found)))
    return False


_SUFFIX = re.compile(r"(?:[A-Za-z]{1,3}|[%€£¥]|\.[a-z]\w{1,3})(?=[\s.,;:!?)\]»”]|$)")
_BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"))
_TRAILING = ".,;:!?¿¡؟،؛।…'’\"*_~|&"

_TO_BE_TAKEN_FOR_WORDS = "am as at be by de do es hr id in is it la me my no pm so to us"  # as a file is: `end.It`
_DOMAINS = (
    "com org net edu gov mil int info biz name dev app ai io co uk eu fr ch nl lu se dk fi pl cz sk hu ro bg "
    "gr tr ru ua rs si lt lv ee ie pt br ar cl mx pe ve ca au nz jp cn kr tw hk sg th vn ph ir il sa ae eg ng "
    "ke za tv cc gg xyz online site shop blog cloud tech wiki example test local localhost "
    f"{_TO_BE_TAKEN_FOR_WORDS}"
)
_EXTENSIONS = (
    "pdf docx? xlsx? pptx? odt ods odp rtf txt md rst tex csv tsv jsonl? xml ya?ml toml ini cfg conf log "
    "html? css scss jsx? tsx? py ipynb java kt rb php cpp hpp cs go rs swift sh bash bat ps1 sql db sqlite "
    "exe msi dll so dmg iso deb rpm apk jar whl zip tar gz tgz bz2 xz 7z rar png jpe?g gif svg webp bmp tiff? "
    "ico psd mp3 mp4 wav ogg flac m4a aac avi mov mkv webm srt vtt ass epub mobi onnx safetensors ttf otf "
    "woff2? bak tmp lock env po pot xliff? strings resx properties eml vcf ics"
)
_ORDINAL_OR_UNIT = (  # what follows a number in lines of capitals: 21ST, 100KM, 1980S
    "ST|ND|RD|TH|S|AM|PM|H|MIN|MM|CM|M|KM|KG|G|MG|L|ML|HZ|KHZ|MHZ|GHZ|W|KW|V|A|MB|GB|TB|KB|BIT|E|ER|ERE|EME|ÈME|O|A|"
    "EUR|USD|K|D|X|P"
)
_NUMBER_OR_DATE = re.compile(
    r"\d{1,3}(?:\.\d{3})++|(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.(?:\d\d|\d{4})|\d{4}\.\d\d?\.\d\d?|"
    r"(?:[01]?\d|2[0-3])\.[0-5]\d\.[0-5]\d"
)

_WORD_BEFORE = r"(?<![^\W_])"  # no letter or digit before
_NO_ASCII_BEFORE = r"(?<![A-Za-z0-9])"  # an address may follow Chinese or Japanese without a space
_URL_SIGN = (  # no white space, no signs that end an address, no scripts that write no spaces
    r"[^\s<>\"`“”„«»‹›…\\^|\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef]"
)
_HOST = r"(?:[^\W_][\w-]{0,62}+\.){1,8}"

# emoji: UTS #51; the planes of pictographs are reserved as a whole, so that those to come are found as well
_PICTURE = (
    r"[\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff\u2190-\u21ff\u2300-\u2307\u230c-\u23ff"
    r"\u2460-\u24ff\u2500-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\ue000-\uf8ff]"
)
_SKIN_OR_STYLE = r"[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\u20e3]*+"
_ONE_EMOJI = (
    rf"(?:[\U0001f1e6-\U0001f1ff]{{1,2}}|[0-9#*]\ufe0f?\u20e3|[©®‼⁉™ℹ]\ufe0f|[\u2600-\u27bf]\ufe0f|"
    rf"{_PICTURE}{_SKIN_OR_STYLE}[\U000e0020-\U000e007f]*+|[\U0001f3fb-\U0001f3ff])"
)
_EMOJI = rf"(?>(?:{_ONE_EMOJI}(?:\u200d(?:{_PICTURE}|[♀♂⚕]){_SKIN_OR_STYLE})*)+)"
_EMOTICON = (
    r"(?<![^\s(\"'«“.!?,…])(?:[:;=8]['’]?-[)(DPpOo|/\\\]\[*]|[:;]['’]?[)(](?![)(])|[:;][DPp3*]|:[oO|]|:'\(|=[)(]|<3|</3|"
    r"[xX]D|\^_?\^|-_-|>_<|[oO]_[oO]|\\o/|¯\\_\(ツ\)_/¯|:[a-z]++(?:[_+-][a-z0-9]++)*+:)(?![^\s.,!?…\"'»”)])"
)

_ATTRIBUTE = (
    r"\s++(?:[@:#*\[(]?[A-Za-z_][\w:.\-\])]*+(?:\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+'|[^\s\"'<>=`]++))|"
    r"(?:async|autoplay|checked|controls|defer|disabled|hidden|loop|multiple|muted|open|readonly|required|selected)\b)"
)
_TAG = (
    rf"<[A-Za-z][\w:.-]*+(?>(?:{_ATTRIBUTE})*)\s*+/?>|</[A-Za-z][\w:.-]*+\s*>|<!--[^<>]*+(?<=--)>|"
    r"<\?[a-z][^<>]*+>|<![A-Za-z\[][^<>]*+>|</?\d++/?>|</?>|"
    r"<(?:\d{2,4}+:)?\d\d:\d\d\.\d{3}>|<v(?:\.[\w.-]+)?\s[^<>\n]{1,80}+>"
)

_BRACED = r"(?>\{(?:[^{}\n]|\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]*\})*\})*\})*\})"  # four deep
_CHOICE = rf"(?=\{{\s*+[\w.]++\s*+,\s*+(?:plural|select|selectordinal|choice|number|date|time|spellout)\b){_BRACED}"
_FIELD = (
    r"\{[$#@%^/!&>]?\s?[\w.\[\]$*-]*+(?: [\w.-]++){0,2}+(?:![rsa])?"
    r"(?:,\s*-?\d{1,3})?(?::[^{}\s]{0,40}+)?(?:\|[^{}\n]{0,40}+)?\s?\}"
)
_PLACEHOLDER = "|".join(
    (
        r"\{\{\{?[^{}\n]{0,200}+\}\}\}?",
        r"\{%(?>(?:[^{}%\n]|%(?!\}))*)%\}",
        r"\{#(?>(?:[^{}#\n]|#(?!\}))*)#\}",
        _CHOICE,
        rf"(?:(?<![\w$])\$|#|@|(?<![\d\s])%|(?<!\S)%)?{_FIELD}",
        r"<%(?>(?:[^<>%\n]|%(?!>))*)%>",
        r"\[\[[^\[\]\n]{1,80}+\]\]",
        r"\[X\d{1,6}+X\]",  # as Weblate hides placeholders
        r"%\([A-Za-z_][\w.-]*+\)[-+#0]*+\d*+(?:\.\d++)?[diouxXeEfFgGcrsa]",
        r"%<[A-Za-z_]\w*+>[-+#0]*+\d*+(?:\.\d++)?[a-zA-Z]",
        r"%%",
        r"(?<![\d%])(?<!\d[ \u00a0\u202f])%[A-Za-z_][\w.-]{2,60}+%",
        r"(?<![\d%])(?<!\d[ \u00a0\u202f])%(?:\d{1,2}\$)?[-+#0]*+(?:\d{0,3}+|\*)(?:\.(?:\d{1,3}|\*))?"
        r"(?:hh?|ll?|[zjtLq])?[diouxXeEfFgGcsaApn@](?![A-Za-z]{2})",
        r"(?<![\d%])(?<!\d[ \u00a0\u202f])%L?[1-9](?![\w%])(?![.,]\d)",
        r"(?<![\w$])\$[A-Za-z_]\w++",
        r"(?<![^\W_])__[A-Z][A-Z0-9_]*?__(?![^\W_])",
    )
)

_CODE = "|".join(
    (
        r"(?<=[.!?:;,\s\"'])\\[nrt]|\\[nrt](?![a-z])",
        r"```(?>(?:[^`]|`(?!``))*)```",
        r"(?<!`)``(?>(?:[^`\n]|`(?!`))+)``(?!`)",
        r"(?<![`\w])`[^`\s](?:[^`\n]*[^`\s])?`(?![`\w])",
        r"(?<![\w$\\])\$(?!\d)(?=[^$\n]{0,200}[\\^_])[^$\s](?:[^$\n]{0,200}[^$\s])?\$(?![\w$])",
        rf"{_WORD_BEFORE}(?<![_.])[A-Za-z_]\w*+(?:(?:\.|::|->)[A-Za-z_]\w*+){{0,8}}\(\)",
        rf"{_WORD_BEFORE}(?<![_'’-])[A-Za-z][A-Za-z0-9]*+(?:_++[A-Za-z0-9]++)++(?![\w'’])",
    )
)

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_EMAIL = rf"(?<![\w.+%-])(?:mailto:)?[\w+%-]{{1,64}}+(?:\.[\w+%-]{{1,64}}+){{0,8}}+@{_HOST}[^\W\d_]{{2,24}}+(?![\w-])"

_DOMAIN = "|".join(_DOMAINS.split())
_LINK = "|".join(
    (
        rf"{_NO_ASCII_BEFORE}[A-Za-z][A-Za-z0-9+.-]{{1,20}}+://{_URL_SIGN}++",
        rf"{_WORD_BEFORE}(?:tel|sms|urn|magnet|doi|data):(?=[\w+?])(?=\S{{0,40}}\d){_URL_SIGN}++",
        rf"{_NO_ASCII_BEFORE}www\.{_URL_SIGN}++",
        rf"(?<![\w.@/\\-]){_HOST}(?:{_DOMAIN})(?::\d{{1,5}}+)?[/?#]{_URL_SIGN}*+",
        rf"{_WORD_BEFORE}localhost(?::\d{{1,5}}+)(?:[/?#]{_URL_SIGN}*+)?",
        rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\d)(?:/\d\d?(?!\d))?(?::\d{{1,5}}+)?(?:/"
        rf"{_URL_SIGN}*+)?",
        rf"(?<![\w.@/\\-]){_HOST}(?:{_DOMAIN})(?::\d{{1,5}}+)?(?![\w@-])(?!\.\w)",
        r"(?<![\w.@/\\-])(?:[A-Z0-9-]{2,63}+\.){1,4}(?:COM|ORG|NET|DE|FR|EU|IO|UK)(?![\w@-])(?!\.\w)",
    )
)

_PART = r"[\w.+@~$%{}=-]++"
_EXTENSION = "|".join([*_EXTENSIONS.split(), *(name.upper() for name in _EXTENSIONS.split() if len(name) > 2)])
_PATH = "|".join(
    (
        rf"(?<![^\s\"'(\[«“„=,>`])(?:~|\.\.?(?:/\.\.)*+)?(?:/{_PART}){{2,64}}+/?",
        rf"(?<![^\s\"'(\[«“„=,>`])(?:~|\.\.?(?:/\.\.)*+)/(?:{_PART}/?)?",
        rf"(?<![^\s\"'(\[«“„=,>`])/{_PART}/(?![\w/])",
        rf"{_WORD_BEFORE}[A-Za-z]:\\(?:[^\\/:*?\"<>|\s]++(?: [^\\/:*?\"<>|\s]++)*+\\)*[^\\/:*?\"<>|\s,;!)»”]*+",
        rf"{_WORD_BEFORE}[A-Za-z]:/{_PART}(?:/{_PART})*+/?",
        r"(?<!\S)\\\\[\w.$-]++(?:\\[\w.$-]++)++",
        rf"(?<![\w.@/\\-])(?:[\w-]{{1,80}}+[./])+(?<=\.)(?:{_EXTENSION})(?![\w@-])(?!\.\w)",
        rf"(?<![^\s\"'(«“„])\.(?:{_EXTENSION})(?![\w@-])(?!\.\w)",
    )
)

_VERSION = "|".join(
    (
        rf"{_WORD_BEFORE}(?<![.,-])[vV]\.?\d{{1,4}}+(?:\.\d{{1,8}}+)*+(?:[-+_.]?[A-Za-z][A-Za-z0-9]{{0,15}}+)?"
        r"(?:[-+.][A-Za-z0-9]{1,40}+)*+(?![\w])",
        rf"{_WORD_BEFORE}(?<![.,/:-])\d{{1,4}}+(?:\.\d{{1,8}}+)++"
        r"[-+_.]?(?:alpha|beta|a|b|c|rc|dev|post|pre|snapshot|SNAPSHOT|RC|Final|GA|nightly|canary|next|lts|LTS)"
        r"(?>(?:[-+.]?[a-z]{0,8}\d{1,8})*)(?!\w)",
        rf"{_WORD_BEFORE}(?<![.,/:-])\d{{1,4}}+(?:\.\d{{1,8}}+){{2,6}}+(?:[-+][A-Za-z0-9]++(?:[.-][A-Za-z0-9]++)*+)?(?!\w)",
    )
)

_NO_ORDINAL = rf"(?!\d++(?:{_ORDINAL_OR_UNIT})\b)(?!\d++-[A-Z]{{3,}}+)"
_PRODUCT = "|".join(
    (
        rf"{_WORD_BEFORE}[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}(?!\w)",
        rf"{_WORD_BEFORE}[A-Z]{{2}}\d\d(?: ?[A-Z0-9]{{4}}){{3,7}}(?: ?[A-Z0-9]{{1,3}})?(?!\w)",
        rf"{_WORD_BEFORE}0[xX][0-9a-fA-F]{{1,64}}+(?!\w)",
        rf"{_WORD_BEFORE}(?<![-.,'’]){_NO_ORDINAL}(?=[A-Z0-9/-]{{0,40}}[A-Z])(?=[A-Z0-9/-]{{0,40}}\d)(?=[A-Z0-9-]{{4,64}}+)"
        r"[A-Z0-9]++(?:-[A-Z0-9]++)*+[a-z]?(?![\w])",
        rf"{_WORD_BEFORE}(?<![-.,'’])[a-z]{{1,4}}\d{{1,3}}-\d{{3,6}}[A-Za-z]{{0,3}}(?!\w)",
    )
)
_HEXADECIMAL = rf"{_WORD_BEFORE}(?<![-.,])[0-9a-f]{{7,128}}+(?!\w)"

_PHONE = r"(?<![\w+])\+\d{1,3}(?:[ \u00a0.-]?(?:\(\d{1,4}\)|\d{1,5})){2,6}(?!\w)"

_PATTERNS = {
    "tag": _TAG,
    "placeholder": _PLACEHOLDER,
    "email": _EMAIL,
    "url": _LINK,
    "phone": _PHONE,
    "path": _PATH,
    "code": _CODE,
    "emoticon": _EMOTICON,
    "entity": r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});",
    "emoji": _EMOJI,
    "hashtag": r"(?<![^\W_])(?<![#&/])#(?=\w*[^\W\d_])\w++(?:-\w++)*+",
    "mention": r"(?<![\w@./])@[A-Za-z_][\w-]*+(?:[./][\w-]++)*+",
    "version": _VERSION,
    "product": _PRODUCT,
    "hexadecimal": _HEXADECIMAL,
}
_KIND_OF: dict[str, Kind] = {"emoticon": "emoji", "hexadecimal": "product"}
# one of these is in everything that is kept: most prose has none, and is read ten times as fast
_SIGNS = re.compile(r"[@/\\%{}<>&#`$_:;=^\[\]~|\d]|\.\w|\(\)|[xX]D|[^\x00-\u218f]")
_KEPT = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items()))
