"""Many texts: their batches, two at a time where that is faster.

While one batch is in Python, or in an operator that has work for one thread only, the other one has the cores. On two
cores, with one thread each, batches of 48 rows are 8 to 20 % faster than with both threads for each (docs/log.md).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from quartet.progress import Progress
from quartet.runtime.batches import BatchType, batches
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.runtime.machine import pages
from quartet.runtime.search import Hypothesis
from quartet.runtime.sessions import Sessions

MOST_ROWS = 128  # of the decoder at once, each beam being one: more of them are slower again, and larger
MOST_BESIDE = 48  # likewise of each of two batches
FEWEST_BESIDE = 64  # of all batches: fewer are faster in one
WORTH_OPENING = 256  # of all batches, for which sessions of their own pay: these take some 0.3 s, and 50 MB

Rows = Sequence[Sequence[int]]


def threads_of_each(threads: int | None) -> int:
    """Threads of sessions with two callers, so that together they are no more than `threads`; 0: there are too few.

    A session has its callers and as many threads more as it may have, less one. None: half of the logical cores, which
    are all of them where a core has two.
    """
    return threads - 1 if threads is not None else all_cores() // 2


def all_cores() -> int:
    """Logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def search_all(
    model: Sessions,
    open_beside: Callable[[bool], Sessions | None],
    sources: Rows,
    prefixes: Rows,
    options: SearchOptions,
    max_batch_size: int,
    batch_type: BatchType,
    progress: Progress,
) -> list[list[Hypothesis]]:
    """`generate_batch` in batches of similar length; what it gives for each source, in their order.

    open_beside: gives the same model for two callers, and opens it only if told so; None: there is none.
    """
    rows = len(sources) * options.beam_size
    beside = open_beside(rows >= WORTH_OPENING) if rows >= FEWEST_BESIDE and len(sources) > 1 else None
    most = max(1, (MOST_BESIDE if beside else MOST_ROWS) // options.beam_size)
    if beside:
        most = min(most, -(-len(sources) // 2))
        beside.for_rows(most * options.beam_size)  # opens what they need once, not for each caller
        pages.give_back(model.encoding_pages + model.decoding_pages)
    parts = batches([len(source) for source in sources], max_batch_size, batch_type, most)
    results: list[list[Hypothesis]] = [[] for _ in sources]

    def search(part: list[int]) -> list[int]:
        found = generate_batch(beside or model, [sources[i] for i in part], [prefixes[i] for i in part], options)
        for i, hypotheses in zip(part, found, strict=True):
            results[i] = hypotheses
        return part

    done = 0
    for part in _side_by_side(search, parts) if beside else map(search, parts):
        done += len(part)
        progress(done, len(sources))
    return results


def _side_by_side(search: Callable[[list[int]], list[int]], parts: list[list[int]]) -> Iterator[list[int]]:
    """The parts as they are done; where one fails, or nobody wants more, those that have not begun are left."""
    pool = ThreadPoolExecutor(2)
    try:
        for future in as_completed([pool.submit(search, part) for part in parts]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
