"""Beam search on made-up models: a table of log probabilities for every history."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quartet.runtime import search
from quartet.runtime.scores import Candidates

VOCABULARY, EOS, START = 4, 0, 3


def log_probs_of(history: tuple[int, ...], seed: int) -> np.ndarray:
    random = np.random.default_rng([seed, *history])
    logits = random.normal(0, 1.5, VOCABULARY)
    return (logits - np.log(np.exp(logits).sum())).astype(np.float32)


def run(seeds: list[int], beam_size: int, max_length: int, length_penalty: float = 1.0):
    """Beam search over the made-up models of all seeds as one batch."""
    beams = search.start_beams(np.full((len(seeds), 1), START), beam_size)
    prefix, limit = np.ones(len(seeds), np.int64), np.full(len(seeds), max_length)
    results = {}
    left = list(seeds)
    while left:
        table = np.array(
            [[log_probs_of(tuple(h), s) for h in b] for s, b in zip(left, beams.tokens.tolist(), strict=True)]
        )
        rows = table.reshape(-1, VOCABULARY)
        candidates = Candidates(np.tile(np.arange(VOCABULARY), (len(rows), 1)), rows)
        search.beam_step(beams, candidates, EOS, prefix[: len(left)], limit[: len(left)], length_penalty)
        results |= {s: f for s, f, o in zip(left, beams.finished, beams.open, strict=True) if not o}
        kept = np.flatnonzero(beams.open)
        left, beams = [left[i] for i in kept], search.take_sources(beams, kept)
    return [results[s] for s in seeds]


def everything(seed: int, max_length: int, length_penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """All sequences that end or reach the maximum, with their scores, best first."""
    found = []
    for n in range(1, max_length):
        for tokens in itertools.product(range(VOCABULARY), repeat=n):
            if EOS in tokens[:-1] or (n < max_length - 1 and tokens[-1] != EOS):
                continue
            total = sum(log_probs_of((START, *tokens[:i]), seed)[t] for i, t in enumerate(tokens))
            found.append((total / n**length_penalty, tuple(t for t in tokens if t != EOS)))
    return sorted(found, reverse=True)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0]))
def test_a_wide_beam_finds_the_best_of_all(seed, length_penalty):
    """At most 3 * 3 prefixes run at a time, so nine beams lose nothing; only early stopping may."""
    (found,) = run([seed], 9, 4, length_penalty)
    score, tokens = everything(seed, 4, length_penalty)[0]
    if length_penalty == 0.0:  # without normalisation a running beam can only get worse: stopping early is safe
        assert found[0].tokens == tokens
    assert found[0].score <= score + 1e-5


@settings(max_examples=15)
@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=5, unique=True), st.integers(1, 4))
def test_a_batch_gives_what_each_source_gives_alone(seeds, beam_size):
    assert run(seeds, beam_size, 8) == [run([seed], beam_size, 8)[0] for seed in seeds]


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_hypotheses_are_sorted_distinct_and_scored_by_their_length(seed, beam_size):
    (found,) = run([seed], beam_size, 7)
    assert len(found) <= beam_size
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert len({h.tokens for h in found}) == len(found)
    for h in found:
        tokens = h.tokens if len(h.tokens) == 6 else (*h.tokens, EOS)
        total = sum(log_probs_of((START, *tokens[:i]), seed)[t] for i, t in enumerate(tokens))
        assert abs(h.score - total / len(tokens)) < 1e-4


@given(hnp.arrays(np.float32, (2, 40), elements=st.floats(-5, 5, width=32)), st.integers(1, 9))
def test_best_equals_a_full_stable_sort_in_its_scores(scores, count):
    values, places = search.best(scores, count)
    assert np.array_equal(values, -np.sort(-scores, axis=1)[:, :count])
    assert np.array_equal(np.take_along_axis(scores, places, axis=1), values)
    assert all(len(set(row)) == count for row in places.tolist())


@given(st.data())
def test_beams_are_placed_with_the_fewest_copies(data):
    """The past of each new beam is its parent's; a slot whose beam goes on keeps its past."""
    k = data.draw(st.integers(1, 5))
    slots = np.array([data.draw(st.permutations(range(k))) for _ in range(3)])
    parents = np.array([data.draw(st.lists(st.integers(0, k - 1), min_size=k, max_size=k)) for _ in range(3)])
    placed, origins = search.place_beams(slots, parents)
    for b in range(3):
        assert sorted(placed[b]) == list(range(k))
        assert [origins[b][slot] for slot in placed[b]] == [slots[b][parent] for parent in parents[b]]
        moved = sum(origin != slot for slot, origin in enumerate(origins[b]))
        assert moved == k - len(set(parents[b].tolist()))
