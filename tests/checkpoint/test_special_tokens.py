"""Start, end and padding out of both configs, as one number each."""

import pytest

from quartet.checkpoint.special_tokens import merged
from quartet.errors import CheckpointError, UnsupportedModelError

IDS = ("eos_token_id", "decoder_start_token_id", "pad_token_id")


@pytest.mark.parametrize("key", IDS)
def test_either_config_will_do(key):
    assert merged({key: 3}, {})[key] == 3
    assert merged({}, {key: 3})[key] == 3
    assert merged({key: None}, {key: 3})[key] == 3
    assert merged({key: 3}, {key: None})[key] == 3
    assert key not in merged({}, {})


def test_the_rest_of_the_config_stays():
    assert merged({"model_type": "t5", "eos_token_id": [1]}, {"max_length": 9}) == {
        "model_type": "t5",
        "eos_token_id": 1,
    }


def test_where_both_have_one_it_is_that_of_generation_but_for_padding():
    """As `generate` of transformers; padding says where positions begin, and which row of the embedding is empty."""
    ours, theirs = dict.fromkeys(IDS, 3), dict.fromkeys(IDS, 4)
    assert merged(ours, theirs) == {"eos_token_id": 4, "decoder_start_token_id": 4, "pad_token_id": 3}


@pytest.mark.parametrize("value", [[5], [5, 5]])
def test_a_list_of_one_id_is_that_id(value):
    assert merged({}, {"eos_token_id": value})["eos_token_id"] == 5


@pytest.mark.parametrize("value", [[5, 6], [0, 1, 2]])
def test_a_list_of_several_is_refused(value):
    with pytest.raises(
        UnsupportedModelError, match=r"generation_config\.json has several ids for eos_token_id, \[.*leave"
    ):
        merged({"eos_token_id": 5}, {"eos_token_id": value})


@pytest.mark.parametrize("value", ["5", 1.5, -1, True, {}, [], [None], ["a"] * 1000])
def test_what_is_no_id(value):
    with pytest.raises(
        CheckpointError, match=r"config\.json has eos_token_id = .*; the id of a token is expected"
    ) as caught:
        merged({"eos_token_id": value}, {})
    assert len(str(caught.value)) < 200
