"""What a transcription is made of, and how a window's tokens become segments."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from quartet.audio.mel import FRAMES_PER_SECOND
from quartet.audio.voice_activity import VadOptions
from quartet.transcription.options import TranscriptionOptions


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


def cut(tokens: Sequence[int], timestamp_begin: int, step: float, frames: int, whole: bool = False) -> Cut:
    """Cut a window's tokens where two timestamps meet. Rules of OpenAI's `transcribe`.

    step: seconds between timestamps. frames: length of the window. The next window begins where the last whole phrase
    ends; with `whole` no window follows, and what comes after it is a phrase too.
    """
    marks = [token >= timestamp_begin for token in tokens]
    ends = [i for i in range(1, len(tokens)) if marks[i - 1] and marks[i]]
    single_ending = marks[-2:] == [False, True]
    duration = frames / FRAMES_PER_SECOND
    if not ends:
        last = next((t for t in reversed(tokens) if t > timestamp_begin), None)
        end = duration if last is None else (last - timestamp_begin) * step
        return Cut([Phrase(0.0, end, tuple(tokens))], frames, not single_ending)
    if single_ending or (whole and ends[-1] < len(tokens) - 1):
        ends.append(len(tokens))
    parts = [tuple(tokens[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    phrases = [_phrase(part, timestamp_begin, step, duration) for part in parts]
    reached = round(phrases[-1].end * FRAMES_PER_SECOND)
    return Cut(phrases, frames if single_ending or whole or not reached else reached, not single_ending)


def _phrase(tokens: tuple[int, ...], timestamp_begin: int, step: float, duration: float) -> Phrase:
    end = (tokens[-1] - timestamp_begin) * step if tokens[-1] >= timestamp_begin else duration
    return Phrase((tokens[0] - timestamp_begin) * step, end, tokens)
