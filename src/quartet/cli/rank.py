"""`quartet rank`: which model is best, for these languages, on this machine, on this text."""

import argparse
import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from quartet import catalog, store
from quartet.bench import tables
from quartet.bench.choice import Limits, parse_size
from quartet.bench.data import open_test_set, parse_pair
from quartet.bench.html_report import as_html
from quartet.bench.measure import Settings
from quartet.bench.plots import PLOTS, as_png
from quartet.bench.published import published, rows_of
from quartet.bench.ranking import rank as rank_all
from quartet.bench.rows import Ranking, of_pair
from quartet.cli.console import bar_of_steps
from quartet.cli.output import aligned, check_files, write_files
from quartet.errors import OptionError, OutputError
from quartet.runtime.engine import all_cores
from quartet.spec import Manifest
from quartet.text.languages import find

REPORT_MARK = "ranking.csv"  # what tells a report from another folder

log = logging.getLogger("quartet")


def rank(args: argparse.Namespace) -> None:
    """Measure, compare, and print or write what came out; or list what others have published."""
    if args.published:
        _print_published(args)
        return
    models = list(dict.fromkeys(args.models or []))
    args.pair = list(dict.fromkeys(args.pair or ["en-fr"]))
    test_sets = [open_test_set(args.data, *parse_pair(pair), args.sentences) for pair in args.pair]
    if len(args.pair) > 1 and args.data and not (len(args.data) == 1 and args.data[0].is_dir()):
        raise OptionError(f"{len(args.pair)} pairs need a folder as --data, with a file for each language")
    limits = Limits(None if args.max_ram is None else parse_size(args.max_ram), args.min_speed)
    settings = Settings(
        all_cores() if args.threads is None else args.threads, args.beam_size, args.batch_size, args.timed
    )
    if args.report:
        _check_report(args.report, args.data)
    ranking = rank_all(
        models or known_models([(test_set.source, test_set.target) for test_set in test_sets]),
        args.precision,
        args.peers,
        test_sets,
        settings,
        limits,
        comet=args.comet,
        bar=bar_of_steps,
    )
    if args.report:
        write_report(ranking, args.report)
    print(tables.as_json(ranking) if args.json else as_text(ranking))


def _print_published(args: argparse.Namespace) -> None:
    sources = published([parse_pair(pair) for pair in args.pair] if args.pair else None)
    if args.json:
        print(json.dumps([dataclasses.asdict(source) for source in sources], ensure_ascii=False, indent=1))
    elif not sources:
        print(f"No published figures of {', '.join(args.pair)} were read.")
    for source in sources if not args.json else ():
        print(f"{source.title}, {source.date}\n{source.url} (read {source.read})\n{source.conditions}\n")
        print("\n".join(aligned(list(rows_of(source)))) + "\n")


def known_models(pairs: list[tuple[str, str]]) -> list[str]:
    """The demo model and what is converted already, as far as they translate any of the pairs."""
    names = [catalog.DEMO]
    for model in store.list_cached():
        manifest = Manifest.load(model.folder)
        sources, targets = (
            [language.code for language in manifest.languages if getattr(language, side)]
            for side in ("source", "target")
        )
        has = any(find(source, sources) and find(target, targets) for source, target in pairs)
        if has and manifest.speech is None and catalog.REPO_ID.fullmatch(model.name):
            names.append(model.name)
    return list(dict.fromkeys(names))


def as_text(ranking: Ranking) -> str:
    """The table of every pair, with the choice under it."""
    parts = []
    for text, choice in zip(ranking.texts, ranking.choices, strict=True):
        rows = of_pair(ranking.rows, text.pair)
        lines = [f"{text.pair}, {len(text.sources)} sentences: {text.name}", ""]
        lines += aligned(tables.cells(rows)) if rows else []
        lines += ["", f"Take {choice.name}: {choice.why}." if choice.name else f"No choice: {choice.why}."]
        lines += [f"{name}: {signature}" for name, signature in text.signatures.items()]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, "\n".join(tables.conditions(ranking))])


def write_report(ranking: Ranking, folder: Path) -> None:
    """Write the page, plots, tables and translations into a folder; raises `OutputError`."""
    files = {
        "ranking.md": tables.as_markdown(ranking),
        REPORT_MARK: tables.as_csv(ranking),
        "ranking.json": tables.as_json(ranking),
        "index.html": as_html(ranking),
    }
    for text in ranking.texts:
        files[f"texts/{text.pair}.sources.txt"] = _lines(text.sources)
        files[f"texts/{text.pair}.references.txt"] = _lines(text.references)
    for row in ranking.rows:
        name = f"{row.pair}.{row.model.replace('/', '-')}.{row.engine}.{row.precision}.txt"
        files[f"texts/{name}"] = _lines(row.hypotheses)
    contents = {name: content.encode() for name, content in files.items()}
    for text in ranking.texts:
        for plot in PLOTS:
            image = as_png(of_pair(ranking.rows, text.pair), plot)
            if image is not None:
                contents[f"{text.pair}.{plot.name}.png"] = image
    write_files(folder, contents, "--report")
    log.info("written to %s: %s", folder, ", ".join(name for name in files if "/" not in name))


def _check_report(folder: Path, data: Sequence[Path]) -> None:
    """Whether a report can be written, before hours of measuring, in place of nothing but an older report."""
    names = ("index.html", "ranking.md", "ranking.json", REPORT_MARK)
    others = [name for name in names if (folder / name).exists()]
    if others and not (folder / REPORT_MARK).is_file():
        raise OutputError(f"--report {folder} holds another {others[0]}, which is of no report; name another folder")
    check_files(folder, names, "--report")
    inside = [path for path in data if folder.resolve() in path.resolve().parents]
    if inside:
        raise OptionError(f"--report {folder} would write over --data {inside[0]}, which is in it; name another folder")


def _lines(texts: tuple[str, ...]) -> str:
    """One line for each; a break inside a text becomes a space, as scores read it."""
    return "".join(" ".join(text.splitlines()) + "\n" for text in texts)
