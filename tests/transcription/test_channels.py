from dataclasses import dataclass

from quartet.audio.audio import RATE
from quartet.audio.voice_activity import Span
from quartet.transcription.channels import by_time, seconds_kept
from quartet.transcription.segments import Segment
from quartet.transcription.windows import Timeline


def segment(start: float, text: str) -> Segment:
    return Segment(1, 0, start, start + 1, text, [], 0.0, 1.0, 0.0, None, 0.0)


def test_segments_come_in_the_order_of_their_beginnings():
    found = list(by_time([iter([segment(0, "a"), segment(5, "c")]), iter([segment(2, "b"), segment(5, "d")])]))
    assert [(one.id, one.text, one.channel) for one in found] == [(1, "a", 1), (2, "b", 2), (3, "c", 1), (4, "d", 2)]


def test_no_more_is_decoded_than_is_asked_for():
    def endless():
        for number in range(10**9):
            yield segment(number, "")

    found = by_time([endless(), endless()])
    assert [next(found).start for _ in range(4)] == [0, 0, 1, 1]


@dataclass
class Prepared:
    timeline: Timeline
    duration: float
    kept: float


def test_what_is_kept_of_both_counts_once():
    channels = []
    for spans in ([(0, 2), (6, 8)], [(1, 3)], []):
        timeline = Timeline()
        timeline.keep(Span(start * RATE, end * RATE) for start, end in spans)
        channels.append(Prepared(timeline, 10.0, timeline.duration))
    assert seconds_kept(channels) == 5
    assert seconds_kept([Prepared(Timeline(), 10.0, 10.0)] * 2) == 10
