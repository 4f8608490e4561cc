"""What a measurement was made with: machine and versions, for the head of every table."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def describe(packages: tuple[str, ...] = ("quartet", "onnxruntime", "numpy")) -> dict[str, str]:
    """CPU, cores, memory, Python and package versions."""
    return {
        "cpu": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _cpu() -> str:
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    facts = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    wanted = ("avx2", "avx512_vnni", "avx_vnni", "amx_int8")
    flags = [flag for flag in wanted if flag in facts.get("flags", "").split()]
    name = facts.get("model name", platform.processor())
    return f"{name} (family {facts.get('cpu family', '?')} model {facts.get('model', '?')}; {', '.join(flags)})"
