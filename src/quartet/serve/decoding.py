"""Two threads that decode for all who ask: their rows wait in a fair queue, and leave it in batches.

While one batch is in Python, or thins out, the other one has the cores. Both are of one model where its engine can do
that, else of two models. What is handed in is answered through tickets. Whoever does not want an answer any more
cancels: rows that wait leave the queue, rows that are decoded leave their batch at its next step.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quartet.errors import QuartetError
from quartet.runtime.batching import Batching
from quartet.runtime.engine import MANY_ROWS, Engine
from quartet.runtime.machine import packing
from quartet.runtime.model import Model
from quartet.runtime.requests import Request
from quartet.serve.fair_queue import FairQueue, Lane, Waiting

AT_ONCE = 2  # batches
FEW_ROWS = 8  # of the decoder: fewer are not shared among the threads, nor worth sessions of their own
MAX_ROWS = 64  # of the decoder in one batch: more are hardly faster, and all wait for them
IDLE = 1.0  # seconds after which what is kept for the next batch goes back to the system
MAX_BATCH_TOKENS = 2048  # of the sources in one batch

log = logging.getLogger("quartet.serve")
Tokens = tuple[int, ...]


class QueueFullError(QuartetError):
    """More waits than the queue has room for; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the server has more to do than it can queue; try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, eq=False)
class Ticket(Waiting):
    """A row that somebody waits for. It is answered by the decoder's thread."""

    engine: Engine
    request: Request[Any]
    answer: Future[Any] = field(default_factory=Future)
    grown: "queue.SimpleQueue[Tokens | None] | None" = None  # the tokens so far, then None, where they are wanted

    def result(self) -> Any:
        """Wait for what comes out. Raises what decoding raises, and `CancelledError`."""
        return self.answer.result()

    def tokens(self) -> Iterator[Tokens]:
        """The new tokens so far, each time that there are more."""
        assert self.grown is not None
        yield from iter(self.grown.get, None)
        self.answer.result()

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self.answer.cancel():
            self._end_tokens()

    def is_unwanted(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.answer.cancelled()

    def finish(self, result: Any) -> None:
        """Give what comes out to whoever waits."""
        with contextlib.suppress(InvalidStateError):  # nobody does any more
            self.answer.set_result(result)
        self._end_tokens()

    def fail(self, error: BaseException) -> None:
        """Tell whoever waits what went wrong; what is answered already stays so."""
        with contextlib.suppress(InvalidStateError):
            self.answer.set_exception(error)
        self._end_tokens()

    def _end_tokens(self) -> None:
        if self.grown is not None:
            self.grown.put(None)


@dataclass(frozen=True)
class Caller:
    """Somebody whose rows are decoded by a shared decoder; a `Translator` hands its rows to one."""

    decoder: "SharedDecoder"
    client: str
    lane: Lane
    streams: bool = False  # tokens are wanted as they come
    tickets: list[Ticket] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)  # nobody waits any more
    facts: dict[str, str] = field(default_factory=dict)  # for the log: the model, and languages

    def submit(self, engine: Engine, requests: Sequence[Request[Any]], batching: Batching) -> list[Ticket]:
        """Let rows wait for their turn. The decoder makes its own batches.

        Raises `QueueFullError`, but not for a caller whose first rows were taken; `CancelledError` after `cancel`.
        """
        del batching
        begun = bool(self.tickets)
        tickets = [self._ticket(engine, request) for request in requests]
        self.tickets[:] = [ticket for ticket in self.tickets if not ticket.answer.done()]
        self.tickets.extend(tickets)
        if not self.gone.is_set():
            self.decoder.add(tickets, begun=begun)
        if self.gone.is_set():  # perhaps since then
            self.cancel()
        self.check()
        return tickets

    def check(self) -> None:
        """Raise `CancelledError` where nobody waits any more: for work that takes long before its rows are there."""
        if self.gone.is_set():
            raise CancelledError

    def cancel(self) -> None:
        """Nobody waits for any of its rows any more."""
        self.gone.set()
        for ticket in self.tickets:
            ticket.cancel()

    def _ticket(self, engine: Engine, request: Request[Any]) -> Ticket:
        alike = id(engine), request.alike
        grown: queue.SimpleQueue[Tokens | None] | None = queue.SimpleQueue() if self.streams else None
        place = self.client, self.lane, alike, request.length, request.rows, time.monotonic()
        return Ticket(*place, engine, request, grown=grown)


class SharedDecoder:
    """A queue of rows and the threads that decode them."""

    def __init__(self, max_queue_tokens: int, max_rows: int = MAX_ROWS) -> None:
        """max_queue_tokens: of all sources that may wait."""
        self._queue: FairQueue[Ticket] = FairQueue(max_queue_tokens)
        self._max_rows = max_rows
        self._changed = threading.Condition()
        self._closing, self._paused = False, 0
        self._busy: list[Engine] = []  # of the batches that are decoded at the moment
        self._keeps = False  # the C library what batches have freed: the next one wants it
        self._speed = 0.0  # tokens of sources a second, of the last batches
        names = [f"quartet-decoder-{number}" for number in range(AT_ONCE)]
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def add(self, tickets: Sequence[Ticket], *, begun: bool = False) -> None:
        """Let rows wait. Raises `QueueFullError` where there is no room for all of them.

        begun: other rows of the same work were taken; so are these, whatever waits.
        """
        with self._changed:
            has_room = begun or self._queue.has_room(sum(ticket.length for ticket in tickets))
            if self._closing or not has_room:
                raise QueueFullError(self._seconds_of_the_queue())
            self._queue.add(tickets)
            self._changed.notify_all()

    @property
    def queued_tokens(self) -> int:
        """Of all sources that wait."""
        return self._queue.tokens

    @property
    def queued_rows(self) -> int:
        """That wait."""
        return len(self._queue)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Take no row out of the queue inside the `with` statement."""
        with self._changed:
            self._paused += 1
        try:
            yield
        finally:
            with self._changed:
                self._paused -= 1
                self._changed.notify_all()

    def close(self, timeout: float | None = None) -> None:
        """Answer what waits, take nothing more, and end; after `timeout` seconds what is left is cancelled."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
        with self._changed:
            for ticket in self._queue.remove(lambda _: True):
                ticket.cancel()
            self._changed.notify_all()

    def _seconds_of_the_queue(self) -> int:
        return max(1, min(60, round(self._queue.tokens / self._speed))) if self._speed else 1

    def _run(self) -> None:
        while batch := self._next_batch():
            start, tokens = time.monotonic(), sum(ticket.length for ticket in batch)
            try:
                self._decode(batch)
            except BaseException as error:  # whatever it is, those who wait are to know
                log.exception("decoding failed")
                for ticket in batch:
                    ticket.fail(error)
            with self._changed:
                latest = tokens * len(self._busy) / max(time.monotonic() - start, 1e-6)
                self._speed = 0.7 * self._speed + 0.3 * latest if self._speed else latest
                self._busy.remove(batch[0].engine)
                self._keeps = True
                self._changed.notify_all()
            del batch  # windows of sound are large, and nothing may follow for long

    def _next_batch(self) -> list[Ticket]:
        """Wait for rows; none where no more will come."""
        with self._changed:
            while True:
                while self._paused:
                    self._changed.wait()
                self._queue.remove(Ticket.is_unwanted)
                batch = self._queue.next_batch(time.monotonic(), self._room, MAX_BATCH_TOKENS)
                if batch:
                    self._busy.append(batch[0].engine)
                if batch or (self._closing and not len(self._queue)):
                    return batch
                changed = self._changed.wait(IDLE if self._keeps and not self._busy else None)
                if not changed and self._keeps and not self._busy:  # the other thread has not done it
                    self._keeps = False
                    packing.trim()

    def _room(self, ticket: Ticket) -> int:
        """How many rows the next batch of its engine may have: as many as the other thread, where that may help."""
        if not ticket.engine.takes_two:
            return 0 if ticket.engine in self._busy else self._max_rows
        share = -(-self._queue.rows // (AT_ONCE - len(self._busy)))
        return min(self._max_rows, max(FEW_ROWS, share))

    def _decode(self, batch: Sequence[Ticket]) -> None:
        first, unwanted = batch[0], np.zeros(len(batch), bool)
        for step in first.request.steps(self._model(batch), [ticket.request for ticket in batch], unwanted):
            for place, result in step.finished:
                batch[place].finish(result)
            for place, ticket in enumerate(batch):
                unwanted[place] = ticket.is_unwanted()
                if ticket.grown is not None and step.running and (tokens := step.running.tokens(place)) is not None:
                    ticket.grown.put(tokens)

    def _model(self, batch: Sequence[Ticket]) -> Model:
        """The one for a batch: with all threads for a few rows of somebody who is alone."""
        engine, rows = batch[0].engine, sum(ticket.rows for ticket in batch)
        shares = rows >= FEW_ROWS or self._busy.count(engine) > 1
        parallel = shares and engine.open_parallel(worth_it=True)
        if parallel:
            rows = max(rows, MANY_ROWS)  # the weights for fewer rows need not be in memory too
        return engine.model(rows, batch[0].request.head, parallel=parallel)
