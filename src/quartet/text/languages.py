"""Language names: every code or name in common use, to the spelling that a model has for it.

A code is a language, perhaps a script, perhaps a region: `fr`, `fra`, `fre`, `fra_Latn`, `fr-FR`, `zh-Hant`; models
dress theirs as `__fr__`, `>>fra<<` or `<2fr>`. Some codes in use are none of ISO 639 (Argos' and LibreTranslate's `zt`,
opus-mt's `pob`). A plain code of several languages (`ar`, `no`, `zh`) means the one that
translation models mean by it, the first with this code in `languages.tsv`.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from quartet.errors import LanguageError

SHORT_LIST = 8  # up to so many languages of a model are listed in an error

SCRIPT_NAMES = {
    "Arab": "Arabic",
    "Beng": "Bengali",
    "Cyrl": "Cyrillic",
    "Deva": "Devanagari",
    "Hans": "Simplified",
    "Hant": "Traditional",
    "Latn": "Latin",
    "Mtei": "Meitei Mayek",
    "Olck": "Ol Chiki",
    "Tfng": "Tifinagh",
}
CHINESE_SCRIPTS = {"CN": "Hans", "SG": "Hans", "HK": "Hant", "MO": "Hant", "TW": "Hant"}  # by region
# codes and names of varieties that ISO 639 does not know or gives to others, as they stand after `_bare`
ALIASES = {
    **dict.fromkeys(("pb", "pob", "brazilian", "brazilian portuguese", "portuguese (brazil)"), "pt_br"),
    **dict.fromkeys(("european portuguese", "portuguese (portugal)"), "pt_pt"),
    **dict.fromkeys(("zt", "zht", "zh_cht", "chinese (taiwan)", "chinese (hong kong)"), "zh_hant"),
    **dict.fromkeys(("zhs", "zh_chs", "chinese (china)"), "zh_hans"),
}
MODIFIERS = {"latin": "Latn", "cyrillic": "Cyrl", "devanagari": "Deva"}  # of locales: `sr_RS@latin`

_DRESS = re.compile(r"__(.+)__|>>(.+)<<|<2(.+)>")
_CODE = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|[0-9]{3}))?(?:\.[^@]*)?(?:@(.*))?", re.IGNORECASE)
_NAME_AND_REGION = re.compile(r"(.+) \(([a-z]{2}|[0-9]{3})\)", re.IGNORECASE)
_PLAIN = r"([a-z]{2,3}(?:[-_][A-Za-z]{4})?(?:[-_](?:[A-Za-z]{2}|[0-9]{3}))?)"
# with punctuation after it, it is a word in quotation marks: `>>ja<<, sagte sie`
_TYPED = re.compile(rf"\s*(?:>>{_PLAIN}<<|<2{_PLAIN}>)(?![.,;:!?…)])\s*")


@dataclass(frozen=True)
class Entry:
    """One row of `languages.tsv`."""

    code: str  # ISO 639-3, as FLORES-200 has it
    scripts: tuple[str, ...]  # ISO 15924, the usual one first; none where it does not matter
    name: str  # in English
    other_codes: tuple[str, ...]
    other_names: tuple[str, ...]


class Tag(NamedTuple):
    """What a code or name says: the languages that it can mean, likeliest first, and its script and region if any."""

    entries: tuple[Entry, ...]
    script: str | None = None
    region: str | None = None


class Table(NamedTuple):
    """`languages.tsv`, by code and by folded name."""

    codes: dict[str, tuple[Entry, ...]]
    names: dict[str, Tag]


def resolve(name: str, available: Sequence[str]) -> str:
    """The one of the `available` codes that `name` means.

    Raises `LanguageError` where `name` is no language, with near ones suggested, or none of the model's.
    """
    code = find(name, available)
    if code is not None:
        return code
    tag = _parse(name)
    raise LanguageError(_unknown(name, available) if tag is None else _missing(tag, available))


def find(name: str, available: Sequence[str]) -> str | None:
    """Like `resolve`, but None where the model has no such language.

    A script that both sides name must agree (`sr-Latn` is not `srp_Cyrl`); a code without script stands for any. A
    region that both name need not (`pt-PT` of `pb` alone is `pb`), but one that agrees, or none, is preferred.
    """
    if name in available:
        return name
    bare = _bare(name)
    for code in available:
        if _bare(code) == bare:
            return code
    wanted = _parse(name)
    if wanted is None:
        return None
    ranked = [(rank, code) for code in available if (rank := _rank(wanted, _parse(code))) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def is_language(code: str) -> bool:
    """Whether a code or name means a language that quartet knows; groups of languages (`roa`, `mul`) do not."""
    return _parse(code) is not None


def check_known(name: str) -> None:
    """Raise `LanguageError` where a code or name means no language that quartet knows."""
    if not is_language(name):
        raise LanguageError(f"unknown language {name!r}; expected a code or a name, such as fr or French")


def display_name(code: str) -> str:
    """English name of a language code, e.g. `Chinese (Traditional)`; the code itself where it is unknown."""
    tag = _parse(code)
    if tag is None:
        return code
    entry = tag.entries[0]
    script = tag.script if len(entry.scripts) > 1 or tag.script not in (*entry.scripts, None) else None
    details = [SCRIPT_NAMES.get(script, script)] if script else []
    details += [tag.region] if tag.region and not script else []
    return f"{entry.name} ({', '.join(details)})" if details else entry.name


def iso639_1(code: str) -> str | None:
    """Two-letter code of the language (`fra_Latn` -> `fr`), or None where it has none or is unknown."""
    tag = _parse(code)
    return next((c for c in tag.entries[0].other_codes if len(c) == 2), None) if tag else None


def script_of(code: str) -> str | None:
    """ISO 15924 script that a code names or its language usually has (`ja` -> `Jpan`), or None where unknown."""
    tag = _parse(code)
    return (tag.script or next(iter(tag.entries[0].scripts), None)) if tag else None


def scripts_of(code: str) -> tuple[str, ...]:
    """ISO 15924 scripts that a code names or its language is written in; none where they are unknown."""
    tag = _parse(code)
    if tag is None:
        return ()
    return (tag.script,) if tag.script else tag.entries[0].scripts


def bcp47(name: str) -> str | None:
    """A code or a name as HTML has it (`fra_Latn` -> `fr`, `zt` -> `zh-Hant`, `pt_BR` -> `pt-BR`); None if unknown."""
    tag = _parse(name)
    if tag is None:
        return None
    entry = tag.entries[0]
    script = tag.script if tag.script != next(iter(entry.scripts), None) or iso639_1(name) == "zh" else None
    return "-".join(filter(None, (iso639_1(name) or entry.code, script, tag.region)))


def language_of(code: str) -> str:
    """The language alone of a code or a name, as FLORES-200 has it (`zt` -> `zho`); the code itself where unknown."""
    tag = _parse(code)
    return tag.entries[0].code if tag else code


def typed_tag(text: str) -> tuple[str, str] | None:
    """The target that is typed before a text, and the text without it: `>>fra<< Hello` -> `("fra", "Hello")`.

    opus-mt's `>>fra<<` and MADLAD's `<2fr>` are taken for that. M2M100's `__fr__` is not, for nobody types it, and
    `__no__` is a word in bold type in Markdown. None where a text begins otherwise.
    """
    found = _TYPED.match(text)
    return (found[found.lastindex or 0], text[found.end() :]) if found else None


def _bare(code: str) -> str:
    """The code without its dress, in one spelling: `__zh-CN__` -> `zh_cn`."""
    code = code.strip()
    dressed = _DRESS.fullmatch(code)
    return (dressed[dressed.lastindex or 0] if dressed else code).casefold().replace("-", "_")


@lru_cache(maxsize=4096)
def _parse(name: str) -> Tag | None:
    """The tag of a code or a name."""
    bare = _bare(name)
    found = _CODE.fullmatch(ALIASES.get(bare, bare))
    entries = _table().codes.get(found[1]) if found else None
    if not found or not entries:
        return _named_tag(name)
    script = (found[2] and found[2].title()) or MODIFIERS.get(found[4] or "")
    region = found[3] and found[3].upper()
    if entries[0].code == "zho" and not script:
        script = CHINESE_SCRIPTS.get(region or "")
    return Tag(entries, script, region)


def _named_tag(name: str) -> Tag | None:
    """The tag of a name, perhaps with the region as `display_name` has it: `Portuguese (BR)`."""
    tag = _table().names.get(_fold(name))
    if tag is None and (found := _NAME_AND_REGION.fullmatch(name.strip())):
        tag = _table().names.get(_fold(found[1]))
        return tag and tag._replace(region=found[2].upper())
    return tag


def _rank(wanted: Tag, offered: Tag | None) -> tuple[int, int, int, bool, bool] | None:
    """How well an offered tag serves a wanted one: smaller is better, None not at all."""
    common = [entry for entry in wanted.entries if offered and entry in offered.entries]
    if not offered or not common:
        return None
    if wanted.script and offered.script and wanted.script != offered.script:
        return None
    entry = common[0]
    usual = [None, *entry.scripts]
    script = usual.index(offered.script) if offered.script in usual else len(usual)
    if wanted.script:
        script = offered.script is None
    return (
        wanted.entries.index(entry),
        offered.entries.index(entry),
        script,
        offered.region != wanted.region,
        offered.region is not None,
    )


def _unknown(name: str, available: Sequence[str]) -> str:
    words = {_fold(word): code for code in available for word in _words(code)}
    near = difflib.get_close_matches(_fold(name), words, n=2, cutoff=0.7)
    codes = dict.fromkeys(words[word] for word in near)
    if not codes:
        return f"unknown language {name!r}; the model has{offered(available)}"
    return f"unknown language {name!r} (did you mean {' or '.join(map(_named, codes))}?)"


def _words(code: str) -> Iterable[str]:
    """All that a user may have meant to type for a code."""
    tag = _parse(code)
    yield from (code, display_name(code))
    for entry in tag.entries[:1] if tag else ():
        yield from (entry.name, entry.code, *entry.other_names)


def _named(code: str) -> str:
    return f"{display_name(code)} = {code}"


def _missing(tag: Tag, available: Sequence[str]) -> str:
    entry = tag.entries[0]
    script = tag.script or next(iter(entry.scripts), None)
    code = f"{entry.code}_{script}" if script else entry.code
    return f"the model has no {display_name(code)} ({code}); it has{offered(available)}"


def offered(available: Sequence[str]) -> str:
    """Codes in an error, after `it has`: by name where they are few, else how many."""
    names = list(dict.fromkeys(map(display_name, available)))
    if len(names) <= SHORT_LIST:
        return f": {', '.join(names) or 'none'}"
    return f" {len(names)} languages: `quartet languages --model NAME` lists them"


def _fold(name: str) -> str:
    """A name without case, accents and repeated spaces."""
    letters = unicodedata.normalize("NFKD", " ".join(name.split()).casefold())
    return "".join(c for c in letters if not unicodedata.combining(c))


@lru_cache(maxsize=1)
def _table() -> Table:
    text = resources.files(__package__).joinpath("languages.tsv").read_text(encoding="utf-8")
    entries = [_entry(line) for line in text.splitlines() if not line.startswith("#")]
    codes: dict[str, tuple[Entry, ...]] = {entry.code: (entry,) for entry in entries}
    names: dict[str, Tag] = {}
    for entry in entries:
        for code in entry.other_codes:
            codes[code] = (*codes.get(code, ()), entry)
        for name in (entry.name, *entry.other_names):
            names.setdefault(_fold(name), Tag((entry,)))
        names.update(_script_names(entry))
    return Table(codes, names)


def _entry(line: str) -> Entry:
    code, scripts, name, codes, names = line.split("\t")
    return Entry(code, tuple(filter(None, scripts.split(","))), name, tuple(codes.split()), _listed(names))


def _listed(names: str) -> tuple[str, ...]:
    return tuple(filter(None, names.split("; ")))


def _script_names(entry: Entry) -> dict[str, Tag]:
    """Names that tell a script too, e.g. `chinese (simplified)` and `simplified chinese`."""
    named = [(SCRIPT_NAMES[s], Tag((entry,), s)) for s in entry.scripts if s in SCRIPT_NAMES]
    pairs = {f"{entry.name} ({script})": tag for script, tag in named}
    pairs |= {f"{script} {entry.name}": tag for script, tag in named}
    return {_fold(name): tag for name, tag in pairs.items()}
