"""Which words of a guess are sure: those that the guess before it has too (LocalAgreement).

From "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis Selection" (Interspeech
2020). What was agreed on is given to the decoder as the beginning of its text, so that it cannot be taken back.
"""

from collections.abc import Sequence
from typing import NamedTuple

from quartet.live.growing_text import SIGNS

HYPHENS = ("-", "'", "’", "‐", "‑", "–")


class Piece(NamedTuple):
    """A word of a guess with the space before it, or signs alone, and its tokens."""

    text: str
    tokens: tuple[int, ...]

    @property
    def key(self) -> str:
        """What is compared: the word without capitals and the signs around it; nothing of signs alone."""
        return self.text.strip().strip(SIGNS).casefold()


def joined(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Pieces of which none is the rest of a word: `ill`, `-`, `disposed` are one, but not the signs after them."""
    found: list[Piece] = []
    for piece in pieces:
        goes_on = piece.key and not piece.text[:1].isspace()
        if goes_on and len(found) > 1 and found[-1].text in HYPHENS:
            parts = [*found[-2:], piece]
            found[-2:] = [Piece("".join(one.text for one in parts), tuple(t for one in parts for t in one.tokens))]
        else:
            found.append(piece)
    return tuple(found)


def agreed(before: Sequence[Piece], now: Sequence[Piece]) -> int:
    """How many pieces at the beginning of a guess hold words that the guess before it begins with too.

    Signs after the last of these words are not among them: they change with what follows.
    """
    known = (piece.key for piece in before if piece.key)
    count = 0
    for place, piece in enumerate(now, 1):
        if not piece.key:
            continue
        if piece.key != next(known, None):
            break
        count = place
    return count


def after(pieces: Sequence[Piece], words: int) -> tuple[Piece, ...]:
    """What is left of a guess without its first words, so many of them."""
    places = [0, *(place for place, piece in enumerate(pieces, 1) if piece.key)]
    return tuple(pieces[places[words] :]) if words < len(places) else ()
