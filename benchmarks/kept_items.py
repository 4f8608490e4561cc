"""Items that a translation has to leave alone, in sentences where they occur, and which of them it has changed.

The sentences are those of `kept_templates.txt`, and held-out ones of Tatoeba with a number of their own, or with an
emoji before, after or amid them. An item is changed unless it is in the translation letter for letter. Of a number the
forms of other languages will do (3.14 and 3,14; 1,000 and 1 000; 8:45, 8 h 45 and 20 h 45), and up to twelve its words.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).with_name("kept_templates.txt")
TEMPLATE_SHARE = 0.8  # of the sentences; the others are Tatoeba's
SECOND_SENTENCE = 0.2  # of the lines
MOST = 3  # items of a line
_SLOT = re.compile(r"\[(\w+)\](?:([^\[]+)\[/\1\])?")
_NUMBER = re.compile(r"\d+(?:[,.:]\d+)*")

EMOJI = [*"😀😂🙂😍😢😡👍🙏💔🔥🎉✨⭐☕🍕🍎🚀🚲✅❌🐶🐱🌍🫶💡📎🎂"]
EMOJI += [
    "👍🏽",
    "👏🏿",
    "❤️",
    "☀️",
    "⚠️",
    "🇫🇷",
    "🇩🇪",
    "\U0001f469\u200d\U0001f4bb",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f937\u200d\u2640\ufe0f",
    "1️⃣",
    "➡️",
]
URLS = [
    "https://example.org",
    "http://www.example.com/",
    "https://shop.example.net/cart?id=42&lang=en",
    "www.example.org",
    "https://en.wikipedia.org/wiki/Alan_Turing",
    "https://github.com/python/cpython/issues/1234",
    "https://example.com/docs/getting-started.html#install",
    "example.com/help",
    "https://maps.example.org/@48.85,2.35,15z",
    "ftp://files.example.net/pub/readme.txt",
]
EMAILS = [
    "info@example.org",
    "anna.smith@example.com",
    "support+fr@shop.example.net",
    "no-reply@mail.example.org",
    "j.doe_77@example.co.uk",
    "Sales@Example.com",
]
PATHS = [
    "/etc/hosts",
    "/usr/local/bin/python3",
    "C:\\Users\\Anna\\Documents",
    "~/Downloads/report.pdf",
    "src/main/app.py",
    "../images/logo_small.png",
    "config.yaml",
    "/var/log/nginx/error.log",
    "D:\\backup\\2024\\photos.zip",
    "README.md",
]
VERSIONS = [
    "v2.1.0",
    "1.32.4",
    "3.11.2",
    "v0.9.0-beta.2",
    "2024.10.1",
    "v18.0",
    "5.15.0-91",
    "v1.0.0-rc1",
    "10.0.22631",
]
CODES = ["XR-2400", "AB12-9931", "ZX81", "WH-1000XM5", "RTX4090", "SKU-00417", "B07XJ8C8F5", "T-800", "PO-2024-0815"]
NAMES = ["name", "count", "user_name", "0", "fileName", "item", "city", "total", "first_name"]
PRINTF = ["%s", "%d", "%1$s", "%2$d", "%@", "%(name)s", "%i", "%.2f", "%ld"]
TAGS = ["b", "i", "strong", "em", "u", "code"]
HASHTAGS = [
    "#summer",
    "#MondayMotivation",
    "#throwback",
    "#Paris2024",
    "#nofilter",
    "#OpenSource",
    "#tbt",
    "#FridayFeeling",
]
MENTIONS = ["@anna", "@john_doe", "@OpenAI", "@marie.curie", "@the_real_tom", "@bbc", "@x99"]
COMMANDS = ["pip install quartet", "git commit -m", "npm run build", "ls -la", "make test", "docker ps"]
FUNCTIONS = ["len(x)", "get_user()", "map", "Array.from", "sorted(key=None)"]
OPTIONS = ["--verbose", "DEBUG=1", "log_level", "-v"]
LINKS = ['<a href="https://example.org">', '<a href="/home">', '<a class="nav" href="#top">']

WORDS = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    "fr": ("zéro", "une?", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze"),
    "de": ("null", "eine?[nmrs]?|eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn",
           "elf", "zwölf"),
    "es": ("cero", "un[oa]?", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez",
           "once", "doce"),
}  # fmt: skip

Choose = Callable[[random.Random], str]


def _of(values: Sequence[str], form: str = "{}") -> Choose:
    return lambda rng: form.replace("{}", rng.choice(values))


# by slot of the templates: the kind, and how a value is made
SLOTS: dict[str, tuple[str, Choose]] = {
    "small": ("number", lambda rng: str(rng.randint(2, 12))),
    "count": ("number", lambda rng: str(rng.randint(13, 999))),
    "percent": ("number", lambda rng: str(rng.randint(13, 99))),
    "big": ("number", lambda rng: f"{rng.randint(1_000, 2_000_000):,}"),
    "decimal": ("number", lambda rng: f"{rng.uniform(1, 99):.{rng.randint(1, 2)}f}"),
    "price": ("number", lambda rng: f"{rng.randint(1, 400)}.{rng.choice(('50', '99', '95', '20'))}"),
    "year": ("number", lambda rng: str(rng.randint(1400, 2030))),
    "time": ("number", lambda rng: f"{rng.randint(1, 12)}:{rng.randint(1, 59):02}"),
    "phone": ("phone", lambda rng: f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999):04}"),
    "url": ("URL", _of(URLS)),
    "email": ("e-mail", _of(EMAILS)),
    "path": ("path", _of(PATHS)),
    "version": ("version", _of(VERSIONS)),
    "code": ("product code", _of(CODES)),
    "name": ("`{name}`", _of(NAMES, "{{}}")),
    "double": ("`{{ x }}`", _of([name for name in NAMES if name != "0"], "{{ {} }}")),
    "dollar": ("`${x}`", _of(["HOME", "user", "PORT", "server.name", "db_host"], "${{}}")),
    "printf": ("`%s`", _of(PRINTF)),
    "b": ("tag", _of(TAGS, "<{}>")),
    "a": ("tag", _of(LINKS)),
    "br": ("tag", _of(["<br>", "<br/>"])),
    "amp": ("entity", _of(["&amp;"])),
    "nbsp": ("entity", _of(["&nbsp;", "&#160;"])),
    "less": ("entity", _of(["&lt;", "&gt;", "&le;", "&#60;"])),
    "sign": ("entity", _of(["&copy;", "&#169;", "&reg;"])),
    "quote": ("entity", _of(["&quot;", "&#34;"])),
    "emoji": ("emoji", _of(EMOJI)),
    "hashtag": ("hashtag", _of(HASHTAGS)),
    "mention": ("@name", _of(MENTIONS)),
    "command": ("code", _of(COMMANDS, "`{}`")),
    "function": ("code", _of(FUNCTIONS, "`{}`")),
    "option": ("code", _of(OPTIONS, "`{}`")),
}
KINDS = tuple(dict.fromkeys(kind for kind, _ in SLOTS.values()))


@dataclass(frozen=True)
class Item:
    """Something to be kept; a pair of tags has two parts, with text between them."""

    kind: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class ItemLine:
    """A text with items."""

    text: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Changes:
    """Items of each kind, those that were changed, and the first few of these: kind, line, translation."""

    total: Counter[str]
    changed: Counter[str]
    examples: tuple[tuple[str, str, str], ...]

    @property
    def rate(self) -> float:
        """Changed items among all."""
        return self.changed.total() / self.total.total()


# ---- lines -----------------------------------------------------------------------------------------------------------


def make_item_lines(texts: Sequence[str], count: int, seed: int = 0) -> list[ItemLine]:
    """Lines of English with 1 to 3 items each, and so many items in all (or one or two more); `texts`: Tatoeba's."""
    rng = random.Random(seed)
    templates = TEMPLATES.read_text(encoding="utf-8").splitlines()
    lines: list[ItemLine] = []
    found = 0
    while found < count:
        line = _sentence(templates, texts, rng)
        if rng.random() < SECOND_SENTENCE:
            other = _sentence(templates, texts, rng)
            if len(line.items) + len(other.items) <= MOST:
                line = ItemLine(f"{line.text} {other.text}", line.items + other.items)
        lines.append(line)
        found += len(line.items)
    return lines


def _sentence(templates: Sequence[str], texts: Sequence[str], rng: random.Random) -> ItemLine:
    return filled(rng.choice(templates), rng) if rng.random() < TEMPLATE_SHARE else _of_tatoeba(texts, rng)


def filled(template: str, rng: random.Random) -> ItemLine:
    """The template with a value in each slot; `[b]word[/b]` has a tag on both sides."""
    items = []

    def fill(slot: re.Match[str]) -> str:
        kind, choose = SLOTS[slot[1]]
        value, inner = choose(rng), slot[2]
        if inner is None:
            items.append(Item(kind, (value,)))
            return value
        end = re.sub(r"<(\w+).*>", r"</\1>", value)
        items.append(Item(kind, (value, end)))
        return value + inner + end

    return ItemLine(_SLOT.sub(fill, template), tuple(items))


def _of_tatoeba(texts: Sequence[str], rng: random.Random) -> ItemLine:
    """A sentence that has a number, else one with an emoji before, after or amid it."""
    numbered = [text for text in texts if _NUMBER.search(text)]
    if numbered and rng.random() < 0.2:
        text = rng.choice(numbered)
        return ItemLine(text, tuple(Item("number", (number,)) for number in _NUMBER.findall(text)))
    words, emoji = rng.choice([text for text in texts if text not in numbered]).split(" "), rng.choice(EMOJI)
    place = rng.choice((0, len(words), rng.randint(0, len(words))))
    return ItemLine(" ".join([*words[:place], emoji, *words[place:]]), (Item("emoji", (emoji,)),))


# ---- what is changed -------------------------------------------------------------------------------------------------


def compare(lines: Sequence[ItemLine], translations: Sequence[str], target: str) -> Changes:
    """Which items the translations of lines have changed."""
    total: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    examples = []
    for line, translation in zip(lines, translations, strict=True):
        gone = changed_items(line.items, translation, target)
        total.update(item.kind for item in line.items)
        changed.update(item.kind for item in gone)
        examples += [(item.kind, line.text, translation) for item in gone]
    return Changes(total, changed, tuple(examples))


def changed_items(items: Sequence[Item], translation: str, target: str) -> list[Item]:
    """The items that the translation has not. What one item has found is taken away, so that two need two."""
    gone = []
    rest = translation
    for item in sorted(items, key=lambda item: -max(map(len, item.parts))):  # 12 is not to be found in 12.50
        for part in item.parts:
            pattern = _pattern(item.kind, part, target)
            found = re.search(pattern, rest)
            rest = re.sub(pattern, "\0", rest, count=1)
            if not found:
                gone.append(item)
                break
    return gone


def _pattern(kind: str, text: str, target: str) -> str:
    if kind == "number":
        return _number_pattern(text, target)
    before = r"(?<!\w)" if re.match(r"\w", text) else rf"(?<![${re.escape(text[0])}])"
    after = r"(?!\w)" if re.search(r"\w$", text) else ""
    if kind == "emoji":
        after = "(?![\u200d\ufe0f\u20e3\U0001f3fb-\U0001f3ff])"
    return before + re.escape(text) + after


def _number_pattern(text: str, target: str) -> str:
    """English digits in the forms of other languages, or as a word."""
    hours, colon, minutes = text.partition(":")
    whole, point, decimals = text.partition(".")
    if colon:
        form = rf"0?(?:{hours}|{int(hours) + 12})\s?(?::|\.|h|Uhr|heures?)\s?{minutes}"
        if target == "de" and minutes == "30":  # half of the next hour
            return rf"(?<!\d){form}(?!\d)|(?i:\bhalb (?:{WORDS[target][int(hours) % 12 + 1]})\b)"
    else:
        form = r"[,.'’\s]?".join(whole.split(",")) + (rf"[.,]{decimals}" if point else "")
    digits = rf"(?<!\d)(?<!\d[.,]){form}(?!\d)(?![.,]\d)"
    if text.isdigit() and int(text) < len(WORDS[target]):
        return rf"{digits}|(?i:\b(?:{WORDS[target][int(text)]})\b)"
    return digits
