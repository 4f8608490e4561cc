"""What a model gets in place of an item that is kept letter for letter, and the item in its place again.

Models that were not trained for placeholders translate `{name}`, spell `example.org` in French or lose an emoji, but
copy what looks like a name or a code. So an item is replaced by a stand-in, and each stand-in has to come out exactly
once. Which ones a model copies, `benchmarks/stand_ins.py` measures, and `survival` tries in a moment.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, count
from typing import Literal, get_args

from quartet.text.kept import KeptSpan, between, kept_spans
from quartet.text.languages import iso639_1

# each is named after its first stand-in; in this order, where nothing is known of a model
Style = Literal["X1", "M1", "X", "Tom", "Boston", "340", "[1]", "1", "as it is"]
STYLES: tuple[Style, ...] = get_args(Style)

NAMES: frozenset[Style] = frozenset({"Tom", "Boston"})  # no good stand-ins for tags and emoji
UNTRIED: tuple[Style, ...] = ("X1", "M1", "Tom")  # where nothing is known of a model: some for each kind of them
LEAST_SURVIVAL = 0.7  # of a style that is worth an attempt
MOST_STYLES = 3

_NAMES: dict[str, Sequence[str]] = {
    "X": "XZKQWRBDFGHJL",
    "Tom": ("Tom", "Mary", "John", "Bob", "Jack", "Jim", "Ken", "Mike"),
    "Boston": ("Boston", "Tokyo", "Berlin", "Madrid", "Oslo", "Kyoto", "Chicago", "Toronto"),
    "340": ("340", "270", "460", "580", "690"),
}
_WITH_NUMBERS = ("X1", "Tom", "Boston")  # the others try what else there is for a number
_COUNTED = re.compile(  # `%d`, `{count}`: the grammar around it is that of a number
    r"%(?:\d\$)?[-+#0 ]*\d*(?:\.\d+)?(?:[hl]{0,2}|[zjtLq])[diuf]|"
    r"%[(<{](\w+)[)>}][\d.]*[dif]?|[#$%]?\{{1,2}\s*(\w+)\s*\}{1,2}"
)
_COUNT = re.compile(
    r"n|(?:\w*_|[a-z]+(?=[A-Z]))?(?:[Nn]um|[Cc]ount|[Tt]otal|[Nn]umber|[Aa]mount|[Qq]uantity|[Dd]ays|[Hh]ours|[Mm]inutes)"
)

PROBE_ITEMS = (
    ("{name}", "%d"),
    ("https://example.org/a?b=1",),
    ("anna@example.org",),
    ("report.pdf",),
    ("v2.4.1",),
    ("`main`",),
    ("%1$s",),
    ("ABC-1234",),
    ("#travel",),
    ("{{ place }}", "{{ time }}"),
    ("@anna", "/usr/share/doc"),
    ("example.org", "{user}"),
)
PROBES = {  # one for each of these; by ISO 639-1
    "en": (
        "{0} has bought {1} books.",
        "You can read more about it at {0}.",
        "Please write to {0} if you need help.",
        "I have lost {0} again.",
        "Do you still use {0}?",
        "We do not know what {0} does.",
        "Welcome back, {0}!",
        "My order {0} has not come yet.",
        "I saw {0} everywhere yesterday.",
        "We meet in {0} at {1}.",
        "I asked {0} to look for it in {1}.",
        "{0} does not know {1}, but we do.",
    ),
    "fr": (
        "{0} a acheté {1} livres.",
        "Vous pouvez en lire plus sur {0}.",
        "Écrivez à {0} si vous avez besoin d'aide.",
        "J'ai encore perdu {0}.",
        "Utilisez-vous toujours {0} ?",
        "Nous ne savons pas ce que fait {0}.",
        "Bon retour, {0} !",
        "Ma commande {0} n'est pas encore arrivée.",
        "J'ai vu {0} partout hier.",
        "Nous nous retrouvons à {0} à {1}.",
        "J'ai demandé à {0} de le chercher dans {1}.",
        "{0} ne connaît pas {1}, mais nous si.",
    ),
    "de": (
        "{0} hat {1} Bücher gekauft.",
        "Mehr darüber kannst du auf {0} lesen.",
        "Schreiben Sie an {0}, wenn Sie Hilfe brauchen.",
        "Ich habe {0} schon wieder verloren.",
        "Benutzt du {0} noch?",
        "Wir wissen nicht, was {0} macht.",
        "Willkommen zurück, {0}!",
        "Meine Bestellung {0} ist noch nicht da.",
        "Ich habe gestern überall {0} gesehen.",
        "Wir treffen uns in {0} um {1}.",
        "Ich bat {0}, in {1} danach zu suchen.",
        "{0} kennt {1} nicht, aber wir schon.",
    ),
    "es": (
        "{0} ha comprado {1} libros.",
        "Puedes leer más sobre esto en {0}.",
        "Escriba a {0} si necesita ayuda.",
        "He perdido {0} otra vez.",
        "¿Todavía usas {0}?",
        "No sabemos qué hace {0}.",
        "¡Bienvenido de nuevo, {0}!",
        "Mi pedido {0} no ha llegado todavía.",
        "Ayer vi {0} por todas partes.",
        "Nos vemos en {0} a las {1}.",
        "Le pedí a {0} que lo buscara en {1}.",
        "{0} no conoce {1}, pero nosotros sí.",
    ),
}


def joined_spans(text: str, spans: Sequence[KeptSpan]) -> list[KeptSpan]:
    """Spans with nothing but white space between them as one: `<b>{file}</b>` is one item for the model."""
    joined: list[KeptSpan] = []
    for span in spans:
        if joined and not text[joined[-1].end : span.start].strip():
            joined[-1] = _joined(text, joined[-1], span)
        else:
            joined.append(span)
    return joined


def _joined(text: str, one: KeptSpan, other: KeptSpan) -> KeptSpan:
    if one.becomes is None and other.becomes is None:
        return KeptSpan(one.start, other.end, other.kind)
    becomes = one.item(text) + text[one.end : other.start] + other.item(text)
    return KeptSpan(one.start, other.end, "term", becomes)


def replaced(text: str, spans: Sequence[KeptSpan], style: Style) -> tuple[str, tuple[str, ...]]:
    """The text with a stand-in in place of each span (sorted, disjoint), and the stand-ins in order, for `restored`.

    No stand-in occurs twice, or in the text. One that would touch a word or its neighbour gets a space, which is part
    of it in the answer (`" X1"`). `as it is` changes nothing, and the items stand for themselves.
    """
    if style == "as it is":
        return text, tuple(text[span.start : span.end] for span in spans)
    return placed(text, spans, _names(style), _names("340") if style in _WITH_NUMBERS else ())


def placed(
    text: str, spans: Sequence[KeptSpan], names: Iterable[str], numbers: Iterable[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """As `replaced`, with names of one's own, and `numbers` for `%d`, `{count}` and the like.

    What occurs in the text is passed over. When all names are used up, codes follow (`X1`).
    """
    fresh = _fresh(chain(names, _names("X1")), text)
    fresh_numbers = _fresh(numbers, text)
    parts: list[str] = []
    used: list[str] = []
    place = 0
    for number, span in enumerate(spans):
        follows = number > 0 and span.start == place
        is_followed = number + 1 < len(spans) and spans[number + 1].start == span.end
        before = " " * (follows or _is_word(text[span.start - 1 : span.start]))
        after = " " * (not is_followed and _is_word(text[span.end : span.end + 1]))
        numeral = next(fresh_numbers, None) if _is_counted(text[span.start : span.end]) else None
        used.append(before + (numeral or next(fresh)) + after)
        parts += [text[place : span.start], used[-1]]
        place = span.end
    return "".join([*parts, text[place:]]), tuple(used)


def restored(translation: str, stand_ins: Sequence[str], items: Sequence[str]) -> str | None:
    """The translation with the items in place of their stand-ins; None unless each of these is in it exactly once.

    Capitals and spaces inside a stand-in may have changed (`x 1`), but it must not be part of a word. Items that stand
    for themselves have to be there letter for letter, as often as in the text.
    """
    if tuple(stand_ins) == tuple(items):
        return translation if _has_all(translation, items) else None
    number_of = {_squeezed(stand_in): number for number, stand_in in enumerate(stand_ins)}
    found = [match for match in _like(stand_ins).finditer(translation) if _squeezed(match.group()) in number_of]
    numbers = [number_of[_squeezed(match.group())] for match in found]
    if sorted(numbers) != list(range(len(stand_ins))):
        return None
    parts: list[str] = []
    place = 0
    for match, number in zip(found, numbers, strict=True):
        start, end = match.span()
        start -= _surplus_before(translation, start, place, stand_ins[number])
        end += _surplus_after(translation, end, stand_ins[number], items[number])
        parts += [translation[place : max(place, start)], items[number]]
        place = end
    return "".join([*parts, translation[place:]])


def left_out(text: str, spans: Sequence[KeptSpan]) -> str:
    """The text without the spans; of white space on both sides of one, that before it remains."""
    kept: list[str] = []
    for part in between(text, spans):
        if kept and kept[-1][-1:].isspace() and part[:1] in _SIGNS_AT_END:
            kept[-1] = kept[-1].rstrip()
        kept += [part.lstrip() if not kept or kept[-1][-1:].isspace() else part] if part else []
    return "".join(kept)


def put_back(translation: str, text: str, spans: Sequence[KeptSpan]) -> str:
    """The translation of `left_out(text, spans)` with the items after the same share of its words as in the text.

    What touches a word in the text touches one here: a tag that opens the word after it, one that closes that before.
    """
    words = list(_WORD.finditer(translation))
    counts = list(accumulate(len(_WORD.findall(part)) for part in between(text, spans)))
    parts: list[str] = []
    place = 0
    for span, count_before in zip(spans, counts, strict=False):
        item = text[span.start : span.end]
        touches_next = _is_word(text[span.end : span.end + 1])
        touches_last = bool(text[span.start - 1 : span.start].strip())
        share = count_before * len(words) / max(1, counts[-1])
        index = int(share) if touches_next else round(share)  # what opens and what closes have a word between them
        if touches_last and index and not (touches_next and index < len(words)):
            before, after = words[index - 1].end(), ""
        elif index < len(words):
            before, after = words[index].start(), "" if touches_next else " "
        else:
            before, after = len(translation), ""
            item = " " + item if translation and not translation[-1].isspace() else item
        before = max(place, before)
        parts += [translation[place:before], item, after]
        place = before
    return "".join([*parts, translation[place:]])


def survival(translate: Callable[[list[str]], list[str]], language: str) -> dict[Style, float]:
    """Which share of some probes, 0 to 1, keeps all items in each style; empty for a language without probes.

    translate: from `language` (a code in any spelling) to any other, sentence by sentence. It is called once.
    """
    texts = [probe.format(*items) for probe, items in zip(PROBES.get(_code(language), ()), PROBE_ITEMS, strict=False)]
    if not texts:
        return {}
    spans = [joined_spans(text, kept_spans(text)) for text in texts]
    items = [[text[span.start : span.end] for span in found] for text, found in zip(texts, spans, strict=True)]
    sent = [replaced(text, found, style) for style in STYLES for text, found in zip(texts, spans, strict=True)]
    answers = zip(translate([text for text, _ in sent]), sent, items * len(STYLES), strict=True)
    kept = [restored(translation, stand_ins, those) is not None for translation, (_, stand_ins), those in answers]
    return dict(zip(STYLES, _shares(kept, len(texts)), strict=True))


def best_styles(shares: Sequence[Mapping[Style, float]]) -> tuple[Style, ...]:
    """The styles that are worth trying, by what `survival` found in some directions: the best first, perhaps none."""
    means = {style: sum(of[style] for of in shares) / len(shares) for style in STYLES if shares}
    good = [style for style, mean in means.items() if mean >= LEAST_SURVIVAL]
    return tuple(sorted(good, key=lambda style: -means[style])[:MOST_STYLES])


def _code(language: str) -> str:
    return iso639_1(language) or ""


def _shares(kept: Sequence[bool], size: int) -> Iterator[float]:
    """Of each run of so many."""
    return (sum(kept[start : start + size]) / size for start in range(0, len(kept), size))


# ---- names -------------------------------------------------------------------------------------------------------


def _names(style: Style) -> Iterator[str]:
    """Stand-ins of a style, without an end where they are numbered."""
    if style in _NAMES:
        return iter(_NAMES[style])
    return (style.replace("1", str(number)) for number in count(2 if style == "1" else 1))


def _fresh(names: Iterable[str], text: str) -> Iterator[str]:
    """Names that do not occur in the text, each once."""
    used: set[str] = set()
    shapes: set[str] = set()
    for name in names:
        shape = _shape(name)
        if shape not in shapes:
            shapes.add(shape)
            used |= {_squeezed(match.group()) for match in _like([name]).finditer(text)}
        if _squeezed(name) not in used:
            used.add(_squeezed(name))
            yield name


_LATIN = r"0-9A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u052f\u1e00-\u1fff"


def _like(stand_ins: Sequence[str]) -> re.Pattern[str]:
    """Finds all names of the same kinds, but inside words of alphabets that write spaces between them."""
    shapes = sorted({_shape(stand_in.strip()) for stand_in in stand_ins}, key=len, reverse=True)
    return re.compile(rf"(?<![{_LATIN}])(?:{'|'.join(shapes)})(?![{_LATIN}\u0300-\u036f])", re.IGNORECASE)


def _shape(name: str) -> str:
    """A pattern of all names of this kind: any number for a number, spaces where letters, digits and signs meet."""
    if name.isdigit() and len(name) > 3:  # thousands are apart in some languages: 73 519
        return r"\d{1,3}(?:[\s.,]?\d{3})*+"
    return r"\s?".join(r"\d+" if run.isdigit() else re.escape(run) for run in re.findall(r"\d+|[^\W\d_]+|[\W_]", name))


def _squeezed(name: str) -> str:
    """Small letters without spaces, and numbers without thousands."""
    return re.sub(r"(?<=\d)[.,](?=\d{3})|\s+", "", name).lower()


_SIGNS_AT_END = tuple(".,;:!?…)]»”")
_WORD = re.compile(r"\w(?:\S*\w)?")  # without the signs around it


# ---- items -------------------------------------------------------------------------------------------------------


def _has_all(translation: str, items: Sequence[str]) -> bool:
    """Whether each item is there as often as it is among the items, not counting it inside longer ones."""
    wanted = Counter(items)
    either = "|".join(re.escape(item) for item in sorted(wanted, key=len, reverse=True))
    return Counter(match.group() for match in re.finditer(either, translation) if match.group()) == wanted


def _surplus_before(translation: str, start: int, place: int, stand_in: str) -> int:
    """1 where the space before a stand-in is the one that it got, else 0; what is before `place` is done."""
    space = translation[start - 1 : start].isspace()
    touches = start - 1 == place or _is_word(translation[start - 2 : start - 1])
    return int(stand_in.startswith(" ") and space and touches)


def _surplus_after(translation: str, end: int, stand_in: str, item: str) -> int:
    """1 where the space behind a stand-in is the one that it got, or the full stop is one that the item has."""
    if stand_in.endswith(" ") and translation[end : end + 1].isspace() and _is_word(translation[end + 1 : end + 2]):
        return 1
    return int(item[-1:] == "." == translation[end : end + 1] and translation[end : end + 2] != "..")


def _is_counted(item: str) -> bool:
    """Whether an item stands for a number."""
    found = _COUNTED.fullmatch(item)
    return found is not None and all(_COUNT.fullmatch(name) for name in found.groups() if name)


def _is_word(character: str) -> bool:
    """Whether it is a letter, digit or mark, to which a stand-in must not stick."""
    return character != "" and (character.isalnum() or unicodedata.category(character).startswith("M"))
