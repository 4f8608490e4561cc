"""How fast does each engine decode a model of NLLB-600M's shape? Runs in turn, all on the same weights.

    python benchmarks/speed.py --work FOLDER --quartet int4 int8
    python benchmarks/speed.py --work FOLDER --batches 1 16 --beam-batches \\
        --peers ctranslate2 transformers-float32 transformers-bfloat16 \\
        --results benchmarks/results/speed_transformers.json
    python benchmarks/speed.py --work FOLDER --batches 1 16 --beam-batches --optimum-python VENV/bin/python \\
        --peers ctranslate2 optimum-merged-float32 optimum-merged-int8 \\
        --results benchmarks/results/speed_optimum_merged.json

The weights are random; each source has 25 tokens, each result exactly 75. Needs ctranslate2, torch and transformers;
for Optimum (merged or two decoders) `optimum-onnx[onnxruntime]` and accelerate, in an environment of its own if need
be. All engines are in memory at once, Optimum's float32 with a peak of 6 GB at load: take a few at a time.

tokens per second are of whole translations, the encoder included; the ratio is the median over the rounds. A step's
time is that of a translation less that of one token, so the encoder is not in it. Bytes per second are the weights
that one step reads divided by its time, and their share of what this machine reads with as many threads
(`bandwidth.py`, the best of before and after).
"""

import argparse
import statistics
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from peers import BASE, add_arguments, entries, random_checkpoint
from random_checkpoint import SHAPES
from report import add_results_argument, report
from workload import FRENCH, random_job, vocabulary

from quartet.bench.bytes_per_step import ctranslate2_bytes_per_step, quartet_bytes_per_step
from quartet.bench.contest import Entry, MeasuredProcess, Run, alternate, median_ratio
from quartet.bench.hardware import read_bandwidth
from quartet.runtime.machine.head_selection import ROWS
from quartet.runtime.machine.selected_head import write_selected_head
from quartet.spec import Manifest

BYTES_PER_STEP = {"quartet": quartet_bytes_per_step, "ctranslate2": ctranslate2_bytes_per_step}
COLUMNS = ("batch", "beam", "engine", "tokens", "tokens/s", f"speed ÷ {BASE}", "ms per step")
COLUMNS = (*COLUMNS, "read per step", "GB/s", "of bandwidth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="nllb-600M")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 4, 16, 64], help="sizes, decoded greedily")
    parser.add_argument("--beam-batches", type=int, nargs="*", default=[1, 4], help="sizes, decoded with beam 4")
    parser.add_argument("--source-tokens", type=int, default=25)
    parser.add_argument("--new-tokens", type=int, default=75)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--select", type=int, nargs="*", default=[], help="also with heads of so many rows")
    add_results_argument(parser)
    args = parser.parse_args()
    checkpoint = random_checkpoint(args.work, args.shape)
    searches = [(batch, 1) for batch in args.batches] + [(batch, 4) for batch in args.beam_batches]
    bandwidth = read_bandwidth(args.threads)
    rows = []
    with ExitStack() as stack:
        everyone = [
            stack.enter_context(MeasuredProcess(entry, args.threads, args.work / "home"))
            for entry in with_selected(entries(args, checkpoint), args.select)
        ]
        for batch, beam in searches:
            rows += measure(everyone, checkpoint, batch, beam, args)
        versions = [process.loaded.versions for process in everyone]
    bandwidth = max(bandwidth, read_bandwidth(args.threads))
    figures = {"bytes_per_second": bandwidth, "rows": rows}
    notes = [f"{args.threads} threads read {bandwidth / 1e9:.1f} GB/s."]
    shown = (cells(row, bandwidth) for row in rows)
    report(args.results, COLUMNS, shown, figures, versions=versions, notes=notes)


def with_selected(everyone: list[Entry], sizes: list[int]) -> list[Entry]:
    """Each quartet also with a head of so many random rows, as vocabulary selection makes it for a language."""
    quartets = [entry for entry in everyone if entry.kind == "quartet"]
    return everyone + [selected(entry, size) for entry in quartets for size in sizes]


def selected(entry: Entry, size: int) -> Entry:
    manifest, head = Manifest.load(entry.folder), entry.folder / f"head-{size}"
    assert manifest.lm_head is not None
    tokens, rows = manifest.tokens, np.arange(manifest.shapes.vocab_size)
    kept = {tokens.eos, tokens.pad, tokens.decoder_start, *rows[FRENCH:].tolist()}
    kept |= set(np.random.default_rng(0).permutation(rows)[:size].tolist())
    head.mkdir(exist_ok=True)
    ids = np.array(sorted(kept), np.int64)
    write_selected_head(entry.folder, manifest.lm_head, ids, head)
    np.save(head / ROWS, ids)
    return Entry(f"{entry.name}, {size:,} rows", "quartet-selected", head)


def measure(
    everyone: list[MeasuredProcess], checkpoint: Path, batch: int, beam: int, args: argparse.Namespace
) -> list[dict[str, object]]:
    """One row per engine."""
    jobs = {}
    for process in everyone:
        words = vocabulary(process.entry, checkpoint)
        job = random_job(words, batch, args.source_tokens, args.new_tokens, beam)
        jobs[process.entry.name] = [replace(job, min_new_tokens=1, max_new_tokens=1), job]
    found = alternate(everyone, jobs, args.rounds)
    whole = {name: [run for _, run in runs] for name, runs in found.items()}
    rows = []
    for process in everyone:
        name, runs = process.entry.name, whole[process.entry.name]
        step = statistics.median(last.seconds - first.seconds for first, last in found[name]) / (args.new_tokens - 1)
        bytes_of = BYTES_PER_STEP.get(process.entry.kind)
        rows.append(
            {
                "batch": batch,
                "beam": beam,
                "engine": name,
                "tokens": runs[0].tokens,
                "tokens_per_second": statistics.median(rates(runs)),
                "ratio": median_ratio(rates(runs), rates(whole[BASE])) if BASE in whole else None,
                "seconds_per_step": step,
                "bytes_per_step": bytes_of(process.entry.folder) if bytes_of else None,
                "seconds": [run.seconds for run in runs],
            }
        )
    return rows


def rates(runs: list[Run]) -> list[float]:
    return [run.tokens / run.seconds for run in runs]


def cells(row: dict, bandwidth: float) -> list[object]:
    step, size, ratio = row["seconds_per_step"], row["bytes_per_step"], row["ratio"]
    read = [f"{size / 1e6:.0f} MB", f"{size / step / 1e9:.1f}", f"{size / step / bandwidth:.0%}"] if size else [""] * 3
    speed = [f"{row['tokens_per_second']:.1f}", f"{ratio:.2f}×" if ratio else "", f"{step * 1e3:.1f}"]
    return [row["batch"], row["beam"], row["engine"], row["tokens"], *speed, *read]


if __name__ == "__main__":
    main()
