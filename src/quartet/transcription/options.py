"""How to transcribe: the choices of `Transcriber.transcribe`, checked, with faster-whisper's names and defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quartet.errors import OptionError
from quartet.options.declared import APPENDED, PREPENDED, TEMPERATURES, TRANSCRIPTION
from quartet.options.kinds import Integer, Many, bad_value, check_fields, checked, within
from quartet.spec import Manifest

ELSEWHERE = (  # what is no field below
    "language",
    "temperature",
    "vad_filter",
    "vad_parameters",
    "language_detection_threshold",
    "language_detection_segments",
    "audio_track",
    "channels",
    "sampling_rate",
    "progress",
)
OPTIONS = {name: option for name, option in TRANSCRIPTION.items() if name not in ELSEWHERE}
OPTIONS["temperatures"] = TRANSCRIPTION["temperature"]


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
    max_initial_timestamp: float | None = 1.0
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
        check_fields(self, OPTIONS)
        if self.hallucination_silence_threshold is not None and not self.word_timestamps:
            raise OptionError("hallucination_silence_threshold needs word_timestamps")

    def check_for(self, manifest: Manifest) -> None:
        """Raise `OptionError` for tokens that a model does not have, and for more than it has room for."""
        vocabulary, window = manifest.shapes.vocab_size, manifest.shapes.max_target_length
        known = Integer(0, vocabulary - 1, why="the model's vocabulary")
        checked(within(TRANSCRIPTION["max_new_tokens"], window, "the model's window"), self.max_new_tokens)
        if isinstance(self.initial_prompt, tuple):
            checked(replace(TRANSCRIPTION["initial_prompt"], kind=Many(known, "token ids")), self.initial_prompt)
            _check_no_steering(manifest, self.initial_prompt)
        suppressed = Many(replace(known, least=-1), "token ids")
        checked(replace(TRANSCRIPTION["suppress_tokens"], kind=suppressed), self.suppress_tokens)


def _check_no_steering(manifest: Manifest, tokens: Sequence[int]) -> None:
    """Raise `OptionError` where a prompt ends the text, or begins another one, in its middle."""
    assert manifest.speech is not None, "a speech model"
    steering = range(manifest.tokens.eos, manifest.speech.timestamp_begin)
    for place, token in enumerate(tokens):
        if token in steering:
            raise bad_value(f"initial_prompt[{place}]", token, "a token of text or of a time, not one that steers")


def temperatures_of(given: float | Sequence[float]) -> tuple[float, ...]:
    """One temperature or several as a tuple."""
    found = checked(TRANSCRIPTION["temperature"], given)
    return found if isinstance(found, tuple) else (found,)


def clips_of(given: str | Sequence[float] | Sequence[Mapping[str, float]]) -> tuple[float, ...]:
    """Clip times from a list; none where all is meant.

    faster-whisper also takes a text, `start,end,start,end`, and in batches a mapping with `start` and `end` for each.
    """
    if isinstance(given, list | tuple) and given and all(isinstance(clip, Mapping) for clip in given):
        given = [clip.get(key) for clip in given for key in ("start", "end")]
    times: tuple[float, ...] = checked(TRANSCRIPTION["clip_timestamps"], given)
    return () if times == (0.0,) else times
