"""What would it bring if rows joined a batch that is being decoded? Computed from what a step really costs.

    python benchmarks/batch_policies.py MODEL --source en --target fr --data ../shared/data/flores-dev --clients 32

A server's threads can decode one batch to its end before the next one begins (cohorts), or take in new rows at every
step where others have left (joining). Measured are the time of encoding and of a step for batches of several sizes,
with one batch at a time and with two, and the lengths of real sentences and of their translations. Both policies are
then played through with them for clients that ask again as soon as they are answered. A joining batch is taken to cost
nothing beside its steps and the encoding of new rows, which is less than it would.
"""

import argparse
import heapq
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from report import add_results_argument, report
from sentences import add_sentence_arguments, read_sentences

from quartet import Translator
from quartet.runtime.engine import MANY_ROWS, Engine
from quartet.runtime.generate import SearchOptions
from quartet.runtime.requests import TextRequest
from quartet.serve.decoding import FEW_ROWS, MAX_ROWS
from quartet.serve.fair_queue import SHORT, WIDEST

COLUMNS = ("policy", "batches at a time", "sentences/s", "p50, s", "p95, s", "rows of a step")
SIZES = (1, 2, 4, 8, 16, 24, 32, 48)
STEPS = 24  # of a measured batch
PLAYED = 120.0  # seconds


@dataclass(frozen=True)
class Costs:
    """Seconds for sizes of batches: of encoding a token of the source, of a step."""

    token: list[float]
    step: list[float]

    def encoding(self, rows: int, longest: int) -> float:
        return rows * longest * float(np.interp(rows, SIZES, self.token))

    def stepping(self, rows: int) -> float:
        return float(np.interp(rows, SIZES, self.step))


@dataclass
class Row:
    """A sentence that somebody waits for."""

    since: float
    length: int
    left: int  # steps


Policy = Callable[[Costs, list[Row], list[Row], int], tuple[list[Row], float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    add_sentence_arguments(parser, 320)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    add_results_argument(parser)
    args = parser.parse_args()
    lines, _ = read_sentences(args)
    with Translator(args.model, threads=args.threads) as translator:
        requests, lengths = real_ones(translator, lines, args)
        engine = translator._open
        two = engine.open_parallel(worth_it=True)
        costs = {at_once: measured(engine, requests, at_once, args.rounds) for at_once in ((1, 2) if two else (1,))}
    played = [
        (name, at_once, *play(policy, costs[at_once], lengths, args.clients, at_once))
        for at_once in costs
        for name, policy in (("cohorts", cohort), ("joining", joining))
    ]
    figures = {"costs": {at_once: vars(cost) for at_once, cost in costs.items()}, "played": played, "sizes": SIZES}
    report(args.results, COLUMNS, map(cells, played), figures)


def real_ones(
    translator: Translator, lines: list[str], args: argparse.Namespace
) -> tuple[list[TextRequest], list[tuple[int, int]]]:
    """What is decoded for some lines, and how many tokens go in and come out."""
    handed_in: list = []

    def submit(engine: Engine, requests: list, batching: object) -> list:
        pending = engine.submit(requests, batching)
        handed_in.extend(zip(requests, pending, strict=True))
        return pending

    translator.through(submit).translate_batch(lines, args.target, args.source)
    lengths = [(request.length, len(pending.result()[0].tokens) + 1) for request, pending in handed_in]
    return [request for request, _ in handed_in], lengths


def measured(engine: Engine, requests: list[TextRequest], at_once: int, rounds: int) -> Costs:
    """Medians, with so many batches at a time."""
    token, step = [], []
    for size in SIZES:
        found: list[tuple[float, float]] = []
        for number in range(rounds):
            chance = random.Random(number)
            batches = [chance.sample(requests, size) for _ in range(at_once)]
            with ThreadPoolExecutor(at_once) as pool:
                found += pool.map(timed, repeat(engine), batches, repeat(at_once > 1))
        token.append(statistics.median(first for first, _ in found))
        step.append(statistics.median(later for _, later in found))
    return Costs(token, step)


def timed(engine: Engine, batch: list[TextRequest], parallel: bool) -> tuple[float, float]:
    """Seconds of encoding for a token of the source, padding included, and of a step in which all rows go on."""
    options = SearchOptions(min_new_tokens=STEPS, max_new_tokens=STEPS)
    requests = [TextRequest(one.source, one.prefix, options) for one in batch]
    model = engine.model(max(len(batch), MANY_ROWS) if parallel else len(batch), parallel=parallel)
    steps = requests[0].steps(model, requests, np.zeros(len(requests), bool))
    start = time.perf_counter()
    next(steps)
    encoded = time.perf_counter()
    count = sum(1 for _ in steps)
    of_a_step = (time.perf_counter() - encoded) / max(1, count)
    tokens = len(batch) * max(one.length for one in batch)
    return max(0.0, encoded - start - of_a_step) / tokens, of_a_step


# ---- playing --------------------------------------------------------------------------------------------------------


def cohort(costs: Costs, running: list[Row], waiting: list[Row], most: int) -> tuple[list[Row], float]:
    """New rows where no other is running; what that costs."""
    return ([], 0.0) if running else joining(costs, running, waiting, most)


def joining(costs: Costs, running: list[Row], waiting: list[Row], most: int) -> tuple[list[Row], float]:
    """As many new rows as there is room for, of similar lengths; what that costs."""
    room, new = most - len(running), []
    for row in waiting:
        if len(new) < room and (not new or row.length <= max(SHORT, WIDEST * new[0].length)):
            new.append(row)
    if not new:
        return [], 0.0
    return new, costs.encoding(len(new), max(row.length for row in new))


def play(
    policy: Policy, costs: Costs, lengths: list[tuple[int, int]], clients: int, at_once: int
) -> tuple[float, float, float, float]:
    """Sentences a second, p50 and p95 of the waiting, and how many rows a step has, weighted by its time."""
    asked = endless(lengths)
    waiting = [Row(0.0, *next(asked)) for _ in range(clients)]
    running: list[list[Row]] = [[] for _ in range(at_once)]
    clocks = [(0.0, thread) for thread in range(at_once)]
    waited, rows, stepping = [], 0.0, 0.0
    while clocks[0][0] < PLAYED:
        now, thread = heapq.heappop(clocks)
        here = [row for row in waiting if row.since <= now]
        idle = sum(not rows_ for rows_ in running)
        share = -(-len(here) // max(1, idle)) if policy is cohort else -(-clients // at_once)
        new, cost = policy(costs, running[thread], here, min(MAX_ROWS, max(FEW_ROWS, share)))
        waiting = [row for row in waiting if all(row is not one for one in new)]
        running[thread] += new
        if not running[thread]:
            heapq.heappush(clocks, (now + 0.001, thread))
            continue
        step = costs.stepping(len(running[thread]))
        rows, stepping = rows + len(running[thread]) * step, stepping + step
        now += cost + step
        for row in running[thread]:
            row.left -= 1
        for row in [row for row in running[thread] if row.left <= 0]:
            waited.append(now - row.since)
            waiting.append(Row(now, *next(asked)))
        running[thread] = [row for row in running[thread] if row.left > 0]
        heapq.heappush(clocks, (now, thread))
    return len(waited) / PLAYED, statistics.median(waited), statistics.quantiles(waited, n=20)[-1], rows / stepping


def endless(lengths: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    chance = random.Random(0)
    while True:
        yield chance.choice(lengths)


def cells(played: tuple) -> list[object]:
    name, at_once, speed, p50, p95, rows = played
    return [name, at_once, f"{speed:.1f}", f"{p50:.2f}", f"{p95:.2f}", f"{rows:.1f}"]


if __name__ == "__main__":
    main()
