"""So many at a time; the others wait for their turn, those of whoever has had fewest turns first."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from quartet.serve.decoding import Caller, QueueFullError

LOOK = 0.2  # seconds after which whoever waits looks whether anybody wants the answer still


class Turns:
    """Places for work that takes long and much memory."""

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self.at_once, self.most_waiting = at_once, most_waiting
        self._free = at_once
        self._waiting: list[Caller] = []  # in the order in which they came
        self._granted: Counter[str] = Counter()  # turns since somebody waited first, by client
        self._seconds = 0.0  # of a turn, of the last ones
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, caller: Caller) -> Iterator[None]:
        """Wait for a place, and have it for as long as the `with` statement lasts.

        Raises `QueueFullError` where too many wait; `concurrent.futures.CancelledError` when the caller is gone.
        """
        self._wait(caller)
        start = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                latest = time.monotonic() - start
                self._seconds = 0.7 * self._seconds + 0.3 * latest if self._seconds else latest
                self._free += 1
                self._changed.notify_all()

    def _wait(self, caller: Caller) -> None:
        with self._changed:
            if (not self._free or self._waiting) and len(self._waiting) >= self.most_waiting:
                seconds = self._seconds * (len(self._waiting) + 1) / self.at_once
                raise QueueFullError(max(1, min(60, round(seconds))))
            if caller.client not in {one.client for one in self._waiting}:  # what it did not use before is no credit
                least = min((self._granted[one.client] for one in self._waiting), default=0)
                self._granted[caller.client] = max(self._granted[caller.client], least)
            self._waiting.append(caller)
            try:
                while not self._free or self._next() is not caller:
                    caller.check()
                    self._changed.wait(LOOK)
                self._free -= 1
                self._granted[caller.client] += 1
            finally:
                self._waiting.remove(caller)
                if not self._waiting:
                    self._granted.clear()
                self._changed.notify_all()

    def _next(self) -> Caller:
        return min(self._waiting, key=lambda one: self._granted[one.client])
