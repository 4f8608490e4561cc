"""Which of the rows that wait are decoded next: by lane, by whose turn it is, and so that a batch is worth its while.

Each client has a counter of the tokens that it was given, and whoever has had least comes first ("Fairness in Serving
Large Language Models", arXiv 2401.00588). A client that comes back from idling starts at the least counter of those who
wait: what it did not use before is no credit. Nothing here knows of threads or models.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

AGEING = 4.0  # seconds in which what waits rises by a lane
WIDEST = 2.0  # how much longer than the first of a batch its others may be: the encoder computes the padding
SHORT = 16  # tokens: what is no longer is alike


class Lane(IntEnum):
    """What is waited for with more or less patience; the least comes first."""

    REALTIME = 0
    INTERACTIVE = 1
    FILE = 2


@dataclass(frozen=True, eq=False)
class Waiting:
    """A row in the queue: `rows` of the decoder (its beams), `length` in tokens, `since` in seconds on any clock."""

    client: str
    lane: Lane
    alike: Hashable  # what rows of one batch have in common
    length: int
    rows: int
    since: float

    @property
    def cost(self) -> int:
        """In tokens: as many come out as go in, roughly, and each of them for every beam."""
        return self.length * (1 + self.rows)


Row = TypeVar("Row", bound=Waiting)


class FairQueue(Generic[Row]):
    """The rows that wait."""

    def __init__(self, max_tokens: int) -> None:
        """max_tokens: that may wait."""
        self.max_tokens, self.tokens = max_tokens, 0
        self._rows: list[Row] = []
        self._served: dict[str, int] = {}  # tokens, by client
        self._waiting: Counter[str] = Counter()  # rows, by client

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> int:
        """Of the decoder, that wait."""
        return sum(row.rows for row in self._rows)

    def has_room(self, tokens: int) -> bool:
        """Whether so many tokens more may wait. What is larger than the whole queue may wait where nothing does."""
        return not self._rows or self.tokens + tokens <= self.max_tokens

    def add(self, rows: Sequence[Row]) -> None:
        """Let rows wait."""
        for row in rows:
            if not self._waiting[row.client]:
                least = min((self._served[client] for client, count in self._waiting.items() if count), default=0)
                self._served[row.client] = max(self._served.get(row.client, 0), least)
            self._waiting[row.client] += 1
            self._rows.append(row)
            self.tokens += row.length

    def remove(self, is_unwanted: Callable[[Row], bool]) -> list[Row]:
        """Let rows go that nobody waits for any more; returns them."""
        gone = [row for row in self._rows if is_unwanted(row)]
        self._take(gone)
        return gone

    def next_batch(self, now: float, room: Callable[[Row], int], max_tokens: int) -> list[Row]:
        """The rows to decode together now, in the order of their turns; none where nothing waits.

        room: how many rows of the decoder, each beam being one, a batch that begins with this one may have; 0: it may
        not begin now. max_tokens: of the sources, padding included; a single row may have more.
        """
        chosen: list[Row] = []
        longest = most = 0
        for row in self._in_turn(now):
            if not chosen and not (most := room(row)):
                continue
            count, with_it = len(chosen) + 1, max(longest, row.length)
            is_too_much = count * row.rows > most or count * with_it > max_tokens
            if chosen and (is_too_much or _differ(chosen[0], row)):
                continue
            chosen.append(row)
            longest = with_it
            if (count + 1) * row.rows > most:
                break
        self._take(chosen)
        for row in chosen:
            self._served[row.client] += row.cost
        if not self._rows:  # counters matter among those who wait
            self._served.clear()
            self._waiting.clear()
        return chosen

    def _in_turn(self, now: float) -> Iterator[Row]:
        """All rows, by lane, then by who was given least, what this order gives included."""
        given = Counter(self._served)
        lanes: dict[int, dict[str, list[Row]]] = {}
        for waiting in self._rows:
            lane = max(0, math.ceil(waiting.lane - (now - waiting.since) / AGEING))
            lanes.setdefault(lane, {}).setdefault(waiting.client, []).append(waiting)
        for lane in sorted(lanes):
            of_clients = {client: iter(rows) for client, rows in lanes[lane].items()}
            while of_clients:
                client = min(of_clients, key=given.__getitem__)
                if row := next(of_clients[client], None):
                    given[client] += row.cost
                    yield row
                else:
                    del of_clients[client]

    def _take(self, rows: Sequence[Row]) -> None:
        taken = set(rows)
        self._rows = [row for row in self._rows if row not in taken]
        self.tokens -= sum(row.length for row in rows)
        self._waiting -= Counter(row.client for row in rows)


def _differ(first: Waiting, row: Waiting) -> bool:
    """Whether a row does not belong in the batch of another one."""
    return row.alike != first.alike or row.length > max(SHORT, WIDEST * first.length)
