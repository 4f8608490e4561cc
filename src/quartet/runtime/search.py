"""Greedy and beam search as pure functions on arrays.

Beam search is that of transformers 4.57 and 5.24 (`GenerationMixin._beam_search`): each step looks at the best 2k
continuations, only those among the best k may finish, the best k unfinished ones go on. The score of a
hypothesis is the sum of its log probabilities, divided by its length to the power of `length_penalty`. The length
counts everything after the decoder start, the forced language token and the end token included.

Shapes: b sources, k beams, n candidates of each, t tokens so far.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quartet.arrays import Floats, Ids
from quartet.runtime.scores import Candidates
from quartet.spec import EarlyStopping

NEVER = np.float32(-1e9)  # a score that loses against every real one


Ended = Literal["eos", "length", "loop guard"]


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation: its new tokens, without prefix and end token, its score, and why it has ended.

    `length`: there was no room for more tokens. `loop guard`: a phrase is repeated as
    often as the guard allows.
    """

    tokens: tuple[int, ...]
    score: float
    ended: Ended = "eos"


@dataclass
class Beams:
    """The running beams of every source, and the hypotheses it has finished so far (best first, at most k)."""

    scores: Floats  # [b, k] sums of log probabilities
    tokens: Ids  # [b, k, t], from the decoder start on
    finished: list[list[Hypothesis]]  # per source
    open: NDArray[np.bool_]  # [b] whether a running beam may still beat the finished ones


@dataclass(frozen=True)
class Continuations:
    """The running beams of the next step: which beam each comes from, and the token that it adds; both [b, k]."""

    parents: Ids
    tokens: Ids


def start_beams(prefix: Ids, beam_size: int) -> Beams:
    """Beams after the common prefix [b, t]. Only the first beam of a source counts until they differ."""
    sources, length = prefix.shape
    scores = np.full((sources, beam_size), NEVER, np.float32)
    scores[:, 0] = 0
    tokens = np.broadcast_to(prefix[:, None], (sources, beam_size, length)).copy()
    return Beams(scores, tokens, [[] for _ in range(sources)], np.ones(sources, bool))


def best(scores: Floats, count: int) -> tuple[Floats, Ids]:
    """The `count` best of each row [b, n], best first, and where they stand; equal ones in their order."""
    count = min(count, scores.shape[1])
    if scores.shape[1] > 4 * count:
        places = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
    else:
        places = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    values = np.take_along_axis(scores, places, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(places, order, axis=1)


def beam_step(
    beams: Beams,
    next_tokens: Candidates,
    eos: int,
    prefix_length: Ids,
    max_length: Ids,
    length_penalty: float,
    uncounted: Ids | int = 1,
    wanted: int | None = None,
    early_stopping: EarlyStopping = False,
) -> Continuations:
    """One step of beam search; changes `beams` and says which beams go on with which tokens.

    next_tokens: of each of the b * k beams the n best, n >= 2k, with their log probabilities after all rules.
    prefix_length, max_length: [b], in tokens from the decoder start on. uncounted: so many of them, [b] or all alike,
    do not count in the length that scores are divided by. wanted: finished hypotheses to keep; None: k.
    early_stopping: when a source is done (`quartet.spec.EarlyStopping`).
    """
    wanted = wanted or beams.tokens.shape[1]
    sources, k, _ = beams.tokens.shape
    # 1. the best 2k continuations of each source
    totals = (next_tokens.scores + beams.scores.reshape(-1, 1)).reshape(sources, -1)
    top_scores, places = best(totals, 2 * k)
    parents = places // next_tokens.ids.shape[1]
    tokens = np.take_along_axis(next_tokens.ids.reshape(sources, -1), places, axis=1)
    # 2. those among the best k that end now join the finished hypotheses
    length = beams.tokens.shape[2] + 1
    ends = (tokens == eos) | (length >= max_length)[:, None]
    divisor = np.asarray((length - np.asarray(uncounted)) ** length_penalty, np.float32)
    normalized = top_scores / divisor.reshape(-1, 1)
    for b in np.flatnonzero(beams.open):
        for i in np.flatnonzero(ends[b, :k]):
            new = np.append(beams.tokens[b, parents[b, i], prefix_length[b] :], tokens[b, i])
            _finish(beams.finished[b], new, float(normalized[b, i]), eos, wanted)
    # 3. the best k that do not end go on
    beams.scores, running = best(top_scores + np.where(ends, NEVER, np.float32(0)), k)
    chosen = Continuations(np.take_along_axis(parents, running, axis=1), np.take_along_axis(tokens, running, axis=1))
    grown = np.take_along_axis(beams.tokens, chosen.parents[:, :, None], axis=1)
    beams.tokens = np.concatenate([grown, chosen.tokens[:, :, None]], axis=2)
    # 4. can the best running beam still beat the worst finished one?
    if early_stopping == "never" and length_penalty > 0:  # scores get better with length, up to the greatest one
        divisor = np.asarray((max_length - np.asarray(uncounted)) ** length_penalty, np.float32)
    hope = beams.scores[:, 0] / divisor
    worst = np.array([f[-1].score if len(f) == wanted else NEVER for f in beams.finished], np.float32)
    beams.open &= (hope > worst) & ~ends.all(axis=1)
    if early_stopping is True:
        beams.open &= np.array([len(found) < wanted for found in beams.finished])
    return chosen


def place_beams(slots: Ids, parents: Ids) -> tuple[Ids, Ids]:
    """Where each beam's past is to lie, so that as few as possible have to be copied; all arrays [b, k].

    slots: where the past of each old beam lies, among the k of its source; parents: which old beam each new one
    continues. Returns the slot of each new beam, and for each slot the one whose past it is to have. The first child
    of a beam stays where that is; others take the places of beams that nothing continues.
    """
    k = parents.shape[1]
    wanted = np.take_along_axis(slots, parents, axis=1)
    again = ((parents[:, :, None] == parents[:, None, :]) & np.tri(k, k=-1, dtype=bool)).any(axis=2)
    goes_on = np.zeros(slots.shape, bool)
    np.put_along_axis(goes_on, wanted, True, axis=1)
    free = np.argsort(goes_on, axis=1, kind="stable")  # those that do not go on come first
    placed = np.where(again, np.take_along_axis(free, np.cumsum(again, axis=1) - again, axis=1), wanted)
    origins = np.empty_like(slots)
    np.put_along_axis(origins, placed, wanted, axis=1)
    return placed, origins


def _finish(finished: list[Hypothesis], tokens: Ids, score: float, eos: int, limit: int) -> None:
    """Insert a hypothesis behind those at least as good; drop the worst beyond `limit`."""
    kept = tokens[:-1] if tokens[-1] == eos else tokens
    place = sum(other.score >= score for other in finished)
    finished.insert(place, Hypothesis(tuple(int(t) for t in kept), score))
    del finished[limit:]


def take_sources(beams: Beams, sources: Ids) -> Beams:
    """The beams of some of the sources."""
    return Beams(
        beams.scores[sources], beams.tokens[sources], [beams.finished[i] for i in sources], beams.open[sources]
    )
