"""Words that have ids of their own: taken out of a text before the rest becomes pieces, and put back among its text.

As transformers does it: words that are looked for as they were typed come out first, the others out of the normalised
rest; of words that begin in one place the longest counts. What is between words is encoded as a text of its own.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from quartet.spec import AddedWord, TokenizerSpec

Encode = Callable[[str], list[int]]
Decode = Callable[[Sequence[int]], str]
Part = str | AddedWord


def with_added_words(
    to_ids: Encode,
    to_text: Decode,
    spec: TokenizerSpec,
    normalize: Callable[[str], str] = str,
    space: int | None = None,
) -> tuple[Encode, Decode]:
    """Both functions, with the words of `spec`.

    normalize: what the SentencePiece model makes of a text before it is cut. space: id of the piece of a space alone.
    """
    if not spec.added_words:
        return to_ids, to_text
    typed = _finder(word for word in spec.added_words if not word.normalized)
    normalized = _finder(word for word in spec.added_words if word.normalized)
    by_id = {word.id: word for word in spec.added_words}
    hidden = {word.id for word in spec.added_words if word.special}

    def encode(text: str) -> list[int]:
        parts: list[Part] = []
        for part in typed(text):
            parts += normalized(normalize(part)) if isinstance(part, str) else [part]
        ids = []
        for part, following in zip(parts, [*parts[1:], ""], strict=True):
            if isinstance(part, AddedWord):
                ids.append(part.id)
                continue
            ids += to_ids(part)
            if (
                space is not None
                and part[-1:].isspace()
                and isinstance(following, AddedWord)
                and following.space_before
            ):
                ids.append(space)
        return ids

    def decode(ids: Sequence[int]) -> str:
        shown = [int(i) for i in ids if i not in hidden]
        texts = []
        for word, run in groupby(shown, by_id.get):
            same = list(run)
            texts += [word.text] * len(same) if word else [to_text(same)]
        if spec.words_apart:
            return " ".join(text for text in map(str.strip, texts) if text)
        return "".join(texts)

    return encode, decode


def _finder(words: Iterable[AddedWord]) -> Callable[[str], list[Part]]:
    """What cuts a text at these words; no part of the result is empty."""
    by_text = {word.text: word for word in words}
    if not by_text:
        return lambda text: [text] if text else []
    longest_first = sorted(by_text, key=len, reverse=True)
    pattern = re.compile("|".join(_pattern(by_text[text]) for text in longest_first))

    def cut(text: str) -> list[Part]:
        parts: list[Part] = []
        end = 0
        for match in pattern.finditer(text):
            parts += [text[end : match.start()], by_text[match[0]]]
            end = match.end()
        return [part for part in (*parts, text[end:]) if part]

    return cut


def _pattern(word: AddedWord) -> str:
    found = re.escape(word.text)
    return rf"(?<!\w){found}(?!\w)" if word.single_word else found
