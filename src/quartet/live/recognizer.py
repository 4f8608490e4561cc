"""One look at the window of speech that goes on: what follows after the words that are sure, and when each was said.

The decoder is fed the sure words as the beginning of its text. No fixed 30 s: a shorter window costs less.
"""

import math
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np

from quartet.arrays import Floats
from quartet.audio.audio import RATE, Samples
from quartet.audio.mel import FRAMES_PER_SECOND, log_mel, normalized
from quartet.live.agreement import Piece, joined
from quartet.runtime.requests import Runner
from quartet.runtime.speech import (
    POSITIONS_PER_TOKEN,
    Decoded,
    DecodingOptions,
    EncodedAudio,
    align,
    detect_languages,
    encode_audio,
    window_requests,
)
from quartet.spec import Language
from quartet.transcription.fallback import Outcome
from quartet.transcription.prompts import Prompter
from quartet.transcription.words import split_words, word_timings

MARGIN = 2  # seconds of silence after the sound: a text that breaks off makes Whisper guess on
TOKENS_PER_SECOND = 12  # that may be said; more is a loop
LEAST_TOKENS = 16
LONGEST = 28.0  # seconds of a window of 30 s that are sound
SURE = 0.9  # probability of a language from which on it is taken to be spoken


@dataclass(frozen=True)
class Look:
    """What is asked of a recogniser."""

    sound: Samples  # [n] at 16 kHz
    sure: tuple[Piece, ...]  # words at its beginning that are known
    language: Language | None  # None: not known yet
    usual: Language | None  # what was spoken before; another one has to be sure
    takes_care: bool  # what has no answer now will have none: nothing more comes, or it is forgotten


@dataclass(frozen=True)
class Heard:
    """What a recogniser heard."""

    pieces: tuple[Piece, ...]  # after the sure ones
    language: Language | None
    probability: float = 1.0  # of the language
    audio: EncodedAudio | None = None


class Recognizer(Protocol):
    """Hears words in a window, and says when each was said."""

    @property
    def longest(self) -> float:
        """Seconds of sound that fit into a window."""

    @property
    def candidates(self) -> tuple[Language, ...]:
        """Languages that may be spoken; none where all may be that are known."""

    def hear(self, look: Look) -> Heard | None:
        """What follows after the sure words; None where the answer makes no sense, a loop."""

    def times(self, look: Look, heard: Heard) -> list[tuple[float, float, float]]:
        """Start, end (seconds from the window's beginning) and probability of each piece, the sure ones first."""


@dataclass(frozen=True)
class WhisperRecognizer:
    """A Whisper model. candidates: the languages that may be spoken; none of a model that knows only English."""

    runner: Runner
    prompter: Prompter  # of options without timestamps
    candidates: tuple[Language, ...]

    @property
    def longest(self) -> float:
        """Seconds."""
        whole = self.prompter.speech.window_frames / FRAMES_PER_SECOND
        return min(LONGEST, 0.95 * whole)

    def hear(self, look: Look) -> Heard | None:
        """See `Recognizer`. With care, what loops is looked at again in a whole window: that costs much."""
        if len(self._prompt(look, look.language)) + 2 > self._room:
            return None  # more was said in a window than fits
        audio = self._encoded(look.sound, MARGIN)
        language, probability = (look.language, 1.0) if look.language else self._detected(audio, look.usual)
        whole = self.prompter.speech.window_frames // FRAMES_PER_SECOND
        for margin in (0, whole) if look.takes_care else (0,):
            audio = self._encoded(look.sound, margin) if margin else audio
            outcome = self._decoded(audio, look, language)
            if outcome.is_silence(self.prompter.options):
                return Heard((), language, probability, audio)
            if not self._is_loop(outcome):
                code = language.code if language else "en"
                split = split_words(outcome.decoded.tokens, self.prompter.tokenizer.to_text, code)
                pieces = [Piece(text, tuple(tokens)) for text, tokens in split]
                return Heard(joined(pieces), language, probability, audio)
        return None

    def times(self, look: Look, heard: Heard) -> list[tuple[float, float, float]]:
        """See `Recognizer`. By cross-attention; evenly where the model has no heads for that."""
        pieces = [*look.sure, *heard.pieces]
        seconds = len(look.sound) / RATE
        heads = self.prompter.speech.alignment_heads
        if not pieces or not heads or heard.audio is None:
            step = seconds / max(1, len(pieces))
            return [(i * step, (i + 1) * step, 1.0) for i in range(len(pieces))]
        audio, eos = heard.audio, self.prompter.manifest.tokens.eos
        head = self._head(heard.language)
        row = [*head, *chain(*(piece.tokens for piece in pieces)), eos]
        (alignment,) = self.runner.computed(lambda model: align(model, audio, [row]), len(row))
        step = self.prompter.speech.timestamp_seconds
        positions = max(1, min(audio.positions, round(seconds / step)))
        found = word_timings(
            [(piece.text, list(piece.tokens)) for piece in pieces],
            alignment.attention[:, len(head) - 1 : -1, :positions],
            alignment.probabilities[len(head) : -1],
            step,
        )
        return [(one.start, one.end, one.probability) for one in found]

    def _encoded(self, sound: Samples, margin: int) -> EncodedAudio:
        whole = self.prompter.speech.window_frames
        frames = min(whole, (math.ceil(len(sound) / RATE) + margin) * FRAMES_PER_SECOND)
        samples = frames * RATE // FRAMES_PER_SECOND
        padded = np.pad(sound[:samples], (0, max(0, samples - len(sound))))
        power: Floats = np.concatenate(list(log_mel([padded], self.prompter.speech.mel_bins)), axis=1)
        features = normalized(power, float(power.max()))[None]
        return self.runner.computed(
            lambda model: encode_audio(model, features), max(1, frames // (2 * POSITIONS_PER_TOKEN))
        )

    def _detected(self, audio: EncodedAudio, usual: Language | None) -> tuple[Language | None, float]:
        languages = self.prompter.manifest.languages
        if not self.prompter.speech.multilingual:
            return None, 1.0
        (odds,) = self.runner.computed(lambda model: detect_languages(model, audio), 1)
        among = {one.code for one in self.candidates} or odds.keys()
        code = next(code for code in odds if code in among)
        if usual is not None and odds[code] < SURE:
            return usual, odds[usual.code]
        return next(one for one in languages if one.code == code), odds[code]

    @property
    def _room(self) -> int:
        """Tokens that fit, with the end after them."""
        return self.prompter.manifest.shapes.max_target_length - 1

    def _prompt(self, look: Look, language: Language | None) -> list[int]:
        """Hints, start, language and task, and the words that are sure."""
        begin = self.prompter.prompt(language, self.prompter.initial, first=False)
        return [*begin, *chain(*(piece.tokens for piece in look.sure))]

    def _head(self, language: Language | None) -> list[int]:
        return [*self.prompter.start(language), self.prompter.speech.no_timestamps]

    def _decoded(self, audio: EncodedAudio, look: Look, language: Language | None) -> Outcome:
        prompt = self._prompt(look, language)
        room = self._room - len(prompt)
        likely = LEAST_TOKENS + math.ceil(TOKENS_PER_SECOND * len(look.sound) / RATE)
        options = DecodingOptions(
            beam_size=1,  # with beams, a window that is not whole loops often
            suppress_tokens=self.prompter.suppressed(),
            suppress_blank=not look.sure,  # after a beginning, the end may come at once
            timestamps=False,
            max_new_tokens=min(room, likely),
        )
        requests = window_requests(self.prompter.manifest, audio, [prompt], options)
        found: list[list[Decoded]] = self.runner.results(requests)
        return Outcome(found[0][0], self.prompter.text(found[0][0].tokens), 0.0, language)

    def _is_loop(self, outcome: Outcome) -> bool:
        limit = self.prompter.options.compression_ratio_threshold
        return limit is not None and outcome.compression_ratio > limit
