"""`Scores` against the obvious way: copy all logits, edit them, sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.runtime import rules
from quartet.runtime.scores import Scores

VOCABULARY, K = 40, 8


def logits_of(seed: int, rows: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (rows, VOCABULARY)).astype(np.float32)


def as_the_head_gives(logits: np.ndarray) -> Scores:
    ids = np.argsort(-logits, axis=1, kind="stable")[:, :K]
    floor = np.take_along_axis(logits, ids, axis=1)[:, -1]
    total = np.log(np.exp(logits.astype(np.float64)).sum(axis=1)).astype(np.float32)
    return Scores(logits.copy(), ids, floor, total)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))


def best_of(scores: np.ndarray, count: int) -> np.ndarray:
    return np.sort(-scores, axis=1)[:, :count] * -1


def sorted_down(candidates, count: int) -> np.ndarray:
    return -np.sort(-candidates.scores, axis=1)[:, :count]


edits = st.lists(st.tuples(st.integers(0, 2), st.integers(0, VOCABULARY - 1)), max_size=20)


@given(st.integers(0, 9999), edits, st.integers(1, 12))
def test_the_best_are_right_whatever_is_forbidden(seed, forbidden, count):
    logits = logits_of(seed)
    scores, plain = as_the_head_gives(logits), logits.copy()
    for row, token in forbidden:
        scores.forbid(np.array([row]), token)
        plain[row, token] = -np.inf
    found = scores.best(count)
    assert np.array_equal(sorted_down(found, count), best_of(plain, count))
    assert np.array_equal(np.take_along_axis(plain, found.ids, axis=1), found.scores)
    assert (np.diff(found.ids, axis=1) > 0).all()


@given(st.integers(0, 9999), edits)
def test_of_equal_scores_the_lowest_id_is_the_likeliest(seed, forbidden):
    logits = logits_of(seed).round(0)
    scores, plain = as_the_head_gives(logits), logits.copy()
    for row, token in forbidden:
        scores.forbid(np.array([row]), token)
        plain[row, token] = -np.inf
    assert np.array_equal(scores.likeliest(), plain.argmax(axis=1))


@given(
    st.integers(0, 9999), st.sampled_from([0.5, 0.9, 1.3, 5.0]), st.booleans(), st.lists(st.integers(0, 39), min_size=1)
)
def test_the_best_are_right_after_a_penalty_of_either_sign(seed, penalty, log_space, seen):
    logits = logits_of(seed, 1)
    scores = as_the_head_gives(logits)
    offset = scores.log_sum_exp if log_space else np.zeros(1, np.float32)
    rules.penalize_repetition(scores, np.array([seen]), penalty, offset)
    plain = logits - offset
    for token in set(seen):
        plain[0, token] *= np.float32(penalty) if plain[0, token] < 0 else np.float32(1 / penalty)
    assert sorted_down(scores.best(4), 4) - offset == pytest.approx(best_of(plain, 4), abs=1e-4)


@given(st.integers(0, 9999), edits, st.booleans())
def test_log_probabilities_over_all_or_over_what_is_left(seed, forbidden, renormalize):
    logits = logits_of(seed)
    scores, plain = as_the_head_gives(logits), logits.copy()
    for row, token in [*forbidden, *forbidden[:1]]:  # an edit may come twice
        scores.forbid(np.array([row]), token)
        plain[row, token] = -np.inf
    expected = log_softmax(plain) if renormalize else np.where(np.isneginf(plain), -np.inf, log_softmax(logits))
    assert sorted_down(scores.log_probs(4, renormalize), 4) == pytest.approx(best_of(expected, 4), abs=2e-4)


def test_renormalizing_holds_where_hardly_anything_is_left():
    logits = np.zeros((1, VOCABULARY), np.float32)
    logits[0, 3] = 30
    scores = as_the_head_gives(logits)
    scores.forbid(np.array([0]), 3)
    assert sorted_down(scores.log_probs(1, True), 1)[0, 0] == pytest.approx(-np.log(VOCABULARY - 1), abs=1e-5)


def test_a_forced_token_is_the_only_one_and_gains_nothing():
    scores = as_the_head_gives(logits_of(0))
    scores.force(np.array([1]), 7)
    found = scores.log_probs(2, False)
    assert found.scores[1].max() == 0
    assert found.ids[1, found.scores[1].argmax()] == 7
    assert np.isneginf(found.scores[1]).sum() == found.scores.shape[1] - 1
    assert scores.token_log_probs(np.array([0, 7, 0]))[1] == 0


@given(st.integers(0, 9999), st.integers(0, VOCABULARY - 1))
def test_a_gain_is_the_log_probability_before_any_edit(seed, token):
    logits = logits_of(seed)
    scores = as_the_head_gives(logits)
    rules.penalize_repetition(scores, np.full((3, 2), token), 2.0, np.zeros(3, np.float32))
    scores.forbid(np.arange(3), token)
    assert scores.token_log_probs(np.full(3, token)) == pytest.approx(log_softmax(logits)[:, token], abs=1e-5)


@given(st.integers(0, 9999), st.integers(2, K))
def test_corrected_logits_take_the_place_of_the_coarse_ones(seed, count):
    logits = logits_of(seed)
    scores = as_the_head_gives(logits)
    ids = scores.top_ids[:, :count]
    better = np.take_along_axis(logits, ids, axis=1) + np.float32(0.5)
    better[:, 1] += 1
    scores.correct(ids, better)
    whole = logits.copy()
    np.put_along_axis(whole, ids, better, axis=1)
    assert scores.log_sum_exp == pytest.approx(np.log(np.exp(whole.astype(np.float64)).sum(axis=1)), abs=1e-4)
    assert np.array_equal(sorted_down(scores.best(2), 2), best_of(whole, 2))


ranges = st.lists(st.tuples(st.integers(0, 2), st.integers(0, VOCABULARY), st.integers(0, VOCABULARY)), max_size=4)


@given(st.integers(0, 9999), edits, ranges, edits)
def test_ranges_and_single_tokens_may_be_forbidden_in_any_order(seed, before, gone, after):
    logits = logits_of(seed)
    scores, plain = as_the_head_gives(logits), logits.copy()
    rules.penalize_repetition(scores, np.array([[1, 1, 9]] * 3), 1.3, np.zeros(3, np.float32))
    for token in (1, 9):
        plain[:, token] = np.where(plain[:, token] < 0, plain[:, token] * np.float32(1.3), plain[:, token] / 1.3)
    for forbidden in (before, after):
        for row, token in forbidden:
            scores.forbid(np.array([row]), token)
            plain[row, token] = -np.inf
        if forbidden is before:
            for row, first, stop in gone:
                scores.forbid_range(row, first, stop)
                plain[row, first:stop] = -np.inf
    alive = ~np.isneginf(plain).all(axis=1)
    assert np.array_equal(sorted_down(scores.best(3), 3), best_of(plain, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = best_of(log_softmax(plain), 3)[alive]
        assert sorted_down(scores.log_probs(3, True), 3)[alive] == pytest.approx(expected, abs=2e-3)


def test_a_corrected_range_takes_the_place_of_the_coarse_one():
    logits = logits_of(7)
    scores = as_the_head_gives(logits)
    better = logits_of(8)[[0, 2], 10:30]
    scores.correct_range(np.array([0, 2]), 10, better)
    whole = logits.copy()
    whole[[0, 2], 10:30] = better
    assert scores.log_sum_exp == pytest.approx(np.log(np.exp(whole.astype(np.float64)).sum(axis=1)), abs=1e-4)
    assert np.array_equal(sorted_down(scores.best(5), 5), best_of(whole, 5))


def test_scores_of_bare_logits():
    logits = logits_of(5)
    assert np.array_equal(sorted_down(Scores.of(logits.copy()).best(5), 5), best_of(logits, 5))
    assert sorted_down(Scores.of(logits.copy()).log_probs(5, True), 5) == pytest.approx(
        best_of(log_softmax(logits), 5), abs=1e-5
    )
