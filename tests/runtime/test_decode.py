"""Rows of the caches: what is kept, repeated, reordered, and what others still read."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from onnxruntime import OrtValue

from quartet.runtime.decode import DecoderState, select_rows, select_sources


def cache_of(rows):
    numbers = np.arange(rows, dtype=np.float32)[:, None, None, None] + np.zeros((1, 2, 3, 4), np.float32)
    return {name: OrtValue.ortvalue_from_numpy(numbers + shift) for name, shift in (("key", 0), ("value", 100))}


def rows_of(cache):
    return [[int(row) for row in value.numpy()[:, 0, 0, 0]] for value in cache.values()]


@given(st.data())
def test_any_rows_one_after_the_other(data):
    """Kept, repeated, reordered: what a list would give, several times in a row."""
    state, expected = DecoderState(None, {}, cache_of(5), length=3), list(range(5))
    for _ in range(3):
        chosen = data.draw(st.lists(st.integers(0, len(expected) - 1), min_size=1, max_size=8))
        select_rows(state, np.array(chosen))
        expected = [expected[i] for i in chosen]
        assert rows_of(state.past) == [expected, [row + 100 for row in expected]]


def test_sources_leave_in_place():
    state = DecoderState(OrtValue.ortvalue_from_numpy(np.eye(4, dtype=np.int64)), cache_of(4), {})
    select_sources(state, np.array([0, 3, 2]))
    select_sources(state, np.array([2, 1]))
    assert rows_of(state.encoder_cache) == [[2, 3], [102, 103]]
    assert state.encoder_mask.numpy().tolist() == np.eye(4)[[2, 3]].tolist()


def test_a_cache_that_others_read_stays_as_it_is():
    cache = cache_of(4)
    state = DecoderState(None, cache, {}, shared=True)
    select_sources(state, np.array([3, 1]))
    select_sources(state, np.array([1]))
    assert rows_of(state.encoder_cache) == [[1], [101]]
    assert rows_of(cache) == [[0, 1, 2, 3], [100, 101, 102, 103]]
