import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quartet.runtime import rules
from quartet.runtime.rules import RowLimits, Rules
from quartet.runtime.scores import Scores

histories = st.lists(st.integers(0, 3), min_size=1, max_size=24)


def limits(rows: int, prefix: int = 1, maximum: int = 99, repeats: int = 4) -> RowLimits:
    return RowLimits(*(np.full(rows, n, np.int64) for n in (prefix, maximum, repeats)))


def flat(rows: int, vocabulary: int) -> Scores:
    return Scores.of(np.zeros((rows, vocabulary), np.float32))


def banned(scores: Scores) -> list[set[int]]:
    return [set(np.flatnonzero(np.isneginf(row)).tolist()) for row in scores.logits]


@given(histories, st.integers(1, 4))
def test_repeated_ngrams_are_banned_and_nothing_else(history, size):
    scores = flat(1, 5)
    rules.ban_repeated_ngrams(scores, np.array([history]), size)
    seen = {tuple(history[i : i + size]) for i in range(len(history) - size + 1)}
    tail = tuple(history[len(history) - size + 1 :])
    assert banned(scores)[0] == {t for t in range(5) if (*tail, t) in seen}


def test_repetition_penalty_pushes_down_whatever_the_sign():
    scores = Scores.of(np.array([[2.0, -2.0, 3.0, -3.0]], np.float32))
    rules.penalize_repetition(scores, np.array([[0, 1, 1]]), 2.0, np.zeros(1, np.float32))
    assert scores.logits.tolist() == [[1.0, -4.0, 3.0, -3.0]]


def test_repetition_penalty_of_log_probabilities():
    scores = Scores.of(np.array([[2.0, -2.0, 3.0, -3.0]], np.float32))
    rules.penalize_repetition(scores, np.array([[0, 0]]), 2.0, np.array([3.0], np.float32))
    assert scores.logits.tolist() == [[1.0, -2.0, 3.0, -3.0]]


def test_bad_words_of_one_and_more_tokens():
    scores = flat(2, 6)
    rules.ban_words(scores, np.array([[1, 2, 3], [1, 3, 2]]), [(5,), (2, 3, 4), (0,), (9, 9, 9, 9, 1)], eos=0)
    assert banned(scores) == [{5, 4}, {5}]


def test_end_is_banned_until_the_minimum_and_forced_at_the_maximum():
    r = Rules(eos=0, forced_eos=0, min_new_tokens=2)
    early, late = flat(1, 4), flat(1, 4)
    rules.apply(early, np.array([[3, 3]]), r, limits(1, prefix=1, maximum=5), log_space=False)
    rules.apply(late, np.array([[3, 3, 1, 2]]), r, limits(1, prefix=1, maximum=5), log_space=False)
    assert banned(early) == [{0}]
    assert banned(late) == [{1, 2, 3}]


def test_end_is_banned_until_the_whole_sequence_has_its_least_length():
    r = Rules(eos=0, min_length=3)
    early, late = flat(1, 4), flat(1, 4)
    rules.apply(early, np.array([[3, 3]]), r, limits(1, prefix=2, maximum=9), log_space=False)
    rules.apply(late, np.array([[3, 3, 1]]), r, limits(1, prefix=2, maximum=9), log_space=False)
    assert banned(early) == [{0}]
    assert banned(late) == [set()]


def test_a_forced_first_token_comes_right_after_the_decoder_start():
    r = Rules(eos=0, forced_bos=2)
    first, second = flat(1, 4), flat(1, 4)
    rules.apply(first, np.array([[3]]), r, limits(1), log_space=False)
    rules.apply(second, np.array([[3, 2]]), r, limits(1), log_space=False)
    assert banned(first) == [{0, 1, 3}]
    assert banned(second) == [set()]


def test_begin_suppress_only_bites_on_the_first_new_token():
    r = Rules(eos=0, suppress_tokens=(3,), begin_suppress_tokens=(1, 2))
    first, second = flat(1, 5), flat(1, 5)
    rules.apply(first, np.array([[4, 4]]), r, limits(1, prefix=2), log_space=False)
    rules.apply(second, np.array([[4, 4, 4]]), r, limits(1, prefix=2), log_space=False)
    assert banned(first) == [{1, 2, 3}]
    assert banned(second) == [{3}]


@given(histories, st.integers(4, 5))
def test_a_loop_is_an_ngram_repeated_at_the_end(history, repeats):
    tokens = np.array(history)
    naive = None
    for size in range(1, len(history) // repeats + 1):
        tail = history[-size * repeats :]
        if naive is None and tail == tail[:size] * repeats:
            naive = tail[0]
    assert rules.loop_continuation(tokens, repeats) == naive


def test_three_repeats_are_no_loop():
    assert rules.loop_continuation(np.array([7, 1, 2, 1, 2, 1, 2]), 4) is None
    assert rules.loop_continuation(np.array([1, 2, 1, 2, 1, 2, 1, 2]), 4) == 1


def test_the_guard_looks_at_new_tokens_only():
    scores = flat(1, 4)
    rules.break_loops(scores, np.array([[1, 1, 1, 1]]), limits(1, prefix=2))
    assert banned(scores) == [set()]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=16))
def test_longest_repeat_counts_whole_rounds(tokens):
    text = tuple(tokens)
    naive = max(
        count
        for size in range(1, 9)
        for count in range(1, len(text) + 1)
        for start in range(len(text))
        if count == 1 or text[start : start + size * count] == text[start : start + size] * count
        if count == 1 or start + size * count <= len(text)
    )
    assert rules.longest_repeat(tokens) == naive
