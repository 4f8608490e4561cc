"""How many words a second does a server translate, and how long does each of its clients wait?

    python benchmarks/serving.py --data ../shared/data/flores-dev --source en --target fr \\
        --server "quartet" "quartet serve --model MODELS/int4 --threads 2 --port {port}" \\
        --server "LibreTranslate" "libretranslate --port {port} --threads 4"

Each command is started on a port of its own, asked until it answers, warmed up, and then asked by so many clients at a
time, each of which sends its next line when it has the answer to the last one. All speak LibreTranslate's interface.
Words are those of the source; the memory is the sum of the peaks of the server's processes. With several servers the
measurements alternate, and the table has the median of the rounds.
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

from report import add_results_argument, report
from sentences import add_sentence_arguments, read_sentences

COLUMNS = ("server", "clients", "requests", "errors", "words/s", "p50, s", "p95, s", "peak memory")
STARTS_WITHIN = 300  # seconds


@dataclass(frozen=True)
class Found:
    """What clients saw in a round."""

    server: str
    clients: int
    requests: int
    errors: int
    words_per_second: float
    p50: float
    p95: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sentence_arguments(parser, 997)
    parser.add_argument("--server", nargs=2, action="append", required=True, metavar=("NAME", "COMMAND"))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    add_results_argument(parser)
    args = parser.parse_args()
    lines, _ = read_sentences(args)
    found: dict[tuple[str, int], list[Found]] = {}
    for _ in range(args.rounds):
        for name, command in args.server:
            with started(command) as (port, process):
                ask(port, lines[0], args)
                for clients in args.clients:
                    one = measure(name, port, process, clients, lines, args)
                    found.setdefault((name, clients), []).append(one)
                    print(cells([one]), flush=True)
    figures = {"rounds": [asdict(one) for rounds in found.values() for one in rounds]}
    report(args.results, COLUMNS, map(cells, found.values()), figures)


@contextlib.contextmanager
def started(command: str) -> Iterator[tuple[int, subprocess.Popen]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(shlex.split(command.format(port=port)), start_new_session=True, **quiet)
    try:
        wait_for(port, process)
        yield port, process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(port: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/languages")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"the server does not answer: {process.args}")


def ask(port: int, line: str, args: argparse.Namespace) -> bool:
    """Whether there is a translation."""
    connection = HTTPConnection("127.0.0.1", port, timeout=600)
    body = json.dumps({"q": line, "source": args.source, "target": args.target, "format": "text"})
    connection.request("POST", "/translate", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status == 200 and bool(json.load(response)["translatedText"])


def measure(
    name: str, port: int, process: subprocess.Popen, clients: int, lines: list[str], args: argparse.Namespace
) -> Found:
    numbers, seconds, words, errors = count(), [], [], []
    start = time.monotonic()

    def client() -> None:
        while time.monotonic() < start + args.seconds:
            line = lines[next(numbers) % len(lines)]
            began = time.monotonic()
            try:
                is_right = ask(port, line, args)
            except OSError:
                is_right = False
            (words if is_right else errors).append(len(line.split()))
            seconds.append(time.monotonic() - began)

    at_once(clients, client)
    took = time.monotonic() - start
    p50, p95 = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
    return Found(name, clients, len(seconds), len(errors), sum(words) / took, p50, p95, peak(process.pid))


def at_once(count: int, client: Callable[[], None]) -> None:
    """So many clients, each in a thread, until all are done."""
    threads = [threading.Thread(target=client) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def peak(pid: int) -> int:
    """Peaks of a process and of all that it has started, in bytes."""
    tasks = Path(f"/proc/{pid}/task")
    children = [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return own * 1024 + sum(map(peak, children))


def cells(rounds: list[Found]) -> list[object]:
    first = rounds[0]

    def middle(name: str) -> float:
        return statistics.median(getattr(one, name) for one in rounds)

    return [
        first.server,
        first.clients,
        sum(one.requests for one in rounds),
        sum(one.errors for one in rounds),
        f"{middle('words_per_second'):.0f}",
        f"{middle('p50'):.2f}",
        f"{middle('p95'):.2f}",
        f"{middle('peak_bytes') / 1e6:.0f} MB",
    ]


if __name__ == "__main__":
    main()
