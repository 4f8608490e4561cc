"""Segments as cues that are made for reading: short lines, broken at phrases, shown long enough to be read.

The defaults are the broadcasters':

- 42 columns, two lines, a cue of 5/6 s to 7 s, two frames between cues, and gaps of less than half a second closed to
  that: Netflix, *Timed Text Style Guide: General Requirements* and *Subtitle Timing Guidelines*.
- 17 columns a second: Netflix' limit for adults in most languages (20 in English, where children have 17); the BBC's
  160 to 180 words a minute (*Subtitle Guidelines*) are about 15 to 17.
- One line where the text fits on one; else lines of about the same length (both).

An East Asian wide character counts as two columns, in a line and in a second. That makes 21 in a line and 8.5 a second;
Netflix has 16 and 9 for Chinese.

Words have their times where these are known; else a segment's time is shared out by columns.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from quartet.options.declared import SUBTITLES
from quartet.options.kinds import check_fields
from quartet.text.phrases import columns, gap_between, gaps
from quartet.text.spread import is_aside, is_turn
from quartet.transcription.segments import Segment

SHORTEST, LONGEST = 5 / 6, 7.0  # seconds that a cue is shown
FLICKER = 0.5  # seconds: a cue stays until the next one where the gap would be less
AT_LEAST = 0.2  # seconds, whatever comes next
SLOWEST = 4.0  # columns a second: a longer segment without times of its words is taken to be silent at its end
PAUSE = 2.0  # seconds: no cue goes on behind such a silence
HELD = 400  # columns of text that wait for its end

# What is weighed when a text is cut into cues, in units of the costs of `text.phrases`.
_A_CUE = 3.0  # each one more
_CUE_BREAK = 1.5  # times the cost of a break
_LINE_BREAK = 0.09  # times the square of the cost of a break: between words it matters little, behind an article much
_UNEVEN = 3.0  # lines as different as can be
_IN_A_PAUSE = 6.0  # for each second of silence inside of a cue
_AT_A_PAUSE = 3.0  # less, for each second of silence (up to one) behind it
_TOO_FAST = 12.0  # for twice the columns that can be read
_TOO_SHORT = 8.0  # for a cue that is not seen at all
_CUT_OFF = 2.0  # the beginning of a sentence behind the end of another, or an end before a beginning


@dataclass(frozen=True)
class CueOptions:
    """What cues may be. Raises `OptionError` for values that make no sense."""

    max_line_width: int = 42  # columns; 0: each segment is a cue of one line
    max_lines: int = 2
    max_cps: float = 17.0  # columns a second
    min_gap: float = 0.08  # seconds between two cues

    def __post_init__(self) -> None:
        check_fields(self, SUBTITLES)


@dataclass(frozen=True)
class Cue:
    """Lines that are shown together. Times in seconds."""

    start: float
    end: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Atom:
    """Text that is never broken."""

    text: str
    place: int  # where it begins in the whole text
    space: str  # before it
    width: int  # columns
    start: float
    end: float
    cost: float  # of a break behind it
    is_turn: bool  # somebody else begins to speak


@dataclass(frozen=True)
class _Held:
    """Text that waits for more, and the times of its characters that are no white space."""

    text: str
    times: tuple[tuple[float, float], ...]
    language: str | None


class CueMaker:
    """Makes cues of segments as they come. What is not yet sure waits: the cues before and after it decide."""

    def __init__(self, options: CueOptions, duration: float | None = None, language: str | None = None) -> None:
        """duration: of the recording in seconds, None if unknown: no cue is shown longer just to be read.

        language: of all segments, whose own is what was spoken; None where that is the same.
        """
        self._options, self._language = options, language
        self._duration = math.inf if duration is None else duration
        self._held: _Held | None = None
        self._last: Cue | None = None  # with the end of its speech: what follows says how long it is shown

    def add(self, segment: Segment) -> list[Cue]:
        """The cues that are sure now."""
        text = " ".join(segment.text.split())
        if not text:
            return []
        if not self._options.max_line_width:
            return [Cue(segment.start, segment.end, (text,))]
        more = _Held(text, _times(segment, text), self._language or segment.language)
        if self._held is None:
            self._held = more
            return []
        cues: list[Cue] = []
        if _parted(self._held, more):
            cues, self._held = self._cut(self._held), more
        else:
            gap = gap_between(self._held.text, more.text)
            self._held = replace(more, text=self._held.text + gap + text, times=self._held.times + more.times)
        if max(len(self._held.text), columns(self._held.text)) > HELD:
            cues += self._cut(self._held, rest=True)
        return self._timed(cues)

    @property
    def waits_from(self) -> float:
        """When the first cue begins that is not yet sure, at the earliest; inf where there is none."""
        if self._last is not None:
            return self._last.start
        return self._held.times[0][0] if self._held else math.inf

    def rest(self) -> list[Cue]:
        """All that waits: no more segments come."""
        cues = self._cut(self._held) if self._held else []
        self._held = None
        timed = self._timed(cues)
        last, self._last = self._last, None
        return [*timed, self._shown(last, math.inf)] if last else timed

    def _cut(self, held: _Held, rest: bool = False) -> list[Cue]:
        """Cues with the times of their speech. rest: what comes after the last sure one is held."""
        atoms = _atoms(held)
        ends = _cue_ends(atoms, self._options)
        if rest and len(ends) > 2:
            sentences = [k for k, end in enumerate(ends[1:-1], 1) if not atoms[end - 1].cost]
            ends = ends[: (sentences[-1] if sentences and sentences[-1] > len(ends) // 2 else len(ends) - 2) + 1]
            begin = atoms[ends[-1]].place
            read = len("".join(held.text[:begin].split()))
            self._held = replace(held, text=held.text[begin:], times=held.times[read:])
        elif rest:
            self._held = None
        return [
            Cue(atoms[a].start, max(atoms[b - 1].end, atoms[a].start), _lines(atoms[a:b], self._options))
            for a, b in pairwise(ends)
        ]

    def _timed(self, cues: Sequence[Cue]) -> list[Cue]:
        """All but the last cue, shown long enough to be read."""
        shown = []
        for cue in cues:
            start = cue.start
            if self._last is not None:
                start = max(start, self._last.start + AT_LEAST + self._options.min_gap)
            begun = replace(cue, start=_up(start), end=max(cue.end, start + 0.01))
            if self._last is not None:
                shown.append(self._shown(self._last, begun.start))
            self._last = begun
        return shown

    def _shown(self, cue: Cue, following: float) -> Cue:
        """A cue until its speech has ended and it is read, but for the gap before the following one begins."""
        width = sum(map(columns, cue.lines))
        read = cue.start + min(LONGEST, max(SHORTEST, width / self._options.max_cps))
        end = max(cue.end, min(read, max(self._duration, cue.end)))
        latest = following - self._options.min_gap
        if latest - end < FLICKER:
            end = latest
        return replace(cue, end=max(_down(end), cue.start + 0.01))


class SpeakerCues:
    """Makes cues of the segments of all channels, as they come. Those of two speakers may be shown at the same time."""

    def __init__(self, options: CueOptions, duration: float | None = None, language: str | None = None) -> None:
        """As of `CueMaker`. Cues of split channels begin with their speaker, in lines that have room for that."""
        self._options, self._duration, self._language = options, duration, language
        self._makers: dict[int | None, CueMaker] = {}
        self._waiting: list[Cue] = []  # for cues of another channel that may begin before them

    def add(self, segment: Segment) -> list[Cue]:
        """The cues that are sure now, in the order in which they begin, as the segments do."""
        channel = segment.channel
        if channel not in self._makers:
            width = self._options.max_line_width and max(1, self._options.max_line_width - columns(speaker(channel)))
            options = replace(self._options, max_line_width=width)
            self._makers[channel] = CueMaker(options, self._duration, self._language)
        self._waiting += _spoken_by(channel, self._makers[channel].add(segment))
        if channel is None:
            return self._until(math.inf)
        return self._until(min(segment.start, *(maker.waits_from for maker in self._makers.values())))

    def rest(self) -> list[Cue]:
        """All that waits: no more segments come."""
        for channel, maker in self._makers.items():
            self._waiting += _spoken_by(channel, maker.rest())
        return self._until(math.inf)

    def _until(self, start: float) -> list[Cue]:
        found = sorted((cue for cue in self._waiting if cue.start <= start), key=lambda cue: cue.start)
        self._waiting = [cue for cue in self._waiting if cue.start > start]
        return found


def speaker(channel: int | None) -> str:
    """What the text of a channel begins with; nothing where the channels are mixed."""
    return "" if channel is None else f"Speaker {channel}: "


def _spoken_by(channel: int | None, cues: Sequence[Cue]) -> list[Cue]:
    return [replace(cue, lines=(speaker(channel) + cue.lines[0], *cue.lines[1:])) for cue in cues]


def _up(seconds: float) -> float:
    """Hundredths, which every format has."""
    return math.ceil(round(seconds * 100, 6)) / 100


def _down(seconds: float) -> float:
    return math.floor(round(seconds * 100, 6)) / 100


# ---- text and times -------------------------------------------------------------------------------------------------


def _times(segment: Segment, text: str) -> tuple[tuple[float, float], ...]:
    """When each character was said, white space aside: by the words, if these are all of the text."""
    start, end = segment.start, max(segment.start, segment.end)
    words = segment.words or ()
    spans = [("".join(word.word.split()), word.start, max(word.start, word.end)) for word in words]
    if "".join(word for word, _, _ in spans) != "".join(text.split()):
        spans = [("".join(text.split()), start, min(end, start + max(SHORTEST, columns(text) / SLOWEST)))]
    found: list[tuple[float, float]] = []
    for word, begin, until in spans:
        widths = [columns(one) or 1 for one in word]
        total, before = sum(widths), 0
        for width in widths:
            share = (until - begin) / total
            found.append((begin + before * share, begin + (before + width) * share))
            before += width
    return tuple(found)


def _parted(held: _Held, more: _Held) -> bool:
    """Whether no cue may have text of both."""
    return (
        held.language != more.language
        or more.times[0][0] - held.times[-1][1] >= PAUSE
        or is_aside(held.text)
        or is_aside(more.text)
    )


def _atoms(held: _Held) -> list[_Atom]:
    places = gaps(held.text, held.language)
    begins = [0, *(gap.start for gap in places)]
    ends = [*(gap.end for gap in places), len(held.text)]
    costs = [*(gap.cost for gap in places), 0.0]
    letters = [0, *accumulate(not one.isspace() for one in held.text)]  # before each place
    atoms: list[_Atom] = []
    last = 0
    for begin, end, cost in zip(begins, ends, costs, strict=True):
        text = held.text[begin:end]
        times = held.times[letters[begin] : letters[end]]
        turns = is_turn(held.text[begin:]) and (not atoms or not atoms[-1].cost)
        if turns and atoms:
            atoms[-1] = replace(atoms[-1], cost=0.0)
        space = held.text[last:begin]
        atoms.append(_Atom(text, begin, space, columns(text), times[0][0], times[-1][1], cost, turns))
        last = end
    return atoms


# ---- lines ----------------------------------------------------------------------------------------------------------


class _Layout:
    """The best lines of any stretch of atoms."""

    def __init__(self, atoms: Sequence[_Atom], options: CueOptions) -> None:
        self._atoms, self._options = atoms, options
        self._ends = [0]  # columns up to the end of each atom, and the space before it
        for atom in atoms:
            self._ends.append(self._ends[-1] + len(atom.space) + atom.width)
        self._known: dict[tuple[int, int, int], tuple[float, tuple[int, ...]] | None] = {}
        self.turns = [k for k, atom in enumerate(atoms) if atom.is_turn]

    def width(self, begin: int, end: int) -> int:
        """Columns of a line of atoms."""
        return self._ends[end] - self._ends[begin] - len(self._atoms[begin].space)

    def fits(self, begin: int, end: int) -> bool:
        """Whether a line is not too long, or a single atom."""
        return end == begin + 1 or self.width(begin, end) <= self._options.max_line_width

    def best(self, begin: int, end: int) -> tuple[float, tuple[int, ...]] | None:
        """The cost of the best lines, and where each ends; None where they do not fit a cue."""
        turns = self.turns[bisect.bisect(self.turns, begin) : bisect.bisect_left(self.turns, end)]
        if turns:  # a line for each speaker
            edges = [begin, *turns, end]
            fine = len(edges) - 1 <= self._options.max_lines and self._atoms[begin].is_turn
            return (0.0, tuple(edges[1:])) if fine and all(map(self.fits, edges, edges[1:])) else None
        if self.fits(begin, end):
            return 0.0, (end,)
        for count in range(2, self._options.max_lines + 1):
            if found := self._in_lines(begin, end, count):
                return found
        return None

    def _in_lines(self, begin: int, end: int, count: int) -> tuple[float, tuple[int, ...]] | None:
        if self.width(begin, end) > (self._options.max_line_width + 1) * count and end - begin > count:
            return None
        if count == 1:
            return (0.0, (end,)) if self.fits(begin, end) else None
        if (begin, end, count) not in self._known:
            self._known[begin, end, count] = self._broken(begin, end, count)
        return self._known[begin, end, count]

    def _broken(self, begin: int, end: int, count: int) -> tuple[float, tuple[int, ...]] | None:
        best = None
        for place in range(begin + 1, end):
            if not self.fits(begin, place):
                break
            if rest := self._in_lines(place, end, count - 1):
                ideal = self.width(begin, end) / count
                uneven = abs(self.width(begin, place) - ideal) / self._options.max_line_width
                cost = rest[0] + _LINE_BREAK * self._atoms[place - 1].cost ** 2 + 2 * _UNEVEN * uneven
                if best is None or cost < best[0]:
                    best = (cost, (place, *rest[1]))
        return best


def _lines(atoms: Sequence[_Atom], options: CueOptions) -> tuple[str, ...]:
    found = _Layout(atoms, options).best(0, len(atoms))
    edges = [0, *(found[1] if found else (len(atoms),))]
    return tuple(
        "".join((atom.space if k else "") + atom.text for k, atom in enumerate(atoms[a:b])) for a, b in pairwise(edges)
    )


# ---- cues -----------------------------------------------------------------------------------------------------------


def _cue_ends(atoms: Sequence[_Atom], options: CueOptions) -> list[int]:
    """Where cues begin and the last one ends, such that all together disturb least."""
    layout = _Layout(atoms, options)
    best: list[tuple[float, int]] = [(0.0, 0)]  # cost of the cues up to here, and where the last of them begins
    sentence = [0]  # where the sentence begins that is open after so many atoms
    for k, atom in enumerate(atoms):
        sentence.append(k + 1 if not atom.cost else sentence[-1])
    for end in range(1, len(atoms) + 1):
        found: tuple[float, int] | None = None
        for begin in range(end - 1, -1, -1):
            too_long = atoms[end - 1].end - atoms[begin].start > LONGEST
            lines = layout.best(begin, end) if not too_long or begin == end - 1 else None
            if lines is None:
                if too_long or layout.width(begin, end) > (options.max_line_width + 1) * options.max_lines:
                    break
                continue
            cost = best[begin][0] + lines[0] + _cost(atoms, begin, end, options)
            cost += _CUT_OFF * (begin < sentence[end] < end < len(atoms))
            cost += _CUT_OFF * (sentence[begin] < begin < sentence[end - 1])
            if found is None or cost < found[0]:
                found = cost, begin
        assert found is not None, "a single atom is always a cue"
        best.append(found)
    ends = [len(atoms)]
    while ends[-1]:
        ends.append(best[ends[-1]][1])
    return ends[::-1]


def _cost(atoms: Sequence[_Atom], begin: int, end: int, options: CueOptions) -> float:
    """What is wrong with a cue, its lines aside."""
    first, last = atoms[begin], atoms[end - 1]
    following = atoms[end].start if end < len(atoms) else math.inf
    silence = following - last.end
    room = max(0.01, min(following - options.min_gap - first.start, LONGEST))
    width = sum(atom.width + len(atom.space) for atom in atoms[begin:end])
    cost = _A_CUE + _CUE_BREAK * last.cost * (end < len(atoms)) - _AT_A_PAUSE * min(max(silence, 0.0), 1.0)
    cost += _IN_A_PAUSE * sum(gap for a, b in pairwise(atoms[begin:end]) if (gap := b.start - a.end) > FLICKER)
    cost += _TOO_FAST * max(0.0, min(1.0, width / (room * options.max_cps) - 1))
    return cost + _TOO_SHORT * max(0.0, 1 - room / SHORTEST)
