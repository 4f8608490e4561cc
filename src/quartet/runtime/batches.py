"""Which rows are decoded together."""

from collections.abc import Sequence
from typing import Literal, get_args

from quartet.errors import OptionError

BatchType = Literal["examples", "tokens"]
BATCH_TYPES: tuple[BatchType, ...] = get_args(BatchType)


def batches(
    lengths: Sequence[int], max_batch_size: int, batch_type: BatchType = "examples", most: int | None = None
) -> list[list[int]]:
    """Rows, by number, in batches of similar length, the longest first so that memory peaks at the beginning.

    lengths: source tokens of each row. max_batch_size counts rows, or with `tokens` source tokens, padding included; a
    row that is longer than that is a batch of its own. most: rows of a batch in any case. Raises `OptionError`.
    """
    if max_batch_size < 1:
        raise OptionError(f"max_batch_size is {max_batch_size}; 1 or more is expected")
    if batch_type not in BATCH_TYPES:
        raise OptionError(f"unknown batch_type {batch_type!r}; it is one of {', '.join(BATCH_TYPES)}")
    found: list[list[int]] = []
    room = 0
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not room:
            found.append([])
            # all rows of a batch are padded to its first one
            room = max_batch_size if batch_type == "examples" else max(1, max_batch_size // lengths[row])
            room = min(room, most or room)
        found[-1].append(row)
        room -= 1
    return found
