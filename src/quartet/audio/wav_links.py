"""WAV files one after the other in one file, one at a time: each says how long it is, where FFmpeg stops."""

from collections.abc import Callable

RIFF, WAVE = b"RIFF", b"WAVE"
HEADER = 12  # bytes before the first chunk
ENDLESS = (0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)  # of files whose length was not known when they were begun


def length_of(header: bytes) -> int | None:
    """Bytes of the file that begins with a header; None where it does not say."""
    size = int.from_bytes(header[4:8], "little")
    return None if size in ENDLESS or not is_wav(header) else 8 + size


def is_wav(header: bytes) -> bool:
    """Whether a file begins so."""
    return header[:4] == RIFF and header[8:HEADER] == WAVE


class WavLinks:
    """Reads what `read` gives, up to the end of a file that another one follows; `next` goes on with that.

    Bytes that are no other file belong to the one before: many lengths are wrong.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._ready = b""  # bytes that were looked at
        self._left: int | None = None  # bytes to the end of the file; None: up to the end of all
        self._begin()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end of a file."""
        if self._left == 0:
            self._look(HEADER + 1)
            if self._other():
                return b""
            self._left = None
        wanted = size if self._left is None else min(size, self._left)
        found, self._ready = self._ready[:wanted], self._ready[wanted:]
        found = found or self._read(wanted)
        self._left = None if self._left is None else self._left - len(found)
        return found

    def next(self) -> bool:
        """Go to the next file. False where there is none."""
        while self.read(1 << 15):
            pass
        other = self._other() if self._left == 0 else b""
        if not other:
            return False
        self._ready = other
        self._begin()
        return True

    def _begin(self) -> None:
        self._look(HEADER)
        self._left = length_of(self._ready)

    def _look(self, count: int) -> None:
        while len(self._ready) < count and (more := self._read(count - len(self._ready))):
            self._ready += more

    def _other(self) -> bytes:
        """What was looked at, from where another file begins: at once, or behind a byte that makes the length even."""
        return next((self._ready[at:] for at in (0, 1) if is_wav(self._ready[at:])), b"")
