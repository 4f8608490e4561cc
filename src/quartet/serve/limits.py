"""Who may ask, and how often: keys with limits of their own, and buckets of requests for each key or address."""

import hashlib
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from sqlite3 import Connection

from quartet.errors import OptionError
from quartet.options.declared import SERVE
from quartet.options.kinds import checked
from quartet.serve.state import State

LOOK = 1.0  # seconds after which the file of keys is looked at again
LIMITS = {"req-limit": "req_limit", "char-limit": "char_limit", "batch-limit": "batch_limit"}  # in the file; options
MINUTE = 60.0  # seconds
_DIGEST = re.compile("[0-9a-f]{64}")

log = logging.getLogger("quartet.serve")


@dataclass(frozen=True)
class Key:
    """A key that may be used: its hash, what the operator calls it, and its limits where they differ from all."""

    hash: str
    name: str | None = None
    req_limit: int | None = None
    char_limit: int | None = None
    batch_limit: int | None = None


def hashed(key: str) -> str:
    """A key as it is kept: its SHA-256. Keys are long and random, so that no salt and no slow hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key() -> tuple[str, str]:
    """A random key of 256 bits, and its line for the file of keys."""
    key = secrets.token_urlsafe(32)
    return key, f"sha256:{hashed(key)}"


def read_keys(path: Path) -> dict[str, Key]:
    """The keys in a file, by their hashes.

    One a line, as `sha256:HEX` or as the key itself, then what is its own: `name=alice req-limit=60 char-limit=5000
    batch-limit=10`, -1 for no limit; `#` begins a comment. Raises `OptionError`.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the file of keys {path} cannot be read: {error}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        words = list(takewhile(lambda word: not word.startswith("#"), line.split()))
        if words:
            key = _key(words, f"line {number} of {path}")
            found[key.hash] = key
    return found


def _key(words: Sequence[str], place: str) -> Key:
    given, *own = words
    digest = given.removeprefix("sha256:").lower() if given.startswith("sha256:") else hashed(given)
    if not _DIGEST.fullmatch(digest):
        raise OptionError(f"{place}: {given[:80]} is no SHA-256; expected sha256: and 64 hexadecimal digits")
    limits: dict[str, int] = {}
    name = None
    for word in own:
        what, _, value = word.partition("=")
        if what == "name" and value:
            name = value
        elif what in LIMITS:
            option = replace(SERVE[LIMITS[what]], name=f"{place}: {what}")
            limits[LIMITS[what]] = checked(option, option.kind.read(value))
        else:
            raise OptionError(f"{place}: {word[:80]} is not understood; expected name=NAME or {'=N, '.join(LIMITS)}=N")
    return Key(digest, name, **limits)


class Keys:
    """The keys of a file, which is read again when it has changed."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises what `read_keys` raises."""
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._stamp, self._looked = _stamp(path), clock()
        self._keys = read_keys(path)

    def find(self, key: str) -> Key | None:
        """What is known of a key, where it may be used. How long that takes tells of its hash at most."""
        with self._lock:
            if self._clock() - self._looked >= LOOK:
                self._looked = self._clock()
                self._look()
        return self._keys.get(hashed(key))

    def _look(self) -> None:
        """Read the file again where it has changed. One that cannot be read, or is wrong, changes nothing."""
        if (stamp := _stamp(self._path)) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._path)
        except OptionError as error:
            log.warning("the keys stay what they were: %s", error)
        else:
            log.warning("read the file of keys again: %d keys", len(self._keys))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs once a file has changed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Buckets:
    """Requests by client: each may have so many in a minute, and gets them back evenly."""

    def __init__(self, state: State, clock: Callable[[], float] = time.monotonic) -> None:
        self._state, self._clock = state, clock
        columns = "client TEXT PRIMARY KEY, left REAL, since REAL"  # requests, and when they were counted
        state.table("buckets", columns, self._expire)

    def take(self, client: str, per_minute: int, count: int = 1) -> float:
        """Let a client have so many requests; returns 0, or the seconds after which it may try again.

        per_minute: below 0 there is no limit.
        """
        if per_minute < 0:
            return 0.0
        with self._state.changing() as database:
            now, most = self._clock(), float(per_minute)
            row = database.execute("SELECT left, since FROM buckets WHERE client = ?", (client,)).fetchone()
            left, since = row or (most, now)
            left = min(most, left + (now - since) * most / MINUTE)
            wanted = min(count, max(per_minute, 1))  # a large request waits for a full bucket, not for ever
            granted = left >= wanted
            kept = client, left - wanted if granted else left, now
            database.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?)", kept)
        return 0.0 if granted else (wanted - left) * MINUTE / most if most else MINUTE

    def _expire(self, database: Connection) -> None:
        """Forget those that are full again."""
        database.execute("DELETE FROM buckets WHERE since < ?", (self._clock() - MINUTE,))
