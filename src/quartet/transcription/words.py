"""When each word was said: the path of least resistance through the attention of the alignment heads.

The method is that of OpenAI's `whisper/timing.py`: attention of the heads that follow the sound, normalised, smoothed
and averaged, then dynamic time warping between tokens and positions of the encoder (20 ms each).

Shapes: h heads, n tokens, p positions.
"""

import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from quartet.arrays import Floats, Ids
from quartet.transcription.segments import Phrase, Word

SMOOTHING = 7  # positions
SHORTEST = 0.02  # seconds of a word: a position
LONGEST_MEDIAN = 0.7  # seconds: a word is taken to last no longer than twice this
SENTENCE_ENDS = ".。!！?？"
SCRAP = "\ufffd"  # what bytes that are no whole character are decoded to; Whisper has it as a token too
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})  # languages that write no spaces between words

ToText = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Timing:
    """A word of a window, seconds from its beginning, and its tokens."""

    word: str
    tokens: tuple[int, ...]
    start: float
    end: float
    probability: float


# ---- tokens to words ------------------------------------------------------------------------------------------------


def split_words(tokens: Sequence[int], to_text: ToText, language: str | None) -> list[tuple[str, list[int]]]:
    """Words with their tokens: what stands between spaces, punctuation by itself; whole characters where none are.

    All tokens are in it: those of scraps are their neighbour's, and have a word without letters where there is none.
    """
    pieces = _characters(tokens, to_text)
    if language in UNSPACED:
        return _without_scraps(pieces)
    words: list[tuple[str, list[int]]] = []
    for text, ids in pieces:
        if words and not text.startswith(" ") and text.strip() not in string.punctuation:
            words[-1] = (words[-1][0] + text, [*words[-1][1], *ids])
        else:
            words.append((text, ids))
    return _without_scraps(words)


def whole_text(tokens: Sequence[int], to_text: ToText) -> str:
    """The text of tokens without scraps of characters, as its words have it."""
    text = to_text(tokens)
    return "".join(word for word, _ in split_words(tokens, to_text, None)) if SCRAP in text else text


def _without_scraps(words: Sequence[tuple[str, list[int]]]) -> list[tuple[str, list[int]]]:
    """Words without U+FFFD. The tokens of one that is nothing else are those of the word before, or after the first."""
    kept: list[tuple[str, list[int]]] = []
    for word, ids in words:
        text = word.replace(SCRAP, "")
        if kept and text != word and not text.strip():
            kept[-1][1].extend(ids)
        elif kept and not kept[-1][0]:
            kept[-1] = (text, [*kept[-1][1], *ids])
        else:
            kept.append((text if text.strip() or text == word else "", list(ids)))
    return kept


def _characters(tokens: Sequence[int], to_text: ToText) -> list[tuple[str, list[int]]]:
    """The smallest pieces that are valid text, where there are such: a token may hold a part of a letter."""
    whole = to_text(tokens)
    pieces: list[tuple[str, list[int]]] = []
    waiting: list[int] = []
    position = 0
    for token in tokens:
        waiting.append(token)
        text = to_text(waiting)
        if SCRAP not in text or whole[position : position + len(text)] == text:  # else the next one completes it
            pieces.append((text, waiting))
            waiting = []
            position += len(text)
    if waiting:
        pieces.append((to_text(waiting), waiting))
    return pieces


# ---- attention to times ---------------------------------------------------------------------------------------------


def word_timings(
    words: Sequence[tuple[str, list[int]]], attention: Floats, probabilities: Floats, step: float
) -> list[Timing]:
    """Times of the words of a window.

    attention: [h, n + 1, p], while reading the token before the first one of the words, and each of their n tokens.
    probabilities: [n] of the tokens. step: seconds of a position.
    """
    rows, positions = warp(-_smooth(attention).mean(axis=0))
    first = np.diff(rows, prepend=-1) > 0  # where the path comes to a further token
    times = positions[first] * step
    edges = np.cumsum([0, *(len(ids) for _, ids in words)])
    return [
        Timing(text, tuple(ids), float(times[a]), float(times[b]), float(probabilities[a:b].mean()))
        for (text, ids), a, b in zip(words, edges[:-1], edges[1:], strict=True)
    ]


def _smooth(attention: Floats) -> Floats:
    """Each position by how far it stands out among the tokens, and the median of its neighbourhood."""
    deviation = attention.std(axis=1, keepdims=True)
    normal = (attention - attention.mean(axis=1, keepdims=True)) / np.maximum(deviation, np.float32(1e-10))
    around = min(SMOOTHING // 2, attention.shape[-1] - 1)
    padded = np.pad(normal, ((0, 0), (0, 0), (around, around)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * around + 1, axis=-1)
    smooth: Floats = np.partition(windows, around, axis=-1)[..., around]
    return smooth


def warp(cost: Floats) -> tuple[Ids, Ids]:
    """Dynamic time warping through a cost [n, p]: tokens and positions along the cheapest monotone path.

    Cells of an anti-diagonal do not depend on each other, so they are computed together.
    """
    tokens, positions = cost.shape
    total = np.full((tokens + 1, positions + 1), np.inf)
    total[0, 0] = 0
    for diagonal in range(tokens + positions - 1):
        i = np.arange(max(0, diagonal - positions + 1), min(tokens, diagonal + 1))
        j = diagonal - i
        best = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
        total[i + 1, j + 1] = cost[i, j] + best
    return _path(total)


def _path(total: NDArray[np.float64]) -> tuple[Ids, Ids]:
    """Back from the end, each time to the cheapest neighbour; a tie goes to the same token's earlier position."""
    i, j = total.shape[0] - 1, total.shape[1] - 1
    path = []
    while i > 0 and j > 0:
        path.append((i - 1, j - 1))
        both, token, position = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        if both < token and both < position:
            i, j = i - 1, j - 1
        elif token < both and token < position:
            i -= 1
        else:
            j -= 1
    path.extend((i - 1, place) for place in range(j - 1, -1, -1) if i > 0)
    path.extend((row, 0) for row in range(i - 2, -1, -1))
    rows, positions = np.array(path[::-1], np.int64).T
    return rows, positions


# ---- tidying --------------------------------------------------------------------------------------------------------


def merge_punctuation(timings: Sequence[Timing], prepended: str, appended: str) -> list[Timing]:
    """Punctuation joined to the word that it belongs to: opening marks to the next one, closing ones to the last."""
    following: list[Timing] = []
    for timing in reversed(timings):
        if following and timing.word.startswith(" ") and timing.word.strip() in prepended:
            following[-1] = _joined(timing, following[-1], keep=following[-1])
        else:
            following.append(timing)
    merged: list[Timing] = []
    for timing in reversed(following):
        if merged and not merged[-1].word.endswith(" ") and timing.word in appended:
            merged[-1] = _joined(merged[-1], timing, keep=merged[-1])
        else:
            merged.append(timing)
    return merged


def _joined(first: Timing, second: Timing, keep: Timing) -> Timing:
    return replace(keep, word=first.word + second.word, tokens=first.tokens + second.tokens)


def usual_duration(timings: Iterable[Timing]) -> float:
    """Median length of the words that have one, in seconds, at most 0.7."""
    durations = [timing.end - timing.start for timing in timings if timing.end > timing.start]
    return min(LONGEST_MEDIAN, float(np.median(durations))) if durations else 0.0


def shorten_at_sentence_ends(timings: Sequence[Timing], longest: float) -> list[Timing]:
    """Words around the end of a sentence without the pause that the alignment gave to them."""
    result = list(timings)
    for i in range(1, len(result)):
        if longest and result[i].end - result[i].start > longest:
            if result[i].word in SENTENCE_ENDS:
                result[i] = replace(result[i], end=result[i].start + longest)
            elif result[i - 1].word in SENTENCE_ENDS:
                result[i] = replace(result[i], start=result[i].end - longest)
    return result


def phrases_with_words(
    phrases: Sequence[Phrase], timings: Sequence[Sequence[Timing]], usual: float, last_speech: float, duration: float
) -> list[Phrase]:
    """Give each phrase of a window its words, whose times it takes.

    timings: of each phrase. usual: a usual word's length; last_speech: where speech ended before this window; duration:
    of the window; all in seconds, the second one from its beginning (so it is negative).
    """
    result = []
    for phrase, words in zip(phrases, timings, strict=True):
        result.append(_with_words(phrase, list(words), usual, last_speech) if words else phrase)
        last_speech = result[-1].end if words else last_speech
    left = iter(one_by_one([word for phrase in result for word in phrase.words], duration))
    return [_with_times(phrase, tuple(islice(left, len(phrase.words)))) for phrase in result]


def _with_times(phrase: Phrase, words: tuple[Word, ...]) -> Phrase:
    return replace(phrase, start=words[0].start, end=words[-1].end, words=words) if words else phrase


def one_by_one(words: Sequence[Word], duration: float) -> list[Word]:
    """Words in order, none beginning before the last one ends or ending after so many seconds, each of some length.

    The alignment may put several words of fast speech into one position, which gives all but one no time at all.
    """
    shortest = min(SHORTEST, duration / max(1, len(words)))
    reached, forward = 0.0, []
    for word in words:
        start = max(word.start, reached)
        reached = max(word.end, start + shortest)
        forward.append(replace(word, start=start, end=reached))
    limit, back = duration, []
    for word in reversed(forward):
        end = min(word.end, limit)
        limit = max(0.0, min(word.start, end - shortest))
        back.append(replace(word, start=limit, end=end))
    return back[::-1]


def _with_words(phrase: Phrase, words: list[Timing], usual: float, last_speech: float) -> Phrase:
    words = _shorten_after_a_pause(words, usual, last_speech)
    first, start = words[0], phrase.start
    if start < first.end and start - 0.5 > first.start:  # the first word is too long: it begins with the phrase
        words[0] = replace(first, start=max(0.0, min(first.end - usual, start)))
    start = words[0].start if words[0] is first else start
    last, end = words[-1], phrase.end
    if end > last.start and end + 0.5 < last.end:  # the last one is: it ends with the phrase
        words[-1] = replace(last, end=max(last.start + usual, end))
    end = last.end if words[-1] is last else end
    return replace(
        phrase, start=start, end=end, words=tuple(Word(w.start, w.end, w.word, w.probability) for w in words)
    )


def _shorten_after_a_pause(words: list[Timing], usual: float, last_speech: float) -> list[Timing]:
    """The first two words after a pause are no longer than twice a usual one."""
    longest = 2 * usual
    first, second = words[0], words[1] if len(words) > 1 else None
    too_long = first.end - first.start > longest
    too_long |= second is not None and second.end - first.start > 2 * longest
    if first.end - last_speech <= 4 * usual or not too_long:
        return words
    if second is not None and second.end - second.start > longest:
        boundary = max(second.end / 2, second.end - longest)
        first, second = replace(first, end=boundary), replace(second, start=boundary)
    first = replace(first, start=max(0.0, first.end - longest))
    return [first, *([second] if second is not None else []), *words[2:]]
