"""Several channels to one."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

RATE = 16_000  # samples per second that Whisper, and the voice detector, want
STEP = RATE // 10  # samples for which it is decided whether channels cancel out
CLEARLY = 4.0  # times the power: what is about as loud stays as it is

Samples = NDArray[np.float32]


class Mixer:
    """Two channels to one: half of their sum, or of their difference where one is the other turned over.

    A cable with two wires swapped makes such stereo: the sum is silent. It goes over from one to the other within a
    step, so that nothing clicks.
    """

    def __init__(self) -> None:
        self._difference = False  # is the louder one
        self._share = 0.0  # of the difference, at the end of what came so far
        self._fresh = True

    def mixed(self, block: Samples) -> Samples:
        """[n] of [2, n]."""
        total: Samples = (block[0] + block[1]) / 2
        difference: Samples = (block[0] - block[1]) / 2
        edges = np.arange(0, len(total), STEP)
        if not len(edges):
            return total
        powers = zip(_power(total, edges), _power(difference, edges), strict=True)
        shares = [float(self._louder(*pair)) for pair in powers]
        before = shares[0] if self._fresh else self._share
        self._fresh, self._share = False, shares[-1]
        if not any((before, *shares)):
            return total
        share = np.interp(np.arange(len(total)), [0, *(edges[1:] - STEP // 2), len(total)], [before, *shares])
        mixed: Samples = (total + share * (difference - total)).astype(np.float32)
        return mixed

    def _louder(self, total: float, difference: float) -> bool:
        """Whether the difference is taken: it, or the sum, has to be clearly louder for a change."""
        if difference > CLEARLY * total:
            self._difference = True
        elif total > CLEARLY * difference:
            self._difference = False
        return self._difference


def to_one(blocks: Iterable[Samples], channel: int | None) -> Iterator[Samples]:
    """Blocks [1, n] and [2, n] as one channel [n]: mixed, or a channel of the two alone.

    What has only one channel is the first; the second is silent meanwhile.
    """
    mixer = Mixer()
    for block in blocks:
        if channel is not None:
            yield block[channel] if channel < len(block) else np.zeros(block.shape[1], np.float32)
        else:
            yield mixer.mixed(block) if len(block) == 2 else block[0]


def joined(pieces: Iterable[Samples], size: int) -> Iterator[Samples]:
    """Pieces [channels, n] as blocks [channels, size], but for the last one before the channels change."""
    for _, alike in groupby(pieces, key=len):
        waiting: list[Samples] = []
        for piece in alike:
            waiting.append(piece)
            if sum(one.shape[1] for one in waiting) >= size:
                block = np.concatenate(waiting, axis=1)
                yield block
                waiting = []
        if waiting:
            yield np.concatenate(waiting, axis=1)


def _power(samples: Samples, edges: NDArray[np.int64]) -> list[float]:
    """The mean square of each step."""
    sums = np.add.reduceat(np.square(samples, dtype=np.float64), edges)
    found: list[float] = sums.tolist()
    return found
