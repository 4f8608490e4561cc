import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.errors import OptionError
from quartet.runtime.batching import Batching, batches

lengths = st.lists(st.integers(1, 50), max_size=30)


@given(lengths, st.integers(1, 99), st.sampled_from(["examples", "tokens"]), st.sampled_from([None, 1, 4, 50]))
def test_every_row_is_in_one_batch_and_no_batch_is_too_large(lengths, size, batch_type, most):
    found = batches(lengths, Batching(size, batch_type), most)
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    for batch in found:
        padded = len(batch) * max(lengths[row] for row in batch)
        assert len(batch) <= (most or size)
        assert len(batch) <= size if batch_type == "examples" else padded <= size or len(batch) == 1
    in_order = [lengths[row] for batch in found for row in batch]
    assert in_order == sorted(lengths, reverse=True)


def test_batches_are_as_full_as_they_may_be():
    assert batches([3, 9, 9, 2, 1], Batching(18, "tokens")) == [[1, 2], [0, 3, 4]]
    assert batches([3, 9, 9, 2, 1], Batching(2)) == [[1, 2], [0, 3], [4]]


@pytest.mark.parametrize(("size", "kind", "named"), [(0, "examples", "0"), (4, "words", "words")])
def test_bad_values_are_named(size, kind, named):
    with pytest.raises(OptionError, match=named):
        Batching(size, kind)
