"""Log-mel spectrograms as Whisper was trained on, as a stream: a frame for every 10 ms.

The reference is `WhisperFeatureExtractor` of transformers (and `log_mel_spectrogram` of OpenAI's whisper): power of a
short-time Fourier transform (Hann window of 400 samples, step 160, the ends reflected), Slaney's mel filters, base-10
logarithm, clamped at 8 below the maximum of the whole recording.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quartet.arrays import Floats
from quartet.audio.audio import RATE, Samples

STEP = 160  # samples between frames
WINDOW = 400  # samples that a frame sees
FRAMES_PER_SECOND = RATE // STEP
RANGE = 8.0  # of the logarithm, below the maximum
FLOOR = 1e-10  # of the power


def log_mel(blocks: Iterable[Samples], mels: int) -> Iterator[Floats]:
    """Base-10 logarithms of mel power, not clamped yet, as blocks [mels, n]: one frame per whole 160 samples."""
    samples = frames = 0
    waiting = np.zeros(0, np.float32)
    for block in blocks:
        samples += len(block)
        waiting = np.concatenate([waiting, block])
        if not frames:
            if len(waiting) <= WINDOW:
                continue
            waiting = np.pad(waiting, (WINDOW // 2, 0), mode="reflect")
        whole = (len(waiting) - WINDOW) // STEP + 1
        if whole > 0:
            yield _frames(waiting, whole, mels)
            frames += whole
            waiting = waiting[whole * STEP :]
    left = samples // STEP - frames
    if left > 0:
        ends = (0 if frames else WINDOW // 2, WINDOW // 2)
        yield _frames(np.pad(waiting, ends, mode="reflect"), left, mels)


def normalized(log_power: Floats, maximum: float) -> Floats:
    """What the encoder wants: at most 8 below the maximum, and scaled."""
    scaled: Floats = (np.maximum(log_power, np.float32(maximum - RANGE)) + np.float32(4)) / np.float32(4)
    return scaled


def _frames(samples: Samples, count: int, mels: int) -> Floats:
    """[mels, count]: the first `count` frames of samples of which the first frame sees the first 400."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::STEP][:count]
    spectrum = np.fft.rfft(windows * hann())  # [count, 201] in double precision, as quiet bins need it
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    logs: Floats = np.log10(np.maximum(mel_filters(mels) @ power.T, np.float32(FLOOR)))
    return logs


@lru_cache(maxsize=1)
def hann() -> NDArray[np.float64]:
    """The window [400], as for one more sample: the last one is not its first one again."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))


@lru_cache(maxsize=2)
def mel_filters(mels: int) -> Floats:
    """Triangles [mels, 201] on Slaney's mel scale from 0 to 8 kHz, each of the same area (M. Slaney, 1998)."""
    hertz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    corners = _hertz(np.linspace(0, _mel(RATE / 2), mels + 2))
    widths = np.diff(corners)
    slopes = corners[:, None] - hertz
    rising, falling = -slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (corners[2:] - corners[:-2]))[:, None], np.float32)


# linear up to 1 kHz, 15 mel, and logarithmic above: 27 mel for a factor of 6.4
_LINEAR, _BREAK, _BREAK_MEL, _LOG_STEP = 200 / 3, 1000.0, 15.0, np.log(6.4) / 27


def _mel(hertz: float) -> float:
    return float(hertz / _LINEAR if hertz < _BREAK else _BREAK_MEL + np.log(hertz / _BREAK) / _LOG_STEP)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    curved = _BREAK * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR, curved)
