"""Rows handed in by any caller, decoded in batches, step by step, by whoever waits for them.

A scheduler decides which requests make a batch: `batches_by_length` is the one that there is. A caller gets a `Pending`
for each request. Its result is there when somebody has taken all steps of its batch; whoever asks for it takes them,
from any thread, so that no thread of its own is needed.
"""

import copy
import os
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import numpy as np

from quartet.errors import ForkedError
from quartet.progress import Progress, silent
from quartet.runtime.batching import Batching, batches
from quartet.runtime.generate import Cancelled, SearchOptions, Step, search_steps
from quartet.runtime.model import Model
from quartet.runtime.search import Hypothesis

if TYPE_CHECKING:
    from quartet.runtime.engine import Engine

MOST_ROWS = 128  # of the decoder at once, each beam being one: more of them are slower again, and larger
MOST_IN_PARALLEL = 48  # likewise of each of two batches
FEWEST_IN_PARALLEL = 64  # of all batches: fewer are faster in one
WORTH_OPENING = 256  # of all batches, for which sessions of their own pay: these take some 0.3 s, and 50 MB

Result = TypeVar("Result")
Answer_co = TypeVar("Answer_co", covariant=True)


class Request(Protocol[Result]):
    """Something to decode, as one row or, with beams, as several."""

    @property
    def length(self) -> int:
        """Tokens of the source: those of a batch are to be alike."""

    @property
    def rows(self) -> int:
        """Rows of the decoder."""

    @property
    def head(self) -> Path | None:
        """The folder of a head of some rows; None for the whole one."""

    @property
    def alike(self) -> Hashable:
        """What requests of one batch have in common."""

    def steps(self, model: Model, batch: Sequence[Self], cancelled: Cancelled) -> Iterator[Step[Result]]:
        """Decode a batch of such requests, numbered by their places in it."""


@dataclass(frozen=True)
class TextRequest:
    """Ids in, hypotheses out, best first."""

    source: Sequence[int]  # as the encoder wants them, special tokens included
    prefix: Sequence[int]  # the first decoder tokens
    options: SearchOptions = SearchOptions()  # noqa: RUF009  frozen
    head: Path | None = None

    @property
    def length(self) -> int:
        """Tokens of the source."""
        return len(self.source)

    @property
    def rows(self) -> int:
        """A row for each beam."""
        return self.options.beam_size

    @property
    def alike(self) -> Hashable:
        """Searched alike, with the same head."""
        return self.options, self.head

    def steps(
        self, model: Model, batch: Sequence["TextRequest"], cancelled: Cancelled
    ) -> Iterator[Step[list[Hypothesis]]]:
        """Search them as one batch."""
        sources, prefixes = [one.source for one in batch], [one.prefix for one in batch]
        return search_steps(model, sources, prefixes, self.options, cancelled)


@dataclass(frozen=True, eq=False)
class Computation(Generic[Result]):
    """Something to compute with the model by itself, in its turn."""

    compute: Callable[[Model], Result]
    length: int  # as a source of so many tokens: how much work it is
    rows: int = 1
    head: Path | None = None

    @property
    def alike(self) -> Hashable:
        """It goes with nothing else."""
        return id(self)

    def steps(
        self, model: Model, batch: Sequence["Computation[Result]"], cancelled: Cancelled
    ) -> Iterator[Step[Result]]:
        """Compute it, in one step."""
        for place, one in enumerate(batch):
            if not cancelled[place]:
                yield Step([(place, one.compute(model))])


class Batch(Generic[Result]):
    """Requests that are decoded together. Any thread may take the next step; the others wait for it."""

    def __init__(self, engine: "Engine", requests: Sequence[Request[Result]], *, parallel: bool = False) -> None:
        """parallel: whether another batch is decoded at the same time."""
        self.requests, self.parallel = requests, parallel
        self._engine: Engine | None = engine
        self._lock = threading.Lock()
        self._cancelled = np.zeros(len(requests), bool)
        self._steps: Iterator[Step[Result]] | None = None
        self._last: Step[Result] | None = None
        self._found: dict[int, Result] = {}
        self._error: BaseException | None = None
        self._process = os.getpid()

    def result(self, place: int) -> Result:
        """What comes out of a request; takes the steps that are missing."""
        while not self._has(place):
            self._advance(place)
        if self._cancelled[place]:
            raise CancelledError(f"request {place} was cancelled")
        if self._error is not None and place not in self._found:
            raise _anew(self._error)
        return self._found[place]

    def tokens(self, place: int) -> Iterator[tuple[int, ...]]:
        """The new tokens so far, after each step that has added some."""
        shown: tuple[int, ...] | None = None
        while not self._has(place):
            self._advance(place)
            running = self._last and self._last.running
            so_far = running.tokens(place) if running else None
            if so_far is not None and so_far != shown:
                yield so_far
                shown = so_far
        if self._error is not None:
            raise _anew(self._error)

    def cancel(self, place: int) -> None:
        """Let a request leave at the next step."""
        self._cancelled[place] = True

    def cancel_all(self) -> None:
        """Let decoding end with the next step."""
        self._cancelled[:] = True

    @property
    def is_open(self) -> bool:
        """Whether steps are missing."""
        return self._engine is not None

    def finish(self) -> None:
        """Take all steps."""
        while self.is_open:
            self._advance(None)
        if self._error is not None:
            raise _anew(self._error)

    def _has(self, place: int) -> bool:
        return place in self._found or bool(self._cancelled[place]) or not self.is_open

    def _advance(self, wanted: int | None) -> None:
        """Take a step, unless another thread has meanwhile taken the one that was wanted."""
        if os.getpid() != self._process:  # its lock may be held by a thread that this process does not have
            raise ForkedError("this translation was begun before the process forked; begin it anew in the new process")
        with self._lock:
            if self._engine is None or (wanted is not None and self._has(wanted)):
                return
            try:
                self._steps = self._steps or self._begin(self._engine)
                self._last = step = next(self._steps, None)
                self._found |= dict(step.finished) if step else {}
            except BaseException as error:
                self._end()
                self._error = _anew(error)
                raise
            if step is None:
                self._end()

    def _begin(self, engine: "Engine") -> Iterator[Step[Result]]:
        first, rows = self.requests[0], sum(request.rows for request in self.requests)
        model = engine.model(rows, first.head, parallel=self.parallel)
        return first.steps(model, self.requests, self._cancelled)

    def _end(self) -> None:
        """Let go of everything but the results."""
        self._engine = self._steps = self._last = None


def _anew(error: BaseException) -> BaseException:
    """The same error without the frames that it went through: they hold the batch, which is to hold the error."""
    try:
        return copy.copy(error)
    except Exception:  # its class wants what it does not keep
        return RuntimeError(repr(error))


@dataclass(frozen=True)
class Pending(Generic[Result]):
    """A request on its way."""

    batch: Batch[Result]
    place: int  # in the batch

    def result(self) -> Result:
        """Wait for what comes out of it, or do the work.

        Raises what decoding raises, `CancelledError`, and `ForkedError`.
        """
        return self.batch.result(self.place)

    def tokens(self) -> Iterator[tuple[int, ...]]:
        """Its new tokens so far, each time that there are more. With beams only the result is known, at the end."""
        return self.batch.tokens(self.place)

    def cancel(self) -> None:
        """Nobody waits for it any more: its row leaves the batch at the next step."""
        self.batch.cancel(self.place)


class Awaited(Protocol[Answer_co]):
    """A request on its way, whoever decodes it."""

    def result(self) -> Answer_co:
        """Wait for what comes out of it. Raises what decoding raises, and `CancelledError`."""

    def tokens(self) -> Iterator[tuple[int, ...]]:
        """Its new tokens so far, each time that there are more."""


class Submit(Protocol):
    """Hands rows of an engine in to be decoded: by `Engine.submit`, or by a queue that many callers share."""

    def __call__(
        self, engine: "Engine", requests: Sequence[Request[Result]], batching: Batching, /
    ) -> Sequence[Awaited[Result]]:
        """What is pending, in the order of the requests."""


@dataclass(frozen=True)
class Runner:
    """An engine, and whoever decodes its rows."""

    engine: "Engine"
    submit: Submit

    def results(self, requests: Sequence[Request[Result]]) -> list[Result]:
        """What comes out of requests that may be decoded together. Raises what decoding raises."""
        return complete(self.submit(self.engine, requests, Batching(max(1, len(requests)))))

    def computed(self, compute: Callable[[Model], Result], length: int) -> Result:
        """What `compute` returns for the model, see `Computation`. Raises what it raises."""
        return self.results([Computation(compute, length)])[0]


# ---- batches by length ----------------------------------------------------------------------------------------------


def batches_by_length(
    engine: "Engine", requests: Sequence[Request[Result]], batching: Batching
) -> list[Pending[Result]]:
    """Requests of similar length in batches, the longest first; what is pending, in the order of the requests.

    Two batches are decoded at a time where there are enough rows: while one is in Python, or in an operator that has
    work for one thread only, the other one has the cores. On two cores, with one thread each, batches of 48 rows are 8
    to 20 % faster than with both threads for each (docs/log.md).
    """
    found: dict[int, Pending[Result]] = {}
    groups: dict[Hashable, list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault(request.alike, []).append(i)
    rows = sum(request.rows for request in requests)
    many = rows >= FEWEST_IN_PARALLEL and len(requests) > 1
    parallel = many and engine.open_parallel(rows >= WORTH_OPENING)
    for group in groups.values():
        each = requests[group[0]].rows
        most = max(1, (MOST_IN_PARALLEL if parallel else MOST_ROWS) // each)
        if parallel:
            most = min(most, -(-len(group) // 2))
        for part in batches([requests[i].length for i in group], batching, most):
            batch = Batch(engine, [requests[group[i]] for i in part], parallel=parallel)
            found |= {group[i]: Pending(batch, place) for place, i in enumerate(part)}
    return [found[i] for i in range(len(requests))]


def complete(pending: Sequence[Awaited[Result]], progress: Progress = silent) -> list[Result]:
    """The results of all, in their order; progress is told how many are done."""
    own = {one.batch for one in pending if isinstance(one, Pending)}  # what nobody else decodes
    longest_first = sorted(own, key=lambda batch: -batch.requests[0].length)
    in_parallel = all(batch.parallel for batch in longest_first)
    done = 0
    for batch in _in_parallel(longest_first) if in_parallel else _one_by_one(longest_first):
        done += len(batch.requests)
        progress(done, len(pending))
    return [one.result() for one in pending]


def _one_by_one(all_batches: Iterable[Batch[Any]]) -> Iterator[Batch[Any]]:
    for batch in all_batches:
        batch.finish()
        yield batch


def _in_parallel(all_batches: Sequence[Batch[Any]]) -> Iterator[Batch[Any]]:
    """The batches as they are done; where one fails, or nobody wants more, the others end with their next step."""
    pool = ThreadPoolExecutor(2)
    try:
        for batch, _ in zip(all_batches, pool.map(Batch.finish, all_batches), strict=True):
            yield batch
    except BaseException:
        for batch in all_batches:
            batch.cancel_all()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
