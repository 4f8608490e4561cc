"""What a measurement was made with: machine and versions, for the head of every table."""

import contextlib
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from quartet.bench.worker import installed, numbers

READ_BYTES = 512 * 2**20  # by all threads together: more than any cache, and no more memory on more cores
RUNS = 6


def describe(packages: tuple[str, ...] = ("quartet-onnx", "onnxruntime", "numpy")) -> dict[str, str]:
    """CPU, cores, memory, Python and package versions."""
    return {
        "cpu": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{_memory() / 2**30:.0f} GiB" if _memory() else "unknown",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **installed(packages),
    }


def available_memory() -> int | None:
    """Bytes that a new process could take now, of the machine's and of the control group's; None where unknown."""
    found = []
    with contextlib.suppress(OSError, KeyError):
        found.append(numbers("/proc/meminfo")["MemAvailable"] * 1024)
    with contextlib.suppress(OSError, ValueError):  # `max` where there is no limit
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        found.append(limit - used + int(cached.get("inactive_file", 0)))
    return min(found, default=None)


def read_bandwidth(threads: int) -> float:
    """Bytes per second that so many threads read together: the best of several runs.

    Each looks for the largest byte of an array of its own, together larger than any cache: numpy's fastest read.
    """
    arrays = [np.ones(READ_BYTES // threads, np.uint8) for _ in range(threads)]
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(RUNS):
            start = time.perf_counter()
            list(pool.map(np.max, arrays))
            seconds.append(time.perf_counter() - start)
    return READ_BYTES / min(seconds)


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return 0


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    lines = [line.partition(":") for line in text.splitlines()]
    facts = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    wanted = ("avx2", "avx512_vnni", "avx_vnni", "amx_int8")
    flags = [flag for flag in wanted if flag in facts.get("flags", "").split()]
    name = facts.get("model name", platform.processor())
    return f"{name} (family {facts.get('cpu family', '?')} model {facts.get('model', '?')}; {', '.join(flags)})"
