"""Where the time of a translation goes: tokeniser, encoder, cache initialiser, decoder, head, search.

Sessions are replaced by ones that keep time; what none of them took is the search, in Python.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quartet.bench.bytes_per_step import bytes_read
from quartet.bench.data import TestSet
from quartet.bench.measure import Settings, Work, planner_of, work_of
from quartet.runtime.batching import Batching, batches
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.runtime.model import Model
from quartet.spec import CACHE_INITIALIZER, DECODER, EMBED_AND_LM_HEAD, ENCODER
from quartet.translation.plan import Planner

TOKENIZER, HEAD, SEARCH = "tokeniser", "head", "search"
ROWS = "rows of the matrix"  # read for tokens that are fed, and to score the best ones once more
PARTS = (TOKENIZER, ENCODER, CACHE_INITIALIZER, ROWS, DECODER, HEAD, SEARCH)
READ_ONCE = {DECODER: DECODER, HEAD: EMBED_AND_LM_HEAD}  # parts that each step reads whole, and the files of these


@dataclass(frozen=True)
class Part:
    """A part of a translation, over all sentences."""

    name: str
    calls: int
    seconds: float
    share: float  # of all the time
    bytes: int | None  # of weights that a call reads; None where a call does not read all of them, or packs them
    bandwidth: float | None  # share of what the machine's memory gives that these bytes and seconds make


class _Clock:
    """Seconds and calls by part."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.calls = dict.fromkeys(PARTS, 0)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.seconds[part] += time.perf_counter() - start
                self.calls[part] += 1

        return call


class _Timed:
    """Anything of which what runs or reads is timed as a part."""

    def __init__(self, inner: Any, part: str, clock: _Clock) -> None:
        self._inner, self._part, self._clock = inner, part, clock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._clock.timed(self._part, found) if name.startswith(("run", "read")) else found


def break_down(
    folder: Path, test_set: TestSet, settings: Settings, batch_size: int, bandwidth: float
) -> tuple[Part, ...]:
    """Translate a test set's sources in batches, in this process; every part with its share.

    bandwidth: bytes per second that the machine reads with as many threads, see `machine.read_bandwidth`.
    """
    planner = planner_of(folder)
    rows = batch_size * settings.beam_size
    engine = open_engine(folder, settings.threads)
    model = engine.model(rows)
    options = SearchOptions(beam_size=settings.beam_size, max_new_tokens=_room(settings, model), loop_guard=True)
    for measured in (False, True):  # the first time warms up
        clock = _Clock()
        start = time.perf_counter()
        _translate(planner, _with_clock(model, clock), test_set, options, batch_size, clock)
        total = time.perf_counter() - start
        if measured:
            break
    clock.seconds[SEARCH] = total - sum(clock.seconds.values())
    packs = model is not engine.model()  # another form of the weights, of another size
    return tuple(_part(name, clock, total, folder, None if packs else bandwidth) for name in PARTS)


def _part(name: str, clock: _Clock, total: float, folder: Path, bandwidth: float | None) -> Part:
    seconds, calls = clock.seconds[name], clock.calls[name]
    read = bytes_read(folder, READ_ONCE[name]) if name in READ_ONCE and bandwidth else None
    share = read * calls / seconds / bandwidth if read and bandwidth else None
    return Part(name, calls, seconds, seconds / total, read, share)


def _translate(
    planner: Planner, model: Model, test_set: TestSet, options: SearchOptions, batch_size: int, clock: _Clock
) -> None:
    decode = clock.timed(TOKENIZER, planner.tokenizer.decode)
    work: Work = clock.timed(TOKENIZER, work_of)(planner, test_set)
    rows = [row for of_text in work.sources for row in of_text]
    for places in batches([len(row) for row in rows], Batching(batch_size)):
        for found in generate_batch(model, [rows[i] for i in places], [work.prefix] * len(places), options):
            decode(found[0].tokens)


def _with_clock(model: Model, clock: _Clock) -> Model:
    """The model with everything timed."""

    def timed(inner: Any, part: str) -> Any:
        return _Timed(inner, part, clock)

    return replace(
        model,
        encoder=timed(model.encoder, ENCODER),
        cache_initializer=timed(model.cache_initializer, CACHE_INITIALIZER),
        decoder=timed(model.decoder, DECODER),
        lm_head=timed(model.lm_head, HEAD),
        embedding=timed(model.embedding, ROWS),
        candidates=timed(model.candidates, ROWS) if model.candidates is not None else None,
    )


def _room(settings: Settings, model: Model) -> int:
    return min(settings.max_new_tokens, model.manifest.shapes.max_target_length - 2)
