"""How to transcribe: the choices of `Transcriber.transcribe`, checked, with faster-whisper's names and defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from quartet.errors import OptionError

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"
TASKS = ("transcribe", "translate")


@dataclass(frozen=True)
class TranscriptionOptions:
    """All that decides what comes out, but for language and voice detection."""

    task: str = "transcribe"
    beam_size: int = 5  # hypotheses kept per step while the temperature is 0
    best_of: int = 5  # samples, of which the likeliest counts, while it is higher
    patience: float = 1.0
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    temperatures: Sequence[float] = TEMPERATURES  # each is tried after the one before has failed
    compression_ratio_threshold: float | None = 2.4  # text that packs better is a loop: it failed
    log_prob_threshold: float | None = -1.0  # tokens less likely on average: it failed
    no_speech_threshold: float | None = 0.6  # more likely silence, and tokens unlikely: no text; None: no such checks
    condition_on_previous_text: bool = True
    prompt_reset_on_temperature: float = 0.5  # above, the text is not trusted enough to go on from it
    initial_prompt: str | Sequence[int] | None = None
    prefix: str | None = None
    hotwords: str | None = None
    suppress_blank: bool = True
    suppress_tokens: Sequence[int] | None = (-1,)  # -1 stands for the model's own list
    without_timestamps: bool = False
    max_initial_timestamp: float = 1.0
    max_new_tokens: int | None = None
    word_timestamps: bool = False
    prepend_punctuations: str = PREPENDED
    append_punctuations: str = APPENDED
    hallucination_silence_threshold: float | None = None  # seconds
    multilingual: bool = False  # detect the language of every window
    chunk_length: int | None = None  # seconds of a window
    clip_timestamps: Sequence[float] = ()  # seconds: start, end, start, end ...; the last end may be left out
    batch_size: int = 1  # windows decoded together

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense."""
        if self.task not in TASKS:
            raise OptionError(f"unknown task {self.task!r}; it is transcribe or translate")
        for name in ("beam_size", "best_of", "batch_size"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; 1 or more is expected")
        if not self.temperatures or min(self.temperatures) < 0:
            raise OptionError(f"temperature is {list(self.temperatures)}; one or more values from 0 up are expected")
        if self.chunk_length is not None and not 1 <= self.chunk_length <= 30:
            raise OptionError(f"chunk_length is {self.chunk_length}; 1 to 30 seconds are expected")
        if self.hallucination_silence_threshold is not None and not self.word_timestamps:
            raise OptionError("hallucination_silence_threshold needs word_timestamps")
        _check_clips(self.clip_timestamps)


def _check_clips(times: Sequence[float]) -> None:
    for earlier, later in pairwise(times):
        if later < earlier:
            raise OptionError(f"clip_timestamps (--clips) {list(times)} run backwards: {later} comes after {earlier}")
    if times and times[0] < 0:
        raise OptionError(f"clip_timestamps (--clips) begin at {times[0]}; 0 or more is expected")


def clips_of(given: str | Sequence[float]) -> tuple[float, ...]:
    """Clip times from a list or as faster-whisper also takes them, `start,end,start,end`; none where all is meant."""
    try:
        times = [float(x) for x in (given.split(",") if isinstance(given, str) else given) if str(x).strip()]
    except ValueError:
        raise OptionError(f"clip_timestamps (--clips) is {given!r}; seconds separated by commas are expected") from None
    return () if times in ([], [0.0]) else tuple(times)
