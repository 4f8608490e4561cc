"""Sound for tests of speech over HTTP: noise, that is made a voice, of which a small model makes nonsense."""

import numpy as np

from quartet.audio.audio import RATE
from quartet.audio.voice_activity import Span
from quartet.transcription import first_pass, long_form
from sounds import wav


def noise(seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    count = int(seconds * RATE)
    swell = 1 + np.sin(np.arange(count) / 3000)
    samples = np.random.default_rng(seed).normal(size=count) * swell * 0.1
    return (np.round(samples * 32767) / 32767).astype(np.float32)


def file(seconds: float = 4.0, seed: int = 0) -> bytes:
    return wav(noise(seconds, seed))


def hear_voices_everywhere(patch) -> None:
    """The detector of voices knows noise from speech."""
    patch.setattr(first_pass, "speech_spans", lambda probabilities, samples, options: [Span(0, samples)])
    patch.setattr(long_form, "has_speech", lambda samples: True)
