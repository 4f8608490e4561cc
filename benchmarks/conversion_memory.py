"""How much memory does a conversion take? Peak resident set of a child process that converts a model.

    python benchmarks/conversion_memory.py nllb-600M nllb-3.3B
    python benchmarks/conversion_memory.py madlad-3B --dtype bfloat16 --run \\
        --results benchmarks/results/conversion_memory_madlad.json
    python benchmarks/conversion_memory.py madlad-3B --dtype bfloat16 --layout rtranslator
    python benchmarks/conversion_memory.py opus-mt-en-fr/ an-optimum-export/ a-ctranslate2-model/ en_fr.argosmodel

A source is a file or folder that `quartet convert` takes, or the shape of a real checkpoint: one with random weights,
float32 unless `--dtype` says otherwise, is then made and deleted again; the disk needs twice its size. The limits are
those that the project promises for shapes. With `--run` two further processes, one after the other, translate one text
of 25 tokens to 75; the first one also packs the weights for this machine, into a cache that is deleted with the rest.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from random_checkpoint import SHAPES, big
from report import add_results_argument, report

LIMITS_MB = {"nllb-600M": 1000, "nllb-3.3B": 2000, "madlad-3B": 2500}
DISK_LIMITS_MB = {"madlad-3B": 1900}
RUNNING_LIMITS_MB = {"madlad-3B": 2200}
CONVERT = "import sys; from quartet.cli import main; sys.exit(main(['convert', *sys.argv[1:]]))"
TRANSLATE = """import sys
from quartet import Translator
with Translator(sys.argv[1], threads=2) as translator:
    source = [*range(100, 124), translator.manifest.tokens.eos]
    rows = translator.generate([source], max_new_tokens=75, min_new_tokens=75)
    assert len(rows[0]) == 75, rows
"""


def measure(source: str, dtype: str, folder: Path, options: list[str], run: bool) -> dict[str, object]:
    made = source in SHAPES
    checkpoint = big(folder / "checkpoint", source, dtype) if made else Path(source)
    size = bytes_of(checkpoint)
    start = time.perf_counter()
    peak = peak_of_child([sys.executable, "-c", CONVERT, str(checkpoint), str(folder / "quartet"), *options])
    seconds = time.perf_counter() - start
    written = bytes_of(folder / "quartet")
    if made:
        shutil.rmtree(checkpoint)
    shape = source if made and "--precision" not in options else ""  # what the limits are for
    return {
        "source": f"{source} {dtype}" if made else checkpoint.name,
        "source_mb": round(size / 1e6),
        "quartet_mb": round(written / 1e6),
        "seconds": round(seconds, 1),
        "peak_mb": round(peak / 1e6),
        "limit_mb": LIMITS_MB.get(shape),
        "disk_limit_mb": DISK_LIMITS_MB.get(shape),
        "running_limit_mb": RUNNING_LIMITS_MB.get(shape),
        **(running(folder) if run else {}),
    }


def bytes_of(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def running(folder: Path) -> dict[str, object]:
    """Peaks of two processes that load the model and translate: the first ever, and the next."""
    os.environ["QUARTET_HOME"] = str(folder / "home")
    command = [sys.executable, "-c", TRANSLATE, str(folder / "quartet")]
    first, then = peak_of_child(command), peak_of_child(command)
    cache = bytes_of(folder / "home")
    return {"first_run_mb": round(first / 1e6), "run_mb": round(then / 1e6), "cache_mb": round(cache / 1e6)}


def peak_of_child(command: list[str]) -> int:
    """Largest resident set of a child, in bytes, as the kernel counts it (`ru_maxrss`)."""
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", help=f"files, folders, or shapes: {', '.join(sorted(SHAPES))}")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--precision", help="of the quartet; default: quartet's own")
    parser.add_argument("--layout", help="of the quartet; default: quartet's own")
    parser.add_argument("--run", action="store_true", help="translate with what was converted, too")
    parser.add_argument("--folder", type=Path, help="where to put the files meanwhile; default: the system's")
    add_results_argument(parser)
    args = parser.parse_args()
    asked = {"--precision": args.precision, "--layout": args.layout}
    options = [word for name, value in asked.items() if value for word in (name, value)]
    for source in args.sources:
        if source not in SHAPES and not Path(source).exists():
            parser.error(f"{source} is no file or folder, and no shape: these are {', '.join(sorted(SHAPES))}")
    rows = []
    for source in args.sources:
        folder = Path(tempfile.mkdtemp(prefix="quartet-", dir=args.folder))
        try:
            rows.append(measure(source, args.dtype, folder, options, args.run))
        finally:
            shutil.rmtree(folder)
    ran = ("first run", "next run", "limit", "cache") if args.run else ()
    columns = ("source", "size", "quartet", "time", "peak resident", "limit", *ran)
    report(args.results, columns, map(cells, rows), {"rows": rows}, packages=("onnx-ir",))
    if any(row.get(value) and row.get(limit) and row[value] > row[limit] for row in rows for value, limit in PROMISES):
        raise SystemExit("over the limit")


PROMISES = (
    ("peak_mb", "limit_mb"),
    ("quartet_mb", "disk_limit_mb"),
    ("first_run_mb", "running_limit_mb"),
    ("run_mb", "running_limit_mb"),
)


def cells(row: dict) -> list[str]:
    before, after = ("source_mb", "quartet_mb"), ("peak_mb", "limit_mb")
    ran = ("first_run_mb", "run_mb", "running_limit_mb", "cache_mb") if "run_mb" in row else ()
    sizes = {name: f"{row[name]} MB" if row[name] else "" for name in (*before, *after, *ran)}
    seconds = f"{row['seconds']} s"
    return [row["source"], *(sizes[n] for n in before), seconds, *(sizes[n] for n in (*after, *ran))]


if __name__ == "__main__":
    main()
