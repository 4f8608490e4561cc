"""What a transcription is made of, and how a window's tokens become segments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from quartet.audio.mel import FRAMES_PER_SECOND
from quartet.audio.voice_activity import VadOptions
from quartet.transcription.options import TranscriptionOptions

ROUNDING = 1e-6  # of a hundredth of a second: sums of seconds are off by less


@dataclass(frozen=True)
class Word:
    """A word with the space before it and its punctuation. Times in seconds."""

    start: float
    end: float
    word: str
    probability: float


@dataclass(frozen=True)
class Segment:
    """A phrase. Times in seconds; `seek` is the frame (of 10 ms) at which its window began."""

    id: int  # from 1 on
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: list[Word] | None
    temperature: float | None
    language: str | None = None  # that the window was decoded in; one of the candidates where there are several
    channel: int | None = None  # 1 or 2, where the channels are split


@dataclass(frozen=True)
class TranscriptionInfo:
    """What is known before the first segment. Durations are None for audio that cannot be played twice."""

    language: str
    language_probability: float
    duration: float | None
    duration_after_vad: float | None
    all_language_probs: list[tuple[str, float]] | None
    transcription_options: TranscriptionOptions
    vad_options: VadOptions | None

    @property
    def skipped(self) -> float | None:
        """Seconds in which nobody seems to speak, and which were left out."""
        if self.duration is None or self.duration_after_vad is None:
            return None
        return self.duration - self.duration_after_vad


@dataclass(frozen=True)
class Phrase:
    """A segment in the making: tokens, times in seconds from the beginning of its window."""

    start: float
    end: float
    tokens: tuple[int, ...]
    words: tuple[Word, ...] = field(default=())


@dataclass(frozen=True)
class Cut:
    """The phrases of a window, and how many frames of it they account for."""

    phrases: list[Phrase]
    frames: int
    unfinished: bool = False  # speech goes on after the window, as far as its tokens say


def cut(tokens: Sequence[int], timestamps: range, step: float, frames: int) -> Cut:
    """Cut a window's tokens where two timestamps meet. Rules of OpenAI's `transcribe`.

    timestamps: their tokens. step: seconds between them. frames: length of the window. The next window begins where the
    last whole phrase ends: two equal timestamps at the end mean that the rest of this one is still to be heard.
    """
    marks = [token in timestamps for token in tokens]
    ends = [i for i in range(1, len(tokens)) if marks[i - 1] and marks[i]]
    single_ending = marks[-2:] == [False, True]
    duration = frames / FRAMES_PER_SECOND
    if not ends:
        last = next((t for t in reversed(tokens) if t in timestamps and t > timestamps.start), None)
        end = duration if last is None else (last - timestamps.start) * step
        return Cut(within([Phrase(0.0, end, tuple(tokens))], duration), frames, not single_ending)
    if single_ending:
        ends.append(len(tokens))
    parts = [tuple(tokens[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    phrases = within([_phrase(part, timestamps, step, duration) for part in parts], duration)
    reached = round(phrases[-1].end * FRAMES_PER_SECOND)
    return Cut(phrases, frames if single_ending or not reached else reached, not single_ending)


def _phrase(tokens: tuple[int, ...], timestamps: range, step: float, duration: float) -> Phrase:
    start = (tokens[0] - timestamps.start) * step if tokens[0] in timestamps else 0.0
    end = (tokens[-1] - timestamps.start) * step if tokens[-1] in timestamps else duration
    return Phrase(start, end, tokens)


def within(phrases: Sequence[Phrase], duration: float) -> list[Phrase]:
    """The phrases of a window of so many seconds one after the other, all of them ended by its end.

    A window is filled up with silence, and what was heard last may be placed there. Such a phrase joins the one before,
    or is the whole window where there is none.
    """
    found: list[Phrase] = []
    for phrase in phrases:
        start = max(phrase.start, found[-1].end if found else 0.0)
        if start < duration:
            found.append(replace(phrase, start=start, end=max(start, min(phrase.end, duration))))
        elif found:
            found[-1] = replace(found[-1], end=duration, tokens=found[-1].tokens + phrase.tokens)
        else:
            found.append(replace(phrase, start=0.0, end=duration))
    return found


def hundredths(start: float, end: float) -> tuple[float, float]:
    """Seconds with two decimals that lie within the given ones; those themselves where nothing would be left."""
    first, last = math.ceil(start * 100 - ROUNDING), math.floor(end * 100 + ROUNDING)
    return (first / 100, last / 100) if first < last else (start, end)
