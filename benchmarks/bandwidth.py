"""How fast can this machine read memory? The roofline of decoding, which reads every weight once per step.

    python benchmarks/bandwidth.py --threads 1 2

Each thread looks for the largest byte of an array of its own, larger than any cache: the fastest read in numpy.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from report import last_line, table

ARRAY_BYTES = 512 * 2**20
RUNS = 8


def read_bandwidth(threads: int) -> float:
    """Bytes per second that so many threads read together: the best of several runs."""
    arrays = [np.ones(ARRAY_BYTES, np.uint8) for _ in range(threads)]
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(RUNS):
            start = time.perf_counter()
            list(pool.map(np.max, arrays))
            seconds.append(time.perf_counter() - start)
    return threads * ARRAY_BYTES / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    rows = [(threads, read_bandwidth(threads)) for threads in parser.parse_args().threads]
    table(("threads", "read"), ((threads, f"{rate / 1e9:.1f} GB/s") for threads, rate in rows))
    last_line({"rows": rows})


if __name__ == "__main__":
    main()
