"""transformers' long form: window after window, with timestamps, greedy, without thresholds."""

import numpy as np
import torch
from transformers import WhisperForConditionalGeneration

import tiny_speech


def phrases(
    model: WhisperForConditionalGeneration, features: np.ndarray, previous_text: bool, **more: object
) -> list[dict]:
    """Phrases of log-mel features [mels, frames] of any length: start, end, and tokens with timestamps."""
    with torch.inference_mode():
        found = model.generate(
            torch.from_numpy(features[None]),
            return_timestamps=True,
            return_segments=True,
            condition_on_prev_tokens=previous_text,
            num_beams=1,
            temperature=0.0,
            do_sample=False,
            **more,
        )
    return [
        {"start": float(one["start"]), "end": float(one["end"]), "tokens": one["tokens"].tolist()}
        for one in found["segments"][0]
    ]


def random_features(variant: str, frames: int) -> np.ndarray:
    """Log-mel [mels, frames] of noise whose loudness rises and falls; always the same."""
    shape = tiny_speech.VARIANTS[variant]
    random = np.random.Generator(np.random.PCG64([shape.seed, 2]))
    swell = np.sin(np.arange(frames) / 11) + np.sin(np.arange(frames) / 3) + 1.5
    return ((random.random((shape.mel_bins, frames)) * 2 - 1) * swell).astype(np.float32)
