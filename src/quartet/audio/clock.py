"""The container's clock: when each piece of sound is heard, as players have it.

Sound is taken to be continuous as long as time stamps agree with that, more or less: many containers round them, and
recorders stamp what comes with the time at which they got round to it.
"""

from dataclasses import dataclass, field

GAP = 0.03  # seconds without sound that are filled with silence; less is how time stamps are
TOLD = 0.1  # seconds; a clock that is a little faster than the sound leaves shorter gaps now and then
OVERLAP = 0.1  # seconds that are there already and are cut; recorders' stamps waver, and a cut loses sound
BACK = 1.0  # seconds: a clock that goes back further has begun anew
LONGEST_GAP = 3600.0  # seconds; more is a fault of the file, and may be for ever
DOUBTFUL_GAP = 60.0  # seconds: a longer one has to end within the recording, as far as its length is known


@dataclass
class Clock:
    """Seconds since the beginning of the recording, and what was wrong with its time stamps on the way."""

    zero: float = 0.0  # time stamp of the beginning
    length: float | None = None  # of the recording, if it is known
    position: float = 0.0  # where the sound has got to
    section: float = 0.0  # where it last began after a gap or an overlap
    sections: int = 1  # so far
    silent: float = 0.0  # seconds of silence in gaps, without a late start
    gaps: list[float] = field(default_factory=list)  # where they begin
    odd: list[float] = field(default_factory=list)  # where time stamps make no sense
    _filled: float = 0.0
    _lost: float = 0.0
    _first: float | None = None

    def advance(self, stamp: float | None, seconds: float) -> float:
        """Where the section begins that sound of a length belongs to, by its time stamp."""
        if stamp is not None or self._lost > GAP:
            self._set(self.position + self._lost if stamp is None else stamp - self.zero)
            self._lost = 0.0
        self.position += seconds
        return self.section

    def lose(self, seconds: float) -> None:
        """So much sound is damaged, before what comes next; if that has a time stamp, it says how much that was."""
        self._lost += min(seconds, DOUBTFUL_GAP)

    def begin_anew(self, zero: float) -> None:
        """What comes now goes on where the sound has got to, with another clock."""
        self.zero, self._first = zero - self.position, None

    def _set(self, at: float) -> None:
        ahead = at - self.position
        if self._first is None:
            self._first = at
            ahead = max(0.0, ahead)  # nothing is cut before anything was heard
        if ahead > GAP and self._is_likely(at, ahead):
            if self.position and ahead >= TOLD:
                self.silent += ahead
                self.gaps.append(self.position)
            self._filled += ahead
            self._begin(at)
        elif ahead > GAP or ahead < -BACK or (ahead < -OVERLAP and at <= self._first + GAP):
            if ahead > GAP:
                self.odd.append(self.position)
            self.zero += ahead
            self._first -= ahead
        elif ahead < -OVERLAP:
            self._begin(at)

    def _begin(self, at: float) -> None:
        self.position = self.section = at
        self.sections += 1

    def _is_likely(self, at: float, gap: float) -> bool:
        """Whether so much time passed in silence. In all, silence is at most an hour longer than sound."""
        if gap > DOUBTFUL_GAP and self.length is not None and at > self.length + 1:
            return False
        sound = self.position - self._filled
        return gap <= LONGEST_GAP and self._filled + gap <= LONGEST_GAP + sound
