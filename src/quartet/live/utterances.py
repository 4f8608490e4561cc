"""Where somebody begins and ends to speak, in sound that comes piece by piece, as OpenAI's `server_vad` has it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quartet.audio.audio import RATE
from quartet.audio.voice_activity import CHUNK, Probabilities

STEADY = 3  # chunks of 32 ms in a row that make speech: a click is none
HYSTERESIS = 0.15  # below the threshold by so much, a voice is silent


@dataclass(frozen=True)
class TurnDetection:
    """When speech is a turn. Names and defaults are OpenAI's."""

    threshold: float = 0.5  # probability of a voice from which on it speaks
    prefix_padding_ms: int = 300  # kept before a turn
    silence_duration_ms: int = 500  # that ends a turn


@dataclass(frozen=True)
class Began:
    """Speech begins at a sample."""

    at: int


@dataclass(frozen=True)
class Ended:
    """Speech has ended before a sample."""

    at: int


class Utterances:
    """Turns of somebody who speaks: from a little before the voice until it was silent for long enough."""

    def __init__(
        self, options: TurnDetection, longest: int | None, position: int = 0, speaks_since: int | None = None
    ) -> None:
        """longest: samples of a turn; None: however long it gets. position: sample of the first chunk.

        speaks_since: where a turn began already.
        """
        self._options, self._longest, self._position = options, longest, position
        self._floor = 0  # sample before which no turn begins: the end of the last one
        self._loud = 0  # chunks of a voice in a row
        self._start = speaks_since
        self._silent_since: int | None = None
        self._heard: list[float] = []  # probabilities of the turn's chunks

    def heard(self, probabilities: Probabilities) -> Iterator[Began | Ended]:
        """What happens in some chunks more."""
        for probability in probabilities.tolist():
            self._position += CHUNK
            yield from self._speaking(probability) if self._start is not None else self._listening(probability)

    def stop(self) -> None:
        """The turn is over, wherever the voice is."""
        self._end(self._position)

    def forget_before(self, at: int) -> None:
        """What there was of the turn before a sample is of no interest any more."""
        if self._start is not None and at > self._start:
            self._start = at
            left = max(0, self._position - at) // CHUNK
            self._heard = self._heard[len(self._heard) - left :]

    def _listening(self, probability: float) -> Iterator[Began]:
        self._loud = self._loud + 1 if probability >= self._options.threshold else 0
        if self._loud == STEADY:
            first = self._position - STEADY * CHUNK
            self._start = max(self._floor, first - self._options.prefix_padding_ms * RATE // 1000)
            yield Began(self._start)

    def _speaking(self, probability: float) -> Iterator[Began | Ended]:
        assert self._start is not None
        self._heard.append(probability)
        if probability >= self._options.threshold:
            self._silent_since = None
        elif probability < max(self._options.threshold - HYSTERESIS, 0.01) and self._silent_since is None:
            self._silent_since = self._position - CHUNK
        silence = self._options.silence_duration_ms * RATE // 1000
        if self._silent_since is not None and self._position - self._silent_since >= silence:
            yield Ended(self._position)
            self._end(self._position)
        elif self._longest is not None and self._position + CHUNK - self._start > self._longest:
            yield from self._cut()

    def _cut(self) -> Iterator[Began | Ended]:
        """End a turn that is too long in its second half, where a voice is least likely; the rest is the next turn."""
        first = max(0, len(self._heard) // 2)
        chunk = first + int(np.argmin(self._heard[first:]))
        at = self._position - (len(self._heard) - chunk - 1) * CHUNK
        self._start, self._heard = at, self._heard[chunk + 1 :]
        yield Ended(at)
        yield Began(at)

    def _end(self, at: int) -> None:
        self._floor, self._start, self._silent_since, self._loud, self._heard = at, None, None, 0, []
