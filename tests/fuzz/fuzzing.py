"""What the fuzzers share: damage to bytes and to JSON, bounds of time and memory, the count of what came of it.

A trial is one damaged input. It ends well where the input is refused with one clear line, or where the damage does no
harm. Everything else is a fault: another exception than quartet's own, a message of several lines, a hang.

The environment variable `QUARTET_FUZZ` says how many trials a fuzzer makes; the default fits the quick suite.
"""

import contextlib
import copy
import os
import random
import resource
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quartet.errors import QuartetError

HANG_SECONDS = 120  # of one trial, which takes less than one second on a free machine
EXTRA_BYTES = 2 << 30  # of address space, that a trial may take
LONGEST_LINE = 2000  # characters of a message
ODD_NUMBERS = (-1, 0, 1, 2, 255, 256, 2**15, 2**31 - 1, 2**31, 2**32, 2**63, -(2**63), 10**30, 0.5, 1e308)
ODD_VALUES = (*ODD_NUMBERS, float("nan"), float("inf"), None, True, False, "", "a", "../a", "\0", "é" * 99, [], {}, [0])


def trials(quick: int) -> int:
    """How many trials to make: as `QUARTET_FUZZ` says, else `quick`."""
    return int(os.environ.get("QUARTET_FUZZ") or quick)


# ---- damage -----------------------------------------------------------------------------------------------------


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one to four kinds of damage: bits turned, bytes cut out, put in, doubled, set, or the end lost."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_DAMAGE)(data, rng)
    return data


def mutated_json(value: Any, rng: random.Random) -> Any:
    """A copy of a JSON value in which one to three members or items are changed, gone, or there under another key."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        containers = [inner for inner in _containers(value) if inner]
        if not containers:
            return rng.choice(ODD_VALUES)
        _change(rng.choice(containers), rng)
    return value


def damage_file(path: Path, rng: random.Random) -> str:
    """Damage a file where it is, or remove it; says what was done."""
    kind = rng.choice(("bytes", "bytes", "bytes", "cut", "emptied", "removed", "folder"))
    if kind == "bytes":
        path.write_bytes(mutated(path.read_bytes(), rng))
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size + 1)])
    elif kind == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
    return f"{path.name}: {kind}"


def _turn_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 3, 20)) if data else 0):
        changed[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set_bytes(data: bytes, rng: random.Random) -> bytes:
    start, count = _place(data, rng), rng.choice((1, 2, 4, 8, 64))
    return data[:start] + rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * count + data[start + count :]


def _garble(data: bytes, rng: random.Random) -> bytes:
    start, count = _place(data, rng), rng.choice((4, 64, 1024))
    return data[:start] + rng.randbytes(min(count, len(data) - start)) + data[start + count :]


def _cut_out(data: bytes, rng: random.Random) -> bytes:
    start = _place(data, rng)
    return data[:start] + data[start + rng.choice((1, 8, 100, 5000)) :]


def _put_in(data: bytes, rng: random.Random) -> bytes:
    start = _place(data, rng)
    return data[:start] + rng.randbytes(rng.choice((1, 8, 100))) + data[start:]


def _double(data: bytes, rng: random.Random) -> bytes:
    start = _place(data, rng)
    piece = data[start : start + rng.choice((1, 8, 100, 1000))]
    return data[:start] + piece + data[start:]


def _lose_end(data: bytes, rng: random.Random) -> bytes:
    return data[: _place(data, rng)]


_DAMAGE: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _turn_bits,
    _set_bytes,
    _garble,
    _cut_out,
    _put_in,
    _double,
    _lose_end,
)


def _place(data: bytes, rng: random.Random) -> int:
    """A place in the bytes, half of the time in the first 4 kB or the last one, where headers are."""
    size = max(len(data), 1)
    return rng.choice((rng.randrange(size), rng.randrange(size), rng.randrange(min(size, 4096)), size - 1))


def _containers(value: Any) -> Iterator[Any]:
    """All dicts and lists in a JSON value, but for items of long lists."""
    if isinstance(value, dict | list):
        yield value
        for inner in list(value.values() if isinstance(value, dict) else value)[:1000]:
            yield from _containers(inner)


def _change(container: Any, rng: random.Random) -> None:
    key = rng.choice(list(container)) if isinstance(container, dict) else rng.randrange(len(container))
    kind = rng.choice(("odd", "odd", "nested", "gone", "renamed", "neighbour"))
    if kind == "odd":
        container[key] = rng.choice(ODD_VALUES)
    elif kind == "nested":
        container[key] = rng.choice(([container[key]], {"a": container[key]}, str(container[key])))
    elif kind == "neighbour" and isinstance(container[key], int | float):
        container[key] += rng.choice((-1, 1, 0.5))
    elif kind == "renamed" and isinstance(container, dict):
        container[f"{key}_"] = container.pop(key)
    else:
        del container[key]


# ---- trials -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def bounded(seconds: int = HANG_SECONDS, extra_bytes: int = EXTRA_BYTES) -> Iterator[None]:
    """A block that raises TimeoutError where it hangs, and MemoryError where it takes more than so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    with in_time(seconds, TimeoutError("a trial hangs")):
        resource.setrlimit(resource.RLIMIT_AS, (used + extra_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def in_time(seconds: int, late: BaseException) -> Iterator[None]:
    """A block that raises `late` where it takes longer, on systems that have alarms."""

    def ring(_number: int, _frame: object) -> None:
        raise late

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Tally:
    """What came of the trials. `faults` has a line or a traceback for each one that did not end well."""

    tried: int = 0
    refused: int = 0
    unharmed: int = 0
    tracebacks: int = 0
    hangs: int = 0
    faults: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)  # how often each kind of exception refused something

    def trial(self, what: str, run: Callable[[], object]) -> None:
        """Run one trial and count it; `what` says how to repeat it. `run` returns normally where no harm is done."""
        self.tried += 1
        try:
            with bounded():
                run()
            self.unharmed += 1
        except QuartetError as error:
            self.refused += 1
            self.reasons[type(error).__name__] += 1
            message = str(error)
            if len(message.splitlines()) != 1 or len(message) > LONGEST_LINE:
                self.faults.append(f"{what}: the message has several lines, or {len(message)} characters: {message}")
        except TimeoutError:
            self.hangs += 1
            self.faults.append(f"{what}: {traceback.format_exc()}")
        except Exception:
            self.tracebacks += 1
            self.faults.append(f"{what}: {traceback.format_exc()}")

    def __str__(self) -> str:
        return (
            f"{self.tried} tried, {self.refused} refused, {self.unharmed} unharmed, "
            f"{self.tracebacks} tracebacks, {self.hangs} hangs, {len(self.faults)} faults"
        )
