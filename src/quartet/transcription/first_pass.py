"""A recording made ready for its windows: the first pass, what is skipped, and where windows begin and end."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from quartet.audio.audio import Audio
from quartet.audio.mel import FRAMES_PER_SECOND, STEP
from quartet.audio.voice_activity import Span, VadOptions, speech_spans
from quartet.errors import OptionError
from quartet.progress import Progress
from quartet.transcription.windows import Timeline, WindowStream, first_pass, kept, kept_as_it_plays

BATCHED_SILENCE_MS = 160  # of windows that are decoded together, each ends in a silence at least so long

Clips = tuple[tuple[int, int | None], ...]  # first frame and end; None: the end of the recording


@dataclass(frozen=True)
class Recording:
    """A recording to be looked at window by window. Durations in seconds, None where it can be played only once."""

    stream: WindowStream
    timeline: Timeline
    clips: Clips
    duration: float | None
    kept: float | None  # without the silences


def prepared(
    audio: Audio, mels: int, frames: int, vad: VadOptions | None, clip_times: Sequence[float], batched: bool
) -> Recording:
    """Play the recording a first time where it can be played again, and decide what of it is transcribed.

    frames: of the longest window. vad: None keeps silences; clips do too. batched: windows end in silences.
    Raises `AudioError`; `OptionError` where windows of a recording that plays only once should be batched.
    """
    vad = None if clip_times else vad
    clips = _clips(clip_times)
    if not audio.rewindable:
        if batched:
            raise OptionError(f"{audio.name} can be read only once, windows decoded together need it twice")
        return _played_once(audio, mels, vad, clips)
    found = first_pass(audio, mels, voices=vad is not None)
    if vad is None:
        return Recording(WindowStream(audio.play(), mels, found.maximum), Timeline(), clips, *[found.duration] * 2)
    spans = speech_spans(found.probabilities, found.samples, _for_batches(vad, frames) if batched else vad)
    timeline = Timeline()
    timeline.keep(spans)
    stream = WindowStream(kept(audio.play(), spans), mels, found.maximum)
    return Recording(stream, timeline, _grouped(spans, frames) if batched else clips, found.duration, timeline.duration)


def _played_once(audio: Audio, mels: int, vad: VadOptions | None, clips: Clips) -> Recording:
    timeline = Timeline()
    blocks = audio.play() if vad is None else kept_as_it_plays(audio.play(), vad, timeline)
    return Recording(WindowStream(blocks, mels), timeline, clips, None, None)


def _for_batches(vad: VadOptions, frames: int) -> VadOptions:
    """Voice detection such that every stretch of speech fits into a window."""
    return replace(
        vad,
        max_speech_duration_s=min(vad.max_speech_duration_s, frames / FRAMES_PER_SECOND),
        min_silence_duration_ms=min(vad.min_silence_duration_ms, BATCHED_SILENCE_MS),
    )


def _grouped(spans: Sequence[Span], frames: int) -> Clips:
    """Windows in frames of what is kept, each of as many whole spans as fit."""
    edges, length = [0], 0
    for span in spans:
        size = span.end - span.start
        if length + size - edges[-1] > frames * STEP and length > edges[-1]:
            edges.append(length)
        length += size
    starts = [round(edge / STEP) for edge in [*edges, length]]
    return tuple((start, end) for start, end in pairwise(starts) if end > start) or ((0, None),)


def _clips(times: Sequence[float]) -> Clips:
    frames = [round(time * FRAMES_PER_SECOND) for time in times] or [0]
    ends: list[int | None] = [*frames[1::2], None]
    return tuple(zip(frames[::2], ends, strict=False))


def in_seconds(recording: Recording, progress: Progress) -> Callable[[float], None]:
    """A function that is told a place in what is kept, and tells the progress within the whole recording."""

    def tell(seconds: float) -> None:
        if recording.duration is not None:
            timeline = recording.timeline
            reached = timeline.original(seconds, timeline.span_at(seconds, is_end=True))
            progress(math.floor(min(reached, recording.duration)), math.ceil(recording.duration))

    return tell
