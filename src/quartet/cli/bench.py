"""`quartet bench`: what one model costs, and where its time goes."""

import argparse
import dataclasses
import json

from quartet import provision, store
from quartet.bench import hardware as machine
from quartet.bench.breakdown import Part, break_down
from quartet.bench.contest import Entry
from quartet.bench.data import HELD_OUT, TestSet, open_test_set, read_lines
from quartet.bench.measure import Cost, Settings, measure, planner_of, work_of
from quartet.cli.output import aligned
from quartet.errors import LanguageError, OptionError
from quartet.progress import terminal_bar
from quartet.runtime.engine import all_cores
from quartet.spec import Manifest
from quartet.text.languages import find
from quartet.translation.plan import Planner


def bench(args: argparse.Namespace) -> None:
    """Measure in a process of its own, then once more in this one with a clock on every part."""
    threads = all_cores() if args.threads is None else args.threads
    settings = Settings(threads, args.beam_size, args.batch_size, timed=args.sentences)
    folder = provision.ready(args.model, args.precision)
    planner = planner_of(folder)
    texts = _texts(planner, args)
    size = sum(entry.bytes for entry in planner.manifest.files.values()) / 1e6
    entry, work = Entry(planner.manifest.name, "quartet", folder), work_of(planner, texts)
    with terminal_bar("measuring", "sentences") as progress:
        found = measure(entry, work, settings, store.cache_folder(), size, progress)
    bandwidth = machine.read_bandwidth(threads)
    sizes = dict.fromkeys((1, args.batch_size))
    parts = {size: break_down(folder, texts, settings, size, bandwidth) for size in sizes}
    if args.json:
        print(_as_json(found.cost, parts, settings, texts, bandwidth))
    else:
        print(_as_text(planner.manifest, found.cost, parts, settings, texts, bandwidth))


def _texts(planner: Planner, args: argparse.Namespace) -> TestSet:
    """What to translate, and between which of the model's languages."""
    sides = [[x.code for x in planner.manifest.languages if getattr(x, side)] for side in ("source", "target")]
    known = [code for code in ("en", "fr") if find(code, sides[0])] if sides[0] else ["en"]
    source = args.source or next(iter(known), None)
    if args.input is None and (source is None or not find(source, ["en", "fr"])):
        raise OptionError("the sentences that come with quartet are English and French; give lines with --input FILE")
    if source is None:
        raise OptionError("name the language of the lines with --from LANG")
    target = args.target or next(
        (c for c in ("fr", "en", *sides[1]) if not find(c, [source]) and find(c, sides[1])), None
    )
    if target is None and sides[1]:
        raise LanguageError(f"name the target language with --to LANG; {source} is the source")
    lines, name = (read_lines(args.input, "--input"), args.input.name) if args.input else (_bundled(source), HELD_OUT)
    return TestSet(name, source, target or "", tuple(line for line in lines if line.strip())[: args.sentences], ())


def _bundled(source: str) -> tuple[str, ...]:
    return open_test_set([], source, "fr" if find(source, ["en"]) else "en").sources


def _as_json(
    cost: Cost, parts: dict[int, tuple[Part, ...]], settings: Settings, texts: TestSet, bandwidth: float
) -> str:
    facts = {
        "machine": machine.describe() | {"bytes_per_second": bandwidth},
        "settings": dataclasses.asdict(settings),
        "sentences": len(texts.sources),
        "pair": f"{texts.source}-{texts.target}",
        "cost": dataclasses.asdict(cost),
        "parts": {size: [dataclasses.asdict(part) for part in found] for size, found in parts.items()},
    }
    return json.dumps(facts, indent=1)


def _as_text(
    manifest: Manifest,
    cost: Cost,
    parts: dict[int, tuple[Part, ...]],
    settings: Settings,
    texts: TestSet,
    bandwidth: float,
) -> str:
    about = machine.describe()
    memory = [f"{name} {value:.0f} MB" for name, value in (("RAM", cost.peak), ("private", cost.private)) if value]
    lines = [
        f"{manifest.name} {manifest.precision}, {texts.source} to {texts.target}, {len(texts.sources)} sentences: "
        f"{texts.name}",
        f"{about['cpu']}, {about['memory']}; --threads {settings.threads}, memory read at {bandwidth / 1e9:.1f} GB/s",
        "",
        f"{', '.join([*memory, f'disk {cost.disk:.0f} MB'])}; load {cost.load:.2f} s, first token "
        f"{cost.first_token * 1e3:.0f} ms",
        f"one at a time {cost.tokens:,.0f} tokens/s, {cost.sentences:,.1f} sentences/s; in batches of "
        f"{settings.batch_size} {cost.batch_tokens:,.0f} tokens/s, {cost.batch_sentences:,.1f} sentences/s",
    ]
    for size, found in parts.items():
        head = (f"batch {size}", "calls", "ms per call", "share", "read per call", "GB/s", "of bandwidth")
        lines += ["", *aligned([head, *map(_cells, found)])]
    return "\n".join(lines)


def _cells(part: Part) -> tuple[str, ...]:
    name = part.name.replace("_", " ").replace("initializer", "initialiser")
    calls, per_call = (f"{part.calls:,}", f"{part.seconds / part.calls * 1e3:.2f}") if part.calls else ("", "")
    cells = (name, calls, per_call, f"{part.share:.0%}")
    if part.bytes is None or part.bandwidth is None:
        return (*cells, "", "", "")
    rate = part.bytes * part.calls / part.seconds / 1e9
    return (*cells, f"{part.bytes / 1e6:.1f} MB", f"{rate:.1f}", f"{part.bandwidth:.0%}")
