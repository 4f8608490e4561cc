"""Sound as it comes to text as it grows: when to look, and when a phrase is over.

Looks are left out where the machine is slow. Sound never is.
"""

import time
from collections.abc import Callable, Iterator

from quartet.audio.audio import RATE
from quartet.audio.decode import as_float
from quartet.live.events import LiveText
from quartet.live.phrase import PhraseText
from quartet.live.recognizer import Recognizer
from quartet.live.sound import BYTES, Format, LiveSound
from quartet.live.stream import Pcm, read_ahead
from quartet.live.utterances import Began, TurnDetection
from quartet.spec import Language

STEP = 0.4  # seconds of new sound before the next look
PATIENCE = 1.5  # times as long as the last look took, of new sound, before the next
BLOCK = 0.1  # of the longest window, that is taken at a time
MOST = 0.8  # of the longest window, that need a look, however slow the machine is; after it, it is less

Clock = Callable[[], float]


class Listener:
    """Speech in a stream of 16 bit samples (little endian, mono)."""

    def __init__(
        self,
        recognizer: Recognizer,
        rate: int = RATE,
        detection: TurnDetection | None = None,
        language: Language | None = None,
        clock: Clock | None = None,
    ) -> None:
        """clock: seconds, by which a look takes long; None: the system's."""
        self._sound = LiveSound(Format("audio/pcm", rate), detection or TurnDetection(), longest=None)
        self._text = PhraseText(recognizer, language)
        self._block = max(1, round(BLOCK * recognizer.longest * rate)) * BYTES
        self._most = MOST * recognizer.longest * RATE
        self._clock = clock or time.monotonic
        self._looked = 0  # sample up to which the turn was looked at
        self._pause = STEP * RATE  # samples until the next look

    def add(self, piece: bytes) -> Iterator[LiveText]:
        """What is told of a piece of sound."""
        for start in range(0, len(piece), self._block):
            for one in self._sound.add(piece[start : start + self._block]):
                if isinstance(one, Began):
                    self._looked = one.at
                    self._text.begin(one.at)
                else:
                    yield from self._text.finish(as_float(one.sound), one.start)
            if self._sound.is_in_turn and (
                self._sound.position - self._looked >= self._pause or len(self._sound) >= self._most
            ):
                yield from self._look()

    def end(self) -> Iterator[LiveText]:
        """What is told when no more sound comes."""
        turn = self._sound.commit()
        if turn is not None:
            yield from self._text.finish(as_float(turn.sound), turn.start)

    def _look(self) -> list[LiveText]:
        self._looked = self._sound.position
        began = self._clock()
        told = list(self._text.look(as_float(self._sound.so_far()), self._sound.first))
        self._pause = max(STEP, PATIENCE * (self._clock() - began)) * RATE
        self._sound.forget_before(self._text.needed_from)
        return told


def listened(listener: Listener, pcm: Pcm, ahead: bool) -> Iterator[LiveText]:
    """What is told of a whole stream. ahead: a thread reads it."""
    waiting = read_ahead(pcm) if ahead else None
    try:
        for piece in pcm.pieces if waiting is None else waiting:
            yield from listener.add(piece)
        yield from listener.end()
    finally:
        if waiting is not None:
            waiting.end()
