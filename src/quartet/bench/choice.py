"""Which of the ranked models to take: the best within limits of memory and speed, and the cheapest of equals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quartet.bench.quality import Judged, is_better
from quartet.bench.rows import Choice, Row
from quartet.options.declared import RANK
from quartet.options.kinds import checked

CLOSE = 1.05  # memory that differs by less is the same; the faster one is taken


@dataclass(frozen=True)
class Limits:
    """What a choice must keep to."""

    max_ram: float | None = None  # MB of the peak
    min_speed: float | None = None  # tokens per second, one sentence at a time


def parse_size(text: str | int) -> float:
    """`500MB`, `1.5 GB`, `800MiB`, or bytes, in MB; raises `OptionError` for anything else."""
    found: int = checked(RANK["max_ram"], text)
    return found / 1e6


def choose(pair: str, rows: Sequence[Row], judged: Sequence[Judged], limits: Limits) -> Choice:
    """The row to take: none within the limits is certainly better; of those, the one with the least memory."""
    within = [i for i, row in enumerate(rows) if _keeps(row, limits)]
    said = _said(limits)
    if not within:
        closest = min(rows, key=lambda row: (_excess(row, limits), -row.quality.chrf), default=None)
        near = f"; nearest is {closest.name}: {_cost(closest)}" if closest else ""
        return Choice(pair, None, f"none of {len(rows)} rows has {said}{near}")
    best = max(within, key=lambda i: judged[i].quality.chrf)
    equals = [i for i in within if not is_better(judged[best], judged[i])]
    least = min(rows[i].cost.peak or 0 for i in equals)
    lean = [i for i in equals if (rows[i].cost.peak or 0) <= least * CLOSE]
    taken = rows[max(lean, key=lambda i: rows[i].cost.tokens)]
    return Choice(pair, taken.name, _why(taken, rows[best], len(equals), len(lean), len(within), said))


def frontier(rows: Sequence[Row], cost: Callable[[Row], float]) -> list[Row]:
    """Rows that no other one beats in both quality and cost (the less the better), the cheapest first."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda row: (cost(row), -row.quality.chrf)):
        if not found or row.quality.chrf > found[-1].quality.chrf:
            found.append(row)
    return found


def _why(taken: Row, best: Row, equals: int, lean: int, within: int, said: str) -> str:
    among = f"of the {within} rows with {said}" if said else f"of {within} rows"
    if within == 1:
        return f"the only row with {said}" if said else f"the only row: {_cost(taken)}"
    if equals == 1:
        return f"certainly the best {among} (chrF++ {best.quality.chrf:.1f}): {_cost(taken)}"
    reason = "takes the least memory" if lean == 1 else "is the fastest of those with the least memory"
    return (
        f"{among}, {equals} cannot be told apart from the best (chrF++ {best.quality.chrf:.1f}); it {reason}: "
        + _cost(taken)
    )


def _cost(row: Row) -> str:
    memory = "memory unknown" if row.cost.peak is None else f"{row.cost.peak:.0f} MB"
    return f"{memory}, {row.cost.tokens:.0f} tokens/s"


def _keeps(row: Row, limits: Limits) -> bool:
    return _excess(row, limits) <= 1


def _excess(row: Row, limits: Limits) -> float:
    """By which factor a row misses the limit that it misses most; up to 1 it keeps to them. Unknown memory misses."""
    memory = float("inf") if row.cost.peak is None else row.cost.peak
    factors = [memory / limits.max_ram if limits.max_ram else 0, (limits.min_speed or 0) / row.cost.tokens]
    return max(factors)


def _said(limits: Limits) -> str:
    parts = [f"at most {limits.max_ram:.0f} MB"] if limits.max_ram else []
    parts += [f"at least {limits.min_speed:g} tokens/s"] if limits.min_speed else []
    return " and ".join(parts)
