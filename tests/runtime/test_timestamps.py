"""The rules of timestamps, on a vocabulary of 10 tokens of text, the end (10), two that steer, and 11 timestamps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.runtime import timestamps
from quartet.runtime.scores import Scores
from quartet.runtime.timestamps import TimestampRules, are_likelier, forbidden

END, NONE, BEGIN, SIZE = 10, 12, 13, 24
RULES = TimestampRules(eos=END, no_timestamps=NONE, begin=BEGIN, end=SIZE, vocab_size=SIZE, last_initial=BEGIN + 2)


def left(*generated: int) -> set[int]:
    """The tokens that the rules of order leave."""
    gone = [range(first, stop) for first, stop in forbidden(np.array(generated, np.int64), RULES)]
    return set(range(SIZE)).difference(*gone)


TEXT_AND_MORE, TIMES = set(range(BEGIN)), set(range(BEGIN, SIZE))


def test_the_first_token_is_an_early_timestamp():
    assert left() == {BEGIN, BEGIN + 1, BEGIN + 2}


def test_without_a_latest_start_any_timestamp_may_be_first():
    rules = TimestampRules(END, NONE, BEGIN, SIZE, SIZE)
    assert forbidden(np.array([], np.int64), rules) == [(0, BEGIN)]


def test_after_the_first_timestamp_comes_text():
    assert left(BEGIN) == TEXT_AND_MORE


def test_after_text_comes_text_or_a_later_timestamp():
    assert left(BEGIN + 3, 1) == TEXT_AND_MORE | set(range(BEGIN + 4, SIZE))


def test_after_the_end_of_a_segment_comes_no_text_but_the_same_timestamp_may():
    assert left(BEGIN, 1, BEGIN + 5) == {END, 11, NONE} | set(range(BEGIN + 5, SIZE))


def test_after_a_pair_comes_text():
    assert left(BEGIN, 1, BEGIN + 5, BEGIN + 5) == TEXT_AND_MORE


def test_text_without_any_timestamp_allows_everything():
    assert left(1, 2) == TEXT_AND_MORE | TIMES


@pytest.mark.parametrize(("times", "text", "likelier"), [(0.0, 2.3, True), (0.0, 2.5, False), (-50.0, -60.0, True)])
def test_timestamps_are_likelier_when_together_they_are(times, text, likelier):
    logits = np.full(SIZE, -100, np.float32)
    logits[BEGIN:], logits[4] = times, text  # 11 of them: log 11 = 2.398
    assert are_likelier(logits, RULES) == likelier


def test_nothing_is_likelier_than_nothing():
    logits = np.zeros(SIZE, np.float32)
    logits[BEGIN:] = -np.inf
    assert not are_likelier(logits, RULES)
    logits[:BEGIN], logits[BEGIN:] = -np.inf, 0
    assert not are_likelier(logits, RULES)


def reference(logits: np.ndarray, generated: list[int]) -> np.ndarray:
    """The rules written down as they are told, one token after the other."""
    logits = logits.copy()
    logits[NONE] = -np.inf
    for token in range(SIZE):
        if token not in left(*generated):
            logits[token] = -np.inf
    with np.errstate(divide="ignore"):
        together = np.log(np.exp(logits[BEGIN:].astype(np.float64)).sum())
    if together > logits[:BEGIN].max():
        logits[:BEGIN] = -np.inf
    return logits


@given(st.integers(0, 9999), st.lists(st.integers(0, SIZE - 1), max_size=4))
def test_scores_are_edited_and_what_is_left_adds_up(seed, generated):
    logits = np.random.default_rng(seed).normal(0, 2, (1, SIZE)).astype(np.float32)
    scores = Scores.of(logits.copy())
    prefix = [1, 2, 3]
    timestamps.apply(scores, np.array([prefix + generated]), RULES, np.array([len(prefix)]))
    expected = reference(logits[0], generated)
    assert np.array_equal(scores.logits[0], expected)
    if not np.isneginf(expected).all():
        left_over = np.exp(expected.astype(np.float64)).sum()
        best = int(expected.argmax())
        assert scores.remaining_log_probs(np.array([best]))[0] == pytest.approx(
            expected[best] - np.log(left_over), abs=1e-4
        )


def test_words_that_were_added_after_the_timestamps_are_text():
    more = TimestampRules(END, NONE, BEGIN, SIZE, SIZE + 2, BEGIN + 2)
    added = {SIZE, SIZE + 1}

    def left_of(*generated: int) -> set[int]:
        gone = [range(first, stop) for first, stop in forbidden(np.array(generated, np.int64), more)]
        return set(range(SIZE + 2)).difference(*gone)

    assert left_of() == {BEGIN, BEGIN + 1, BEGIN + 2}
    assert left_of(BEGIN) == TEXT_AND_MORE | added
    assert left_of(BEGIN + 3, SIZE) == TEXT_AND_MORE | added | set(range(BEGIN + 4, SIZE))
    assert left_of(BEGIN, SIZE, BEGIN + 5) == {END, 11, NONE} | set(range(BEGIN + 5, SIZE))
    logits = np.full(SIZE + 2, -100, np.float32)
    logits[BEGIN:SIZE], logits[SIZE + 1] = 0.0, 2.5
    assert not are_likelier(logits, more)
    logits[SIZE + 1] = 2.3
    assert are_likelier(logits, more)
