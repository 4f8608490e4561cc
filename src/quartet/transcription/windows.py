"""A recording as the model looks at it: log-mel frames through a window that moves forward, without what is skipped.

Times are in seconds, frames of 10 ms; samples in 1/16,000 s.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from quartet.arrays import Floats
from quartet.audio.audio import BLOCK, RATE, Audio, Samples, in_blocks
from quartet.audio.mel import STEP, log_mel, normalized
from quartet.audio.voice_activity import Probabilities, Span, VadOptions, listened, speech_spans

# ---- first pass -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FirstPass:
    """What a first pass through a recording finds out."""

    samples: int
    maximum: float  # of the logarithm of the mel power
    probabilities: Probabilities  # of speech; empty where nobody listened

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / RATE


def first_pass(audio: Audio, mels: int, voices: bool) -> FirstPass:
    """Play a recording once: its length, the loudest that it gets, and with `voices` where somebody speaks."""
    found: list[Probabilities] = [np.zeros(0, np.float32)]
    lengths: list[int] = []
    blocks = in_blocks(_noted(listened(audio.play()), found)) if voices else audio.play()
    maximum = max((float(power.max()) for power in log_mel(_measured(blocks, lengths), mels)), default=-np.inf)
    return FirstPass(sum(lengths), maximum, np.concatenate(found))


def _noted(heard: Iterable[tuple[Samples, Probabilities]], found: list[Probabilities]) -> Iterator[Samples]:
    for block, probabilities in heard:
        found.append(probabilities)
        yield block


def _measured(blocks: Iterable[Samples], lengths: list[int]) -> Iterator[Samples]:
    for block in blocks:
        lengths.append(len(block))
        yield block


# ---- what is skipped ------------------------------------------------------------------------------------------------


@dataclass
class Timeline:
    """From times in a recording without its silences to times in the whole one."""

    spans: list[Span] = field(default_factory=list)  # what is kept, in order; it may grow while the recording plays
    ends: list[int] = field(default_factory=list)  # of the spans, in samples of what is kept

    def keep(self, spans: Iterable[Span]) -> None:
        """Keep further spans."""
        for span in spans:
            self.spans.append(span)
            self.ends.append((self.ends[-1] if self.ends else 0) + span.end - span.start)

    @property
    def duration(self) -> float:
        """Seconds that are kept."""
        return self.ends[-1] / RATE if self.ends else 0.0

    def span_at(self, seconds: float, is_end: bool = False) -> int:
        """Number of the span at a time. A boundary belongs to the span after it, or as an end to the one before."""
        sample = round(seconds * RATE)
        find = bisect_left if is_end else bisect_right
        return max(0, min(find(self.ends, sample), len(self.spans) - 1))

    def original(self, seconds: float, span: int) -> float:
        """The time in the whole recording, for a time in a span."""
        if not self.spans:
            return seconds
        return seconds + (self.spans[span].end - self.ends[span]) / RATE


def kept(blocks: Iterable[Samples], spans: Sequence[Span]) -> Iterator[Samples]:
    """The parts of a recording that lie in the spans."""
    position = 0
    for block in blocks:
        end = position + len(block)
        for span in spans:
            if span.start < end and span.end > position:
                yield block[max(0, span.start - position) : span.end - position]
        position = end


def kept_as_it_plays(blocks: Iterable[Samples], options: VadOptions, timeline: Timeline) -> Iterator[Samples]:
    """The same for a recording that is played only once: speech is looked for in two minutes at a time."""
    position = 0
    for block, probabilities in listened(blocks):
        spans = speech_spans(probabilities, len(block), options)
        timeline.keep(Span(position + span.start, position + span.end) for span in spans)
        yield from (block[span.start : span.end] for span in spans)
        position += len(block)


# ---- windows --------------------------------------------------------------------------------------------------------


class WindowStream:
    """Frames of a recording from a place that only moves forward; what lies before is forgotten."""

    def __init__(self, blocks: Iterable[Samples], mels: int, maximum: float | None = None) -> None:
        """maximum: of the logarithm of the whole recording's mel power; None: the highest so far, as it plays."""
        self._frames = log_mel(self._remembered(in_blocks(blocks, BLOCK)), mels)
        self._known = maximum
        self._maximum = -np.inf if maximum is None else maximum
        self._power = np.zeros((mels, 0), np.float32)
        self._samples = np.zeros(0, np.float32)
        self._first = 0  # frame that is the first in memory

    def features(self, start: int, count: int) -> Floats:
        """[mels, n] as the encoder wants them, n up to `count`: fewer at the end of the recording, where it is 0."""
        self._move(start, count)
        offset = start - self._first
        return normalized(self._power[:, offset : offset + count], self._maximum)

    def samples(self, start: int, count: int) -> Samples:
        """The sound of these frames."""
        self._move(start, count)
        offset = start - self._first
        return self._samples[offset * STEP : (offset + count) * STEP]

    def _move(self, start: int, count: int) -> None:
        assert start >= self._first, f"frame {start} is forgotten"
        while self._first + self._power.shape[1] < start + count:
            power = next(self._frames, None)
            if power is None:
                break
            self._maximum = max(self._maximum, float(power.max())) if self._known is None else self._known
            self._power = np.concatenate([self._power, power], axis=1)
            self._forget(start)
        self._forget(start)

    def _forget(self, start: int) -> None:
        gone = min(start - self._first, self._power.shape[1])
        self._power = self._power[:, gone:].copy() if gone else self._power
        self._samples = self._samples[gone * STEP :].copy() if gone else self._samples
        self._first += gone

    def _remembered(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._samples = np.concatenate([self._samples, block])
            yield block
