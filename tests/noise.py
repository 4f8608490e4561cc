"""Sound for tests of speech over HTTP: noise, that is made a voice, of which a small model makes nonsense."""

import numpy as np

from quartet.audio.audio import RATE
from quartet.audio.voice_activity import CHUNK, Span
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
    patch.setattr(long_form, "has_speech", lambda samples, threshold: True)


class LoudEar:
    """A detector for which everything that is loud is a voice."""

    def __init__(self):
        self._left = np.zeros(0, np.float32)

    def heard(self, piece):
        self._left = np.concatenate([self._left, piece])
        whole = len(self._left) // CHUNK * CHUNK
        chunks, self._left = self._left[:whole].reshape(-1, CHUNK), self._left[whole:]
        return (np.abs(chunks).max(1, initial=0) > 0.01).astype(np.float32)
