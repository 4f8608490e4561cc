"""What may not, or must, be generated next: functions that edit `Scores` of r rows, given the tokens so far [r, t].

Order and arithmetic are those of the logits processors of transformers 4.57 (`generation/logits_process.py`), so that
with the same settings the same tokens come out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quartet.arrays import Floats, Ids
from quartet.runtime import timestamps
from quartet.runtime.scores import Scores
from quartet.runtime.timestamps import TimestampRules

LOOP_REPEATS = 4  # an n-gram repeated this often, with nothing in between, is a loop


@dataclass(frozen=True)
class Rules:
    """Constraints on the next token; ids unless said otherwise."""

    eos: int
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    forced_bos: int | None = None  # first token after the decoder start
    forced_eos: int | None = None
    renormalize: bool = False
    min_new_tokens: int = 0
    min_length: int = 0  # of the whole sequence, from the decoder start on
    loop_guard: bool = False
    timestamps: TimestampRules | None = None


@dataclass(frozen=True)
class RowLimits:
    """Where each row begins and has to end: numbers of tokens, the decoder start included; all [r]."""

    prefix_length: Ids
    max_length: Ids
    loop_repeats: Ids  # repeats of an n-gram that count as a loop in this row: more where the source repeats itself

    def take(self, rows: Ids) -> "RowLimits":
        """The limits of some of the rows."""
        return RowLimits(self.prefix_length[rows], self.max_length[rows], self.loop_repeats[rows])


def apply(scores: Scores, history: Ids, rules: Rules, limits: RowLimits, log_space: bool) -> None:
    """Edit the scores of the token that follows `history` [r, t], for every rule that is on but `renormalize`.

    With `log_space` a penalty works on log probabilities (as in beam search), else on logits (as in greedy search).
    """
    length = history.shape[1]
    if rules.repetition_penalty != 1.0:
        offset = scores.log_sum_exp if log_space else np.zeros(len(history), np.float32)
        penalize_repetition(scores, history, rules.repetition_penalty, offset)
    if rules.no_repeat_ngram_size:
        ban_repeated_ngrams(scores, history, rules.no_repeat_ngram_size)
    ban_words(scores, history, rules.bad_words_ids, rules.eos)
    new_tokens = length - limits.prefix_length
    if rules.min_new_tokens or length < rules.min_length:
        too_short = (new_tokens < rules.min_new_tokens) | (length < rules.min_length)
        scores.forbid(np.flatnonzero(too_short), rules.eos)
    if rules.forced_bos is not None and length == 1:
        scores.force(np.arange(len(history)), rules.forced_bos)
    if rules.forced_eos is not None:
        scores.force(np.flatnonzero(limits.max_length - 1 == length), rules.forced_eos)
    if rules.suppress_tokens:
        scores.forbid(np.arange(len(history))[:, None], rules.suppress_tokens)
    if rules.begin_suppress_tokens:
        scores.forbid(np.flatnonzero(new_tokens == 0)[:, None], rules.begin_suppress_tokens)
    if rules.timestamps:
        timestamps.apply(scores, history, rules.timestamps, limits.prefix_length)
    if rules.loop_guard:
        break_loops(scores, history, limits)


def penalize_repetition(scores: Scores, history: Ids, penalty: float, offset: Floats) -> None:
    """Divide positive scores of tokens seen before by `penalty` and multiply negative ones (Keskar et al. 2019).

    A score is a logit less the row's `offset` [r].
    """
    rows, below = np.arange(len(history))[:, None], offset[:, None]
    seen = scores.logits[rows, history] - below
    penalized = np.where(seen < 0, seen * np.float32(penalty), seen / np.float32(penalty))
    scores.raised |= penalty < 1
    scores.replace(rows, history, penalized + below)


def ban_repeated_ngrams(scores: Scores, history: Ids, size: int) -> None:
    """Forbid tokens that would complete an n-gram of `size` tokens that is there already."""
    length = history.shape[1]
    if length + 1 < size:
        return
    windows = np.lib.stride_tricks.sliding_window_view(history, size, axis=1) if length >= size else None
    if windows is None:
        return
    tail = history[:, length - size + 1 :]
    matches = (windows[:, :, : size - 1] == tail[:, None, :]).all(axis=2)
    rows, places = np.nonzero(matches)
    scores.forbid(rows, windows[rows, places, -1])


def ban_words(scores: Scores, history: Ids, words: Sequence[tuple[int, ...]], eos: int) -> None:
    """Forbid the last token of each word (a sequence of ids) whose other tokens stand at the end of the history."""
    for word in words:
        if word == (eos,):
            continue
        *start, last = word
        if len(start) <= history.shape[1]:
            ended = (history[:, history.shape[1] - len(start) :] == start).all(axis=1)
            scores.forbid(np.flatnonzero(ended), last)


def break_loops(scores: Scores, history: Ids, limits: RowLimits) -> None:
    """Forbid the token that would begin one more round of an n-gram repeated at the end of a row."""
    for row, tokens in enumerate(history):
        generated = tokens[limits.prefix_length[row] :]
        next_token = loop_continuation(generated, int(limits.loop_repeats[row]))
        if next_token is not None:
            scores.forbid(np.array([row]), next_token)


def loop_continuation(tokens: Ids, repeats: int) -> int | None:
    """The token that would begin another round, where `tokens` end in an n-gram repeated `repeats` times."""
    for size in range(1, len(tokens) // repeats + 1):
        tail = tokens[len(tokens) - size * repeats :]
        if tail[0] == tail[-size] and (tail.reshape(repeats, size) == tail[:size]).all():
            return int(tail[0])
    return None


def has_loop(tokens: Sequence[int], repeats: int) -> bool:
    """Whether an n-gram of any size stands `repeats` times in a row: there the guard has acted."""
    if len(tokens) - len(set(tokens)) < repeats - 1:  # most texts, quickly
        return False
    ids = np.asarray(tokens, np.int64)
    return any(
        _longest_run(ids[size:] == ids[:-size]) >= size * (repeats - 1) for size in range(1, len(ids) // repeats + 1)
    )


def _longest_run(same: NDArray[np.bool_]) -> int:
    """The most True in a row."""
    breaks = np.flatnonzero(np.concatenate([[True], ~same, [True]]))
    return int(np.diff(breaks).max()) - 1


def longest_repeat(tokens: Sequence[int], max_size: int = 8) -> int:
    """How often the most repeated n-gram (of up to `max_size` tokens) stands in a row without a gap; at least 1."""
    ids = np.asarray(tokens, np.int64)
    sizes = range(1, min(max_size, len(ids) // 2) + 1)
    return max((1 + _longest_run(ids[size:] == ids[:-size]) // size for size in sizes), default=1)
