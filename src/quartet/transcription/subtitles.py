"""Segments as text, SubRip, WebVTT, SubStation Alpha, tab-separated values or JSON, written as they come.

SubRip, WebVTT (https://www.w3.org/TR/webvtt1/) and SubStation Alpha 4+ are made of cues, see `cues.py`. The files are
whole after any number of segments. (pysubs2 writes them too, but only when all is there; tests read ours with it.)
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quartet.transcription.cues import Cue, CueOptions, SpeakerCues, speaker
from quartet.transcription.segments import Segment, TranscriptionInfo

_ENTITY = re.compile(r"&(?=#?\w+;)")
_TAG = re.compile(r"<(?=[\w/])")

_ASS_HEAD = """[Script Info]
ScriptType: v4.00+
WrapStyle: 2
ScaledBorderAndShadow: yes
PlayResX: 1280
PlayResY: 720

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,48,&H00FFFFFF,&H000000FF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,2.5,1,2,60,60,40,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class Format:
    """How a file begins, goes on with each segment or with each cue and its number, and ends."""

    begin: Callable[[TranscriptionInfo], str]
    segment: Callable[[Segment], str] | None = None
    cue: Callable[[Cue, int], str] | None = None
    end: str = ""


class Writer:
    """Writes segments in a format, as they come. Of subtitles the last ones wait for what follows."""

    def __init__(
        self, name: str, info: TranscriptionInfo, options: CueOptions | None = None, target: str | None = None
    ) -> None:
        """name: in `FORMATS`. options: of subtitles; None for the usual ones. target: language of translations."""
        self._form, self._info = FORMATS[name], info
        self._cues = SpeakerCues(options or CueOptions(), info.duration, target)
        self._count = 0

    def begin(self) -> str:
        """What the file begins with."""
        return self._form.begin(self._info)

    def add(self, segment: Segment) -> str:
        """What can be written of all that has come."""
        if self._form.segment:
            return self._form.segment(segment)
        return self._written(self._cues.add(segment))

    def end(self) -> str:
        """The rest of the file: it is whole then."""
        return self._written(self._cues.rest()) + self._form.end

    def _written(self, cues: list[Cue]) -> str:
        self._count, first = self._count + len(cues), self._count + 1
        form = self._form.cue
        return "".join(form(cue, number) for number, cue in enumerate(cues, first)) if form else ""


def written(
    name: str,
    segments: Iterable[Segment],
    info: TranscriptionInfo,
    options: CueOptions | None = None,
    target: str | None = None,
) -> str:
    """A whole file. See `Writer`."""
    writer = Writer(name, info, options, target)
    return "".join([writer.begin(), *map(writer.add, segments), writer.end()])


def needs_words(name: str, options: CueOptions) -> bool:
    """Whether a format is better with the time of each word."""
    return FORMATS[name].cue is not None and options.max_line_width > 0


def clock(seconds: float, decimal: str) -> str:
    """A time as `00:01:02,345`."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{decimal}{rest % 1000:03}"


def _line(segment: Segment) -> str:
    """Its text, with the speaker before it where channels are split."""
    text = " ".join(segment.text.split())
    return text and speaker(segment.channel) + text


def _srt(cue: Cue, number: int) -> str:
    times = f"{clock(cue.start, ',')} --> {clock(cue.end, ',')}"
    return f"{number}\n{times}\n{_lines(cue)}\n\n"


def _vtt(cue: Cue, number: int) -> str:
    del number
    text = _TAG.sub("&lt;", _ENTITY.sub("&amp;", _lines(cue)))
    return f"{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n{text}\n\n"


def _lines(cue: Cue) -> str:
    """Text that cannot be taken for the line of times."""
    return "\n".join(cue.lines).replace("-->", "->")


def _ass(cue: Cue, number: int) -> str:
    del number
    # braces are commands, and so is a backslash before some letters, unless a word joiner is between them
    plain = (line.translate({ord("{"): "(", ord("}"): ")", ord("\\"): "\\\u2060"}) for line in cue.lines)
    text = r"\N".join(plain)
    return f"Dialogue: 0,{_ass_clock(cue.start)},{_ass_clock(cue.end)},Default,,0,0,0,,{text}\n"


def _ass_clock(seconds: float) -> str:
    """A time as `0:01:02.34`."""
    minutes, rest = divmod(round(seconds * 100), 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 100:02}.{rest % 100:02}"


def _tsv(segment: Segment) -> str:
    return f"{round(segment.start * 1000)}\t{round(segment.end * 1000)}\t{_line(segment)}\n"


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


def _text(segment: Segment) -> str:
    line = _line(segment)
    return f"{line}\n" if line else ""


def _always(text: str) -> Callable[[TranscriptionInfo], str]:
    return lambda info: text  # noqa: ARG005 - every format gets it


FORMATS = {
    "text": Format(_always(""), _text),
    "srt": Format(_always(""), cue=_srt),
    "vtt": Format(_always("WEBVTT\n\n"), cue=_vtt),
    "ass": Format(_always(_ASS_HEAD), cue=_ass),
    "json": Format(_json_begin, _json, end="\n]}\n"),
    "tsv": Format(_always("start\tend\ttext\n"), _tsv),
}
