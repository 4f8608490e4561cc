"""Whisper's front end as a graph of plain operators: samples to log-mel frames, as `audio.mel` makes them.

Frames are gathered from the samples and multiplied by a table of cosines and sines with the window in it: a Fourier
transform without the operators for it, which are slow or missing where phones are. In double precision, since quiet
bins lie eight powers of ten below loud ones.
"""

import numpy as np
import onnx_ir as ir

from quartet.audio.mel import FLOOR, RANGE, hann, mel_filters
from quartet.graph.builder import Builder
from quartet.quantize.recipes import Recipe
from quartet.spec import Speech

INITIALIZER = "initializer"
DOUBLE = int(ir.DataType.DOUBLE)


def initializer(speech: Speech) -> Builder:
    """`audio_pcm` [1, samples] to `input_features` [1, mels, frames], padded with silence, or cut, to one window."""
    b = Builder(INITIALIZER, Recipe("fp32"))
    size, step, frames = speech.fft_size, speech.hop_length, speech.window_frames
    audio = b.input("audio_pcm", ir.DataType.FLOAT, [1, "samples"])
    samples = b.op("Cast", [_one_window(b, audio, frames * step, size // 2)], "/samples", {"to": DOUBLE})
    starts = np.arange(frames, dtype=np.int64)[:, None] * step
    inside = b.constant("/frames/inside", np.arange(size, dtype=np.int64))
    places = b.op("Add", [b.constant("/frames/starts", starts), inside], "/frames/places")
    windows = b.op("Gather", [samples, places], "/frames", {"axis": 1})  # [1, frames, size]
    waves = b.op("MatMul", [windows, b.constant("/waves", _waves(size))], "/spectrum")
    power = b.op("Mul", [waves, waves], "/power")
    filters = mel_filters(speech.mel_bins).astype(np.float64)
    both = b.constant("/mel/filters", np.concatenate([filters, filters], axis=1).T)  # of cosines and of sines
    mel = b.op("Cast", [b.op("MatMul", [power, both], "/mel/double")], "/mel", {"to": int(ir.DataType.FLOAT)})
    features = b.op("Transpose", [_scaled(b, mel)], "/mels_first", {"perm": [0, 2, 1]})
    b.output(features, "input_features", ir.DataType.FLOAT, [1, speech.mel_bins, frames])
    return b


def _one_window(b: Builder, audio: ir.Value, count: int, edge: int) -> ir.Value:
    """[1, edge + count + edge]: the first `count` samples, zeros where there are fewer, and the ends reflected."""
    whole = [b.integers("from0", 0), b.integers("count", count), b.integers("axes1", 1)]
    cut = b.op("Slice", [audio, *whole], "/audio/cut")
    length = b.op("Shape", [cut], "/audio/length", {"start": 1, "end": 2})
    missing = b.op("Sub", [b.integers("count", count), length], "/audio/missing")
    behind = b.op("Concat", [b.integers("zeros3", 0, 0, 0), missing], "/audio/behind", {"axis": 0})
    padded = b.op("Pad", [cut, behind], "/audio/padded")
    return b.op("Pad", [padded, b.integers("edges", 0, edge, 0, edge)], "/audio/reflected", {"mode": "reflect"})


def _waves(size: int) -> np.ndarray:
    """[size, 2 * (size // 2 + 1)]: the window times the cosine of each frequency, then times the sine."""
    angles = 2 * np.pi / size * (np.arange(size)[:, None] * np.arange(size // 2 + 1) % size)
    return np.asarray(hann()[:, None] * np.concatenate([np.cos(angles), np.sin(angles)], axis=1))


def _scaled(b: Builder, mel: ir.Value) -> ir.Value:
    """Base-10 logarithms, at most 8 below the maximum, plus 4, divided by 4."""
    natural = b.op("Log", [b.op("Max", [mel, b.constant("floor", np.float32(FLOOR))], "/mel/floored")], "/mel/natural")
    logs = b.op("Mul", [natural, b.constant("decades", np.float32(1 / np.log(10)))], "/mel/logs")
    lowest = b.op("Sub", [b.op("ReduceMax", [logs], "/mel/max"), b.constant("range", np.float32(RANGE))], "/mel/lowest")
    clamped = b.op("Max", [logs, lowest], "/mel/clamped")
    four = b.constant("four", np.float32(4))
    return b.op("Div", [b.op("Add", [clamped, four], "/mel/lifted"), four], "/mel/scaled")
