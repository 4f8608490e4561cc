"""Segments as text, SubRip, WebVTT, tab-separated values or JSON, written as they come."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass

from quartet.transcription.segments import Segment, TranscriptionInfo


@dataclass(frozen=True)
class Format:
    """How a file begins, goes on with each segment, and ends; whole after any number of segments."""

    begin: Callable[[TranscriptionInfo], str]
    segment: Callable[[Segment], str]
    end: str = ""


def clock(seconds: float, decimal: str) -> str:
    """A time as `00:01:02,345`."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{decimal}{rest % 1000:03}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _srt(segment: Segment) -> str:
    times = f"{clock(segment.start, ',')} --> {clock(segment.end, ',')}"
    return f"{segment.id}\n{times}\n{_cue(segment.text)}\n\n"


def _vtt(segment: Segment) -> str:
    return f"{clock(segment.start, '.')} --> {clock(segment.end, '.')}\n{_cue(segment.text)}\n\n"


def _cue(text: str) -> str:
    """Text that cannot be taken for the line of times."""
    return _line(text).replace("-->", "->")


def _tsv(segment: Segment) -> str:
    return f"{round(segment.start * 1000)}\t{round(segment.end * 1000)}\t{_line(segment.text)}\n"


def _json_begin(info: TranscriptionInfo) -> str:
    facts = {
        "language": info.language,
        "language_probability": info.language_probability,
        "duration": info.duration,
        "duration_after_vad": info.duration_after_vad,
    }
    return json.dumps(facts)[:-1] + ', "segments": [\n'


def _json(segment: Segment) -> str:
    return (",\n" if segment.id > 1 else "") + json.dumps(dataclasses.asdict(segment), ensure_ascii=False)


def _nothing(info: TranscriptionInfo) -> str:
    del info
    return ""


FORMATS = {
    "text": Format(_nothing, lambda segment: _line(segment.text) + "\n"),
    "srt": Format(_nothing, _srt),
    "vtt": Format(lambda info: "WEBVTT\n\n", _vtt),  # noqa: ARG005 - every format gets it
    "json": Format(_json_begin, _json, "\n]}\n"),
    "tsv": Format(lambda info: "start\tend\ttext\n", _tsv),  # noqa: ARG005
}
