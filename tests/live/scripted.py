"""Sound that holds numbered words, and a recogniser that reads the numbers."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from quartet.audio.audio import RATE
from quartet.live.agreement import Piece
from quartet.live.recognizer import Heard

FIRST = 3000  # the sample of word 0, in 16 bit: all of them are loud
OPEN = 0.5  # seconds at the end of a window where words may be misheard


def spoken(words, pauses=()):
    """Samples of words of so many seconds, each a level of its own; pauses: seconds of silence before a word."""
    pauses = dict(pauses)
    parts = []
    for number, seconds in enumerate(words):
        parts.append(np.zeros(int(RATE * pauses.get(number, 0)), np.int16))
        parts.append(np.full(int(RATE * seconds), FIRST + number, np.int16))
    return np.concatenate([*parts, np.zeros(0, np.int16)])


def name(number):
    return f" w{number}"


@dataclass
class Scripted:
    """Hears the words that are half in the window, in order; near its end what it likes. Tokens are numbers."""

    longest: float = 6.0
    candidates: tuple = ()
    seed: int = 0
    fails: float = 0.0  # how often there is no answer
    looks: list = field(default_factory=list)

    def __post_init__(self):
        self._random = np.random.default_rng(self.seed)

    def hear(self, look):
        assert 0 < len(look.sound) <= self.longest * RATE
        self.looks.append(look)
        if not look.takes_care and self._random.random() < self.fails:
            return None
        return Heard(tuple(Piece(self._heard(n, end, look), (n,)) for n, _, end in self._words(look)), None)

    def times(self, look, heard):
        places = {n: (start / RATE, end / RATE, 0.5) for n, start, end in self._all(look)}
        return [places.get(piece.tokens[0], (0.0, 0.0, 0.5)) for piece in (*look.sure, *heard.pieces)]

    def _words(self, look):
        known = look.sure[-1].tokens[0] if look.sure else -1
        return [one for one in self._all(look) if one[0] > known and one[2] - one[1] >= 0.1 * RATE]

    @staticmethod
    def _all(look):
        """Number, first sample and end of each word in the window."""
        levels = np.rint(look.sound * 32768).astype(int) - FIRST
        edges = np.flatnonzero(np.diff(levels, prepend=-1, append=-1))
        spans = pairwise(edges)
        return [(int(levels[start]), int(start), int(end)) for start, end in spans if levels[start] >= 0]

    def _heard(self, number, end, look):
        if not look.takes_care and end > len(look.sound) - OPEN * RATE and self._random.random() < 0.5:
            return f" x{self._random.integers(10**9)}"
        return name(number)
