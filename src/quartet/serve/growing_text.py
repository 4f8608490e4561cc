"""Text of speech that goes on, guessed again and again: what of it is sure, and what is new in it.

A guess changes at its end when more is heard. What two guesses in a row begin with is taken to be sure (LocalAgreement
of "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis Selection", Interspeech
2020). Words are compared without capitals and the signs around them.
"""

import re
from difflib import SequenceMatcher
from typing import NamedTuple

_UNSPACED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")  # in scripts without spaces each letter is one
_SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…“”„‘’‚«»‹›¿¡–—·،؛؟।。、！？，；：「」『』（）・"


class _Word(NamedTuple):
    key: str  # what is compared
    end: int  # where it ends in the text, without the signs after it


def agreed(before: str, now: str) -> str:
    """The beginning of a guess whose words the guess before it has too, without the signs after its last word."""
    end = 0
    for old, new in zip(_words(before), _words(now), strict=False):
        if old.key != new.key:
            break
        end = new.end
    return now[:end]


def rest(sent: str, text: str) -> str:
    """What is to be sent of a text after the beginning that was sent; of other words, what comes after theirs."""
    if text.startswith(sent):
        return text[len(sent) :]
    old, new = _words(sent), _words(text)
    matcher = SequenceMatcher(None, [word.key for word in old], [word.key for word in new], autojunk=False)
    *matches, _ = matcher.get_matching_blocks()
    last = matches[-1] if matches else None
    count = last.b + len(old) - last.a if last else len(old)  # what is sent beyond stands for as many words
    count = min(count, len(new))
    return text[new[count - 1].end :].rstrip() if count else text


def _words(text: str) -> list[_Word]:
    found = []
    for match in _WORD.finditer(text):
        bare = match.group().rstrip(_SIGNS)
        if key := bare.lstrip(_SIGNS).casefold():
            found.append(_Word(key, match.start() + len(bare)))
    return found
