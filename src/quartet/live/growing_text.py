"""What is new in a text after another one that was sent, of which it may differ in some words.

Words are compared without capitals and the signs around them.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

_UNSPACED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")  # in scripts without spaces each letter is one
SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…“”„‘’‚«»‹›¿¡–—·،؛؟।。、！？，；：「」『』（）・"

BAND = 32  # words that a text may be ahead of another, or behind


class _Word(NamedTuple):
    key: str  # what is compared
    end: int  # where it ends in the text, without the signs after it


def rest(sent: str, text: str) -> str:
    """What is to be sent of a text after the beginning that was sent; of other words, what comes after theirs."""
    if text.startswith(sent):
        return text[len(sent) :]
    old, new = _words(sent), _words(text)
    if not old or not new:
        return text if new else ""
    count = _counterpart([word.key for word in old], [word.key for word in new])
    if not count:
        return text
    found, signs = text[new[count - 1].end :], sent[old[-1].end :]
    if found.startswith(signs):
        return found.removeprefix(signs)
    return found.lstrip(SIGNS) if count < len(new) else ""  # other signs at the end of all words


def _counterpart(old: Sequence[str], new: Sequence[str]) -> int:
    """How many words of a text are those that were sent: the beginning with the least edit distance to them.

    The longest of several, so that nothing is sent twice. Words that are far from their place are not looked for.
    """
    costs: dict[int, int] = {j: j for j in range(min(len(new), BAND) + 1)}  # by length of the beginning
    for i, word in enumerate(old, 1):
        before, costs = costs, {}
        for j in range(max(0, i - BAND), min(len(new), i + BAND) + 1):
            ways = [before[j] + 1] if j in before else []
            if j - 1 in before:
                ways.append(before[j - 1] + (word != new[j - 1]))
            if j - 1 in costs:
                ways.append(costs[j - 1] + 1)
            costs[j] = min(ways)
        if not costs:  # all of the text, and more, was sent
            return len(new)
    return max(costs, key=lambda j: (-costs[j], j))


def _words(text: str) -> list[_Word]:
    found = []
    for match in _WORD.finditer(text):
        bare = match.group().rstrip(SIGNS)
        if key := bare.lstrip(SIGNS).casefold():
            found.append(_Word(key, match.start() + len(bare)))
    return found
