"""A recording made ready for its windows: the first pass, what is skipped, and where windows begin and end."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from quartet.audio.audio import RATE, Audio
from quartet.audio.mel import FRAMES_PER_SECOND, STEP
from quartet.audio.voice_activity import CHUNK, Probabilities, VadOptions, speech_spans
from quartet.errors import OptionError
from quartet.progress import Progress
from quartet.transcription.windows import Timeline, WindowStream, first_pass, kept, kept_as_it_plays

QUIET = 32  # frames: windows that are decoded together are cut where it is quiet about so long

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

    frames: of the longest window. vad: None keeps silences; clips do too. batched: windows are cut in silences.
    Raises `AudioError`; `OptionError` where windows of a recording that plays only once should be batched.
    """
    vad = None if clip_times else vad
    clips = _clips(clip_times)
    if not audio.rewindable:
        if batched:
            raise OptionError(f"{audio.name} can be read only once, windows decoded together need it twice")
        return _played_once(audio, mels, vad, clips)
    found = first_pass(audio, mels, voices=vad is not None or batched)
    timeline, blocks, length = Timeline(), audio.play(), found.samples
    if vad is not None:
        spans = speech_spans(found.probabilities, found.samples, vad)
        timeline.keep(spans)
        blocks, length = kept(blocks, spans), sum(span.end - span.start for span in spans)
    if batched:
        clips = divided(clips, _voices(found.probabilities, timeline, length), frames)
    return Recording(WindowStream(blocks, mels, found.maximum), timeline, clips, found.duration, length / RATE)


def _played_once(audio: Audio, mels: int, vad: VadOptions | None, clips: Clips) -> Recording:
    timeline = Timeline()
    blocks = audio.play() if vad is None else kept_as_it_plays(audio.play(), vad, timeline)
    return Recording(WindowStream(blocks, mels), timeline, clips, None, None)


def _voices(probabilities: Probabilities, timeline: Timeline, length: int) -> Probabilities:
    """Probability of speech at each frame of what is kept, which has so many samples."""
    places = np.arange(0, length // STEP * STEP, STEP)
    if timeline.spans and len(places):
        skipped = np.array([span.end for span in timeline.spans]) - np.array(timeline.ends)
        places += skipped[np.searchsorted(timeline.ends, places, side="right")]
    found: Probabilities = probabilities[places // CHUNK]
    return found


def divided(clips: Clips, voices: Probabilities, frames: int) -> Clips:
    """Clips in parts of at most so many frames, cut in the last third of those where a voice is least likely.

    voices: probability of one at each frame.
    """
    around = min(QUIET, max(1, frames // 3))
    quiet = np.convolve(np.pad(voices, (around // 2, around)), np.full(around, 1 / around), "valid")[: len(voices)]
    parts: list[tuple[int, int | None]] = []
    for first, end in clips:
        start, stop = first, len(voices) if end is None else min(end, len(voices))
        while stop - start > frames:
            earliest = start + frames - frames // 3
            cut = earliest + int(np.argmin(quiet[earliest : start + frames + 1]))
            parts.append((start, cut))
            start = cut
        if start < stop:
            parts.append((start, stop))
    return tuple(parts) or clips[:1]


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
