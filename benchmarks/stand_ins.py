"""What to send to a model in place of an item that is kept letter for letter: `{name}`, an address, an emoji.

    python benchmarks/stand_ins.py MODEL:en-fr demo:en-fr demo:fr-en --pairs ../shared/demo-training \\
        --data ../shared/data/flores-dev

Sentences with a name or a number that is the same in their translation (held out from the demo's training, and from
FLORES) and some of an app get items in its place, or around it. Each way of sending an item is measured: how often do
all items of a sentence come out once and whole, and how good is the rest, in chrF (sacrebleu) with the items left out,
against the real translation. "the word itself" is the same for the sentences as they were. The ladders take the next
way for what a way has lost; the last of them, splitting around the items, loses nothing.
"""

import argparse
import gzip
import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, cycle
from pathlib import Path

import sacrebleu
from report import add_results_argument, report

from quartet import Translator
from quartet.text.kept import KeptSpan
from quartet.text.stand_ins import STYLES, joined_spans, left_out, placed, put_back, replaced, restored

HELD_OUT = range(6)  # of the MD5 of the English sentence modulo 1000, as in training/demo.py
NAMES = [
    "Tom",
    "Mary",
    "John",
    "Boston",
    "Bob",
    "Jack",
    "Jim",
    "Ken",
    "Mike",
    "Ann",
    "Tokyo",
    "Kyoto",
]  # of Tatoeba, the same in translations
SLOTS = ("name", "number", "around")  # what an item is in place of, or beside
AROUND = ("emoji", "tag")  # beside or around a word that stays; all other items take the place of one
Translate = Callable[[list[str]], list[str]]

ITEMS = {
    "name": {
        "url": ["https://example.org/a?b=1", "www.example.com", "http://shop.example.net/cart/42#top", "example.org"],
        "email": ["anna@example.org", "info@my-shop.example.com", "john.smith+news@mail.example.net"],
        "path": ["/usr/share/doc/readme", r"C:\Users\Anna\notes.txt", "report.pdf", "./src/main.py", "~/photos/2024"],
        "placeholder": ["{name}", "%s", "%1$s", "{{ user }}", "${user}", "%(name)s", "%@", "[[name]]", "<%= name %>"],
        "tag": ["<b>|</b>", "<i>|</i>", '<a href="/user/7">|</a>', "<strong>|</strong>"],
        "emoji": ["🙂", "👍🏽", "🎉", "❤️", "👨‍👩‍👧", "🇫🇷", ":-)"],
        "hashtag": ["#travel", "#NewYear2024", "#followfriday"],
        "mention": ["@anna", "@open_source", "@NASA"],
        "code": ["`main`", "`get_name()`", "user_id", "`x = 1`"],
        "product": ["ABC-1234", "GX-200B", "SKU12345", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "RTX3080"],
    },
    "number": {
        "placeholder": ["{count}", "%d", "%2$d", "{0}", "{{ count }}", "%(total)d", "{n}"],
        "version": ["v2.4.1", "1.2.3-rc1", "2.0.14", "v7"],
    },
}
APP = {  # sentences of apps; {0}, {1}, ... are the items
    "en": """Please open {0} to continue.
Dear {0}, you have new messages from {1}.
The file {0} could not be sent to {1}.
{0} invited you to {1}.
Click on {0}, then on {1}.
Copy {0} to {1} and restart the computer.
You can find more information at {0}.
Hello {0}, welcome to {1}!
Write to {0} if you need help.
{0} and {1} are waiting for {2}.
We could not find {0} in {1}.
Sign in with {0} to see your photos.
Your order {0} will arrive on Monday.
Do you want to delete {0}?
To pay with {0}, you need {1}.
The meeting with {0} begins at noon.
If {0} does not work, try {1} or {2}.
Thank you for buying {0}!""",
    "fr": """Veuillez ouvrir {0} pour continuer.
Cher {0}, vous avez de nouveaux messages de {1}.
Le fichier {0} n'a pas pu être envoyé à {1}.
{0} vous a invité à {1}.
Cliquez sur {0}, puis sur {1}.
Copiez {0} vers {1} et redémarrez l'ordinateur.
Vous trouverez plus d'informations sur {0}.
Bonjour {0}, bienvenue à {1} !
Écrivez à {0} si vous avez besoin d'aide.
{0} et {1} attendent {2}.
Nous n'avons pas pu trouver {0} dans {1}.
Connectez-vous avec {0} pour voir vos photos.
Votre commande {0} arrivera lundi.
Voulez-vous supprimer {0} ?
Pour payer avec {0}, vous avez besoin de {1}.
La réunion avec {0} commence à midi.
Si {0} ne fonctionne pas, essayez {1} ou {2}.
Merci d'avoir acheté {0} !""",
    "de": """Bitte öffnen Sie {0}, um fortzufahren.
Liebe/r {0}, Sie haben neue Nachrichten von {1}.
Die Datei {0} konnte nicht an {1} gesendet werden.
{0} hat Sie zu {1} eingeladen.
Klicken Sie auf {0}, dann auf {1}.
Kopieren Sie {0} nach {1} und starten Sie den Computer neu.
Weitere Informationen finden Sie unter {0}.
Hallo {0}, willkommen bei {1}!
Schreiben Sie an {0}, wenn Sie Hilfe brauchen.
{0} und {1} warten auf {2}.
Wir konnten {0} in {1} nicht finden.
Melden Sie sich mit {0} an, um Ihre Fotos zu sehen.
Ihre Bestellung {0} kommt am Montag an.
Möchten Sie {0} löschen?
Um mit {0} zu bezahlen, brauchen Sie {1}.
Das Treffen mit {0} beginnt um zwölf Uhr.
Wenn {0} nicht funktioniert, versuchen Sie {1} oder {2}.
Vielen Dank, dass Sie {0} gekauft haben!""",
    "es": """Abra {0} para continuar.
Querido {0}, tienes nuevos mensajes de {1}.
El archivo {0} no se pudo enviar a {1}.
{0} te ha invitado a {1}.
Haga clic en {0} y luego en {1}.
Copie {0} a {1} y reinicie el ordenador.
Puede encontrar más información en {0}.
Hola {0}, ¡bienvenido a {1}!
Escriba a {0} si necesita ayuda.
{0} y {1} están esperando a {2}.
No pudimos encontrar {0} en {1}.
Inicia sesión con {0} para ver tus fotos.
Tu pedido {0} llegará el lunes.
¿Quieres borrar {0}?
Para pagar con {0}, necesitas {1}.
La reunión con {0} empieza a mediodía.
Si {0} no funciona, prueba {1} o {2}.
¡Gracias por comprar {0}!""",
}


@dataclass(frozen=True)
class Template:
    """A sentence and its translation with `{0}`, `{1}`, ... for words that are the same in both."""

    source: str
    target: str
    words: tuple[str, ...]
    slot: str  # name or number


@dataclass(frozen=True)
class Case:
    """A sentence with items, and the rest of its translation."""

    kind: str
    slot: str  # name, number or around
    text: str
    spans: tuple[KeptSpan, ...]
    rest: str
    plain: str  # with the words
    words: tuple[str, ...]

    @property
    def items(self) -> list[str]:
        return [self.text[span.start : span.end] for span in self.spans]


@dataclass(frozen=True)
class Outcome:
    """A translation, and whether every item of it is there once."""

    text: str
    whole: bool


# ---- sentences ---------------------------------------------------------------------------------------------------


def templates(args: argparse.Namespace, source: str, target: str) -> list[Template]:
    chosen = random.Random(0)
    tatoeba = list(dict.fromkeys(held_out(args.pairs, source, target)))
    chosen.shuffle(tatoeba)
    lines = [(args.data / f"{code}.txt").read_text(encoding="utf-8").splitlines() for code in (source, target)]
    flores = list(zip(*lines, strict=True))
    chosen.shuffle(flores)
    name = rf"(?<!\w)(?:{'|'.join(NAMES)})(?![\w'’])"
    number = r"(?<![\w.,:/-])\d{1,4}(?![\w%:/-]|[.,]\d)"
    capital = r"(?<=[a-z,] )[A-Z][a-z]{3,}(?![\w'’-])"
    parts = (
        some(tatoeba, name, "name", args.sentences // 2),
        some(tatoeba, number, "number", args.sentences // 8),
        some(flores, capital, "name", args.sentences // 5),
        some(flores, number, "number", args.sentences // 10),
    )
    return list(chain(app(source, target), *parts))


def held_out(pairs: Path, source: str, target: str) -> Iterator[tuple[str, str]]:
    """Sentences that the demo was not trained with; between two languages other than English by way of English."""
    texts = [{} if code == "en" else by_english(pairs / f"en-{code}.tsv.gz") for code in (source, target)]
    for english in sorted(set(texts[0] or texts[1]) & set(texts[1] or texts[0])):
        yield texts[0].get(english, english), texts[1].get(english, english)


def by_english(file: Path) -> dict[str, str]:
    found = {}
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            english, other = line.rstrip("\n").split("\t")
            if int(hashlib.md5(english.encode()).hexdigest(), 16) % 1000 in HELD_OUT:
                found.setdefault(english, other)
    return found


def some(pairs: Sequence[tuple[str, str]], pattern: str, slot: str, limit: int) -> list[Template]:
    """Pairs in which the same words, each once on either side, may be replaced."""
    found: list[Template] = []
    for pair in pairs:
        source, target = pair
        words = tuple(dict.fromkeys(re.findall(pattern, source)))[:3]
        if not words or set("{}") & set(source + target):
            continue
        if all(len(re.findall(rf"(?<!\w){word}(?!\w)", text)) == 1 for word in words for text in (source, target)):
            for place, word in enumerate(words):
                source, target = (re.sub(rf"(?<!\w){word}(?!\w)", f"{{{place}}}", text) for text in (source, target))
            found.append(Template(source, target, words, slot))
    return found[:limit]


def app(source: str, target: str) -> Iterator[Template]:
    for one, other in zip(APP[source].splitlines(), APP[target].splitlines(), strict=True):
        yield Template(one, other, tuple(NAMES[: one.count("{")]), "name")


def cases(found: Sequence[Template]) -> list[Case]:
    """Each sentence with items of one kind, the kinds in turn."""
    kinds = {slot: cycle(sorted(items)) for slot, items in ITEMS.items()}
    turns = {(slot, kind): cycle(items) for slot, kinds_ in ITEMS.items() for kind, items in kinds_.items()}
    made = []
    for template in found:
        kind = next(kinds[template.slot])
        if kind == "emoji" and re.search(r"\}\W*$", template.source):
            kind = next(kinds[template.slot])  # an emoji at the end is not sent at all
        around = kind in AROUND
        parts: list[tuple[str, bool]] = []  # text, and whether it is an item
        for part in re.split(r"(\{\d\})", template.source):
            if not re.fullmatch(r"\{\d\}", part):
                parts.append((part, False))
                continue
            word, item = template.words[int(part[1])], next(turns[template.slot, kind])
            before, bar, after = item.partition("|")
            parts += [(before, True), (word, False), (after, True)] if bar else []
            parts += [(f"{word} ", False), (item, True)] if kind == "emoji" else []
            parts += [] if around else [(item, True)]
        spans, text = [], ""
        for part, is_item in parts:
            spans += [KeptSpan(len(text), len(text) + len(part), kind)] if is_item else []  # type: ignore[arg-type]
            text += part
        rest = template.target.format(*template.words if around else [" "] * 3)
        slot = "around" if around else template.slot
        plain = template.source.format(*template.words)
        joined = tuple(joined_spans(text, spans))
        made.append(Case(kind, slot, text, joined, rest, plain, () if around else template.words))
    return made


# ---- ways --------------------------------------------------------------------------------------------------------


STAND_INS: dict[str, Callable[[], Iterator[str]]] = {
    **{
        shape: lambda shape=shape: (shape.replace("1", str(n)) for n in count(1))  # type: ignore[misc]
        for shape in ("A1", "§1", "#1", "@1", "(1)", "<1>", "__1__", "NUM1", "ABC1", "X1X", "Q1", "ID1")
    },
    "XX": lambda: (letter * 2 for letter in "XZKQWRBDFGHJL"),
    "30": lambda: iter(["30", "20", "50", "40", "60"]),
    "Zoe": lambda: iter(["Zoe", "Anna", "Leo", "Max", "Nora", "Emil", "Ivan", "Olga"]),
    "73519": lambda: iter(["73519", "73523", "73547", "73561", "73571", "73583", "73589"]),
}


def with_stand_ins(
    put: Callable[[str, Sequence[KeptSpan]], tuple[str, tuple[str, ...]]],
) -> Callable[[Sequence[Case], Translate], list[Outcome]]:
    def way(some_cases: Sequence[Case], translate: Translate) -> list[Outcome]:
        sent = [put(case.text, case.spans) for case in some_cases]
        outcomes = []
        for case, (_, used), found in zip(some_cases, sent, translate([text for text, _ in sent]), strict=True):
            text = restored(found, used, case.items)
            outcomes.append(Outcome(found if text is None else text, text is not None))
        return outcomes

    return way


def split_around(some_cases: Sequence[Case], translate: Translate) -> list[Outcome]:
    parts = [sides(case) for case in some_cases]
    wanted = sorted({part.strip() for side in parts for part in side if any(map(str.isalpha, part))})
    known = dict(zip(wanted, translate(wanted), strict=True))
    outcomes = []
    for case, side in zip(some_cases, parts, strict=True):
        texts = [in_place(part, known[part.strip()]) if part.strip() in known else part for part in side]
        outcomes.append(Outcome("".join(chain(*zip(texts, [*case.items, ""], strict=True))), True))
    return outcomes


def in_place(part: str, translation: str) -> str:
    """A part of a sentence is no sentence: no capital and no full stop but its own."""
    if part.strip()[-1] not in ".!?":
        translation = translation.rstrip(" .!?")
    if part.strip()[0].islower():
        translation = translation[:1].lower() + translation[1:]
    return part.replace(part.strip(), translation)


def items_left_out(some_cases: Sequence[Case], translate: Translate) -> list[Outcome]:
    found = translate([left_out(case.text, case.spans) for case in some_cases])
    return [
        Outcome(put_back(translation, case.text, case.spans), True)
        for case, translation in zip(some_cases, found, strict=True)
    ]


def sides(case: Case) -> list[str]:
    edges = [0, *(edge for span in case.spans for edge in (span.start, span.end)), len(case.text)]
    return [case.text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


WAYS: dict[str, Callable[[Sequence[Case], Translate], list[Outcome]]] = {
    **{style: with_stand_ins(partial(replaced, style=style)) for style in STYLES},
    **{  # those that are worth less
        name: with_stand_ins(lambda text, spans, names=names: placed(text, spans, names()))  # type: ignore[misc]
        for name, names in STAND_INS.items()
    },
    "left out": items_left_out,
    "split around": split_around,
}
LADDERS = (
    ("X1", "M1", "X", "split around"),
    ("Tom", "Boston", "split around"),
    ("Tom", "Boston", "left out"),
)


# ---- measuring ---------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL:SOURCE-TARGET")
    parser.add_argument("--pairs", type=Path, required=True, help="folder with en-XX.tsv.gz, the demo's sentences")
    parser.add_argument("--data", type=Path, required=True, help="folder with one file of sentences per language")
    parser.add_argument("--sentences", type=int, default=320)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*STYLES, "left out", "split around"])
    parser.add_argument("--threads", type=int)
    add_results_argument(parser)
    args = parser.parse_args()
    kinds = sorted({kind for items in ITEMS.values() for kind in items})
    rows, figures = [], {}
    for job in args.models:
        found = measured(job, args)
        figures[job.rpartition("/")[2]] = found
        rows += [cells(job.rpartition("/")[2], way, said, kinds) for way, said in found.items()]
    columns = ("model", "way", "all whole", "chrF: names", "chrF: numbers", "chrF: beside", *kinds)
    report(args.results, columns, rows, figures, packages=("sacrebleu",))


def cells(model: str, way: str, said: dict[str, float], kinds: Sequence[str]) -> list[object]:
    scores = (f"{said[f'chrf {slot}']:.1f}" for slot in SLOTS)
    return [model, way, f"{said['whole']:.1f} %", *scores, *(f"{said[kind]:.0f}" for kind in kinds)]


def measured(job: str, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    model, _, direction = job.rpartition(":")
    source, target = direction.split("-")
    some_cases = cases(templates(args, source, target))
    with Translator(model, threads=args.threads) as translator:

        def translate(texts: list[str]) -> list[str]:
            return [t.text for t in translator.translate_batch(texts, target, source, split="none", raw=True)]

        words = [
            without(found, case.words)
            for case, found in zip(some_cases, translate([case.plain for case in some_cases]), strict=True)
        ]
        outcomes = {way: WAYS[way](some_cases, translate) for way in args.ways}
    rests = [squeezed(case.rest) for case in some_cases]
    ladders = [ladder for ladder in LADDERS if set(ladder) <= set(outcomes)]
    outcomes |= {" → ".join(ladder): climbed([outcomes[way] for way in ladder]) for ladder in ladders}
    said = {way: figures_of(some_cases, found, rests) for way, found in outcomes.items()}
    said["the word itself"] = figures_of(some_cases, [Outcome(word, True) for word in words], rests)
    return said


def climbed(outcomes: Sequence[Sequence[Outcome]]) -> list[Outcome]:
    """Of each case the first outcome that is whole."""
    return [next(outcome for outcome in of_case if outcome.whole) for of_case in zip(*outcomes, strict=True)]


def figures_of(some_cases: Sequence[Case], found: Sequence[Outcome], rests: list[str]) -> dict[str, float]:
    hypotheses = [without(outcome.text, case.items) for case, outcome in zip(some_cases, found, strict=True)]
    said = {
        "whole": 100 * sum(outcome.whole for outcome in found) / len(found),
        "chrf": sacrebleu.corpus_chrf(hypotheses, [rests]).score,
    }
    for kind in {case.kind for case in some_cases}:
        of_kind = [outcome.whole for case, outcome in zip(some_cases, found, strict=True) if case.kind == kind]
        said[kind] = 100 * sum(of_kind) / len(of_kind)
    for slot in SLOTS:
        those = [number for number, case in enumerate(some_cases) if case.slot == slot]
        scores = sacrebleu.corpus_chrf([hypotheses[n] for n in those], [[rests[n] for n in those]])
        said[f"chrf {slot}"] = scores.score
    return said


def without(text: str, items: Sequence[str]) -> str:
    for item in sorted(items, key=len, reverse=True):
        text = text.replace(item, " ")
    return squeezed(text)


def squeezed(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
