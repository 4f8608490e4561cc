"""How much memory does a loaded model take, alone and in four processes at once?

    python benchmarks/memory.py --work FOLDER --quartet int4 int8
    python benchmarks/memory.py --work FOLDER --rows 1 16 64
    python benchmarks/memory.py --work FOLDER --checkpoint opus-mt-en-fr

Each engine is a process of its own that imports what its users would, and a new one for each number of rows. It
loads the model and does one job: so many sentences as one batch, each with 25 tokens in and 75 out. Peak: the largest
resident set (VmHWM), up to the end of loading and up to the end of the job; anonymous: what no file backs (smaps), at
the same two times. The processes that serve at once translate at the same time, with the first number of rows; each
resident page counts once (the sum of Pss). `first load`: quartet has made nothing for this machine yet; the row before
is with what it made then. Needs ctranslate2, torch and transformers.
"""

import argparse
import shutil
from contextlib import ExitStack
from pathlib import Path

from loading import add_model_arguments, empty
from peers import BASE, entries, random_checkpoint
from report import report
from workload import random_job, vocabulary

from quartet.bench.contest import Entry, MeasuredProcess
from quartet.bench.worker import Job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--rows", type=int, nargs="+", default=[1], help="sentences of the job")
    parser.add_argument("--processes", type=int, default=4, help="at once, with the first number of rows")
    args = parser.parse_args()
    checkpoint = args.checkpoint or random_checkpoint(args.work, args.shape)
    everyone = entries(args, checkpoint)
    rows = [row for count in args.rows for entry in everyone for row in measure(entry, checkpoint, count, args)]
    bases = {row["rows"]: row["peak"] for row in rows if row["engine"] == BASE}
    together = [f"{args.processes} processes: {what}" for what in ("resident", "anonymous")]
    anonymous = ("anonymous after load", "anonymous after the job")
    columns = ("rows", "engine", "peak of loading", "peak", f"÷ {BASE}", *anonymous, *together)
    shown = (cells(row, bases.get(row["rows"])) for row in rows)
    report(args.results, columns, shown, {"rows": rows}, versions=[row["versions"] for row in rows])


def measure(entry: Entry, checkpoint: Path, count: int, args: argparse.Namespace) -> list[dict[str, object]]:
    """What the entry takes for a job of `count` rows, and what its very first process took."""
    job = random_job(vocabulary(entry, checkpoint), count, source_tokens=25, new_tokens=75)
    home = empty(args.work / "home-of-memory")
    first = {"rows": count, "engine": f"{entry.name}, first load"} | alone(entry, job, args.threads, home)
    row = {"rows": count, "engine": entry.name} | alone(entry, job, args.threads, home)
    if count == args.rows[0]:
        row |= at_once(entry, job, args.threads, home, args.processes)
    shutil.rmtree(home)
    return [row, first] if entry.kind == "quartet" else [row]


def alone(entry: Entry, job: Job, threads: int, home: Path) -> dict[str, object]:
    """Megabytes of one process."""
    with MeasuredProcess(entry, threads, home) as process:
        loaded, translated = process.loaded.memory, process.run(job).memory
    return {
        "peak_loaded": loaded["peak"],
        "peak": translated["peak"],
        "anonymous_loaded": loaded["anonymous"],
        "anonymous": translated["anonymous"],
        "versions": process.loaded.versions,
    }


def at_once(entry: Entry, job: Job, threads: int, home: Path, processes: int) -> dict[str, object]:
    """Megabytes of all processes together, after all have translated."""
    with ExitStack() as stack:
        everyone = [stack.enter_context(MeasuredProcess(entry, threads, home)) for _ in range(processes)]
        for process in everyone:
            process.ask(job)
        for process in everyone:
            process.answer()
        found = [process.run(job).memory for process in everyone]
    return {f"{what}_together": sum(memory[what] for memory in found) for what in ("proportional", "anonymous")}


def cells(row: dict, base: float | None) -> list[object]:
    ratio = f"{row['peak'] / base:.2f}×" if base else ""
    after = ("anonymous_loaded", "anonymous", "proportional_together", "anonymous_together")
    sizes = {name: f"{row[name]:.0f} MB" if name in row else "" for name in ("peak_loaded", "peak", *after)}
    return [row["rows"], row["engine"], sizes["peak_loaded"], sizes["peak"], ratio, *(sizes[name] for name in after)]


if __name__ == "__main__":
    main()
