"""How long does a model take to load, from the disk and from the page cache, and how large is it on the disk?

    python benchmarks/loading.py --work FOLDER --quartet int4 int8
    python benchmarks/loading.py --work FOLDER --checkpoint opus-mt-en-fr

Each load is a new process; what it imports before has a column of its own. The sentence after it (25 tokens in,
20 out) pays for what was not read yet. Cold: the kernel is asked to drop the pages of the model's
files. `first ever`: quartet has made nothing for this machine yet; the others are with what it made then ("cache").
Needs ctranslate2, torch and transformers.
"""

import argparse
import os
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

from peers import add_arguments, entries, random_checkpoint
from random_checkpoint import SHAPES
from report import add_results_argument, report
from workload import random_job, vocabulary

from quartet.bench.contest import Entry, MeasuredProcess, Run
from quartet.bench.worker import Job

COLUMNS = ("engine", "files", "cache", "first ever", "cold", "and a sentence", "warm", "and a sentence", "imports")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="nllb-600M", help="of random weights")
    parser.add_argument("--checkpoint", type=Path, help="a real model instead")
    add_results_argument(parser)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    checkpoint = args.checkpoint or random_checkpoint(args.work, args.shape)
    rows = [measure(entry, checkpoint, args) for entry in entries(args, checkpoint)]
    report(args.results, COLUMNS, map(cells, rows), {"rows": rows}, versions=[row["versions"] for row in rows])


def measure(entry: Entry, checkpoint: Path, args: argparse.Namespace) -> dict[str, object]:
    job = random_job(vocabulary(entry, checkpoint), rows=1, source_tokens=25, new_tokens=20)
    home = empty(args.work / "home-of-loading")  # beside the models: a file system in memory is never cold
    first, _ = load(entry, job, args.threads, home)
    cold, warm = [], []
    for _ in range(args.rounds):
        drop_from_page_cache(entry.folder, home)
        cold.append(load(entry, job, args.threads, home))
        warm.append(load(entry, job, args.threads, home))
    row = {
        "engine": entry.name,
        "bytes": size(entry.folder),
        "cache_bytes": size(home),
        "first": first.seconds,
        "cold": medians(cold),
        "warm": medians(warm),
        "imports": statistics.median(loaded.importing for loaded, _ in warm),
        "versions": first.versions,
    }
    shutil.rmtree(home)
    return row


def load(entry: Entry, job: Job, threads: int, home: Path) -> tuple[Run, Run]:
    with MeasuredProcess(entry, threads, home) as process:
        return process.loaded, process.run(job)


def medians(runs: Sequence[tuple[Run, Run]]) -> list[float]:
    """Seconds of the loads, and of the sentences after them."""
    return [statistics.median(run.seconds for run in column) for column in zip(*runs, strict=True)]


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def drop_from_page_cache(*folders: Path) -> None:
    os.sync()  # pages that are not written yet stay
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cells(row: dict) -> list[str]:
    sizes = [f"{row['bytes'] / 1e6:.0f} MB", f"{row['cache_bytes'] / 1e6:.0f} MB" if row["cache_bytes"] else ""]
    times = [f"{seconds:.2f} s" for seconds in (row["first"], *row["cold"], *row["warm"], row["imports"])]
    return [row["engine"], *sizes, *times]


if __name__ == "__main__":
    main()
