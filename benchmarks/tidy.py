"""What is plain text worth to a model, and what are small letters?

    python benchmarks/tidy.py MODELS/opus-mt-en-fr --data ../shared/data/flores-dev --text ../shared/demo-training

Sentences are written in typographic signs, translated as typed and as `quartet.text.tidy` sends them, and compared
with references (chrF, sacrebleu) and with the translations of their plain form. A model from English into French gets
lines of FLORES, the demo held-out pairs of Tatoeba in all its directions with English (all pairs for quotes and dashes,
which are rare). Then sentences in capitals, by chrF without case, and words without a full stop.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import sacrebleu
from pairs import is_held_out, read_lines, read_pairs
from report import add_results_argument, report

from quartet import Translator
from quartet.text.tidy import dashes_as_typed, in_capitals, lowered, plain, raised, without_added_end

Pairs = list[tuple[str, str]]
Row = dict[str, object]
TATOEBA = ("fr", "es", "de")
ENDS = ".!?…"
ROWS = ("model", "direction", "what", "lines", "chrF as typed", "tidied", "same as plain, as typed", "same, tidied")


def quoted(opening: str, closing: str) -> Callable[[str], str]:
    def write(text: str) -> str:
        marks = cycle((opening, closing))
        return re.sub('"', lambda _: next(marks), text)

    return write


# what is typed, and in which plain lines it can be
SIGNS: dict[str, tuple[str, Callable[[str], str]]] = {
    "’": ("'", lambda text: text.replace("'", "’")),
    "“ ”": ('"', quoted("“", "”")),
    "„ “": ('"', quoted("„", "“")),
    "‘ ’": ('"', quoted("‘", "’")),
    "« »": ('"', quoted("«\u00a0", "\u00a0»")),
    "…": (r"\.$", lambda text: re.sub(r"\.+$", "…", text)),
    "no-break spaces": (" ", lambda text: text.replace(" ", "\u00a0")),
    "soft hyphens": (r"\w{7}", lambda text: re.sub(r"(\w{4})(?=\w{3})", "\\1\u00ad", text)),
    "zero-width spaces": (r"\w{7}", lambda text: re.sub(r"(\w{4})(?=\w{3})", "\\1\u200b", text)),
    "full-width forms": (" ", lambda text: re.sub("[!-~]", lambda sign: chr(ord(sign[0]) + 0xFEE0), text)),
}
PLAIN: dict[str, Callable[[str], str]] = {"…": lambda text: re.sub(r"\.$", "...", text)}  # else the line itself
RARE = {"“ ”", "„ “", "‘ ’", "« »"}
DASH = re.compile(r"(?<=[^\W\d_]) [-–—] (?=[^\W\d_])")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="from English into French")
    parser.add_argument("--data", type=Path, required=True, help="folder with en.txt and fr.txt of FLORES")
    parser.add_argument("--text", type=Path, required=True, help="folder with en-fr.tsv.gz, en-es.tsv.gz, en-de.tsv.gz")
    parser.add_argument("--lines", type=int, default=150, help="at most, for each kind of sign")
    parser.add_argument("--capitals", type=int, default=300, help="sentences in capitals, and 2/3 of so many words")
    add_results_argument(parser)
    args = parser.parse_args()
    rows: list[Row] = []
    with Translator(args.model, threads=1) as model:
        flores = list(zip(read_lines(args.data / "en.txt"), read_lines(args.data / "fr.txt"), strict=True))
        rows += measure(model, "en", "fr", flores, flores, args)
    with Translator("demo", threads=1) as demo:
        for source, target, pairs in directions(args.text):
            held_out = [pair for pair in pairs if is_held_out(pair[0] if source == "en" else pair[1])]
            rows += measure(demo, source, target, held_out, pairs, args)
    report(args.results, ROWS, map(cells, rows), {"rows": rows}, packages=("sacrebleu",), notes=NOTES)


NOTES = (
    "Capitals: chrF without case; `small` in the figures is that of the same lines in their own letters.",
    "Words: the share that comes without an added end mark, instead of chrF.",
)


def directions(folder: Path) -> Iterator[tuple[str, str, Pairs]]:
    """Source, target, and pairs with each source once."""
    for language in TATOEBA:
        pairs = read_pairs(folder, language)
        yield "en", language, list(dict(pairs).items())
        yield language, "en", list({other: english for english, other in pairs}.items())


def measure(
    model: Translator, source: str, target: str, usual: Pairs, rare: Pairs, args: argparse.Namespace
) -> Iterator[Row]:
    def translate(texts: list[str]) -> list[str]:
        found = model.translate_batch(texts, target, source, split="none", raw=True)
        return [translation.text for translation in found]

    place = {"model": model.manifest.name, "direction": f"{source}-{target}"}
    for what, (needed, write) in SIGNS.items():
        pairs = [(plain(text, source), reference) for text, reference in (rare if what in RARE else usual)]
        pairs = [(text, reference) for text, reference in pairs if re.search(needed, text)][: args.lines]
        if what == "« »" and source == "fr":  # they stay
            continue
        pairs = [(PLAIN[what](text), reference) for text, reference in pairs] if what in PLAIN else pairs
        if len(pairs) >= 20:
            yield place | {"what": what} | signs(translate, source, pairs, write)
    dashes = [(text, reference) for text, reference in rare if DASH.search(text)][: args.lines]
    if len(dashes) >= 10:
        typed = [(DASH.sub(" - ", text), reference) for text, reference in dashes]
        yield place | {"what": "- for –"} | hyphens(translate, source, typed)
    yield place | {"what": "capitals"} | capitals(translate, source, target, usual[-args.capitals :])
    yield place | {"what": "words"} | words(translate, [text for text, _ in usual], args.capitals * 2 // 3)


def signs(translate: Callable[[list[str]], list[str]], source: str, pairs: Pairs, write: Callable[[str], str]) -> Row:
    """The same lines in typographic signs: as typed, tidied, and against their plain form."""
    texts, references = map(list, zip(*pairs, strict=True))
    typed = [write(text) for text in texts]
    expected, as_typed, tidied = map(translate, (texts, typed, [plain(text, source) for text in typed]))
    return {
        "lines": len(texts),
        "typed": chrf(as_typed, references),
        "tidied": chrf(tidied, references),
        "typed_same": same(as_typed, expected),
        "tidied_same": same(tidied, expected),
    }


def hyphens(translate: Callable[[list[str]], list[str]], source: str, pairs: Pairs) -> Row:
    """Hyphens between words as dashes; dashes of all kinds are left out of what is compared."""
    texts, references = map(list, zip(*pairs, strict=True))
    as_typed = translate(texts)
    tidied = translate([plain(text, source) for text in texts])
    tidied = [dashes_as_typed(text, found) for text, found in zip(texts, tidied, strict=True)]
    scores = [chrf(*map(without_dashes, (found, references))) for found in (as_typed, tidied)]
    return {"lines": len(texts), "typed": scores[0], "tidied": scores[1]}


def without_dashes(texts: list[str]) -> list[str]:
    return [re.sub(r"\s+--?\s+|\s*[–—]\s*", " ", text) for text in texts]


def capitals(translate: Callable[[list[str]], list[str]], source: str, target: str, pairs: Pairs) -> Row:
    """Lines in capitals as typed, and in small letters with the translation in capitals again."""
    pairs = [(text, reference) for text, reference in pairs if in_capitals(raised(text, source))]
    texts, references = map(list, zip(*pairs, strict=True))
    typed = [raised(text, source) for text in texts]
    as_typed = translate(typed)
    tidied = [raised(text, target) for text in translate([lowered(text, source) for text in typed])]
    expected = [raised(text, target) for text in references]
    return {
        "lines": len(texts),
        "typed": chrf([raised(text, target) for text in as_typed], expected),
        "tidied": chrf(tidied, expected),
        "small": chrf([raised(text, target) for text in translate(texts)], expected),
    }


def words(translate: Callable[[list[str]], list[str]], texts: list[str], count: int) -> Row:
    """The commonest words, and the shortest sentences without their end: how many get no end."""
    counted = Counter(word for text in texts for word in re.findall(r"[^\W\d_]{4,}", text))
    titles = dict.fromkeys(text.rstrip(ENDS + " ") for text in sorted(texts, key=len))
    sources = [word.capitalize() for word, _ in counted.most_common(count // 2)]
    sources += [title for title in titles if " " in title and title[-1].isalnum()][: count - len(sources)]
    found = translate(sources)
    tidied = [without_added_end(*pair) for pair in zip(sources, found, strict=True)]
    return {"lines": len(sources), "typed": 100 * without_end(found), "tidied": 100 * without_end(tidied)}


def without_end(texts: list[str]) -> float:
    return sum(not text.endswith(tuple(ENDS)) for text in texts) / len(texts)


def chrf(found: list[str], references: list[str]) -> float:
    return float(sacrebleu.corpus_chrf(found, [references]).score)


def same(found: list[str], expected: list[str]) -> float:
    return sum(one == other for one, other in zip(found, expected, strict=True)) / len(found)


def cells(row: Row) -> list[str]:
    unit = " %" if row["what"] == "words" else ""
    scores = [f"{row[name]:.2f}" if not unit else f"{row[name]:.0f}{unit}" for name in ("typed", "tidied")]
    shares = [f"{row[name]:.0%}" if name in row else "" for name in ("typed_same", "tidied_same")]
    return [*(str(row[name]) for name in ("model", "direction", "what", "lines")), *scores, *shares]


if __name__ == "__main__":
    main()
