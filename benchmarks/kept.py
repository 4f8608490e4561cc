"""How much of a text survives its translation? Sentences of lines that have several, and items to be left alone.

    python benchmarks/kept.py --pairs ../shared/demo-training --checkpoint opus-mt-en-fr --work FOLDER

Each engine does it as its users do: quartet with its defaults in INT4; CTranslate2 in int8 with the splitting and
search of Argos Translate, which is LibreTranslate's engine; the pipeline of transformers in float32, each line whole.
`quartet-raw` and `demo-raw` are quartet's models without anything of what keeps text whole. `kept_lines.py` and
`kept_items.py` say what is lost, and what is changed. Needs ctranslate2, torch and transformers for the peers that are
named, and their conversion; for LibreTranslate's own splitter `minisbd` and its model of the language.

`--limits` ends with status 1 where quartet's defaults lose or change more than they may. `--time` compares the CPU
seconds of quartet's defaults with those of the bare model, for each sentence that is kept, in runs in turn.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import kept_engines
from kept_items import KINDS, Changes, ItemLine, compare, make_item_lines
from kept_lines import (
    LANGUAGES,
    Groups,
    Line,
    Loss,
    Rates,
    Translate,
    alone_of,
    loss,
    make_lines,
    rates,
    read_groups,
    sentences_of,
    text_of,
)
from peers import BASE, entry
from report import RESULTS, add_results_argument, report

from quartet import Translator

ENGINES = ("quartet", "quartet-raw", "ctranslate2", "transformers", "demo", "demo-raw")
DEFAULTS = ("quartet", "demo")  # to these the limits hold
MOST_LOST, MOST_CHANGED = 0.002, 0.001  # of sentences, of items
OPUS = "en-fr"  # the direction of the checkpoint
LINE_COLUMNS = ("engine", "direction", "sentences", "lost", "lost, %", "lines with loss", "ends of sentences missing")
PACKAGES = ("ctranslate2", "transformers", "torch", "minisbd")
TIME_COLUMNS = ("model", "direction", "kept by defaults", "kept by the model", "CPU s per kept sentence ÷ the model's")
NAMES = {
    "quartet": "quartet int4",
    "quartet-raw": "quartet int4, as the model does",
    "ctranslate2": "CTranslate2 int8, as LibreTranslate does",
    "transformers": "transformers float32",
    "demo": "demo int4",
    "demo-raw": "demo int4, as the model does",
}


@dataclass(frozen=True)
class Work:
    """What engines are given in one direction."""

    source: str
    target: str
    lines: list[Line]
    items: list[ItemLine]  # English alone has some

    @property
    def name(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Found:
    """What became of it."""

    engine: str
    direction: str
    loss: Loss
    own_words: Rates  # of the measure, see `kept_lines.rates`
    other_words: Rates
    changes: Changes | None


def main() -> None:
    args = parser().parse_args()
    groups = read_groups(args.pairs)
    works = {name: work_of(name, groups, args) for name in dict.fromkeys([OPUS, *args.directions])}
    if args.time:
        compare_times(works, args)
        return
    found = []
    for engine in args.engines:
        for direction in args.directions if engine.startswith("demo") else [OPUS]:
            with opened(engine, works[direction], args) as translate:
                found.append(measured(engine, works[direction], translate))
            say(found[-1], args.examples)
    report_lines(found, args)
    report_items(found, args)
    if args.limits and (excess := list(beyond(found))):
        sys.exit("; ".join(excess))


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--pairs", type=Path, required=True, help="folder of en-fr.tsv.gz and the others")
    found.add_argument("--checkpoint", type=Path, help="opus-mt-en-fr; all but the demo want it")
    found.add_argument("--work", type=Path, help="folder for models that are made of it")
    found.add_argument("--quartet", default="int4", help="recipe, or the folder of a quartet; default: %(default)s")
    found.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    directions = [f"{source}-{target}" for source in LANGUAGES for target in LANGUAGES if source != target]
    default = ["en-fr", "fr-en", "en-de", "es-en"]
    found.add_argument("--directions", nargs="+", default=default, choices=directions, help="of the demo")
    found.add_argument("--lines", type=int, default=500)
    found.add_argument("--items", type=int, default=2000)
    found.add_argument("--threads", type=int, default=2)
    found.add_argument("--examples", type=int, default=0, help="losses and changes to show of each engine and kind")
    found.add_argument("--limits", action="store_true")
    found.add_argument("--time", action="store_true")
    found.add_argument("--rounds", type=int, default=5, help="of --time")
    add_results_argument(found)
    return found


def work_of(direction: str, groups: Groups, args: argparse.Namespace) -> Work:
    source, target = direction.split("-")
    lines = make_lines(sentences_of(groups, source, target), args.lines)
    return Work(source, target, lines, make_item_lines(sorted(groups), args.items) if source == "en" else [])


@contextmanager
def opened(engine: str, work: Work, args: argparse.Namespace) -> Iterator[Translate]:
    """An engine in a direction, for as long as the `with` statement lasts."""
    model, _, raw = engine.partition("-")
    if engine == "ctranslate2":
        folder = entry(BASE, args.checkpoint, args.work, sys.executable).folder
        yield kept_engines.libretranslate(folder, work.source, args.threads)
    elif engine == "transformers":
        yield kept_engines.transformers(args.checkpoint, args.threads)
    else:
        with translator_of(model, args) as translator:
            options: dict[str, Any] = kept_engines.AS_THE_MODEL_DOES if raw else {}
            yield kept_engines.quartet(translator, work.source, work.target, **options)


def translator_of(model: str, args: argparse.Namespace) -> Translator:
    if model == "demo":
        return Translator("demo", precision="int4", threads=args.threads)
    return Translator(entry(args.quartet, args.checkpoint, args.work, sys.executable).folder, threads=args.threads)


# ---- what is kept ----------------------------------------------------------------------------------------------------


def measured(engine: str, work: Work, translate: Translate) -> Found:
    alone = alone_of(work.lines, translate)
    lost = loss(work.lines, translate([text_of(line) for line in work.lines]), alone)
    people = {one.text: one.references[0] for line in work.lines for one in line}
    words = [rates(work.lines, wording, alone) for wording in (alone, people)]
    changes = compare(work.items, translate([line.text for line in work.items]), work.target) if work.items else None
    return Found(engine, work.name, lost, *words, changes)


def say(found: Found, examples: int) -> None:
    """One line on stderr, and examples."""
    changed = f", {found.changes.rate:.2%} of items changed" if found.changes else ""
    print(f"{found.engine} {found.direction}: {found.loss.rate:.2%} of sentences lost{changed}", file=sys.stderr)
    for text, translation, sentence in found.loss.examples[:examples]:
        print(f"  {sentence}\n    {text}\n    {translation}", file=sys.stderr)
    for kind in KINDS if found.changes else ():
        for _, text, translation in [one for one in found.changes.examples if one[0] == kind][:examples]:
            print(f"  {kind}: {text}\n    {translation}", file=sys.stderr)


def beyond(found: Sequence[Found]) -> Iterator[str]:
    """What quartet's defaults lose or change more than they may."""
    for one in (one for one in found if one.engine in DEFAULTS):
        if one.loss.rate > MOST_LOST:
            yield f"{one.engine} {one.direction} loses {one.loss.rate:.2%} of the sentences, more than {MOST_LOST:.1%}"
        if one.changes and one.changes.rate > MOST_CHANGED:
            rate = f"{one.changes.rate:.2%} of the items"
            yield f"{one.engine} {one.direction} changes {rate}, more than {MOST_CHANGED:.1%}"


def report_lines(found: Sequence[Found], args: argparse.Namespace) -> None:
    notes = [note_on_measure(one) for one in found if one.engine in DEFAULTS]
    splitter, _ = kept_engines.sentence_splitter("en")
    notes += [f"For CTranslate2 the lines are split by {splitter}."] if "ctranslate2" in args.engines else []
    rows = [line_cells(one) for one in found]
    figures = {"rows": [{"engine": one.engine, "direction": one.direction, **numbers(one.loss)} for one in found]}
    report(args.results, LINE_COLUMNS, rows, figures, packages=PACKAGES, notes=notes)


def line_cells(one: Found) -> list[object]:
    lines = f"{one.loss.lines_with_loss} of {one.loss.lines}"
    return [
        NAMES[one.engine],
        one.direction,
        one.loss.sentences,
        one.loss.lost,
        percent(one.loss.rate),
        lines,
        one.loss.marks,
    ]


def numbers(loss: Loss) -> dict[str, object]:
    return {name: value for name, value in asdict(loss).items() if name != "examples"}


def note_on_measure(one: Found) -> str:
    """How often the measure is wrong."""
    own, people = one.own_words, one.other_words
    return (
        f"The measure, {one.engine} {one.direction}: where all sentences are there, it misses"
        f" {percent(own.false_alarms / own.sentences)} % in the engine's own words,"
        f" {percent(people.false_alarms / people.sentences)} % in the words of people; of {own.deleted} that were taken"
        f" out, it does not miss {own.unseen} and {people.unseen}."
    )


def report_items(found: Sequence[Found], args: argparse.Namespace) -> None:
    """A row for each kind, a column for each engine: how many are changed."""
    tested = [one for one in found if one.changes]
    if not tested:
        return
    columns = ["items", "count", *(f"{NAMES[one.engine]} {one.direction}" for one in tested)]
    rows = [[kind, tested[0].changes.total[kind], *(one.changes.changed[kind] for one in tested)] for kind in KINDS]
    rows.append(["all", tested[0].changes.total.total(), *(one.changes.changed.total() for one in tested)])
    rows.append(["all, %", "", *(percent(one.changes.rate) for one in tested)])
    figures = {f"{one.engine} {one.direction}": dict(one.changes.changed) for one in tested}
    file = args.results or RESULTS / "kept.json"
    report(file.with_name(f"{file.stem}_items.json"), columns, rows, figures, packages=PACKAGES)


def percent(share: float) -> str:
    return f"{100 * share:.2f}"


# ---- at what price ---------------------------------------------------------------------------------------------------


def compare_times(works: dict[str, Work], args: argparse.Namespace) -> None:
    """CPU seconds per kept sentence, the defaults' divided by the bare model's, the median of runs in turn."""
    rows, figures = [], []
    for model in (engine for engine in args.engines if engine in DEFAULTS):
        with translator_of(model, args) as translator:
            for work in [works[name] for name in args.directions] if model == "demo" else [works[OPUS]]:
                every = [{}, kept_engines.AS_THE_MODEL_DOES]
                ways = [kept_engines.quartet(translator, work.source, work.target, **options) for options in every]
                kept, ratios = kept_and_ratios(ways, work, args.rounds)
                rows.append([model, work.name, *kept, f"{statistics.median(ratios):.2f}"])
                figures.append({"model": model, "direction": work.name, "kept": kept, "ratios": ratios})
    report(args.results, TIME_COLUMNS, rows, {"rows": figures}, topic="kept_time")


def kept_and_ratios(ways: Sequence[Translate], work: Work, rounds: int) -> tuple[list[int], list[float]]:
    """Sentences that are kept by each of two ways, and the ratio of seconds for each of them, round by round."""
    texts = [text_of(line) for line in work.lines]
    losses = [loss(work.lines, way(texts), alone_of(work.lines, way)) for way in ways]
    kept = [one.sentences - one.lost for one in losses]
    ratios = []
    for _ in range(rounds):
        first, second = (cpu_seconds(way, texts) / number for way, number in zip(ways, kept, strict=True))
        ratios.append(first / second)
    return kept, ratios


def cpu_seconds(translate: Translate, texts: list[str]) -> float:
    start = time.process_time()
    translate(texts)
    return time.process_time() - start


if __name__ == "__main__":
    main()
