"""The decoder that writes into its cache says what the one that returns a longer past says."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from onnxruntime import InferenceSession, OrtValue

import tiny
from quartet.conversion.convert import convert_folder
from quartet.runtime.decode import SMALLEST_ROOM, DecoderState, decode_tokens, encode, select_rows
from quartet.runtime.engine import open_engine
from quartet.runtime.machine.rewrite import write_for_this_machine
from quartet.runtime.model import Model

SOURCES = [[5, 6, 7, 2], [8, 2], [9, 10, 2]]


def both(tmp_path, name) -> tuple[Model, Model]:
    """The same model with either decoder."""
    convert_folder(tiny.make(tmp_path / "checkpoint", name), tmp_path / "quartet", precision="fp32")
    grows = open_engine(tmp_path / "quartet", 1).model()
    (tmp_path / "made").mkdir()
    write_for_this_machine(tmp_path / "quartet", "decoder", tmp_path / "made", row_products=False)
    return grows, replace(grows, decoder=InferenceSession(tmp_path / "made" / "decoder.onnx"))


def step(model: Model, state: DecoderState, tokens: np.ndarray) -> np.ndarray:
    return decode_tokens(model, state, tokens)[0].numpy()


@pytest.mark.parametrize("name", ["m2m100-base", "marian-base", "madlad"])
def test_the_same_through_prompt_steps_beams_and_growth(tmp_path, name):
    grows, in_place = both(tmp_path, name)
    assert (grows.cache_in_place, in_place.cache_in_place) == (False, True)
    states = [encode(model, SOURCES) for model in (grows, in_place)]
    random = np.random.default_rng(0)
    fed = random.integers(4, 40, (3, 2))
    for at in range(SMALLEST_ROOM + 4):
        expected, found = (step(m, s, fed) for m, s in zip((grows, in_place), states, strict=True))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        if at in (0, 3):
            rows = np.array([0, 0, 1, 1, 2, 2]) if at == 0 else np.array([1, 0, 2, 2, 4, 5])
            for state in states:
                select_rows(state, rows)
        fed = random.integers(4, 40, (6, 1))
    grown, buffers = (next(iter(state.past.values())).shape()[2] for state in states)
    assert (grown, buffers) == (SMALLEST_ROOM + 5, 2 * SMALLEST_ROOM)
    assert [state.length for state in states] == [grown, grown]


def test_the_past_is_written_where_it_lies(tmp_path):
    _, model = both(tmp_path, "m2m100-base")
    state = encode(model, SOURCES)
    step(model, state, np.array([[2], [2], [2]]))
    before = {name: value.numpy() for name, value in state.past.items()}
    kept = {name: values[:, :, :1].copy() for name, values in before.items()}
    step(model, state, np.array([[5], [6], [7]]))
    for name, value in state.past.items():
        assert np.shares_memory(value.numpy(), before[name])
        assert np.array_equal(value.numpy()[:, :, :1], kept[name])
        assert value.numpy()[:, :, 1].any()


def test_rows_that_are_alike_so_far_are_copied_from_where_they_differ():
    values = np.arange(2 * 4, dtype=np.float32).reshape(2, 1, 4, 1)
    state = DecoderState(None, {}, {"key": OrtValue.ortvalue_from_numpy(values.copy())}, length=3)
    select_rows(state, np.array([1, 1]), first=1)
    assert state.past["key"].numpy().ravel().tolist() == [0, 5, 6, 3, 4, 5, 6, 7]


def test_a_head_size_that_the_kernel_does_not_take_stays_as_it_is(tmp_path):
    grows, other = both(tmp_path, "m2m100-odd-width")
    assert not other.cache_in_place
    assert [v.name for v in other.decoder.get_inputs()] == [v.name for v in grows.decoder.get_inputs()]
    assert "GroupQueryAttention" not in {node.op_type for node in ir.load(tmp_path / "made" / "decoder.onnx").graph}
