"""Who may ask, and how often: keys, and buckets of requests for each key or address."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from quartet.errors import OptionError

MOST_BUCKETS = 100_000  # of clients that are remembered


def hashed(key: str) -> str:
    """A key as it is kept: its SHA-256. Keys are long and random, so that no salt and no slow hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> frozenset[str]:
    """The hashes in a file of keys: one a line, as `sha256:HEX` or as the key itself; `#` begins a comment.

    Raises `OptionError`.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the file of keys {path} cannot be read: {error}") from None
    return frozenset(_hashes(line.strip() for line in lines))


def _hashes(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        if line and not line.startswith("#"):
            yield line.removeprefix("sha256:").lower() if line.startswith("sha256:") else hashed(line)


def is_known(key: str, hashes: frozenset[str]) -> bool:
    """Whether a key is among them. How long that takes tells of its hash at most."""
    return hashed(key) in hashes


class Buckets:
    """Requests by client: each may have `per_minute`, and gets them back evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """per_minute: below 0 there is no limit."""
        self._per_minute, self._clock = per_minute, clock
        self._left: dict[str, tuple[float, float]] = {}  # requests, and when they were counted
        self._lock = threading.Lock()

    def take(self, client: str, count: int = 1) -> float:
        """Let a client have so many requests; returns 0, or the seconds after which it may try again."""
        if self._per_minute < 0:
            return 0.0
        with self._lock:
            now = self._clock()
            left, since = self._left.pop(client, (float(self._per_minute), now))
            left = min(float(self._per_minute), left + (now - since) * self._per_minute / 60)
            wanted = min(count, max(self._per_minute, 1))  # a large request waits for a full bucket, not for ever
            granted = left >= wanted
            self._left[client] = (left - wanted if granted else left, now)
            while len(self._left) > MOST_BUCKETS:
                del self._left[next(iter(self._left))]
        return 0.0 if granted else (wanted - left) * 60 / self._per_minute if self._per_minute else 60.0
