"""How often is `missing` wrong about people's translations, and how much does it find of what was taken away?

    python benchmarks/coverage.py --data ../shared/data/flores-dev --text ../shared/demo-training

FLORES (one file for each language) and 20,000 pairs of Tatoeba a direction (`en-fr.tsv.gz` and the like). A false
alarm is a person's translation of which something is reported, errors of the references among them. Then the
translations are damaged: the second half of the words is taken away (the last sign stays), all is replaced by a full
stop, one number is changed, one is taken away.
"""

import argparse
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pairs import read_lines, read_pairs
from report import add_results_argument, report

from quartet.text.coverage import missing

Pairs = list[tuple[str, str]]
FLORES = ("en-fr", "fr-en", "en-de", "de-en", "en-es", "es-en", "fr-de", "de-fr")
TATOEBA = ("fr", "es", "de")
NUMBER = re.compile(r"\d+(?:[.,:\u00a0\u202f]\d+)*")
DAMAGED = 3000  # pairs at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one file of FLORES per language")
    parser.add_argument("--text", type=Path, required=True, help="folder with en-fr.tsv.gz, en-es.tsv.gz, en-de.tsv.gz")
    parser.add_argument("--pairs", type=int, default=20_000, help="of Tatoeba, in each direction")
    add_results_argument(parser)
    args = parser.parse_args()
    rows = [measure(*case) for case in cases(args)]
    columns = (
        "corpus",
        "direction",
        "pairs",
        "false alarms",
        "of length",
        "half",
        "full stop",
        "changed",
        "gone",
        "µs",
    )
    report(args.results, columns, map(cells, rows), {"rows": rows})


def cases(args: argparse.Namespace) -> Iterator[tuple[str, str, Pairs]]:
    """The name, the direction and the pairs of each row."""
    for direction in FLORES:
        source, target = (read_lines(args.data / f"{language}.txt") for language in direction.split("-"))
        yield "FLORES", direction, list(zip(source, target, strict=True))
    for language in TATOEBA:
        pairs = random.Random(1).sample(read_pairs(args.text, language), args.pairs)
        yield "Tatoeba", f"en-{language}", pairs
        yield "Tatoeba", f"{language}-en", [(other, english) for english, other in pairs]


def measure(name: str, direction: str, pairs: Pairs) -> dict[str, object]:
    source, target = direction.split("-")
    begin = time.process_time()
    found = [missing(*pair, source, target) for pair in pairs]
    seconds = time.process_time() - begin
    numbered = [pair for pair in pairs if all(map(NUMBER.search, pair))]
    choose = random.Random(2)

    def share(damage: Callable[[str], str], some: Pairs) -> float:
        hits = [bool(missing(before, damage(after), source, target)) for before, after in some[:DAMAGED]]
        return sum(hits) / len(hits)

    return {
        "name": name,
        "direction": direction,
        "pairs": len(pairs),
        "false": sum(map(bool, found)) / len(pairs),
        "length": sum(pair[0] in parts for pair, parts in zip(pairs, found, strict=True)) / len(pairs),
        "half": share(without_second_half, [pair for pair in pairs if len(pair[1].split()) > 3]),
        "stop": share(lambda _: ".", pairs),
        "changed": share(lambda text: with_number(text, choose, changed), numbered),
        "gone": share(lambda text: with_number(text, choose, lambda _: ""), numbered),
        "microseconds": seconds / len(pairs) * 1e6,
    }


def without_second_half(text: str) -> str:
    words = text.split()
    end = "" if text[-1].isalnum() else text[-1]
    return " ".join(words[: (len(words) + 1) // 2]) + end


def with_number(text: str, choose: random.Random, change: Callable[[str], str]) -> str:
    """A text, one of whose numbers is changed."""
    number = choose.choice(list(NUMBER.finditer(text)))
    return text[: number.start()] + change(number[0]) + text[number.end() :]


def changed(number: str) -> str:
    """A number with another first group."""
    group = re.match(r"\d+", number)
    assert group
    return str(int(group[0]) + 3) + number[group.end() :]


def cells(row: dict[str, object]) -> list[str]:
    shares = [f"{row[name]:.2%}" for name in ("false", "length")]
    found = [f"{row[name]:.0%}" for name in ("half", "stop", "changed", "gone")]
    return [str(row["name"]), str(row["direction"]), str(row["pairs"]), *shares, *found, f"{row['microseconds']:.0f}"]


if __name__ == "__main__":
    main()
