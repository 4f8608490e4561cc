"""Sound as it comes over a connection: bytes of some format to samples, and these to turns of somebody who speaks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quartet.audio.audio import RATE, Samples
from quartet.audio.decode import Resampler, as_float
from quartet.audio.voice_activity import Ear
from quartet.live.utterances import Began, Ended, TurnDetection, Utterances

PCM_RATES = (24_000, 16_000)  # samples a second, the default first
G711_RATE = 8_000
LONGEST_TURN = 28 * RATE  # samples: with some silence around it, it fills a window
BYTES = 2  # of a sample

Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class Format:
    """How sound is sent: `audio/pcm` (16 bit, little endian), `audio/pcmu` or `audio/pcma` (G.711); always mono."""

    kind: str = "audio/pcm"
    rate: int = PCM_RATES[0]


@dataclass(frozen=True)
class Turn:
    """A turn that has ended: its first sample since the beginning, and all of them at 16 kHz."""

    start: int
    sound: Pcm

    @property
    def end(self) -> int:
        """The sample after it."""
        return self.start + len(self.sound)


class Decoder:
    """Bytes to samples at 16 kHz. A piece may end anywhere, in the middle of a sample too."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self._left = b""
        self._resampler = None if form.rate == RATE else Resampler(form.rate)

    def decoded(self, piece: bytes) -> Pcm:
        """What a piece brings."""
        if self._form.kind == "audio/pcm":
            piece = self._left + piece
            whole = len(piece) // BYTES * BYTES
            piece, self._left = piece[:whole], piece[whole:]
            samples = np.frombuffer(piece, "<i2").astype(np.int16)
        else:
            samples = (_MU_LAW if self._form.kind == "audio/pcmu" else _A_LAW)[np.frombuffer(piece, np.uint8)]
        return samples if self._resampler is None else as_pcm(self._resampler.resampled(as_float(samples)))


class LiveSound:
    """What somebody says, kept until the turn is over. Without detection there is one turn, until it is committed."""

    def __init__(self, form: Format, detection: TurnDetection | None, longest: int | None = LONGEST_TURN) -> None:
        """longest: samples of a turn; None: whoever listens forgets in time what is not needed any more."""
        self._decoder, self._form, self._detection, self._longest = Decoder(form), form, detection, longest
        self._held = bytearray()  # samples since `_first`
        self._first = 0
        self._since: int | None = None  # where the turn began that goes on
        self._listen(detection)

    def __len__(self) -> int:
        """Samples that are kept."""
        return len(self._held) // BYTES

    @property
    def first(self) -> int:
        """The first sample that is kept."""
        return self._first

    @property
    def position(self) -> int:
        """Samples that have come since the beginning."""
        return self._first + len(self)

    @property
    def is_in_turn(self) -> bool:
        """Whether a turn goes on."""
        return self._since is not None

    def change(self, form: Format, detection: TurnDetection | None) -> None:
        """What comes from now on has another format, or other turns; a turn that goes on is kept."""
        if form != self._form:
            self._decoder, self._form = Decoder(form), form
        if detection != self._detection:
            self._detection = detection
            if self._since is None:
                self._forget(self.position)
            self._listen(detection)

    def add(self, piece: bytes) -> Iterator[Began | Turn]:
        """What happens in a piece of sound: turns begin and end."""
        samples = self._decoder.decoded(piece)
        self._held += samples.tobytes()
        if self._detection is None:
            if self._since is None and self._held:
                self._since = self._first
                yield Began(self._first)
            return
        for one in self._utterances.heard(self._ear.heard(as_float(samples))):
            if isinstance(one, Began):
                self._forget(one.at)
                self._since = self._first
                yield Began(self._first)
            else:
                yield self._taken(one)
        if self._since is None:  # speech begins at most so much before it is noticed
            self._forget(self.position - RATE * self._detection.prefix_padding_ms // 1000 - RATE)

    def commit(self) -> Turn | None:
        """End the turn here; None where there is none."""
        if self._since is None:
            return None
        if self._detection is not None:
            self._utterances.stop()
        return self._taken(Ended(self.position))

    def clear(self) -> None:
        """Forget what is kept."""
        self._forget(self.position)
        self._since = None
        self._listen(self._detection)

    def forget_before(self, at: int) -> None:
        """The turn that goes on is kept from a later sample on."""
        if self._since is not None and at > self._first:
            self._forget(min(at, self.position))
            self._since = self._first
            self._utterances.forget_before(self._first)

    def so_far(self) -> Pcm:
        """The turn that goes on."""
        return np.frombuffer(bytes(self._held), np.int16)

    def _listen(self, detection: TurnDetection | None) -> None:
        self._ear = Ear()
        options = TurnDetection() if detection is None else detection
        self._utterances = Utterances(options, self._longest, self.position, self._since)

    def _taken(self, ended: Ended) -> Turn:
        count = (ended.at - self._first) * BYTES
        turn = Turn(self._first, np.frombuffer(bytes(self._held[:count]), np.int16))
        self._forget(ended.at)
        self._since = None
        return turn

    def _forget(self, before: int) -> None:
        if before > self._first:
            del self._held[: (before - self._first) * BYTES]
            self._first = before


def as_pcm(samples: Samples) -> Pcm:
    """Floats within ±1 as 16 bit; what is beyond is cut."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


# ---- G.711 (https://www.itu.int/rec/T-REC-G.711) --------------------------------------------------------------------


def _mu_law() -> Pcm:
    """Samples [256] of the bytes of mu-law: all bits turned, sign, 3 bits of exponent, 4 of mantissa."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    size = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(code & 128, -size, size).astype(np.int16)


def _a_law() -> Pcm:
    """Samples [256] of the bytes of A-law: every second bit turned, a sign that means plus, exponent, mantissa."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = ((code >> 4) & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = np.where(exponent > 0, ((mantissa << 4) + 264) << np.maximum(exponent - 1, 0), (mantissa << 4) + 8)
    return np.where(code & 128, size, -size).astype(np.int16)


_MU_LAW, _A_LAW = _mu_law(), _a_law()
