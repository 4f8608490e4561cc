"""Two channels of one recording, as two speakers."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace

from quartet.audio.audio import RATE
from quartet.transcription.first_pass import Recording
from quartet.transcription.segments import Segment


def by_time(channels: Sequence[Iterator[Segment]]) -> Iterator[Segment]:
    """The segments of all channels in the order in which they begin, numbered anew, each with its channel from 1 on."""
    labelled = [_labelled(segments, number) for number, segments in enumerate(channels, 1)]
    for number, segment in enumerate(heapq.merge(*labelled, key=lambda segment: segment.start), 1):
        yield replace(segment, id=number)


def _labelled(segments: Iterator[Segment], channel: int) -> Iterator[Segment]:
    for segment in segments:
        yield replace(segment, channel=channel)


def seconds_kept(channels: Sequence[Recording]) -> float | None:
    """Seconds of the recording that are kept in at least one channel. All, where silence is not skipped."""
    spans = sorted(span for channel in channels for span in channel.timeline.spans)
    if all(channel.kept == channel.duration for channel in channels):
        return channels[0].duration
    kept = reached = 0
    for span in spans:
        kept += max(0, span.end - max(span.start, reached))
        reached = max(reached, span.end)
    return kept / RATE
