"""What a model cannot spell: it would come out as another sign, or not at all.

That is what its vocabulary lacks, letters of a script that the text's language is not written in, and signs that
tokenisers replace by plain ones (`m²` becomes `m2`).
"""

import re
from collections.abc import Callable

from quartet.text.stops import is_written_without_spaces

_WORD = re.compile(r"[^\W\d_]+|[^\w\s]")
_REPLACED = re.compile("[²³¹⁰-₎™℠℃℉№½¼¾⅐-⅞Ⅰ-ↈ①-⓿㎀-㏟]")


def unknown_stretches(text: str, is_unknown: Callable[[str], bool]) -> list[tuple[int, int]]:
    """Where words and signs are that a vocabulary cannot spell, as starts and ends.

    A word is taken whole where its language writes spaces, else the letters alone. is_unknown: whether a part of the
    text is spelled with the token for what is unknown.
    """
    if text.isascii():
        return []
    found: list[tuple[int, int]] = []
    for word in _WORD.finditer(text):
        if not is_unknown(word.group()):
            continue
        whole = not any(map(is_written_without_spaces, word.group()))
        places = [word.span()] if whole else [(i, i + 1) for i in range(*word.span()) if is_unknown(text[i])]
        for start, end in places:
            if found and not text[found[-1][1] : start].strip():
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
    return found


def is_replaced(text: str) -> bool:
    """Whether a sign in it comes out as a plain one."""
    return _REPLACED.search(text) is not None
