"""How much memory does a conversion take? Peak resident set of a child process that converts a large checkpoint.

    python benchmarks/conversion_memory.py nllb-600M nllb-3.3B

The checkpoint has random weights in the shape of the real one, float32 unless `--dtype` says otherwise, and is made
and deleted again; the disk needs twice its size. The limits are those that the project promises.
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

LIMITS_MB = {"nllb-600M": 1000, "nllb-3.3B": 2000}
CONVERT = "import sys; from quartet.cli import main; sys.exit(main(['convert', *sys.argv[1:]]))"


def measure(shape: str, dtype: str, folder: Path) -> dict[str, object]:
    checkpoint = big(folder / "checkpoint", shape, dtype)
    size = sum(path.stat().st_size for path in checkpoint.iterdir())
    start = time.perf_counter()
    peak = peak_of_child([sys.executable, "-c", CONVERT, str(checkpoint), str(folder / "quartet")])
    seconds = time.perf_counter() - start
    written = sum(path.stat().st_size for path in (folder / "quartet").iterdir())
    return {
        "shape": shape,
        "dtype": dtype,
        "checkpoint_mb": round(size / 1e6),
        "quartet_mb": round(written / 1e6),
        "seconds": round(seconds, 1),
        "peak_mb": round(peak / 1e6),
        "limit_mb": LIMITS_MB.get(shape),
    }


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
    parser.add_argument("--folder", type=Path, help="where to put the files meanwhile; default: the system's")
    args = parser.parse_args()
    rows = []
    for shape in args.shapes:
        folder = Path(tempfile.mkdtemp(prefix="quartet-", dir=args.folder))
        try:
            rows.append(measure(shape, args.dtype, folder))
        finally:
            shutil.rmtree(folder)
    table(("shape", "checkpoint", "quartet", "time", "peak resident", "limit"), map(cells, rows))
    last_line({"rows": rows})
    if any(r["limit_mb"] and r["peak_mb"] > r["limit_mb"] for r in rows):
        raise SystemExit("over the limit")


def cells(row: dict) -> list[str]:
    sizes = [f"{row[name]} MB" if row[name] else "" for name in ("checkpoint_mb", "quartet_mb", "peak_mb", "limit_mb")]
    return [f"{row['shape']} {row['dtype']}", *sizes[:2], f"{row['seconds']} s", *sizes[2:]]


if __name__ == "__main__":
    main()
