"""What generation configs ask of the search: a 0 is a 0, what is missing has a default, and nonsense is refused."""

import math

import pytest

from quartet.errors import CheckpointError
from quartet.families.config import generation


@pytest.mark.parametrize(
    ("config", "penalty"), [({"length_penalty": 0.0}, 0.0), ({"length_penalty": None}, 1.0), ({"max_length": 9}, 1.0)]
)
def test_a_length_penalty_of_0_is_0(config, penalty):
    assert generation({}, config, 64).length_penalty == penalty


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("length_penalty", math.nan, "length_penalty is nan; expected a number from -10 to 10"),
        ("repetition_penalty", 0, "repetition_penalty is 0; expected a number from 0.01 to 100"),
        ("no_repeat_ngram_size", -1, "no_repeat_ngram_size is -1; expected an integer from 0 to 1000"),
        ("max_length", "long", "max_length is 'long'; expected an integer from 1"),
    ],
)
def test_values_that_make_no_sense_are_named(key, value, said):
    with pytest.raises(CheckpointError, match=f"generation config: {said}"):
        generation({}, {key: value}, 64)
