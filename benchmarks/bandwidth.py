"""How fast can this machine read memory? The roofline of decoding, which reads every weight once per step.

    python benchmarks/bandwidth.py --threads 1 2

Each thread looks for the largest byte of an array of its own, larger than any cache: the fastest read in numpy.
"""

import argparse

from report import add_results_argument, report

from quartet.bench.hardware import read_bandwidth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    add_results_argument(parser)
    args = parser.parse_args()
    rows = [(threads, read_bandwidth(threads)) for threads in args.threads]
    shown = [(threads, f"{rate / 1e9:.1f} GB/s") for threads, rate in rows]
    report(args.results, ("threads", "read"), shown, {"rows": rows})


if __name__ == "__main__":
    main()
