"""How much memory does a conversion take? Peak resident set of a child process that converts a large checkpoint.

    python benchmarks/conversion_memory.py nllb-600M nllb-3.3B
    python benchmarks/conversion_memory.py madlad-3B --dtype bfloat16 --run

The checkpoint has random weights in the shape of the real one, float32 unless `--dtype` says otherwise, and is made
and deleted again; the disk needs twice its size. The limits are those that the project promises. With `--run` two
further processes, one after the other, translate one text of 25 tokens to 75; the first one also packs the weights for
this machine, into a cache that is deleted with the rest.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from random_checkpoint import SHAPES, big
from report import last_line, table

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


def measure(shape: str, dtype: str, folder: Path, run: bool) -> dict[str, object]:
    checkpoint = big(folder / "checkpoint", shape, dtype)
    size = sum(path.stat().st_size for path in checkpoint.iterdir())
    start = time.perf_counter()
    peak = peak_of_child([sys.executable, "-c", CONVERT, str(checkpoint), str(folder / "quartet")])
    seconds = time.perf_counter() - start
    written = sum(path.stat().st_size for path in (folder / "quartet").iterdir())
    shutil.rmtree(checkpoint)
    return {
        "shape": shape,
        "dtype": dtype,
        "checkpoint_mb": round(size / 1e6),
        "quartet_mb": round(written / 1e6),
        "seconds": round(seconds, 1),
        "peak_mb": round(peak / 1e6),
        "limit_mb": LIMITS_MB.get(shape),
        "disk_limit_mb": DISK_LIMITS_MB.get(shape),
        "running_limit_mb": RUNNING_LIMITS_MB.get(shape),
        **(running(folder) if run else {}),
    }


def running(folder: Path) -> dict[str, object]:
    """Peaks of two processes that load the model and translate: the first ever, and the next."""
    os.environ["QUARTET_HOME"] = str(folder / "home")
    command = [sys.executable, "-c", TRANSLATE, str(folder / "quartet")]
    first, then = peak_of_child(command), peak_of_child(command)
    cache = sum(path.stat().st_size for path in (folder / "home").rglob("*") if path.is_file())
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
    parser.add_argument("shapes", nargs="+", choices=sorted(SHAPES))
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--run", action="store_true", help="translate with what was converted, too")
    parser.add_argument("--folder", type=Path, help="where to put the files meanwhile; default: the system's")
    args = parser.parse_args()
    rows = []
    for shape in args.shapes:
        folder = Path(tempfile.mkdtemp(prefix="quartet-", dir=args.folder))
        try:
            rows.append(measure(shape, args.dtype, folder, args.run))
        finally:
            shutil.rmtree(folder)
    ran = ("first run", "next run", "limit", "cache") if args.run else ()
    table(("shape", "checkpoint", "quartet", "time", "peak resident", "limit", *ran), map(cells, rows))
    last_line({"rows": rows})
    if any(row.get(value) and row.get(limit) and row[value] > row[limit] for row in rows for value, limit in PROMISES):
        raise SystemExit("over the limit")


PROMISES = (
    ("peak_mb", "limit_mb"),
    ("quartet_mb", "disk_limit_mb"),
    ("first_run_mb", "running_limit_mb"),
    ("run_mb", "running_limit_mb"),
)


def cells(row: dict) -> list[str]:
    before, after = ("checkpoint_mb", "quartet_mb"), ("peak_mb", "limit_mb")
    ran = ("first_run_mb", "run_mb", "running_limit_mb", "cache_mb") if "run_mb" in row else ()
    sizes = {name: f"{row[name]} MB" if row[name] else "" for name in (*before, *after, *ran)}
    seconds = f"{row['seconds']} s"
    return [f"{row['shape']} {row['dtype']}", *(sizes[n] for n in before), seconds, *(sizes[n] for n in (*after, *ran))]


if __name__ == "__main__":
    main()
