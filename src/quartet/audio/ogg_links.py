"""Ogg files one after the other in one file, as radio stations send them, one at a time (RFC 3533, 4. and 6.).

FFmpeg goes from one to the next only where both are alike. So it gets each by itself.
"""

from collections.abc import Callable

PAGE = b"OggS"
HEADER = 27  # bytes of a page before the table of its segments
BEGINS = 2  # flag of a page with which a stream begins


class Links:
    """Reads what `read` gives, up to the end of a link; `next` goes on with the one after it."""

    def __init__(self, read: Callable[[int], bytes], size: int) -> None:
        """size: bytes that are asked for at a time."""
        self._read, self._size = read, size
        self._ready = b""  # bytes of this link that were looked at
        self._unseen = b""  # bytes that were not
        self._inside = 0  # bytes of a page that are still to come
        self._has_sound = False  # a page came with which no stream begins
        self._is_over = self._is_last = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end of the link."""
        while not self._ready and self._look():
            pass
        found, self._ready = self._ready[:size], self._ready[size:]
        return found

    def next(self) -> bool:
        """Go to the next link. False where there is none."""
        while self._look():
            self._ready = b""
        there, self._ready = self._is_over, b""
        self._is_over = self._has_sound = False
        return there

    def _look(self) -> bool:
        """Look at some more bytes. False where the link is over."""
        if self._is_over or (self._is_last and not self._unseen):
            return False
        place = self._seen()
        if not place and not self._is_over:
            fresh = self._read(self._size)
            self._is_last, self._unseen = not fresh, self._unseen + fresh
            place = self._seen()
            if self._is_last and not self._is_over and not place:
                place = len(self._unseen)
        self._ready += self._unseen[:place]
        self._unseen = self._unseen[place:]
        return not self._is_over

    def _seen(self) -> int:
        """How many of the unseen bytes belong to this link: whole pages, and parts of one whose head is there."""
        data, at = self._unseen, 0
        while at < len(data):
            if self._inside:
                taken = min(self._inside, len(data) - at)
                self._inside -= taken
                at += taken
            elif data.startswith(PAGE, at):
                head = data[at : at + HEADER]
                table = data[at + HEADER : at + HEADER + head[-1]] if len(head) == HEADER else b""
                if len(head) < HEADER or len(table) < head[-1]:
                    break
                begins = bool(head[5] & BEGINS)
                if begins and self._has_sound:
                    self._is_over = True
                    break
                self._has_sound = self._has_sound or not begins
                self._inside = HEADER + len(table) + sum(table)
            else:  # damage: what looks like a page comes next
                found = data.find(PAGE, at + 1)
                if found < 0:
                    return max(at, len(data) - len(PAGE) + 1)
                at = found
        return at
