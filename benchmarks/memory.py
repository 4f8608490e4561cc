"""How much memory does a loaded model take, alone and in four processes at once?

    python benchmarks/memory.py --work FOLDER --quartet int4 int8
    python benchmarks/memory.py --work FOLDER --checkpoint opus-mt-en-fr

Each contender is a process of its own that imports what its users would. Peak: the largest resident set (VmHWM) up
to one translated sentence (25 tokens in, 75 out); anonymous: what no file backs (smaps), after loading and after the
sentence. The processes that serve at once translate at the same time; each resident page counts once (the sum of
Pss). `first load`: quartet has made nothing for this machine yet; the row before is with what it made then.
Needs ctranslate2, torch and transformers.
"""

import argparse
import shutil
from contextlib import ExitStack
from pathlib import Path

from loading import add_model_arguments, empty
from report import last_line, table
from rivals import BASE, entries, random_checkpoint
from workload import random_job, vocabulary

from quartet.bench.contest import Contender, Entry
from quartet.bench.worker import Job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--processes", type=int, default=4)
    args = parser.parse_args()
    checkpoint = args.checkpoint or random_checkpoint(args.work, args.shape)
    rows = [row for entry in entries(args, checkpoint) for row in measure(entry, checkpoint, args)]
    base = next((row["peak"] for row in rows if row["contender"] == BASE), None)
    together = [f"{args.processes} processes: {what}" for what in ("resident", "anonymous")]
    columns = ("contender", "peak", f"÷ {BASE}", "anonymous after load", "after a sentence", *together)
    table(columns, (cells(row, base) for row in rows))
    last_line({"rows": rows})


def measure(entry: Entry, checkpoint: Path, args: argparse.Namespace) -> list[dict[str, object]]:
    job = random_job(vocabulary(entry, checkpoint), rows=1, source_tokens=25, new_tokens=75)
    home = empty(args.work / "home-of-memory")
    first = {"contender": f"{entry.name}, first load"} | alone(entry, job, args.threads, home)
    row = {"contender": entry.name} | alone(entry, job, args.threads, home)
    row |= at_once(entry, job, args.threads, home, args.processes)
    shutil.rmtree(home)
    return [row, first] if entry.kind == "quartet" else [row]


def alone(entry: Entry, job: Job, threads: int, home: Path) -> dict[str, object]:
    """Megabytes of one process."""
    with Contender(entry, threads, home) as contender:
        loaded, translated = contender.loaded.memory, contender.run(job).memory
    return {
        "peak": translated["peak"],
        "anonymous_loaded": loaded["anonymous"],
        "anonymous": translated["anonymous"],
        "versions": contender.loaded.versions,
    }


def at_once(entry: Entry, job: Job, threads: int, home: Path, processes: int) -> dict[str, object]:
    """Megabytes of all processes together, after all have translated."""
    with ExitStack() as stack:
        everyone = [stack.enter_context(Contender(entry, threads, home)) for _ in range(processes)]
        for contender in everyone:
            contender.ask(job)
        for contender in everyone:
            contender.answer()
        found = [contender.run(job).memory for contender in everyone]
    return {f"{what}_together": sum(memory[what] for memory in found) for what in ("proportional", "anonymous")}


def cells(row: dict, base: float | None) -> list[str]:
    columns = ("anonymous_loaded", "anonymous", "proportional_together", "anonymous_together")
    ratio = f"{row['peak'] / base:.2f}×" if base else ""
    return [
        row["contender"],
        f"{row['peak']:.0f} MB",
        ratio,
        *(f"{row[c]:.0f} MB" if c in row else "" for c in columns),
    ]


if __name__ == "__main__":
    main()
