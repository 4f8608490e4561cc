"""The scores of the next token: all of them in place, the best of them at hand, and what the rules did to them.

The LM head gives the logits [r, v] together with the best k of each row and the log-sum-exp. Nothing here walks over
[r, v] unless it has to: rules edit single entries, and the best ones are looked up among the k, as long as these still
hold them for certain.

Shapes: r rows, v vocabulary, k best.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quartet.arrays import Floats, Ids


@dataclass(frozen=True)
class Candidates:
    """The best next tokens of each row, by id: [r, n] each."""

    ids: Ids
    scores: Floats


@dataclass
class Scores:
    """Logits and what is known of them. Rules change `logits` in place, and only through `replace` and `force`."""

    logits: Floats  # [r, v]
    top_ids: Ids  # [r, k] ids of the best, before any edit
    floor: Floats  # [r] no logit outside of `top_ids` was above
    log_sum_exp: Floats  # [r] of the logits before any edit
    raised: bool = False  # a rule may have lifted a logit that was not among the best
    forced: NDArray[np.bool_] = field(init=False)  # [r] rows with a single token left, whatever it scores
    _edits: list[tuple[Ids, Ids, Floats]] = field(default_factory=list)  # rows, tokens, and the logits they had
    _share: NDArray[np.float64] = field(
        init=False
    )  # [r] of all probability, what the edits counted so far left or made
    _counted: int = 0  # of the edits, those that `_share` knows

    def __post_init__(self) -> None:
        self.forced, self._share = np.zeros(len(self.logits), bool), np.ones(len(self.logits))

    @staticmethod
    def of(logits: Floats) -> "Scores":
        """Scores where nothing is known but the logits [r, v]; they are edited in place."""
        ids = np.zeros((len(logits), 0), np.int64)
        return Scores(logits, ids, np.full(len(logits), np.inf, np.float32), _log_sum_exp(logits))

    def correct(self, ids: Ids, logits: Floats) -> None:
        """Better logits [r, n] of the best tokens [r, n], before any edit. Only these count as the best from here on.

        The others' logits, less exact, are taken to stay below.
        """
        places = _places(ids)
        total = self.log_sum_exp[:, None]
        rest = 1 - _probabilities(self.logits[places], total).sum(axis=1)
        share = np.maximum(rest, 0) + _probabilities(logits, total).sum(axis=1)
        self.logits[places] = logits
        self.log_sum_exp = self.log_sum_exp + np.log(share).astype(np.float32)
        self.top_ids, self.floor = ids, logits.min(axis=1)

    def correct_range(self, rows: Ids, first: int, logits: Floats) -> None:
        """Better logits [n, m] of the m tokens from `first` on, in some rows [n], before any edit."""
        tokens = slice(first, first + logits.shape[1])
        total = self.log_sum_exp[rows]
        share = 1 - _shares(self.logits[rows, tokens], total) + _shares(logits, total)
        self.log_sum_exp[rows] = total + np.log(share).astype(np.float32)
        self.logits[rows, tokens] = logits
        self.floor[rows] = np.maximum(self.floor[rows], logits.max(axis=1))  # those outside of `top_ids` too

    def replace(self, rows: Ids, tokens: Ids, values: Floats | float) -> None:
        """Give the logits at (rows, tokens), which are broadcast against each other, other values."""
        if not rows.size:  # as in most steps
            return
        rows, tokens = (rows, np.full_like(rows, tokens)) if not tokens.ndim else np.broadcast_arrays(rows, tokens)
        self._edits.append((rows.reshape(-1), tokens.reshape(-1), self.logits[rows, tokens].reshape(-1)))
        self.logits[rows, tokens] = values

    def forbid(self, rows: Ids, tokens: Ids | Sequence[int] | int) -> None:
        """Tokens that must not come next."""
        self.replace(rows, np.asarray(tokens, np.int64), -np.inf)

    def forbid_range(self, row: int, first: int, stop: int) -> None:
        """Tokens `first` to `stop` must not come next. What they would have gained is not kept."""
        self._count_edits()
        tokens = self.logits[row, first:stop]
        self._share[row] -= _shares(tokens, self.log_sum_exp[row])
        tokens[:] = -np.inf

    def force(self, rows: Ids, token: int) -> None:
        """Leave the rows no other choice than `token`, at log probability 0."""
        self.logits[rows] = -np.inf
        self.logits[rows, token] = self.log_sum_exp[rows]
        self.forced[rows] = True

    def best(self, count: int) -> Candidates:
        """At least `count` tokens of each row, the best among them, ordered by id."""
        found = self._best(count)
        order = _places(np.argsort(found.ids, axis=1))
        return Candidates(found.ids[order], found.scores[order])

    def likeliest(self) -> Ids:
        """The best token of each row [r]; of equal ones the one with the lowest id."""
        found = self._best(1)
        worse = found.scores < found.scores.max(axis=1, keepdims=True)
        tokens: Ids = np.where(worse, self.logits.shape[1], found.ids).min(axis=1)
        return tokens

    def _best(self, count: int) -> Candidates:
        """As `best`, in any order."""
        count = min(count, self.logits.shape[1])
        rows, width = len(self.logits), self.top_ids.shape[1]
        known = self.logits[_places(self.top_ids)]
        certain = np.zeros(rows, bool)
        if width >= count and not self.raised:
            certain = np.partition(known, width - count, axis=1)[:, width - count] >= self.floor
        if certain.all():
            return Candidates(self.top_ids, known)
        ids = self.top_ids.copy() if certain.any() else np.empty((rows, count), np.int64)
        wanted = ids.shape[1]
        ids[~certain] = np.argpartition(-self.logits[~certain], wanted - 1, axis=1)[:, :wanted]
        return Candidates(ids, self.logits[_places(ids)])

    def log_probs(self, count: int, renormalize: bool) -> Candidates:
        """`best`, as log probabilities; with `renormalize` over what the rules left, else over all logits."""
        normalizer = self._edited_log_sum_exp() if renormalize else self.log_sum_exp
        found = self.best(count)
        return Candidates(found.ids, found.scores - normalizer[:, None])

    def token_log_probs(self, tokens: Ids) -> Floats:
        """Log probability [r] of one token per row before any edit; 0 where it was forced."""
        rows = np.arange(len(tokens))
        values = self.logits[rows, tokens]
        for edited_rows, edited_tokens, before in reversed(self._edits):
            hit = tokens[edited_rows] == edited_tokens
            values[edited_rows[hit]] = before[hit]
        return np.where(self.forced, np.float32(0), values - self.log_sum_exp)

    def remaining_log_probs(self, tokens: Ids) -> Floats:
        """Log probability [r] of one token per row among what the edits left."""
        values: Floats = self.logits[np.arange(len(tokens)), tokens] - self._edited_log_sum_exp()
        return values

    def _edited_log_sum_exp(self) -> Floats:
        """[r]: what the edits took away or added, as a share of all; counted anew where little is left."""
        self._count_edits()
        unsure = self.forced | (self._share < 0.1)
        result = self.log_sum_exp + np.log(np.where(unsure, 1, self._share)).astype(np.float32)
        result[unsure] = _log_sum_exp(self.logits[unsure])
        return result

    def _count_edits(self) -> None:
        """Let `_share` know of the edits since it was last told; of several of one logit, the first has what it was."""
        edits, self._counted = self._edits[self._counted :], len(self._edits)
        if not edits:
            return
        rows, tokens, before = (np.concatenate(part) for part in zip(*edits, strict=True))
        _, first = np.unique(rows * self.logits.shape[1] + tokens, return_index=True)
        rows, tokens, total = rows[first], tokens[first], self.log_sum_exp[rows[first]]
        change = _probabilities(self.logits[rows, tokens], total) - _probabilities(before[first], total)
        np.add.at(self._share, rows, change)


def _probabilities(logits: Floats, total: Floats) -> NDArray[np.float64]:
    probabilities: NDArray[np.float64] = np.exp(logits - total, dtype=np.float64)
    return probabilities


def _shares(logits: Floats, total: Floats) -> NDArray[np.float64]:
    """Of all probability, what tokens have together: logits [.., n] and the log-sum-exp [..] of all."""
    shares: NDArray[np.float64] = np.exp(logits - total[..., None]).sum(axis=-1, dtype=np.float64)
    return shares


def _places(ids: Ids) -> tuple[Ids, Ids]:
    """Index of tokens [r, n] of each row; `take_along_axis` takes three times as long to find it for a few."""
    return np.arange(len(ids))[:, None], ids


def _log_sum_exp(logits: Floats) -> Floats:
    """Logarithm of the sum of exponentials over the last axis, [r]."""
    if not len(logits):
        return np.zeros(0, np.float32)
    highest = logits.max(axis=-1, keepdims=True)
    result: Floats = highest[..., 0] + np.log(np.exp(logits - highest).sum(axis=-1))
    return result
