"""How fast does each engine translate real sentences, and how well? Throughput of batches and chrF.

    python benchmarks/translation_speed.py opus-mt-en-fr --source en --target fr --data ../shared/data/flores-dev \\
        --work FOLDER --quartet int4 int8

All get ids made by quartet's tokeniser, and the same beams and batch sizes; the time of tokenising is not in it.
A quartet that kept some languages only has a tokeniser of its own, so one with all of them must take part too. Runs
are in turn; the ratio is of sentences per second, the median over the rounds. Needs ctranslate2, torch, transformers
and sacrebleu.
"""

import argparse
import statistics
from contextlib import ExitStack
from pathlib import Path

import sacrebleu
from peers import BASE, add_arguments, entries
from report import add_results_argument, report
from sentences import add_sentence_arguments, read_sentences
from workload import planner_of, text_job

from quartet.bench.contest import MeasuredProcess, alternate, median_ratio
from quartet.translation.plan import Planner

COLUMNS = ("batch", "beam", "engine", "sentences/s", f"speed ÷ {BASE}", "tokens", "tokens/s", "chrF")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    add_sentence_arguments(parser, 320)
    add_arguments(parser)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 32, 64])
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--max-new-tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    add_results_argument(parser)
    args = parser.parse_args()
    rows = []
    with ExitStack() as stack:
        everyone = [
            stack.enter_context(MeasuredProcess(entry, args.threads, args.work / "home"))
            for entry in entries(args, args.checkpoint)
        ]
        planners = planners_of(everyone)
        for beam in args.beams:
            for batch in args.batches:
                rows += measure(everyone, planners, batch, beam, args)
        versions = [process.loaded.versions for process in everyone]
    report(args.results, COLUMNS, map(cells, rows), {"rows": rows}, packages=("sacrebleu",), versions=versions)


def planners_of(everyone: list[MeasuredProcess]) -> dict[str, Planner]:
    """Tokenisers by engine: each quartet's own; peers share that of the quartet with the largest vocabulary."""
    own = {c.entry.name: planner_of(c.entry.folder) for c in everyone if c.entry.kind == "quartet"}
    whole = max(own.values(), key=lambda planner: planner.manifest.shapes.vocab_size)
    return {process.entry.name: own.get(process.entry.name, whole) for process in everyone}


def measure(
    everyone: list[MeasuredProcess], planners: dict[str, Planner], batch: int, beam: int, args: argparse.Namespace
) -> list[dict[str, object]]:
    """One row per engine."""
    sources, references = read_sentences(args)
    jobs = {
        name: [text_job(planner, sources, args.source, args.target, beam, batch, args.max_new_tokens)]
        for name, planner in planners.items()
    }
    found = {name: [run for (run,) in runs] for name, runs in alternate(everyone, jobs, args.rounds).items()}
    seconds = {name: [run.seconds for run in runs] for name, runs in found.items()}
    rows = []
    for name, runs in found.items():
        texts = [planners[name].tokenizer.decode(ids) for ids in runs[0].rows]
        rows.append(
            {
                "batch": batch,
                "beam": beam,
                "engine": name,
                "sentences_per_second": len(sources) / statistics.median(seconds[name]),
                "ratio": median_ratio(seconds[BASE], seconds[name]) if BASE in seconds else None,
                "tokens": runs[0].tokens,
                "tokens_per_second": runs[0].tokens / statistics.median(seconds[name]),
                "chrf": sacrebleu.corpus_chrf(texts, [references]).score,
                "seconds": seconds[name],
            }
        )
    return rows


def cells(row: dict) -> list[object]:
    ratio = f"{row['ratio']:.2f}×" if row["ratio"] else ""
    speed = [f"{row['sentences_per_second']:.2f}", ratio, row["tokens"], f"{row['tokens_per_second']:.1f}"]
    return [row["batch"], row["beam"], row["engine"], *speed, f"{row['chrf']:.2f}"]


if __name__ == "__main__":
    main()
