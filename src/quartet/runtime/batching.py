"""Which rows are decoded together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quartet.options.declared import BATCHING
from quartet.options.kinds import check_fields

BatchType = Literal["examples", "tokens"]


@dataclass(frozen=True)
class Batching:
    """How many rows are decoded together."""

    max_batch_size: int = 32  # rows, or with `tokens` source tokens, padding included
    batch_type: BatchType = "examples"

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense."""
        check_fields(self, BATCHING)


def batches(lengths: Sequence[int], batching: Batching, most: int | None = None) -> list[list[int]]:
    """Rows, by number, in batches of similar length, the longest first so that memory peaks at the beginning.

    lengths: source tokens of each row; one that is longer than a batch of `tokens` may be is a batch of its own. most:
    rows of a batch in any case.
    """
    found: list[list[int]] = []
    room = 0
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not room:
            found.append([])
            # all rows of a batch are padded to its first one
            size = batching.max_batch_size
            room = size if batching.batch_type == "examples" else max(1, size // lengths[row])
            room = min(room, most or room)
        found[-1].append(row)
        room -= 1
    return found
