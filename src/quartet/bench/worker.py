"""A process that loads one model, then answers jobs, one line of JSON each, on stdin and stdout.

    python worker.py run KIND MODEL THREADS
    python worker.py make KIND CHECKPOINT FOLDER

KIND names a file in `peers/` and one of its variants (`ctranslate2-int8`), or a file of one's own (`./mine.py`). It
imports what users of that kind would have to, and nothing else, so that its memory is theirs and it runs in any
environment that has the kind's packages: this file and those in `peers/` need no quartet. The other side is `contest`.
"""

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

for switch in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):  # as quartet sets them; nothing is sent by itself
    os.environ.setdefault(switch, "1")

Rows = list[list[int]]  # of ids; for kinds that speak tokens or text list[list[str]], a text being one string


@dataclass(frozen=True)
class Job:
    """Translate. Numbers of tokens are those after the prefix, of which the first is the decoder start."""

    sources: Rows
    prefix: list[int]
    max_new_tokens: int
    min_new_tokens: int = 0
    beam_size: int = 1
    batch_size: int = 64
    loop_guard: bool = False  # where the kind has one: what quartet's users get
    languages: list[str | None] = field(default_factory=list)  # source and target, for kinds that speak text


Generate = Callable[[Job], tuple[float, Rows]]  # seconds of the translation proper, new tokens without the end
Loaded = tuple[float, Generate]  # seconds of loading the model, without those of importing


def peer_of(kind: str) -> tuple[Any, str]:
    """The module of a kind, and its variant; raises `LookupError` where there is none."""
    name, _, variant = kind.partition("-")
    path = Path(kind) if kind.endswith(".py") else Path(__file__).parent / "peers" / f"{name}.py"
    if not path.is_file() or path.stem.startswith("_"):
        names = sorted(file.stem for file in (Path(__file__).parent / "peers").glob("[!_]*.py"))
        raise LookupError(f"no peer {kind!r}; it is one of {', '.join(names)}, or a file that ends in .py")
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    variant = variant if not kind.endswith(".py") and variant else next(iter(module.VARIANTS))
    if variant not in module.VARIANTS:
        raise LookupError(f"no variant {variant!r} of {name}; it has {', '.join(module.VARIANTS)}")
    return module, variant


def memory() -> dict[str, float]:
    """Of this process, in MB: the largest resident set, that of now with shared pages in parts, anonymous memory.

    Without Linux's files only the largest resident set, and nothing where the system does not tell that either.
    """
    if Path("/proc/self/smaps_rollup").exists():
        lines = numbers("/proc/self/status") | numbers("/proc/self/smaps_rollup")
        names = {"peak": "VmHWM", "resident": "VmRSS", "proportional": "Pss", "anonymous": "Anonymous"}
        return {name: lines[line] * 1024 / 1e6 for name, line in names.items()}
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}


def numbers(path: str) -> dict[str, int]:
    """The lines `Name: 123 kB` of a file of the kernel's."""
    parts = [line.split() for line in Path(path).read_text().splitlines()]
    return {part[0].rstrip(":"): int(part[1]) for part in parts if len(part) == 3 and part[2] == "kB"}


def installed(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of those of the packages that are there."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def run(kind: str, folder: Path, threads: int) -> None:
    """Load, say what that took, and answer jobs until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")  # what libraries print goes to stderr
    os.dup2(2, 1)
    start = time.perf_counter()
    peer, variant = peer_of(kind)
    seconds, generate = peer.load(folder, threads, variant)
    importing = time.perf_counter() - start - seconds
    answer = {"seconds": seconds, "importing": importing, "memory": memory(), "versions": installed(peer.PACKAGES)}
    print(json.dumps(answer), file=answers, flush=True)
    for line in sys.stdin:
        seconds, found = generate(Job(**json.loads(line)))
        print(json.dumps({"seconds": seconds, "rows": found, "memory": memory()}), file=answers, flush=True)


def main() -> None:
    """What the command line says."""
    sys.path.pop(0)  # this folder is not the user's
    what, kind, *rest = sys.argv[1:]
    if what == "run":
        run(kind, Path(rest[0]), int(rest[1]))
    else:
        peer, variant = peer_of(kind)
        peer.make(Path(rest[0]), Path(rest[1]), variant)


if __name__ == "__main__":
    main()
