"""Log-mel frames of a recording, written down once more for the tests, slow and short.

The reference is `WhisperFeatureExtractor` of transformers; filters are Slaney's (Auditory Toolbox, 1998).
"""

import wave
from pathlib import Path

import numpy as np

RATE, SECONDS = 16_000, 30


def read_wav(path: Path) -> np.ndarray:
    """Samples between -1 and 1 of a 16-bit recording of one channel at 16 kHz."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def log_mel(samples: np.ndarray, mels: int = 80, seconds: int = SECONDS) -> np.ndarray:
    """Frames [1, mels, 3000] of a recording padded with silence to 30 seconds, or of another window."""
    padded = np.pad(samples, (0, seconds * RATE - len(samples)))
    padded = np.pad(padded, 200, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][:-1]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(windows * hann)) ** 2
    logs = np.log10(np.maximum(filters(mels) @ power.T, 1e-10))
    return ((np.maximum(logs, logs.max() - 8) + 4) / 4)[None].astype(np.float32)


def filters(mels: int) -> np.ndarray:
    """Triangles [mels, 201] of equal area, their corners at equal distances in mel."""
    step = np.log(6.4) / 27
    top = 15 + np.log(RATE / 2 / 1000) / step
    mel = np.linspace(0, top, mels + 2)
    corners = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(step * (mel - 15)))
    hertz = np.linspace(0, RATE / 2, 201)
    rising = (hertz - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - hertz) / np.diff(corners)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (corners[2:] - corners[:-2]))[:, None]
